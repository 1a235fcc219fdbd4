"""Records that an earlier version of the program wrote.

`data/schema_2.tar.xz` is a whole run directory of `collect_data` as it was
when the schema version was 2: two episodes of chapter one.
"""

import json
import pathlib
import shutil
import tarfile

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.collecting import collector
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import replay
from data_tools.records import shards
from experiments.runs import inputs
from pokedreamer_jax import specs
from pokedreamer_jax import whole_files
from pokedreamer_jax.config import world_model as world_model_config
from tests.data_tools import fakes

_ARCHIVE = pathlib.Path(__file__).parent / "data" / "schema_2.tar.xz"
_NEW = {"enemy_max_hp": 3, "active_slot": 3, "move_item": 3, "text": 3}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
  directory = tmp_path_factory.mktemp("schema_2")
  with tarfile.open(_ARCHIVE) as archive:
    archive.extractall(directory, filter="data")
  return directory


@pytest.fixture
def old(unpacked, tmp_path):
  return pathlib.Path(shutil.copytree(unpacked, tmp_path / "old"))


def _tokens(text, **changes):
  return world_model_config.WorldModelConfig(tokens=text, **changes)


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
    assert steps["text"].any() == (header.schema_version == 3)
  windows = index.read_windows([loader._Window(i, 3, 69) for i in range(3)], 66)
  for i, header in enumerate(index.headers):
    assert windows["text"][i].any() == (header.schema_version == 3)


@pytest.mark.parametrize(
  ("cfg", "message"),
  [
    (
      _tokens("map:8 text:16"),
      r"world_model\.tokens: 'text', episodes recorded before schema 3 hold "
      r"no field 'text', expected tokens without it, or data collected anew",
    ),
    (_tokens("active_hp:16"), r"'active_hp', .* no field 'active_slot'"),
    (
      _tokens("map:8", ram_heads="xp:9 enemy_max_hp:9"),
      r"world_model\.ram_heads: 'enemy_max_hp'",
    ),
  ],
)
def test_what_it_lacks_is_not_trained_on(old, tmp_path, cfg, message):
  with pytest.raises(ValueError, match=message):
    inputs.check_fields(cfg, generations.freeze(old))
  new = tmp_path / "new"
  fakes.write(new, "new", [(0, 70, "random")])
  inputs.check_fields(cfg, generations.freeze(new))
  fakes.write(old, "new", [(0, 70, "random")])  # nor where some lack it
  with pytest.raises(ValueError, match=message):
    inputs.check_fields(cfg, generations.freeze(old))


@pytest.mark.parametrize(
  "cfg",
  [
    _tokens(world_model_config.PRACTICE_TOKENS),
    _tokens("species:8 max_hp:9 hp2:9 level2:9 money:9 dex_seen:9"),
    _tokens("text:16", ram="off"),
  ],
)
def test_what_it_holds_is_trained_on(old, cfg):
  inputs.check_fields(cfg, generations.freeze(old))


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
    ValueError, match=r"2 of the 3 episodes .* schema version 2, .* version 3"
  ):
    _collect(old, 3)
  after = sorted(path.name for path in (old / "shards").iterdir())
  assert [name for name in after if name != ".lock"] == before


@pytest.mark.parametrize("version", [1, 4, "2", None, True, [2]])
def test_another_version_is_left_out_and_named(old, version):
  (path,) = (old / "shards").glob("*.json")
  manifest = whole_files.unseal(json.loads(path.read_text()), path)
  manifest["schema_version"] = version
  path.write_text(json.dumps(whole_files.seal(manifest)))
  with pytest.raises(ValueError, match=r"schema_version: .* reads 2 and 3"):
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
  with pytest.raises(ValueError, match=r"schema_version: 2, .* writes 3"):
    writer.begin(header)
