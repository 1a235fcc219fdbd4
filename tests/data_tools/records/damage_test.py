"""Damage between writing and reading: nothing is taken for another thing."""

import json
import shutil

import numpy as np
import pytest

from data_tools.game import input_logs
from data_tools.game import save_states
from data_tools.records import chunk_reader
from data_tools.records import generations
from data_tools.records import loader
from pokedreamer_jax import whole_files
from tests import flips
from tests.data_tools import fakes

_FOUR = [(i, 70 + i, "demonstrator:eps=0.1") for i in range(4)]


# What an older manifest does not protect: a length within the same records,
# and what only reports read.
_BARE = {"length": 0, "digest": "", "summary": {}}


def _contents(generation, bare=False):
  entries = [entry.to_dict() for _, entry in generation.episodes()]
  return [entry | _BARE for entry in entries] if bare else entries


def _frozen(directory, whole, bare):
  """What a generation of the directory holds, which has to be in `whole`.

  A damaged manifest takes its shard's episodes out, and says so.
  """
  try:
    generation = generations.freeze(directory)
  except ValueError as error:
    assert "left out" in str(error)
    raise
  finally:
    shutil.rmtree(directory / generations.GENERATIONS_DIR, ignore_errors=True)
  found = _contents(generation, bare)
  assert all(entry in whole for entry in found)
  if len(found) < len(whole):
    assert generation.skipped
    raise ValueError(str(generation.skipped[0]))
  return found


@pytest.mark.parametrize("count", [150, flips.long(10000)])
@pytest.mark.parametrize("sealed", [True, False])
def test_no_flip_in_a_manifest_gives_other_episodes(tmp_path, count, sealed):
  fakes.write(tmp_path, "a", _FOUR[:3], per_shard=3)
  folder = tmp_path / generations.SHARDS_DIR
  (manifest,) = folder.glob("*.json")
  whole = _contents(generations.freeze(tmp_path), not sealed)
  if not sealed:
    values = json.loads(manifest.read_text())
    del values[whole_files.SEAL]
    manifest.write_text(json.dumps(values))
  flips.check_flips(
    [manifest], lambda: _frozen(tmp_path, whole, not sealed), count
  )


@pytest.mark.parametrize("count", [150, flips.long(10000)])
def test_no_flip_in_a_list_gives_another_generation(tmp_path, count):
  fakes.write(tmp_path, "a", _FOUR)
  path = generations.freeze(tmp_path).path
  flips.check_flips([path], lambda: generations.load(path), count)


def test_a_manifest_that_doubles_an_episode_is_skipped(tmp_path):
  (name, _) = fakes.write(tmp_path, "a", _FOUR)
  manifest = tmp_path / generations.SHARDS_DIR / name
  manifest = manifest.with_suffix(".json")
  values = json.loads(manifest.read_text())
  entry = values["episodes"][0]
  for change, words in (
    ({"episodes": [entry, entry]}, "first_record 0, expected 2"),
    (
      {"episodes": [entry, entry | {"first_record": 2}]},
      "episode 0 stands there twice",
    ),
    ({"episodes": [entry | {"length": 0}]}, "length 0"),
    ({"records": 3}, "records: 3, its episodes have 4"),
    ({"chunk_steps": 32}, "chunk_steps: 32, expected 64"),
  ):
    manifest.write_text(json.dumps(whole_files.seal(values | change)))
    (skipped,) = generations.freeze(tmp_path).skipped
    assert words in str(skipped)


def test_a_manifest_under_another_name_counts_once(tmp_path):
  (name,) = fakes.write(tmp_path, "a", _FOUR, per_shard=4)
  folder = tmp_path / generations.SHARDS_DIR
  shutil.copy((folder / name).with_suffix(".json"), folder / "b-00000.json")
  generation = generations.freeze(tmp_path)
  assert generation.num_episodes == 4
  assert "by its name that of 'b-00000.arrayrecord'" in str(
    generation.skipped[0]
  )


def test_manifests_of_older_versions_are_read_with_one_remark(tmp_path):
  fakes.write(tmp_path, "a", _FOUR)
  whole = generations.freeze(tmp_path)
  for path in (tmp_path / generations.SHARDS_DIR).glob("*.json"):
    values = json.loads(path.read_text())
    del values[whole_files.SEAL]
    path.write_text(json.dumps(values))
  whole_files.remark()
  assert generations.freeze(tmp_path) == whole
  assert "a-00000.json and 1 more" in whole_files.remark()


def test_exchanged_shards_are_refused_before_their_first_step(tmp_path):
  names = fakes.write(tmp_path, "a", [(0, 64, "random"), (1, 64, "random")], 1)
  folder = tmp_path / generations.SHARDS_DIR
  one, two = (folder / name for name in names)
  if len(one.read_bytes()) != len(two.read_bytes()):  # room is left alike
    size = max(one.stat().st_size, two.stat().st_size)
    for path in (one, two):
      path.write_bytes(path.read_bytes().ljust(size, b"\0"))
      _describe_again(path)
  generation = generations.freeze(tmp_path)
  assert generation.num_episodes == 2
  data = one.read_bytes()
  one.write_bytes(two.read_bytes())
  two.write_bytes(data)
  again = generations.load(generation.path)  # sizes are as they were
  index = loader.EpisodeIndex(again, "all")
  for _ in range(2):
    with pytest.raises(ValueError, match=r"a-0000.*damaged or exchanged"):
      index.read(0, 0, 8)


def _describe_again(path):
  manifest = path.with_suffix(".json")
  size, digest = whole_files.file_digest(path)
  values = json.loads(manifest.read_text()) | {"bytes": size, "sha256": digest}
  manifest.write_text(json.dumps(whole_files.seal(values)))


def test_a_shard_is_compared_once(tmp_path, monkeypatch):
  fakes.write(tmp_path, "a", _FOUR)
  index = loader.EpisodeIndex(
    generations.freeze(tmp_path), "all", cache_bytes=0
  )
  read = []
  file_digest = whole_files.file_digest
  monkeypatch.setattr(
    whole_files,
    "file_digest",
    lambda path: read.append(path.name) or file_digest(path),
  )
  monkeypatch.setattr(chunk_reader, "_MOST_OPEN", 1)
  for _ in range(3):
    for number in range(4):
      index.read(number, 0, 70)
  assert sorted(read) == ["a-00000.arrayrecord", "a-00001.arrayrecord"]


def test_an_episode_read_whole_has_the_digest_that_is_listed(tmp_path):
  (name, _) = fakes.write(tmp_path, "a", _FOUR)
  manifest = (tmp_path / generations.SHARDS_DIR / name).with_suffix(".json")
  assert len(list(_index(tmp_path).episodes())) == 4
  values = json.loads(manifest.read_text())
  values["episodes"][1]["digest"] = "0" * 64
  manifest.write_text(json.dumps(whole_files.seal(values)))
  with pytest.raises(ValueError, match=f"{name}: episode 1 is not the one"):
    list(_index(tmp_path).episodes())
  assert len(list(_index(tmp_path).episodes(["frame"]))) == 4


def _index(directory):
  return loader.EpisodeIndex(generations.freeze(directory), "all")


@pytest.mark.parametrize("count", [150, flips.long(5000)])
def test_no_flip_in_a_state_or_its_stamp_gives_another(tmp_path, count):
  state = bytes(range(256)) * 4
  stamp = save_states.Stamp(
    "gate", "ab" * 20, "1.2", save_states.sha1(state), {"script": "press a"}
  )
  path = save_states.write(tmp_path, stamp, state)
  refused = flips.check_flips(
    tmp_path.iterdir(),
    lambda: (save_states.read(path), save_states.read_stamp(path)),
    count,
  )
  assert refused > count // 2


@pytest.mark.parametrize("count", [200, flips.long(10000)])
@pytest.mark.parametrize("closed", [True, False])
def test_no_flip_in_an_input_log_gives_another(tmp_path, count, closed):
  path = tmp_path / "0.inputs"
  header = input_logs.Header("ab" * 20, "1.2", "", seed=3, jitter_frames=17)
  actions = np.random.default_rng(0).integers(0, 8, 40).astype(np.uint8)
  input_logs.write(path, input_logs.Log(header, actions))
  if not closed:
    path.write_bytes(path.read_bytes().rpartition(b"end ")[0])

  def read():
    log = input_logs.read(path, header)
    return log.header, log.actions.tolist(), log.cut_off

  assert flips.check_flips([path], read, count) > count * 0.9
