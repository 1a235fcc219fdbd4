"""Writers, readers and collectors that end at the worst moments.

`pytest -k kill_matrix -s` prints one line for each case.
"""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.collecting import collector
from data_tools.collecting import files as collect_files
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from tests import conftest
from tests.data_tools import fakes

_EPISODES, _PER_SHARD, _LENGTH = 6, 2, 130

# A process that ends at a point of its way, the second time it comes there:
# it is killed, or the disk is full from then on. `records` and `generations`
# are as they are; only what they call at the point is wrapped.
_VICTIM = """
import errno, os, pathlib, signal, sys
from data_tools.records import generations, shards
from tests.data_tools import fakes

directory, point, fault, skip = sys.argv[1:5]
left = [int(skip)]

def strike(*_):
  if left[0] > 0:
    left[0] -= 1
  elif fault == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
  else:
    raise OSError(errno.ENOSPC, "No space left on device")

def before(owner, name, wanted=lambda *_: True):
  real = getattr(owner, name)
  def wrapped(*args):
    if wanted(*args):
      strike()
    return real(*args)
  setattr(owner, name, wrapped)

def after(owner, name, wanted=lambda *_: True):
  real = getattr(owner, name)
  def wrapped(*args):
    result = real(*args)
    if wanted(*args):
      strike()
    return result
  setattr(owner, name, wrapped)

def to(suffix, folder):
  return lambda _, final: (
    pathlib.Path(final).suffix == suffix and
    pathlib.Path(final).parent.name == folder
  )

shard = to(shards.SHARD_SUFFIX, generations.SHARDS_DIR)
manifest = to(shards.MANIFEST_SUFFIX, generations.SHARDS_DIR)
listed = to(shards.MANIFEST_SUFFIX, generations.GENERATIONS_DIR)
if point == "amid an episode":
  after(shards.ShardWriter, "write")
elif point == "before close":
  before(shards.ShardWriter, "commit")
elif point == "after close":
  before(shards, "count_records")
elif point == "before rename":
  before(shards.os, "replace", shard)
elif point == "after rename":
  after(shards.os, "replace", shard)
elif point == "manifest half-written":
  before(shards.os, "replace", manifest)
elif point == "after manifest":
  after(shards.os, "replace", manifest)
elif point == "before the generation":
  before(generations, "_digest")
elif point == "generation half-written":
  before(shards.os, "replace", listed)
elif point == "after the generation":
  after(shards.os, "replace", listed)
elif point == "amid a refresh":
  after(generations, "_read_shard")
else:
  raise SystemExit(f"unknown point {point}")
numbers = [int(number) for number in sys.argv[5].split(",")]
episodes = [(number, 130, "random") for number in numbers]
try:
  fakes.write(directory, sys.argv[6], episodes)
  generations.freeze(directory)
except OSError as error:
  sys.exit(str(error))
"""

# Point, how often it is passed before the fault, and which episodes must be
# there right after; the shard that was open held episodes 2 and 3.
_WRITER = [
  ("amid an episode", 7, 2),
  ("before close", 1, 2),
  ("after close", 1, 2),
  ("before rename", 1, 2),
  ("after rename", 1, 2),
  ("manifest half-written", 1, 2),
  ("after manifest", 1, 4),
  ("before the generation", 0, 6),
  ("generation half-written", 0, 6),
  ("after the generation", 0, 6),
  ("amid a refresh", 1, 6),
]


def _run(directory, point, fault, skip, numbers, prefix):
  return subprocess.run(
    [
      *(sys.executable, "-c", _VICTIM, str(directory), point, fault, str(skip)),
      *(",".join(map(str, numbers)), prefix),
    ],
    capture_output=True,
    text=True,
    env=os.environ | {"PYTHONPATH": str(conftest.ROOT)},
    timeout=100,
  )


def _whole(directory, length=_LENGTH):
  """Numbers of the episodes there; every row of them is read and compared.

  What was left out must be unfinished: nothing may be damaged.
  """
  shards, skipped = generations.survey(directory)
  for item in skipped:
    assert "unfinished" in item.reason, item
  if not shards:
    return []
  numbers = []
  index = loader.EpisodeIndex(generations.freeze(directory), "all")
  for header, rows in index.episodes():
    for name, array in fakes.steps(length, header.episode).items():
      np.testing.assert_array_equal(rows[name], array, err_msg=name)
    numbers.append(header.episode)
  return numbers


def _show(case, survived, in_the_end):
  print(
    f"{case:<44} right after {len(survived)} of {_EPISODES} episodes, "
    f"after the next run {len(in_the_end)}"
  )


def _later(directory):
  """Eight hours pass: what is left half-written by now has no owner."""
  for path in directory.rglob("*"):
    then = path.stat().st_mtime - 8 * 3600
    os.utime(path, (then, then))


@pytest.mark.parametrize("fault", ["kill", "full disk"])
@pytest.mark.parametrize(("point", "skip", "there"), _WRITER)
def test_kill_matrix_of_a_writer(tmp_path, point, skip, there, fault):
  victim = _run(tmp_path, point, fault, skip, range(_EPISODES), "victim")
  frozen = list((tmp_path / "generations").glob("*.json"))
  assert len(frozen) == (point == "after the generation")
  shards = tmp_path / "shards"
  if fault == "kill":
    assert victim.returncode == -signal.SIGKILL, victim.stderr
  else:  # in one line, and whoever lives cleans up
    assert victim.returncode == 1
    assert victim.stderr.strip() == "[Errno 28] No space left on device"
    assert list(tmp_path.rglob("*.tmp")) == []
    for path in shards.glob("*.arrayrecord"):
      assert path.with_suffix(".json").exists()
  survived = _whole(tmp_path)
  assert survived == list(range(there))
  # The next run writes what is missing and freezes it.
  _later(tmp_path)
  collect_files.remove_unfinished(shards)
  missing = sorted(set(range(_EPISODES)) - set(survived))
  if missing:
    fakes.write(tmp_path, "next", [(n, _LENGTH, "random") for n in missing])
  in_the_end = _whole(tmp_path)
  assert in_the_end == list(range(_EPISODES))
  assert generations.survey(tmp_path)[1] == []
  assert list(tmp_path.rglob("*.tmp")) == []
  _show(f"writer, {point}, {fault}", survived, in_the_end)


_WRITE_ON = """
import sys
from tests.data_tools import fakes
for number in range(10**6):
  fakes.write(sys.argv[1], f"s{number}", [(number, 130, "random")])
  print(number, flush=True)
"""


def test_kill_matrix_of_a_writer_beside_a_reader(tmp_path):
  writer = subprocess.Popen(
    [sys.executable, "-c", _WRITE_ON, str(tmp_path)],
    stdout=subprocess.PIPE,
    env=os.environ | {"PYTHONPATH": str(conftest.ROOT)},
  )
  assert writer.stdout.readline()
  generations_seen = [generations.freeze(tmp_path)]
  while generations_seen[-1].num_episodes < 12:
    generations_seen.append(generations.freeze(tmp_path))
  writer.kill()  # wherever it is
  writer.communicate()
  generations_seen.append(generations.freeze(tmp_path))
  counts = [generation.num_episodes for generation in generations_seen]
  assert counts == sorted(counts) and len(set(counts)) > 2
  for generation in generations_seen:
    for item in generation.skipped:
      assert "unfinished" in item.reason, item
    numbers = [entry.header.episode for _, entry in generation.episodes()]
    assert sorted(numbers) == list(range(len(numbers)))
    # An old list reads as it did when it was frozen.
    assert generations.load(generation.path).digest == generation.digest
  assert _whole(tmp_path) == list(range(counts[-1]))


_STEPS, _MIX = 60, "sticky_random=0.5,random=0.5"
_COLLECT = f"""
import sys
from data_tools.collecting import collector, files
from data_tools.game import roms
if __name__ == "__main__":
  rom = roms.resolve(sys.argv[2])
  collection = collector.make_collection(rom, 3, {_STEPS}, {_MIX!r}, 30)
  collector.collect(sys.argv[1], rom, collection, int(sys.argv[3]), 2,
                  shard_s=0.0, share=files.Share(int(sys.argv[4]), 2),
                  progress=lambda p: print(p.episodes, flush=True))
"""


def _start(script, data, index):
  return subprocess.Popen(
    [
      *(sys.executable, str(script), str(data), str(cartridge.CHAPTER_ONE)),
      *("24", str(index)),
    ],
    stdout=subprocess.PIPE,
    text=True,
    env=os.environ | {"PYTHONPATH": str(conftest.ROOT)},
  )


def _children(pid):
  with open(f"/proc/{pid}/task/{pid}/children") as file:
    found = [int(child) for child in file.read().split()]
  return [child for child in found if "children._run" in _command(child)]


def _command(pid):
  with open(f"/proc/{pid}/cmdline") as file:
    return file.read()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize("who", ["a worker", "a collector", "all of a machine"])
def test_kill_matrix_of_two_collectors(tmp_path, who):
  script, data = tmp_path / "script.py", tmp_path / "data"
  script.write_text(_COLLECT)
  other, victim = (_start(script, data, index) for index in (0, 1))
  for line in victim.stdout:
    if int(line) >= 4:
      break
  pids = {
    "a worker": _children(victim.pid)[:1],
    "a collector": [victim.pid],
    "all of a machine": [victim.pid, *_children(victim.pid)],
  }[who]
  for pid in pids:
    os.kill(pid, signal.SIGKILL)
  victim.communicate(timeout=100)
  other.communicate(timeout=100)
  assert other.returncode == 0
  assert victim.returncode == (0 if who == "a worker" else -signal.SIGKILL)
  shards, skipped = generations.survey(data)
  for item in skipped:
    assert "unfinished" in item.reason, item
  survived = {e.header.episode for shard in shards for e in shard.episodes}
  assert survived >= set(range(0, 24, 2))  # the other's share is whole
  # Each of its workers loses the shard it had open, with one episode here.
  lost = 24 - len(survived)
  assert (lost == 0) == (who == "a worker")
  assert len(survived & set(range(1, 24, 2))) >= 4 - 2
  _later(data)
  rom = roms.resolve(cartridge.CHAPTER_ONE)
  collection = collector.make_collection(rom, 3, _STEPS, _MIX, 30)
  result = collector.collect(
    data, rom, collection, 24, 2, share=collect_files.Share(1, 2)
  )
  assert result.new_episodes == lost
  alone = tmp_path / "alone"
  collector.collect(alone, rom, collection, 24, 1)
  digests = [generations.freeze(d).content_digest for d in (data, alone)]
  assert digests[0] == digests[1]
  assert generations.survey(data)[1] == []
  print(f"two collectors, {who} killed: {lost} of 24 episodes to play again")
