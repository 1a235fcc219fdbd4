"""Collects episodes with a pool of emulator processes.

Each worker writes its own shards, so there are no locks between them. The
parent hands out episode numbers; a worker that dies or hangs is replaced and
counted, and the episodes it had not made permanent are handed out again. What
is on disk already is not played again: the same call continues.
"""

from collections.abc import Callable
import dataclasses
import errno
import fcntl
import multiprocessing
from multiprocessing import connection as connections
import os
import pathlib
import re
import shutil
import signal
import time
from typing import Any

from data_tools import emulator as emulator_lib
from data_tools import episodes as episodes_lib
from data_tools import generations
from data_tools import policies
from data_tools import records
from data_tools import roms

# Measured on practice-cartridge play, rounded up: for the space estimate.
DISK_BYTES_PER_STEP = 1200
# Collecting stops cleanly when less than this is free.
FREE_DISK_FLOOR_BYTES = 64 << 20
HANG_S = 120.0  # a worker that is silent for so long is replaced
MAX_FRUITLESS_DEATHS = 3  # in a row, before the collection gives up
_POLL_S = 0.25
_SPACE_EVERY_S = 2.0


@dataclasses.dataclass(frozen=True)
class Progress:
  """Where a collection stands, this run and earlier ones together."""

  episodes: int
  total_episodes: int
  steps: int  # of this run
  steps_per_s: float  # lately
  workers_replaced: int


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


_DISK_FULL = "disk full"  # a kind of failure, beside names of exceptions


class CollectionError(OSError):
  """A file or the disk ended a collection; prints without the errno."""

  def __str__(self) -> str:
    return f"{self.filename}: {self.strerror}"


def make_collection(
  rom: roms.Rom,
  seed: int,
  episode_length: int,
  policy_mix: str,
  jitter_frames: int,
  save_state: bytes | None = None,
) -> episodes_lib.Collection:
  """Describes a collection; checks the mix against the ROM.

  Raises:
    ValueError: a policy is unknown or cannot play this ROM.
  """
  for item in policies.parse_mix(policy_mix):
    policies.make_policy(item.behaviour, rom)
  return episodes_lib.Collection(
    rom_sha1=rom.sha1,
    rom_kind=rom.kind,
    start_state_sha1=emulator_lib.state_sha1(save_state),
    seed=seed,
    episode_length=episode_length,
    policy_mix=policy_mix,
    jitter_frames=jitter_frames,
    pyboy_version=emulator_lib.pyboy_version(),
  )


def collect(
  data_dir: str | os.PathLike,
  rom: roms.Rom,
  collection: episodes_lib.Collection,
  episodes: int,
  workers: int,
  save_state: bytes | None = None,
  shard_bytes: int = 64 << 20,
  shard_s: float = 60.0,
  progress: Callable[[Progress], None] = lambda _: None,
  stop: Callable[[], bool] = lambda: False,
) -> Result:
  """Records episodes `0 .. episodes - 1` that are not recorded yet.

  Args:
    data_dir: shards go to its folder `shards`; made if missing.
    rom: the game.
    collection: what is played, as made by `make_collection`.
    episodes: how many there shall be in the end.
    workers: processes.
    save_state: the start state that `collection` names.
    shard_bytes: a shard is closed at this size before compression.
    shard_s: a shard is closed at this age.
    progress: called several times a second.
    stop: asked as often; True ends the call, with all complete episodes kept.

  Raises:
    ValueError: bad arguments, too little disk, or another collector at work.
    OSError: the disk filled up; complete shards are kept.
    RuntimeError: workers keep dying, or one failed for a reason of its own.
  """
  if episodes < 1 or workers < 1:
    raise ValueError(
      f"episodes {episodes}, workers {workers}: expected at least 1"
    )
  directory = pathlib.Path(data_dir) / generations.SHARDS_DIR
  directory.mkdir(parents=True, exist_ok=True)
  with _Lock(directory):
    unfinished = _remove_unfinished(directory, "")
    missing = _missing(data_dir, collection, episodes)
    check_space(directory, len(missing) * collection.episode_length)
    task = _Task(
      rom, save_state, collection, directory, "", shard_bytes, shard_s
    )
    pool = _Pool(task, missing, episodes, min(workers, len(missing)))
    result = pool.run(progress, stop)
  return dataclasses.replace(result, unfinished=tuple(unfinished))


def check_space(directory: pathlib.Path, steps: int) -> None:
  """Raises `ValueError` where `steps` more steps hardly fit on the disk."""
  free = shutil.disk_usage(directory).free
  needed = steps * DISK_BYTES_PER_STEP + FREE_DISK_FLOOR_BYTES
  if steps and free < needed:
    raise ValueError(
      f"too little disk at {directory}: {steps} steps need about "
      f"{needed / 2**20:.0f} MiB, {free / 2**20:.0f} MiB are free"
    )


@dataclasses.dataclass(frozen=True)
class _Task:
  """What every worker is told once."""

  rom: roms.Rom
  save_state: bytes | None
  collection: episodes_lib.Collection
  directory: pathlib.Path
  prefix: str  # of the worker's shard names
  shard_bytes: int
  shard_s: float


# The parent.


class _Worker:
  """A worker process as the parent sees it."""

  def __init__(self, task: _Task):
    context = multiprocessing.get_context("spawn")
    self.prefix = task.prefix
    self.connection, child = context.Pipe()
    self.process = context.Process(
      target=_work, args=(child, task), daemon=True, name=task.prefix
    )
    self.process.start()
    child.close()
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
    self.process.join()
    self.connection.close()


class _Pool:
  """Hands out episodes and keeps the workers alive."""

  def __init__(self, task: _Task, missing: list[int], total: int, workers: int):
    self._task = task
    self._queue = missing[::-1]  # the next episode is the last element
    self._total = total
    self._workers_wanted = workers
    self._workers: list[_Worker] = []
    self._serial = _next_serial(task.directory)
    self._new_episodes = 0
    self._new_steps = 0
    self._replaced = 0
    self._fruitless_deaths = 0
    self._failure: tuple[str, str] | None = None
    self._stopping = False
    self._marks: list[tuple[float, int]] = []

  def run(
    self, progress: Callable[[Progress], None], stop: Callable[[], bool]
  ) -> Result:
    began_s = time.monotonic()
    self._space_checked_s = began_s
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
        progress(self._progress())
    finally:
      for worker in self._workers:  # empty unless something was raised
        worker.kill()
        _remove_unfinished(self._task.directory, worker.prefix)
    if self._failure:
      raise _error(*self._failure, self._task.directory)
    return Result(
      new_episodes=self._new_episodes,
      new_steps=self._new_steps,
      seconds=time.monotonic() - began_s,
      workers_replaced=self._replaced,
      stopped=self._stopping,
    )

  def _hire(self) -> _Worker:
    prefix = f"w{self._serial:04d}"
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
      worker.uncommitted[worker.episode] = details[0]
      worker.episode, worker.steps = None, 0
      self._fruitless_deaths = 0
    elif kind == "committed":
      for episode in details[0]:
        self._new_steps += worker.uncommitted.pop(episode)
        self._new_episodes += 1
    elif kind == "failed":
      self._failure = self._failure or details
      worker.dismissed = True
    if kind in ("ready", "done") and not worker.dismissed:
      if self._queue:
        worker.episode = self._queue.pop()
        worker.send(worker.episode)
      else:
        worker.dismissed = True
        worker.send("stop")

  def _bury(self, worker: _Worker) -> None:
    """Takes back what a dead worker left, and hires another if needed."""
    worker.kill()
    self._workers.remove(worker)
    _remove_unfinished(self._task.directory, worker.prefix)
    lost = set(worker.uncommitted)
    if worker.episode is not None:
      lost.add(worker.episode)
    if self._stopping or (worker.dismissed and not lost):
      return
    self._replaced += 1
    self._fruitless_deaths += 1
    if self._fruitless_deaths >= MAX_FRUITLESS_DEATHS:
      self._failure = (
        "RuntimeError",
        f"{self._fruitless_deaths} collector processes died in a row, the "
        f"last with exit code {worker.process.exitcode}, at episodes "
        f"{sorted(lost)}",
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
        self._bury(worker)
    if now - self._space_checked_s >= _SPACE_EVERY_S:
      self._space_checked_s = now
      free = shutil.disk_usage(self._task.directory).free
      if free < FREE_DISK_FLOOR_BYTES and self._queue:
        self._failure = self._failure or (
          _DISK_FULL,
          f"disk almost full ({free / 2**20:.0f} MiB free): stopped, complete "
          "shards are kept",
        )

  def _progress(self) -> Progress:
    steps = self._new_steps + sum(
      w.steps + sum(w.uncommitted.values()) for w in self._workers
    )
    self._marks.append((time.monotonic(), steps))
    while len(self._marks) > 2 and self._marks[-1][0] - self._marks[0][0] > 10:
      self._marks.pop(0)
    (first_s, first), (last_s, last) = self._marks[0], self._marks[-1]
    pending = len(self._queue) + sum(
      w.episode is not None for w in self._workers
    )
    return Progress(
      episodes=self._total - pending,
      total_episodes=self._total,
      steps=steps,
      steps_per_s=max(last - first, 0) / max(last_s - first_s, 1e-9),
      workers_replaced=self._replaced,
    )


# The worker process.


def _work(connection: connections.Connection, task: _Task) -> None:
  """Plays and writes episodes until told to stop; runs in its own process."""
  # Ctrl-C reaches the whole process group; the parent decides what it means.
  signal.signal(signal.SIGINT, signal.SIG_IGN)

  def committed(shard: str, entries: list[records.EpisodeEntry]) -> None:
    del shard
    connection.send(("committed", [e.header.episode for e in entries]))

  try:
    with (
      emulator_lib.Emulator(task.rom) as emulator,
      records.ShardWriter(
        task.directory, task.prefix, task.shard_bytes, task.shard_s, committed
      ) as writer,
    ):
      connection.send(("ready",))
      while (message := connection.recv()) != "stop":
        if not _record(connection, task, emulator, writer, message):
          return
  except (BrokenPipeError, EOFError, ConnectionError):
    return  # the parent is gone; the open shard was dropped
  except Exception as error:
    kind, text = _explain(error, task.directory)
    connection.send(("failed", kind, text))


def _record(
  connection: connections.Connection,
  task: _Task,
  emulator: emulator_lib.Emulator,
  writer: records.ShardWriter,
  episode: int,
) -> bool:
  """Plays and writes one episode; False when told to stop meanwhile."""
  collection = task.collection
  plan = episodes_lib.plan(collection, episode)
  policy = policies.make_policy(plan.behaviour, task.rom)
  jitter = emulator.reset(plan.seed, task.save_state, collection.jitter_frames)
  writer.begin(episodes_lib.header(collection, plan, jitter))
  summary = episodes_lib.Summary()
  length = 0
  for steps in episodes_lib.play(
    emulator, policy, plan.seed, collection.episode_length
  ):
    writer.write(steps)
    summary.add(steps)
    length += len(steps["frame"])
    connection.send(("steps", length))
    if connection.poll():  # only "stop" comes uninvited
      return False
  # Before `end`, which may commit the shard and tell so.
  connection.send(("done", length))
  writer.end(summary.to_dict())
  return True


def _explain(error: Exception, directory: pathlib.Path) -> tuple[str, str]:
  """Kind and one line of an error that ends the collection."""
  free = shutil.disk_usage(directory).free
  full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
  if full or free < (1 << 20):
    return _DISK_FULL, "disk full: stopped, complete shards are kept"
  line = " ".join(str(error).split())
  for kind in (ValueError, OSError):
    if isinstance(error, kind):
      return kind.__name__, line
  return "RuntimeError", f"collector process: {type(error).__name__}: {line}"


def _error(kind: str, text: str, directory: pathlib.Path) -> Exception:
  """The exception to raise in the parent for a failure in a worker."""
  if kind in ("OSError", _DISK_FULL):
    number = errno.ENOSPC if kind == _DISK_FULL else errno.EIO
    return CollectionError(number, text, str(directory))
  return ValueError(text) if kind == "ValueError" else RuntimeError(text)


# Files.


class _Lock:
  """Keeps a second collector out of a folder; freed when the process ends."""

  def __init__(self, directory: pathlib.Path):
    self._directory = directory

  def __enter__(self) -> None:
    self._file = open(self._directory / ".lock", "w")
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      self._file.close()
      raise ValueError(
        f"another collector is writing to {self._directory}"
      ) from None

  def __exit__(self, *error: object) -> None:
    self._file.close()


def _remove_unfinished(directory: pathlib.Path, prefix: str) -> list[str]:
  """Removes what a killed writer left half-written; returns the names."""
  paths = sorted(directory.glob(f"{prefix}*{records.TEMPORARY_SUFFIX}"))
  for path in paths:
    path.unlink(missing_ok=True)
  return [path.name for path in paths]


def _next_serial(directory: pathlib.Path) -> int:
  """A worker number that no shard name in the folder has."""
  used = [
    int(match[1])
    for path in directory.iterdir()
    if (match := re.match(r"w(\d+)-", path.name))
  ]
  return max(used, default=-1) + 1


def _missing(
  data_dir: str | os.PathLike,
  collection: episodes_lib.Collection,
  episodes: int,
) -> list[int]:
  """Numbers of the episodes that are not intact on disk."""
  shards, _ = generations.survey(data_dir)
  recorded = {
    entry.header.episode
    for shard in shards
    for entry in shard.episodes
    if entry.header.collection == collection.digest
  }
  return [i for i in range(episodes) if i not in recorded]
