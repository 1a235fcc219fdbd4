"""A pool of processes that play and write episodes, and its parent.

The parent hands out episode numbers; a worker that dies or hangs is replaced
and counted, and what it had not made permanent is handed out again.
"""

from collections.abc import Callable
import dataclasses
from multiprocessing import connection as connections
import shutil
import time
from typing import Any

from data_tools.collecting import files as collect_files
from data_tools.collecting import progress as collect_progress
from data_tools.collecting import worker as collect_worker
from data_tools.system import children

HANG_S = 120.0  # a worker that is silent for so long is replaced
MAX_FRUITLESS_DEATHS = 3  # in a row, before the collection gives up
_POLL_S = 0.25
_SPACE_EVERY_S = 2.0


class _Worker:
  """A worker process as the parent sees it."""

  def __init__(self, task: collect_worker.Task):
    self.prefix = task.prefix
    self.process = children.Child(
      collect_worker.work, task, name=f"collector process {task.prefix}"
    )
    self.connection = self.process.connection
    self.episode: int | None = None
    self.uncommitted: dict[int, int] = {}  # ended episode -> its steps
    self.steps = 0  # of the episode in progress
    self.dismissed = False
    self.heard_s = time.monotonic()

  def send(self, message: Any) -> None:
    try:
      self.connection.send(message)
    except OSError:
      pass  # it is dead; the parent hears so from the connection

  def kill(self) -> None:
    self.process.kill()
    self.how_it_ended = self.process.how_it_ended()
    self.process.close()


class Pool:
  """Hands out episodes and keeps the workers alive."""

  def __init__(
    self,
    task: collect_worker.Task,
    share: collect_files.Share,
    missing: list[int],
    workers: int,
    tally: collect_progress.Tally,
  ):
    """Prepares to play the episodes `missing`; counts them in `tally`."""
    self._task = task
    self._prefix = share.writer_prefix()
    self._queue = missing[::-1]  # the next episode is the last element
    self._workers_wanted = min(workers, len(missing))
    self._tally = tally
    self._workers: list[_Worker] = []
    self._serial = 0
    self._fruitless_deaths = 0
    self._silences = 0  # since something became permanent
    self._failure: tuple[str, str] | None = None
    self._stopping = False

  def run(
    self,
    progress: Callable[[collect_progress.Progress], None],
    stop: Callable[[], bool],
  ) -> bool:
    """Plays until nothing is left; whether it was asked to stop before.

    Raises:
      OSError, ValueError, RuntimeError: see `collect.collect`.
    """
    self._space_checked_s = time.monotonic()
    try:
      self._workers = [self._hire() for _ in range(self._workers_wanted)]
      while self._workers:
        self._listen()
        self._check()
        if not self._stopping and (self._failure or stop()):
          self._stopping = True
          for worker in self._workers:
            worker.dismissed = True
            worker.send("stop")
        progress(self._tally.progress(self._open_steps()))
    finally:
      for worker in self._workers:  # empty unless something was raised
        worker.kill()
        collect_files.remove_unfinished_of(self._task.directory, worker.prefix)
    if self._failure:
      raise collect_worker.error_of(*self._failure, self._task.directory)
    return self._stopping

  def _open_steps(self) -> int:
    """Steps that were played and are not permanent."""
    return sum(w.steps + sum(w.uncommitted.values()) for w in self._workers)

  def _hire(self) -> _Worker:
    prefix = f"{self._prefix}-{self._serial:04d}"
    self._serial += 1
    return _Worker(dataclasses.replace(self._task, prefix=prefix))

  def _listen(self) -> None:
    """Takes every message that is there; waits a moment for the first."""
    ready = connections.wait([w.connection for w in self._workers], _POLL_S)
    for worker in [w for w in self._workers if w.connection in ready]:
      try:
        while worker.connection.poll():
          self._hear(worker, *worker.connection.recv())
      except (EOFError, OSError):
        self._bury(worker)

  def _hear(self, worker: _Worker, kind: str, *details: Any) -> None:
    worker.heard_s = time.monotonic()
    if kind == "steps":
      worker.steps = details[0]
    elif kind == "done" and worker.episode is not None:
      length, places, battles = details
      worker.uncommitted[worker.episode] = length
      worker.episode, worker.steps = None, 0
      self._fruitless_deaths = 0
      self._tally.waiting -= 1
      self._tally.saw(places, battles)
    elif kind == "committed":
      shard, numbers = details
      self._silences = 0
      steps = sum(worker.uncommitted.pop(number) for number in numbers)
      self._tally.committed(shard, len(numbers), steps)
    elif kind == "failed":
      self._failure = self._failure or (details[0], details[1])
      worker.dismissed = True
    if kind in ("ready", "done") and not worker.dismissed:
      if self._queue:
        worker.episode = self._queue.pop()
        worker.send(worker.episode)
      else:
        worker.dismissed = True
        worker.send("stop")

  def _bury(self, worker: _Worker, silent: bool = False) -> None:
    """Takes back what a dead worker left, and hires another if needed."""
    worker.kill()
    self._workers.remove(worker)
    collect_files.remove_unfinished_of(self._task.directory, worker.prefix)
    self._tally.waiting += len(worker.uncommitted)
    lost = set(worker.uncommitted)
    if worker.episode is not None:
      lost.add(worker.episode)
    if self._stopping or (worker.dismissed and not lost):
      return
    self._tally.workers_replaced += 1
    self._fruitless_deaths += 1
    # One may play well and stand still where it writes: then nothing comes of
    # the episodes that are done.
    self._silences += silent
    deaths = max(self._fruitless_deaths, self._silences)
    if deaths >= MAX_FRUITLESS_DEATHS:
      how = f"the last {worker.how_it_ended}"
      if silent:
        how = (
          f"the last after {HANG_S:.0f} s of silence (is there memory for it, "
          "`ulimit -v`?)"
        )
      self._failure = (
        "RuntimeError",
        f"{deaths} collector processes died in a row, {how}, "
        f"at episodes {sorted(lost)}",
      )
      return
    self._queue.extend(sorted(lost, reverse=True))
    if self._queue:
      self._workers.append(self._hire())

  def _check(self) -> None:
    """Looks for silent workers and a disk that fills up."""
    now = time.monotonic()
    for worker in list(self._workers):
      if now - worker.heard_s > HANG_S:
        self._bury(worker, silent=True)
    if now - self._space_checked_s >= _SPACE_EVERY_S:
      self._space_checked_s = now
      free = shutil.disk_usage(self._task.directory).free
      if free < collect_files.FREE_DISK_FLOOR_BYTES and self._queue:
        self._failure = self._failure or (
          collect_worker.DISK_FULL,
          f"disk almost full ({free / 2**20:.0f} MiB free): stopped, complete "
          "shards are kept",
        )
