import collections
import dataclasses
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.collecting import collector
from data_tools.collecting import files as collect_files
from data_tools.collecting import pool as collect_pool
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from data_tools.system import children
from tests import conftest

_EPISODES, _LENGTH = 6, 100
_MIX = "sticky_random=0.5,random:eps=0.5=0.5"


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.CHAPTER_ONE)


@pytest.fixture(scope="module")
def collection(rom):
  return collector.make_collection(rom, 3, _LENGTH, _MIX, 30)


@pytest.fixture(scope="module")
def reference(tmp_path_factory, rom, collection):
  """What one undisturbed worker records."""
  directory = tmp_path_factory.mktemp("reference")
  collector.collect(directory, rom, collection, _EPISODES, 1)
  return generations.freeze(directory)


def _kill_a_worker(after_steps):
  """A progress callback that kills one worker of this process, once."""
  killed = []

  def callback(progress):
    if not killed and progress.steps >= after_steps:
      killed.append(children.living()[0])
      os.kill(killed[0].pid, signal.SIGKILL)

  return callback


def test_the_result_does_not_depend_on_the_number_of_workers(
  tmp_path, rom, collection, reference
):
  # A shard for every episode: nothing may depend on that either.
  result = collector.collect(
    tmp_path, rom, collection, _EPISODES, 3, shard_s=0.0
  )
  assert (result.new_episodes, result.new_steps) == (6, 600)
  assert result.workers_replaced == 0 and not result.stopped
  generation = generations.freeze(tmp_path)
  assert len(generation.shards) == _EPISODES
  assert generation.content_digest == reference.content_digest
  assert generation.skipped == ()
  numbers = [e.header.episode for _, e in generation.episodes()]
  assert numbers == list(range(_EPISODES))


def test_a_complete_collection_is_not_played_again(
  tmp_path, rom, collection, reference
):
  shutil.copytree(reference.data_dir, tmp_path, dirs_exist_ok=True)
  result = collector.collect(tmp_path, rom, collection, _EPISODES, 2)
  assert result.new_episodes == 0
  more = collector.collect(tmp_path, rom, collection, _EPISODES + 1, 2)
  assert more.new_episodes == 1
  assert generations.freeze(tmp_path).num_episodes == _EPISODES + 1


@pytest.mark.parametrize("after_steps", [1, 250])
def test_a_killed_worker_is_replaced_and_counted(
  tmp_path, rom, collection, reference, after_steps
):
  result = collector.collect(
    tmp_path, rom, collection, _EPISODES, 2,
    progress=_kill_a_worker(after_steps),
  )  # fmt: skip
  assert result.workers_replaced == 1
  assert result.new_episodes == _EPISODES
  generation = generations.freeze(tmp_path)
  assert generation.content_digest == reference.content_digest
  assert generation.skipped == ()


def test_workers_that_keep_dying_end_the_collection(tmp_path, rom, collection):
  def kill_all(progress):
    for process in children.living():
      os.kill(process.pid, signal.SIGKILL)

  with pytest.raises(RuntimeError, match="3 collector processes died in a row"):
    collector.collect(tmp_path, rom, collection, 6, 1, progress=kill_all)


def test_a_silent_worker_is_replaced(
  tmp_path, rom, collection, reference, monkeypatch
):
  monkeypatch.setattr(collect_pool, "HANG_S", 10.0)
  stopped = []

  def stop_one(progress):
    if not stopped and progress.steps:
      stopped.append(children.living()[0])
      os.kill(stopped[0].pid, signal.SIGSTOP)

  result = collector.collect(
    tmp_path, rom, collection, _EPISODES, 1, progress=stop_one
  )
  assert result.workers_replaced == 1
  generation = generations.freeze(tmp_path)
  assert generation.content_digest == reference.content_digest


_COLLECT = """
import sys
from data_tools.collecting import collector
from data_tools.game import roms
if __name__ == "__main__":
  rom = roms.resolve(sys.argv[2])
  collection = collector.make_collection(rom, 3, int(sys.argv[4]), {mix!r}, 30)
  collector.collect(sys.argv[1], rom, collection, int(sys.argv[3]), 2,
                  shard_s=0.2, progress=lambda p: print(p.steps, flush=True))
"""


@pytest.mark.parametrize("kill_at", [1, 900])
def test_a_killed_collector_damages_nothing_and_the_next_one_completes(
  tmp_path, rom, kill_at
):
  script = tmp_path / "script.py"
  script.write_text(_COLLECT.format(mix=_MIX))
  data_dir = tmp_path / "data"
  victim = subprocess.Popen(
    [sys.executable, str(script), str(data_dir), str(rom.path), "20", "100"],
    stdout=subprocess.PIPE,
    text=True,
    env=os.environ | {"PYTHONPATH": str(conftest.ROOT)},
  )
  for line in victim.stdout:
    if int(line) >= kill_at:
      break
  assert victim.poll() is None
  victim.kill()
  victim.wait()
  victim.stdout.close()
  shards, skipped = generations.survey(data_dir)
  for item in skipped:
    assert "unfinished" in item.reason
  before = {e.header.episode for s in shards for e in s.episodes}
  assert (kill_at == 900) <= bool(before)
  collection = collector.make_collection(rom, 3, 100, _MIX, 30)
  result = collector.collect(data_dir, rom, collection, 20, 2)
  generation = generations.freeze(data_dir)
  assert generation.num_episodes == 20
  # Workers outlive their parent for a moment and may still finish a shard.
  assert result.new_episodes <= 20 - len(before)
  for _, steps in loader.EpisodeIndex(generation, "all").episodes(["is_last"]):
    assert len(steps["is_last"]) == 100 and steps["is_last"][-1]


def test_a_stop_keeps_what_is_complete(tmp_path, rom, collection, reference):
  long = dataclasses.replace(collection, episode_length=500)
  seen = collections.deque(maxlen=1)
  began = time.monotonic()
  result = collector.collect(
    tmp_path, rom, long, 40, 2,
    progress=seen.append, stop=lambda: bool(seen) and seen[0].episodes >= 2,
  )  # fmt: skip
  assert result.stopped and 2 <= result.new_episodes < 10
  assert time.monotonic() - began < 60
  generation = generations.freeze(tmp_path)
  assert generation.num_episodes == result.new_episodes
  assert generation.skipped == ()
  assert children.living() == []


def test_damaged_shards_are_collected_again(
  tmp_path, rom, collection, reference
):
  shutil.copytree(reference.data_dir, tmp_path, dirs_exist_ok=True)
  (shard,) = (tmp_path / "shards").glob("*.arrayrecord")
  data = bytearray(shard.read_bytes())
  data[len(data) // 3] ^= 1
  shard.write_bytes(data)
  result = collector.collect(tmp_path, rom, collection, _EPISODES, 2)
  assert result.new_episodes == _EPISODES
  generation = generations.freeze(tmp_path)
  assert generation.content_digest == reference.content_digest
  assert len(generation.skipped) == 1
  assert shard.name in str(generation.skipped[0])


def test_unfinished_shards_are_removed_and_named(
  tmp_path, rom, collection, reference
):
  shutil.copytree(reference.data_dir, tmp_path, dirs_exist_ok=True)
  left = tmp_path / "shards" / "w0009-00000.arrayrecord.tmp"
  left.write_bytes(b"half")
  result = collector.collect(tmp_path, rom, collection, _EPISODES, 2)
  assert result.unfinished == (left.name,)
  assert result.new_episodes == 0 and not left.exists()


def test_two_collectors_do_not_share_a_directory(tmp_path, rom, collection):
  shards = tmp_path / "shards"
  shards.mkdir()
  with collect_files.Lock(shards):
    with pytest.raises(ValueError, match="another collector is writing"):
      collector.collect(tmp_path, rom, collection, 1, 1)


def test_too_little_disk_is_one_line_before_the_start(
  tmp_path, rom, collection, monkeypatch
):
  usage = shutil.disk_usage(tmp_path)._replace(free=50 << 20)
  monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
  with pytest.raises(ValueError, match=r"600 steps need about 65 MiB, 50 MiB"):
    collector.collect(tmp_path, rom, collection, _EPISODES, 1)


def test_a_disk_that_fills_up_stops_cleanly(
  tmp_path, rom, collection, monkeypatch
):
  real = shutil.disk_usage(tmp_path)
  state = {"free": 1 << 40}
  monkeypatch.setattr(
    shutil, "disk_usage", lambda path: real._replace(free=state["free"])
  )
  monkeypatch.setattr(collect_pool, "_SPACE_EVERY_S", 0.0)

  def fill(progress):
    if progress.episodes >= 2:
      state["free"] = 1 << 20

  with pytest.raises(OSError, match=r"disk almost full \(1 MiB free"):
    collector.collect(tmp_path, rom, collection, 200, 2, progress=fill)
  assert generations.freeze(tmp_path).num_episodes >= 2
  assert list(tmp_path.rglob("*.tmp")) == []


def test_a_write_that_fails_ends_the_collection_in_one_line(
  tmp_path, rom, collection
):
  # A file may not grow past this size, which a shard must: as on a full disk.
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
  try:
    with pytest.raises(OSError) as error:
      collector.collect(tmp_path, rom, collection, 2, 1)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
  assert list(tmp_path.rglob("*.tmp")) == []


def test_bad_numbers_and_policies_are_refused(tmp_path, rom, collection):
  with pytest.raises(ValueError, match="episodes 0"):
    collector.collect(tmp_path, rom, collection, 0, 1)
  with pytest.raises(ValueError, match="walker"):
    collector.make_collection(rom, 0, 100, "walker", 0)


def test_behaviours_are_recorded_with_every_step(reference):
  for header, steps in loader.EpisodeIndex(reference, "all").episodes():
    chosen = set(np.unique(steps["behaviour"][:-1]).tolist())
    assert chosen == ({1} if header.behaviour == "sticky_random" else {0})
