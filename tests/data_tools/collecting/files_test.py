import errno
import fcntl
import os
import subprocess
import sys
import time

import pytest

from data_tools import cartridge
from data_tools.collecting import collector
from data_tools.collecting import files as collect_files
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from tests import conftest

_EPISODES, _LENGTH = 24, 150
_MIX = "sticky_random=0.5,random=0.5"
_COLLECT = f"""
import sys
from data_tools.collecting import collector, files
from data_tools.game import roms
if __name__ == "__main__":
  rom = roms.resolve(sys.argv[2])
  collection = collector.make_collection(rom, 3, {_LENGTH}, {_MIX!r}, 30)
  collector.collect(sys.argv[1], rom, collection, {_EPISODES}, 1, shard_s=0.2,
                  progress=lambda p: print(p.steps, flush=True),
                  share=files.Share(int(sys.argv[3]), 2))
"""


def _start(script, data, index):
  return subprocess.Popen(
    [sys.executable, script, data, cartridge.CHAPTER_ONE, str(index)],
    stdout=subprocess.PIPE,
    text=True,
    env=os.environ | {"PYTHONPATH": str(conftest.ROOT)},
  )


def _numbers(generation):
  return [e.header.episode for _, e in generation.episodes()]


def _collection():
  rom = roms.resolve(cartridge.CHAPTER_ONE)
  return rom, collector.make_collection(rom, 3, _LENGTH, _MIX, 30)


def test_a_killed_collector_leaves_the_others_share_and_is_made_up_for(
  tmp_path,
):
  script, data = tmp_path / "script.py", tmp_path / "data"
  script.write_text(_COLLECT)
  other, victim = _start(script, data, 0), _start(script, data, 1)
  for line in victim.stdout:
    if int(line) > 500:
      break
  assert victim.poll() is None
  victim.kill()
  victim.communicate()
  other.communicate(timeout=100)
  assert other.returncode == 0
  rom, collection = _collection()
  there = set(_numbers(generations.freeze(data)))
  assert set(range(0, _EPISODES, 2)) <= there  # the undisturbed share
  owed = collect_files.owed(there, _EPISODES, 2)
  assert list(owed) == [1] and owed[1] == _EPISODES - len(there)
  result = collector.collect(
    data, rom, collection, _EPISODES, 1, share=collect_files.Share(1, 2)
  )
  # The killed one's processes may have finished a shard before they noticed.
  assert 1 <= result.new_episodes <= owed[1]
  generation = generations.freeze(data)
  assert _numbers(generation) == list(range(_EPISODES))
  assert generation.skipped == ()
  for _, steps in loader.EpisodeIndex(generation, "all").episodes(["is_last"]):
    assert len(steps["is_last"]) == _LENGTH and steps["is_last"][-1]
  # One collector would have recorded the same.
  assert (
    collector.collect(data, rom, collection, _EPISODES, 1).new_episodes == 0
  )
  alone = tmp_path / "alone"
  collector.collect(alone, rom, collection, _EPISODES, 1)
  reference = generations.freeze(alone)
  assert generation.content_digest == reference.content_digest


def test_files_of_others_are_left_alone_until_they_are_old(tmp_path):
  names = ("c000-aa-0000-00000", "c001-bb-0000-00000", "w-cc-0000-00000")
  for name in names:
    (tmp_path / f"{name}.arrayrecord.tmp").write_bytes(b"half")
  first, second, whole = (f"{name}.arrayrecord.tmp" for name in names)
  share = collect_files.Share(1, 2)
  assert collect_files.remove_unfinished(tmp_path, share) == [second]
  assert collect_files.remove_unfinished(tmp_path) == [whole]
  old = time.time() - 2 * collect_files.ABANDONED_S
  os.utime(tmp_path / first, (old, old))
  assert collect_files.remove_unfinished(tmp_path, share) == [first]


def test_shares_divide_the_episodes_and_have_names_of_their_own():
  shares = [collect_files.Share(i, 3) for i in range(3)]
  numbers = [list(share.numbers(8)) for share in shares]
  assert numbers == [[0, 3, 6], [1, 4, 7], [2, 5]]
  prefixes = {share.writer_prefix() for share in shares for _ in range(5)}
  assert len(prefixes) == 15  # a share that was started twice, too
  assert collect_files.owed({0, 1, 2, 4, 5, 7}, 8, 3) == {0: 2}


@pytest.mark.parametrize("index, count", [(2, 2), (-1, 2), (0, 0)])
def test_bad_shares_are_refused(index, count):
  with pytest.raises(ValueError, match=f"collector_index {index}"):
    collect_files.Share(index, count)


@pytest.mark.parametrize(
  "variable", ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"]
)
def test_an_index_may_be_that_of_the_array_or_the_job(variable):
  assert collect_files.collector_index("auto", {variable: "3"}) == 3
  assert collect_files.collector_index("2", {variable: "3"}) == 2


@pytest.mark.parametrize(
  "text, environ, match",
  [
    ("auto", {}, "collector_index=auto: nothing set, expected one of SLURM"),
    (
      "auto",
      {"SLURM_ARRAY_TASK_ID": "1", "JOB_COMPLETION_INDEX": "1"},
      "SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX set",
    ),
    ("auto", {"SLURM_ARRAY_TASK_ID": ""}, "SLURM_ARRAY_TASK_ID=''"),
    ("x", {}, "collector_index='x': expected a whole number from 0, or auto"),
  ],
)
def test_indices_that_nobody_says_are_refused(text, environ, match):
  with pytest.raises(ValueError, match=match):
    collect_files.collector_index(text, environ)


def test_more_collectors_than_episodes_are_refused():
  with pytest.raises(ValueError, match="episodes 2, collector_count 3"):
    collect_files.Share(0, 3).numbers(2)


def test_a_share_that_runs_twice_here_is_told_so(tmp_path):
  one, other = collect_files.Share(0, 2), collect_files.Share(1, 2)
  with collect_files.Lock(tmp_path, one):
    with collect_files.Lock(tmp_path, other):
      pass
    with pytest.raises(ValueError, match="another collector"):
      with collect_files.Lock(tmp_path, one):
        pass


def test_a_half_written_file_of_this_share_goes_whatever_its_date(tmp_path):
  path = tmp_path / "w-cc-0000-00000.arrayrecord.tmp"
  path.touch()
  future = time.time() + 400 * 24 * 3600
  os.utime(path, (future, future))
  assert collect_files.remove_unfinished(tmp_path) == [path.name]


def test_without_locks_the_open_file_of_another_collector_is_left_alone(
  tmp_path, monkeypatch, capsys
):
  def flock(descriptor, operation):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

  monkeypatch.setattr(fcntl, "flock", flock)
  path = tmp_path / "w-cc-0000-00000.arrayrecord.tmp"
  path.touch()
  with (
    collect_files.Lock(tmp_path) as first,
    collect_files.Lock(tmp_path) as second,
  ):
    assert not first and not second
    assert collect_files.remove_unfinished(tmp_path, locked=second) == []
  assert path.exists()
  assert "no locks on this file system" in capsys.readouterr().err
