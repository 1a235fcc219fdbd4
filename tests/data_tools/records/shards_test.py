import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import safetensors.numpy

from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import shards as shards_lib
from pokedreamer_jax import specs
from tests import conftest
from tests.data_tools import fakes


def test_encoding_is_undone_by_decoding():
  rows = fakes.steps(17)
  blob = shards_lib.encode(rows, {"start": "0"})
  found, metadata = shards_lib.decode(blob)
  assert metadata == {"start": "0"}
  assert specs.check_steps(found) == 17
  for name, array in rows.items():
    np.testing.assert_array_equal(found[name], array)


def test_records_are_plain_safetensors():
  rows = fakes.steps(5)
  found = safetensors.numpy.load(shards_lib.encode(rows, {}))
  np.testing.assert_array_equal(found["party_xp"], rows["party_xp"])


def test_decoding_reads_only_the_fields_asked_for():
  found, _ = shards_lib.decode(
    shards_lib.encode(fakes.steps(5), {}), ("x", "frame")
  )
  assert set(found) == {"x", "frame"}


def test_malformed_records_are_refused():
  blob = shards_lib.encode(fakes.steps(5), {})
  for bad in (b"", blob[:7], blob[:100], blob[:-100], b"\xff" * 64):
    with pytest.raises(ValueError, match="malformed"):
      shards_lib.decode(bad)


def test_an_episode_is_named_by_its_plan_alone():
  assert fakes.header(3).episode_id == fakes.header(3).episode_id
  names = {
    fakes.header(3).episode_id,
    fakes.header(4).episode_id,
    fakes.header(3, "demonstrator").episode_id,
    fakes.header(3, collection="other").episode_id,
  }
  assert len(names) == 4


def test_chunks_must_be_full_except_the_last(tmp_path):
  with shards_lib.ShardWriter(tmp_path, "a") as writer:
    writer.begin(fakes.header(0))
    writer.write(fakes.steps(10))
    with pytest.raises(ValueError, match="chunks hold 64 steps"):
      writer.write(fakes.steps(10))


def test_an_unfinished_episode_is_not_committed(tmp_path):
  shards = tmp_path / generations.SHARDS_DIR
  shards.mkdir()
  with shards_lib.ShardWriter(shards, "a") as writer:
    for number in range(2):
      writer.begin(fakes.header(number))
      writer.write(fakes.steps(64, number))
      if number == 0:
        writer.end({})
  generation = generations.freeze(tmp_path)
  assert [e.header.episode for _, e in generation.episodes()] == [0]
  assert list(tmp_path.rglob("*.tmp")) == []


def test_a_commit_amid_an_episode_drops_it_and_the_writer_goes_on(tmp_path):
  shards = tmp_path / generations.SHARDS_DIR
  shards.mkdir()
  with shards_lib.ShardWriter(shards, "a") as writer:
    for number in (0, 1):
      writer.begin(fakes.header(number))
      writer.write(fakes.steps(64, number))
      if number == 0:
        writer.end({})
    with pytest.raises(ValueError, match="was not ended"):
      writer.begin(fakes.header(2))
    writer.commit()
    with pytest.raises(ValueError, match="no episode was begun"):
      writer.end({})
    writer.begin(fakes.header(2))
    writer.write(fakes.steps(64, 2))
    writer.end({})
  episodes = generations.freeze(tmp_path).episodes()
  assert [e.header.episode for _, e in episodes] == [0, 2]


def test_a_shard_that_lost_records_is_not_committed(tmp_path, monkeypatch):
  monkeypatch.setattr(shards_lib, "count_records", lambda path: 1)
  with pytest.raises(OSError, match="1 records on disk, 2 written"):
    with shards_lib.ShardWriter(tmp_path, "a") as writer:
      writer.begin(fakes.header(0))
      for chunk in fakes.chunks(fakes.steps(128)):
        writer.write(chunk)
      writer.end({})
  assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_block_leaves_no_file(tmp_path):
  with pytest.raises(KeyError):
    with shards_lib.ShardWriter(tmp_path, "a") as writer:
      writer.begin(fakes.header(0))
      writer.write(fakes.steps(64))
      raise KeyError
  assert list(tmp_path.iterdir()) == []


def test_shards_rotate_by_size_and_age(tmp_path):
  for name, limits in {"size": (1, 1e9), "age": (1 << 40, 0.0)}.items():
    committed = []
    with shards_lib.ShardWriter(
      tmp_path, name, *limits, lambda shard, _, out=committed: out.append(shard)
    ) as writer:
      for number in range(3):
        writer.begin(fakes.header(number))
        for chunk in fakes.chunks(fakes.steps(64, number)):
          writer.write(chunk)
        writer.end({})
    assert committed == [f"{name}-{i:05d}.arrayrecord" for i in range(3)]


_WRITE_FOR_EVER = """
import sys
from data_tools.records import shards as shards_lib
from tests.data_tools import fakes
writer = shards_lib.ShardWriter(sys.argv[1] + "/shards", "victim")
for number in range(10**6):
  writer.begin(fakes.header(number))
  for chunk in fakes.chunks(fakes.steps(128, number)):
    writer.write(chunk)
  writer.end({})
  if number == 1:
    writer.commit()
  print(number, flush=True)
"""


@pytest.mark.parametrize("kill_after", [0, 1, 2, 9])
def test_a_killed_writer_loses_its_open_shard_only(tmp_path, kill_after):
  (tmp_path / "shards").mkdir()
  victim = subprocess.Popen(
    [sys.executable, "-c", textwrap.dedent(_WRITE_FOR_EVER), str(tmp_path)],
    stdout=subprocess.PIPE,
    cwd=conftest.ROOT,
    env=os.environ | {"PYTHONPATH": str(conftest.ROOT)},
  )
  for _ in range(kill_after + 1):
    assert victim.stdout.readline()
  victim.send_signal(signal.SIGKILL)
  victim.wait()
  victim.stdout.close()
  shards, skipped = generations.survey(tmp_path)
  assert len(shards) == (kill_after > 0)
  assert len(skipped) <= 1
  fakes.write(tmp_path, "later", [(100, 128, "random")])
  generation = generations.freeze(tmp_path)
  found = [header.episode for header, _ in _read_all(generation)]
  assert found == ([0, 1, 100] if kill_after else [100])


def _read_all(generation):
  for header, rows in loader.EpisodeIndex(generation, "all").episodes():
    np.testing.assert_array_equal(
      rows["frame"], fakes.steps(128, header.episode)["frame"]
    )
    yield header, rows


def test_records_of_one_layout_keep_their_own_metadata_and_arrays():
  # Layouts are remembered; text that looks like the end of the metadata, or
  # metadata that is missing or not first, must not mislead.
  for trick in ('a"},"x":{"b', "\\", '"}', "", "{}}"):
    for episode in range(2):
      rows = fakes.steps(9, episode)
      found, metadata = shards_lib.decode(
        shards_lib.encode(rows, {"header": trick})
      )
      assert metadata == {"header": trick}
      np.testing.assert_array_equal(found["frame"], rows["frame"])
  rows = {"x": np.arange(3, dtype=np.uint8), "y": np.ones((2, 2), np.float32)}
  found, metadata = shards_lib.decode(safetensors.numpy.save(rows))
  assert metadata == {} and set(found) == {"x", "y"}
  blob = safetensors.numpy.save(rows, {"a": "b"})
  size = 8 + int.from_bytes(blob[:8], "little")
  table = json.loads(blob[8:size])
  table["__metadata__"] = table.pop("__metadata__")  # now it is the last
  text = json.dumps(table).encode()
  moved = len(text).to_bytes(8, "little") + text + blob[size:]
  found, metadata = shards_lib.decode(moved)
  assert metadata == {"a": "b"}
  np.testing.assert_array_equal(found["y"], rows["y"])
