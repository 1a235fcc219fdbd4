"""The folder that collectors write to: shares, names, and what is missing.

Several collectors, on one machine or on many, may fill one folder. Each takes
the episodes `number % count == index`, gives its shards names that nobody else
has and touches no file of another; nothing they do needs a lock. The lock here
only says early that the same share was started twice on one machine.
"""

from collections.abc import Collection
from collections.abc import Mapping
import dataclasses
import os
import pathlib
import re
import secrets
import shutil

from data_tools.records import episodes as episodes_lib
from data_tools.records import generations
from data_tools.records import leftovers
from data_tools.records import shards as shards_lib
from data_tools.system import files
from data_tools.system import locks

# Measured on practice-cartridge play, rounded up: for the space estimate.
DISK_BYTES_PER_STEP = 1200
# Collecting stops cleanly when less than this is free.
FREE_DISK_FLOOR_BYTES = 64 << 20
# Nobody keeps a shard open for so long: its collector is gone.
ABANDONED_S = files.ABANDONED_S

# Where SLURM's job arrays and Kubernetes' Indexed Jobs say which one this is.
_INDEX_VARIABLES = ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX")

_SHARED = re.compile(r"c[0-9]+-")


def collector_index(text: str, environ: Mapping[str, str]) -> int:
  """The number that `--collector_index` means.

  Args:
    text: a whole number, or `auto`: what the job array or the job says.
    environ: the environment's variables.

  Raises:
    ValueError: no whole number, or no variable or several that say it.
  """
  name = "collector_index"
  if text == "auto":
    found = [key for key in _INDEX_VARIABLES if key in environ]
    if len(found) != 1:
      raise ValueError(
        f"collector_index=auto: {' and '.join(found) or 'nothing'} set, "
        f"expected one of {' and '.join(_INDEX_VARIABLES)}"
      )
    name = found[0]
    text = environ[name]
  if not re.fullmatch(r"-?[0-9]{1,9}", text):
    raise ValueError(
      f"{name}={text!r}: expected a whole number from 0"
      + (", or auto" if name == "collector_index" else "")
    )
  return int(text)


@dataclasses.dataclass(frozen=True)
class Share:
  """Which episodes of a collection one collector plays."""

  index: int = 0
  count: int = 1

  def __post_init__(self):
    if self.count < 1 or not 0 <= self.index < self.count:
      raise ValueError(
        f"collector_index {self.index}, collector_count {self.count}: "
        "expected an index from 0 to count - 1"
      )

  @property
  def prefix(self) -> str:
    """What the shards of this share are called, and no others."""
    return "w-" if self.count == 1 else f"c{self.index:03d}-"

  def writer_prefix(self) -> str:
    """A prefix of shard names for one writer.

    It is drawn, so that a share that was started twice, or whose killed
    processes live on for a moment, cannot write to another's files.
    """
    return f"{self.prefix}{secrets.token_hex(4)}"

  def numbers(self, episodes: int) -> range:
    """Numbers of the episodes of this share, of `episodes` in all.

    Raises:
      ValueError: there is nothing for some of the collectors.
    """
    if episodes < self.count:
      raise ValueError(
        f"episodes {episodes}, collector_count {self.count}: expected at "
        "least one episode for each collector"
      )
    return range(self.index, episodes, self.count)


ALONE = Share()


class Lock:
  """Tells of a second collector of the same share on this machine.

  Freed when the process ends. A file system without locks does without: the
  value is False then, and nobody knows whether this collector is alone.
  """

  def __init__(self, directory: pathlib.Path, share: Share = ALONE):
    self._directory = directory
    suffix = "" if share.count == 1 else f"-{share.index:03d}"
    self._path = directory / f".lock{suffix}"

  def __enter__(self) -> bool:
    try:
      self._lock = locks.Lock(self._path)
    except locks.Taken:
      raise ValueError(
        f"another collector is writing to {self._directory}"
      ) from None
    return self._lock.works

  def __exit__(self, *error: object) -> None:
    self._lock.close()


def remove_unfinished(
  directory: pathlib.Path, share: Share = ALONE, locked: bool = True
) -> list[str]:
  """Removes what killed writers left half-written; returns the names.

  Files of another share are left alone until they are old; so are those of
  this share where `locked` is False, as the same share may run twice.
  """

  def is_mine(name: str) -> bool:
    return locked and (
      name.startswith(share.prefix)
      or (share.count == 1 and not _SHARED.match(name))
    )

  return leftovers.remove(directory, is_mine)


def remove_unfinished_of(directory: pathlib.Path, prefix: str) -> None:
  """Removes what one writer left half-written."""
  for path in directory.glob(f"{prefix}*{shards_lib.TEMPORARY_SUFFIX}"):
    path.unlink(missing_ok=True)


def recorded(
  data_dir: str | os.PathLike,
  collection: episodes_lib.Collection,
  numbers: Collection[int],
) -> set[int]:
  """Numbers of a collection's episodes that are intact on disk.

  Episodes of an earlier schema version count where all that are wanted are
  there: whoever asks for them again has them.

  Args:
    data_dir: holds `shards`; every shard is read once.
    collection: what is played.
    numbers: of the episodes that are wanted.

  Raises:
    ValueError: some of them were recorded with an earlier schema version, and
      the others would hold other fields.
  """
  shards, _ = generations.survey(data_dir)
  there: dict[str, set[int]] = {}
  for shard in shards:
    for entry in shard.episodes:
      header = entry.header
      there.setdefault(header.collection, set()).add(header.episode)
  found = there.get(collection.digest, set())
  for version, name in collection.earlier.items():
    older = there.get(name, set()).intersection(numbers)
    if older and not older.issuperset(numbers):
      raise ValueError(
        f"{data_dir}: {len(older)} of the {len(numbers)} episodes were "
        f"recorded with schema version {version}, and this program records "
        f"version {collection.schema_version}: expected another folder, or no "
        "more episodes than are there"
      )
    found = found | older
  return found


def owed(there: Collection[int], episodes: int, count: int) -> dict[int, int]:
  """How many episodes each of `count` collectors still has to play.

  Args:
    there: numbers of the episodes that are recorded.
    episodes: how many there shall be in the end.
    count: of collectors.

  Returns:
    Index -> episodes, for those that are not done.
  """
  missing: dict[int, int] = {}
  for number in range(episodes):
    if number not in there:
      missing[number % count] = missing.get(number % count, 0) + 1
  return dict(sorted(missing.items()))


def check_space(directory: pathlib.Path, steps: int) -> None:
  """Raises `ValueError` where `steps` more steps hardly fit on the disk."""
  free = shutil.disk_usage(directory).free
  needed = steps * DISK_BYTES_PER_STEP + FREE_DISK_FLOOR_BYTES
  if steps and free < needed:
    raise ValueError(
      f"too little disk at {directory}: {steps} steps need about "
      f"{needed / 2**20:.0f} MiB, {free / 2**20:.0f} MiB are free"
    )
