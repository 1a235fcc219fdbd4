"""Records that an earlier version of the program wrote are read as they are."""

import json

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.collecting import collector
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import replay
from data_tools.records import shards
from pokedreamer_jax import specs
from pokedreamer_jax import whole_files
from tests.data_tools import fakes
from tests.data_tools import old_records

_NEW = {f.name: f.since for f in specs.STEP_FIELDS if f.since > 2}
_NOW = specs.SCHEMA_VERSION


@pytest.fixture
def old(tmp_path):
  return old_records.unpack(tmp_path / "old")


def test_it_is_read_with_zeros_for_what_it_lacks(old):
  (path,) = (old / "generations").glob("*.json")
  listed = generations.load(path)  # the list as it was written then
  assert json.loads(path.read_text())["schema_version"] == 2
  frozen = generations.freeze(old)
  assert frozen.digest == listed.digest and not frozen.skipped
  assert frozen.lacking == _NEW
  index = loader.EpisodeIndex(frozen, "all")
  assert index.lengths.tolist() == [70, 70]
  fought = False
  for header, steps in index.episodes():  # which compares the digests
    assert header.schema_version == 2
    specs.check_steps(steps)
    assert not any(steps[name].any() for name in _NEW)
    fought |= bool(steps["enemy_hp"].any())
  assert fought
  batch = loader.BatchSource(index, 4, 16, seed=0)[0]
  assert set(specs.STEP_FIELD_NAMES) < set(batch)
  assert not any(batch[name].any() for name in _NEW)


def test_each_version_adds_to_the_one_before(tmp_path):
  assert specs.lacking(6) == {"arriving"}
  sixth = {"text_wait", "blink_wait", "own_bar", "enemy_bar", "arriving"}
  assert specs.lacking(5) == sixth
  assert specs.lacking(4) == sixth | {"menu_wait"}
  assert specs.lacking(3) == sixth | {"menu_wait", "shade", "heal_items"}
  for version in specs.READABLE_VERSIONS[1:]:
    earlier, now = map(specs.field_names, (version - 1, version))
    assert set(earlier) < set(now)
  assert set(specs.field_names(_NOW)) == set(specs.STEP_FIELD_NAMES)


def test_playing_it_again_gives_what_it_holds_and_the_new_fields(old):
  index = loader.EpisodeIndex(generations.freeze(old), "all")
  rom = roms.resolve(str(cartridge.CHAPTER_ONE))
  (i,) = (
    i for i, h in enumerate(index.headers) if "demonstrator" in h.behaviour
  )
  recorded = index.read(i, 0, 70)
  played = list(replay.play_again(rom, index.headers[i], recorded["action"]))
  again = {k: np.concatenate([p[k] for p in played]) for k in played[0]}
  for name in set(specs.field_names(2)) - {"behaviour"}:
    np.testing.assert_array_equal(again[name], recorded[name], err_msg=name)
  assert again["enemy_max_hp"].any() and again["text"].any()
  assert (again["enemy_max_hp"] >= again["enemy_hp"]).all()


def test_old_and_new_records_lie_in_one_folder(old):
  fakes.write(old, "new", [(0, 70, "random")])
  generation = generations.freeze(old)
  assert generation.num_episodes == 3 and generation.lacking == _NEW
  index = loader.EpisodeIndex(generation, "all")
  for header, steps in index.episodes():
    assert steps["text"].any() == (header.schema_version == _NOW)
  windows = index.read_windows([loader._Window(i, 3, 69) for i in range(3)], 66)
  for i, header in enumerate(index.headers):
    assert windows["text"][i].any() == (header.schema_version == _NOW)


def _collect(old, episodes):
  rom = roms.resolve(str(cartridge.CHAPTER_ONE))
  mix = "demonstrator:eps=0.1=0.5,sticky_random=0.5"
  config = json.loads((old / "config.json").read_text())
  collection = collector.make_collection(
    rom, 7, 70, config["collect"]["policy_mix"], 60
  )
  assert mix == collection.policy_mix
  return collector.collect(old, rom, collection, episodes, workers=1)


def test_its_collection_is_complete_or_refused(old):
  before = sorted(path.name for path in (old / "shards").iterdir())
  result = _collect(old, 2)  # all there: nothing is played
  assert result.new_episodes == 0
  with pytest.raises(
    ValueError,
    match=rf"2 of the 3 episodes .* schema version 2, .* version {_NOW}",
  ):
    _collect(old, 3)
  after = sorted(path.name for path in (old / "shards").iterdir())
  assert [name for name in after if name != ".lock"] == before


@pytest.mark.parametrize("version", [1, _NOW + 1, "2", None, True, [2]])
def test_another_version_is_left_out_and_named(old, version):
  (path,) = (old / "shards").glob("*.json")
  manifest = whole_files.unseal(json.loads(path.read_text()), path)
  manifest["schema_version"] = version
  path.write_text(json.dumps(whole_files.seal(manifest)))
  with pytest.raises(ValueError, match=r"schema_version: .* reads 2, 3, 4"):
    generations.freeze(old)


def test_a_shard_holds_episodes_of_its_own_version(old):
  (path,) = (old / "shards").glob("*.json")
  manifest = whole_files.unseal(json.loads(path.read_text()), path)
  manifest["schema_version"] = 3
  path.write_text(json.dumps(whole_files.seal(manifest)))
  with pytest.raises(ValueError, match=r"schema_version 2, its shard has 3"):
    generations.freeze(old)


def test_only_the_present_version_is_written(tmp_path):
  header = shards.EpisodeHeader(
    **{**vars(fakes.header(0)), "schema_version": 2}
  )
  writer = shards.ShardWriter(tmp_path, "a")
  with pytest.raises(ValueError, match=rf"schema_version: 2, .* writes {_NOW}"):
    writer.begin(header)
