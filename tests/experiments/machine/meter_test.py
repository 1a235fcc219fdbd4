"""Speed is that of updates alone."""

import pytest

from experiments.machine import meter


def _meter():
  now = [0.0]
  return meter.Meter(lambda: now[0]), now


def test_speed_is_of_what_was_counted_since():
  made, now = _meter()
  now[0] = 30.0  # the first one compiles
  made.count(1)
  for _ in range(4):
    now[0] += 0.5
    made.count(1)
  found = made.read(rows=64)
  assert found["machine/update_s"] == 0.5
  assert found["machine/updates_per_s"] == 2.0
  assert found["machine/rows_per_s"] == 128.0
  assert found["machine/memory_gib"] > 0.01
  now[0] += 100.0  # saving
  made.restart()
  made.count(3)
  now[0] += 6.0
  assert made.read()["machine/update_s"] == 2.0
  assert "machine/rows_per_s" not in made.read()


def test_no_speed_is_told_of_nothing():
  made, now = _meter()
  now[0] = 9.0
  made.count(5)  # one call that compiled
  assert set(made.read(64)) <= {"machine/memory_gib", "machine/device_gib"}


@pytest.mark.parametrize("name", ["time_s", "machine/update_s"])
def test_what_a_clock_decides_is_no_part_of_what_repeats(name):
  from experiments.runs import metrics

  row = {"step": 1, "loss": 0.5, name: 3.0}
  assert metrics.repeated(row) == {"step": 1, "loss": 0.5}
