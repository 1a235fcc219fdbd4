import shutil

import pytest

from data_tools.collecting import files as collect_files
from data_tools.collecting import progress as collect_progress


@pytest.fixture
def tally(tmp_path):
  return collect_progress.Tally(tmp_path, total=10, waiting=8, length=100)


def test_the_disk_estimate_is_of_practice_play_and_then_of_what_was_written(
  tmp_path, tally
):
  first = tally.progress(0)
  assert first.bytes_to_come == 800 * collect_files.DISK_BYTES_PER_STEP
  assert first.bytes_free == pytest.approx(
    shutil.disk_usage(tmp_path).free, rel=0.1
  )
  (tmp_path / "a.arrayrecord").write_bytes(bytes(30_000))
  tally.waiting -= 2
  tally.committed("a.arrayrecord", 2, 200)  # 150 bytes a step
  assert tally.progress(0).bytes_to_come == 6 * 100 * 150
  tally.waiting = 0
  assert tally.progress(0).bytes_to_come == 0


def test_episodes_of_earlier_runs_count_and_open_steps_do(tally):
  assert (tally.progress(0).episodes, tally.progress(37).steps) == (2, 37)
  tally.waiting -= 1
  tally.committed("absent", 1, 100)
  there = tally.progress(5)
  assert (there.episodes, there.total_episodes, there.steps) == (3, 10, 105)


def test_steps_per_second_are_of_the_last_seconds(tally, monkeypatch):
  now = [0.0]
  monkeypatch.setattr(collect_progress.time, "monotonic", lambda: now[0])
  for second in range(60):  # 100 a second, then 10
    now[0] = float(second)
    steps = 100 * min(second, 30) + 10 * max(second - 30, 0)
    found = tally.progress(steps).steps_per_s
    if second in (20, 59):
      assert found == pytest.approx(100 if second == 20 else 10)
  now[0] = 60.0
  assert tally.progress(0).steps_per_s == 0  # a worker died with its steps


def test_places_are_counted_once_and_battles_each_time(tally):
  tally.saw([(1, 2, 3), (1, 2, 4)], 2)
  tally.saw([(1, 2, 3), (2, 2, 3)], 1)
  found = tally.progress(0)
  assert (found.maps, found.tiles, found.battles) == (2, 3, 3)
