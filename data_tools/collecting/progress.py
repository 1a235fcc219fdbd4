"""How far a collection has come, what it saw, and what it will weigh."""

from collections.abc import Iterable
import dataclasses
import pathlib
import shutil
import time
from typing import Any

from data_tools.collecting import files as collect_files

_RATE_WINDOW_S = 10.0
_FREE_EVERY_S = 2.0

Place = tuple[int, int, int]  # map, y, x


@dataclasses.dataclass(frozen=True)
class Progress:
  """Where a collection stands; counts of this run unless said otherwise."""

  episodes: int  # this run and earlier ones together
  total_episodes: int
  steps: int
  steps_per_s: float  # lately
  workers_replaced: int
  # Of the episodes that have ended.
  maps: int = 0
  tiles: int = 0
  battles: int = 0
  # Estimated from what was written, or from practice play before that.
  bytes_to_come: int = 0
  bytes_free: int = 0


@dataclasses.dataclass(frozen=True)
class Result:
  """What a call of `collect` did."""

  new_episodes: int
  new_steps: int
  seconds: float
  workers_replaced: int
  stopped: bool  # asked to stop before all episodes were there
  # Files that a killed collector left half-written: removed, played again.
  unfinished: tuple[str, ...] = ()
  maps: int = 0  # seen in this call, as are tiles
  tiles: int = 0
  battles: int = 0


class Tally:
  """Counts while a collection runs."""

  def __init__(
    self, directory: pathlib.Path, total: int, waiting: int, length: int
  ):
    """Begins to count.

    Args:
      directory: where shards go.
      total: episodes there shall be in the end.
      waiting: how many of them are missing.
      length: of an episode, in steps at most.
    """
    self._directory = directory
    self._total = total
    self._length = length
    self.waiting = waiting  # not ended, or ended and lost again
    self.new_episodes = 0  # permanent
    self.new_steps = 0  # of these
    self.workers_replaced = 0
    self._bytes = 0
    self._battles = 0
    self._places: set[Place] = set()
    self._began_s = time.monotonic()
    self._marks: list[tuple[float, int]] = []
    self._free = (0.0, 0)

  def saw(self, places: Iterable[Place], battles: int) -> None:
    """Takes note of what one episode saw."""
    self._places.update(places)
    self._battles += battles

  def committed(self, shard: str, episodes: int, steps: int) -> None:
    """Takes note of a shard that is permanent."""
    self.new_episodes += episodes
    self.new_steps += steps
    path = self._directory / shard
    if path.exists():
      self._bytes += path.stat().st_size

  def progress(self, open_steps: int) -> Progress:
    """Where it stands, with so many steps that are not permanent yet."""
    now = time.monotonic()
    steps = self.new_steps + open_steps
    self._marks.append((now, steps))
    while len(self._marks) > 2 and now - self._marks[0][0] > _RATE_WINDOW_S:
      self._marks.pop(0)
    (first_s, first), (last_s, last) = self._marks[0], self._marks[-1]
    if not self._free[1] or now - self._free[0] > _FREE_EVERY_S:
      self._free = now, shutil.disk_usage(self._directory).free
    rate: float = collect_files.DISK_BYTES_PER_STEP
    if self.new_steps:
      rate = self._bytes / self.new_steps
    return Progress(
      episodes=self._total - self.waiting,
      total_episodes=self._total,
      steps=steps,
      steps_per_s=max(last - first, 0) / max(last_s - first_s, 1e-9),
      workers_replaced=self.workers_replaced,
      maps=len({place[0] for place in self._places}),
      tiles=len(self._places),
      battles=self._battles,
      bytes_to_come=round(self.waiting * self._length * rate),
      bytes_free=self._free[1],
    )

  def result(self, stopped: bool, unfinished: Iterable[str]) -> Result:
    """What was done since the beginning."""
    return Result(
      new_episodes=self.new_episodes,
      new_steps=self.new_steps,
      seconds=time.monotonic() - self._began_s,
      workers_replaced=self.workers_replaced,
      stopped=stopped,
      unfinished=tuple(unfinished),
      maps=len({place[0] for place in self._places}),
      tiles=len(self._places),
      battles=self._battles,
    )


def seen(summary: Any) -> tuple[list[Place], int]:
  """Places and battles of an `episodes.Summary`."""
  return sorted(summary.places), summary.to_dict()["battles"]
