"""One collector process: an emulator, its player and its shards."""

from collections.abc import Mapping
import dataclasses
import errno
from multiprocessing import connection as connections
import pathlib
import shutil
import signal

from data_tools.collecting import progress as collect_progress
from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import episodes as episodes_lib
from data_tools.records import shards

DISK_FULL = "disk full"  # a kind of failure, beside names of exceptions


class CollectionError(OSError):
  """A file or the disk ended a collection; prints without the errno."""

  def __str__(self) -> str:
    return f"{self.filename}: {self.strerror}"


@dataclasses.dataclass(frozen=True)
class Task:
  """What every worker is told once."""

  rom: roms.Rom
  states: Mapping[str, bytes | None]  # by SHA-1; "" is power-on
  collection: episodes_lib.Collection
  directory: pathlib.Path
  prefix: str  # of the worker's shard names
  shard_bytes: int
  shard_s: float


def work(connection: connections.Connection, task: Task) -> None:
  """Plays and writes episodes until told to stop; runs in its own process."""
  # These reach the whole process group; the parent decides what they mean.
  for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)

  def committed(shard: str, entries: list[shards.EpisodeEntry]) -> None:
    numbers = [entry.header.episode for entry in entries]
    connection.send(("committed", shard, numbers))

  try:
    with (
      emulator_lib.Emulator(task.rom) as emulator,
      shards.ShardWriter(
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
    kind, text = explain(error, task.directory)
    connection.send(("failed", kind, text))


def _record(
  connection: connections.Connection,
  task: Task,
  emulator: emulator_lib.Emulator,
  writer: shards.ShardWriter,
  episode: int,
) -> bool:
  """Plays and writes one episode; False when told to stop meanwhile."""
  collection = task.collection
  plan = episodes_lib.plan(collection, episode)
  policy = policies.make_policy(plan.behaviour, task.rom)
  jitter = emulator.reset(
    plan.seed, task.states[plan.start], collection.jitter_frames
  )
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
  connection.send(("done", length, *collect_progress.seen(summary)))
  writer.end(summary.to_dict())
  return True


def explain(error: Exception, directory: pathlib.Path) -> tuple[str, str]:
  """Kind and one line of an error that ends the collection."""
  free = shutil.disk_usage(directory).free
  full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
  if full or free < (1 << 20):
    return DISK_FULL, "disk full: stopped, complete shards are kept"
  line = " ".join(str(error).split())
  for kind in (ValueError, OSError):
    if isinstance(error, kind):
      return kind.__name__, line
  return "RuntimeError", f"collector process: {type(error).__name__}: {line}"


def error_of(kind: str, text: str, directory: pathlib.Path) -> Exception:
  """The exception to raise in the parent for a failure in a worker."""
  if kind in ("OSError", DISK_FULL):
    number = errno.ENOSPC if kind == DISK_FULL else errno.EIO
    return CollectionError(number, text, str(directory))
  return ValueError(text) if kind == "ValueError" else RuntimeError(text)
