"""Times taken in turns: medians, intervals, and what a recorded run says.

Machines are shared. So what is compared runs round after round, each in its
turn, and a ratio is the median over rounds with a bootstrap interval; a run is
held against a recorded one in units of a matrix product that had its turns too.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import os
import pathlib
import time
from typing import Any

import numpy as np

from data_tools.system import processors
from experiments.runs import json_store

PEAK = "matrix product"  # among the timings: the unit of comparisons
_RESAMPLED = 2000
_INTERVAL = (2.5, 97.5)  # percent
# Of an old and a new run the least difference that is told.
_LEAST = 0.05

CLOCKS = ("wall", "cpu")


@dataclasses.dataclass
class Taken:
  """What a turn took."""

  wall_s: float = 0.0
  cpu_s: float = 0.0  # of all threads of the process

  def by(self, clock: str) -> float:
    """Seconds by one of `CLOCKS`."""
    return self.cpu_s if clock == "cpu" else self.wall_s


@contextlib.contextmanager
def taking() -> Iterator[Taken]:
  """Times what is done within it."""
  taken = Taken()
  wall, cpu = time.perf_counter(), time.process_time()
  yield taken
  taken.wall_s = time.perf_counter() - wall
  taken.cpu_s = time.process_time() - cpu


def machine(device: str, cores: int) -> dict[str, Any]:
  """What has to be the same where times are compared."""
  return {
    "cpu": _cpu(),
    "processors": processors.available(),
    "cores_used": cores,
    "device": device,
  }


def pin(cores: int) -> None:
  """Keeps this process and what it starts to its first `cores` processors.

  Where that can be asked; 0 is all of them.
  """
  if cores and hasattr(os, "sched_setaffinity"):
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(allowed[:cores]))


def summary(seconds: Sequence[float]) -> dict[str, Any]:
  """Median, quartiles and a bootstrap interval of timed turns, JSON-ready."""
  low, median, high = np.percentile(seconds, [25, 50, 75])
  bottom, top = _interval(np.asarray(seconds))
  return {
    "median_ms": 1e3 * float(median),
    "iqr_ms": 1e3 * float(high - low),
    "interval_ms": [1e3 * bottom, 1e3 * top],
    "seconds": [float(second) for second in seconds],
  }


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
  """How many times faster ours is: rounds paired, median and interval."""
  pairs = np.asarray(theirs) / np.asarray(ours)
  low, high = _interval(pairs)
  return {
    "ratio": float(np.median(pairs)),
    "ratio_low": low,
    "ratio_high": high,
    "rounds": len(pairs),
  }


def read(text: str) -> dict[str, Any]:
  """A recorded run of `--compare=FILE`.

  Raises:
    ValueError: it is no such file.
  """
  path = pathlib.Path(text)
  recorded = json_store.read_json(path)
  for name in ("machine", "timings", "sizes"):
    if not isinstance(recorded.get(name), dict):
      raise ValueError(
        f"--compare={text}: no {name!r} in it, expected a file that --json of "
        "this command wrote"
      )
  return recorded


def check(text: str, recorded: Mapping[str, Any], now: Mapping) -> None:
  """Refuses to compare with another machine, or with other sizes.

  Args:
    text: of `--compare`, for the error.
    recorded: of `read`.
    now: `machine` and `sizes` of this run.

  Raises:
    ValueError: the first thing that differs.
  """
  for part in ("machine", "sizes"):
    for name in sorted({*recorded[part], *now[part]}):
      then, here = recorded[part].get(name), now[part].get(name)
      if then != here:
        raise ValueError(
          f"--compare={text}: {part}.{name} was {then!r}, here it is {here!r}, "
          "expected the same"
        )


def changes(
  recorded: Mapping[str, Any], timings: Mapping[str, Any]
) -> list[str]:
  """What became slower or faster than a recorded run, a line each.

  Times are divided by those of the matrix product in the same round, so that a
  machine that is busier today is no news. Slower is what took longer beyond
  the interval of that ratio, and by at least 5 %.
  """
  then_unit, now_unit = recorded["timings"].get(PEAK), timings.get(PEAK)
  found = []
  for name, row in timings.items():
    old = recorded["timings"].get(name)
    if name == PEAK:
      continue
    if old is None:
      found.append(f"{name}: not in the recorded run")
      continue
    now, then = (
      _in_units(part, unit)
      for part, unit in ((row, now_unit), (old, then_unit))
    )
    times, low, high = _ratio_of_medians(now, then)
    verdict = "as before"
    if low > 1 and times > 1 + _LEAST:
      verdict = "SLOWER"
    elif high < 1 and times < 1 - _LEAST:
      verdict = "faster"
    found.append(
      f"{name}: {verdict}, {times:.2f} [{low:.2f}, {high:.2f}] times the "
      "recorded time"
    )
  found += [
    f"{name}: recorded, not measured now"
    for name in recorded["timings"]
    if name not in timings
  ]
  return found


def _in_units(row: Mapping, unit: Mapping | None) -> np.ndarray:
  seconds = np.asarray(row["seconds"])
  if unit is None:
    return seconds
  product = np.asarray(unit["seconds"])
  if len(product) == len(seconds):
    return seconds / product
  return seconds / np.median(product)


def _ratio_of_medians(
  now: np.ndarray, then: np.ndarray
) -> tuple[float, float, float]:
  """Median of `now` over that of `then`, with a bootstrap interval."""
  rng = np.random.default_rng(0)
  drawn = [
    np.median(rng.choice(part, (_RESAMPLED, len(part))), axis=1)
    for part in (now, then)
  ]
  low, high = np.percentile(drawn[0] / drawn[1], _INTERVAL)
  return float(np.median(now) / np.median(then)), float(low), float(high)


def _interval(values: np.ndarray) -> tuple[float, float]:
  """Bootstrap interval of the median."""
  rng = np.random.default_rng(0)
  drawn = rng.choice(values, (_RESAMPLED, len(values)))
  low, high = np.percentile(np.median(drawn, axis=1), _INTERVAL)
  return float(low), float(high)


def _cpu() -> str:
  """The processor's name, as the kernel tells it."""
  path = pathlib.Path("/proc/cpuinfo")
  if path.exists():
    for line in path.read_text().splitlines():
      if line.startswith("model name"):
        return line.partition(":")[2].strip()
  return "unknown"
