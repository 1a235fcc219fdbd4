"""Episodes on disk: chunks of steps in shards that are whole or absent.

A record is one safetensors blob: up to `CHUNK_STEPS` consecutive steps of one
episode, one array per field of the step contract; its metadata holds the
episode header. A shard is an ArrayRecord file that holds whole episodes of one
writer, with a JSON manifest beside it. The shard is written under a temporary
name, closed, counted, synced and renamed; the manifest follows in the same way
and is what makes the shard exist. A killed writer loses its open shard only.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import errno
import functools
import hashlib
import json
import os
import pathlib
import secrets
import time
from typing import Any

import numpy as np

from data_tools.system import files
from pokedreamer_jax import json_files
from pokedreamer_jax import specs
from pokedreamer_jax import whole_files

CHUNK_STEPS = 64
SHARD_SUFFIX = ".arrayrecord"
MANIFEST_SUFFIX = ".json"
TEMPORARY_SUFFIX = ".tmp"
WRITER_OPTIONS = "group_size:1,zstd:3"

_DTYPES = {
  "BOOL": np.dtype(bool),
  "U8": np.dtype(np.uint8),
  "U16": np.dtype("<u2"),
  "U32": np.dtype("<u4"),
  "F32": np.dtype("<f4"),
}


@dataclasses.dataclass(frozen=True)
class EpisodeHeader:
  """How an episode came about: enough to play it again step by step."""

  collection: str  # digest of what all episodes of one collection share
  episode: int  # number within the collection
  seed: int  # of the emulator's reset; the policy draws from it too
  behaviour: str  # specification of the policy, as in "demonstrator:eps=0.1"
  rom_sha1: str
  rom_kind: str
  start_state_sha1: str  # "" for power-on
  jitter_frames: int  # no-op frames that were run before the first row
  pyboy_version: str
  schema_version: int = specs.SCHEMA_VERSION

  @property
  def episode_id(self) -> str:
    """Name of the episode: the same plan has the same name on any machine."""
    identity = dataclasses.asdict(self)
    return _digest(json.dumps(identity, sort_keys=True).encode())[:16]


@dataclasses.dataclass(frozen=True)
class EpisodeEntry:
  """One episode in a shard's manifest."""

  header: EpisodeHeader
  length: int  # steps
  first_record: int  # records `first_record ...` of the shard hold the chunks
  digest: str  # of all its arrays
  summary: dict[str, Any]  # reward sums, maps seen: for reports

  @property
  def records(self) -> int:
    """Number of chunks."""
    return -(-self.length // CHUNK_STEPS)

  def to_dict(self) -> dict[str, Any]:
    return dataclasses.asdict(self) | {"episode_id": self.header.episode_id}

  @classmethod
  def from_dict(cls, data: dict[str, Any]) -> "EpisodeEntry":
    """Inverse of `to_dict`.

    Raises:
      ValueError: the schema version cannot be read, or the header is not that
        of the episode's id.
    """
    data = dict(data)
    episode_id = data.pop("episode_id")
    check_version(data["header"].get("schema_version"))
    header = json_files.fill(EpisodeHeader, data.pop("header"), "header")
    if header.episode_id != episode_id:
      raise ValueError(
        f"episode {header.episode}: its header is that of "
        f"{header.episode_id}, expected {str(episode_id)[:40]}"
      )
    return json_files.fill(cls, data | {"header": header}, "episode")


def check_version(version: Any) -> None:
  """Raises ValueError where records of this schema version cannot be read."""
  if type(version) is not int or version not in specs.READABLE_VERSIONS:
    raise ValueError(
      f"schema_version: {str(version)[:40]}, this program reads "
      f"{', '.join(map(str, specs.READABLE_VERSIONS))}"
    )


def encode(steps: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
  """One record of step arrays `[T, ...]`."""
  import safetensors.numpy

  return safetensors.numpy.save(steps, metadata)


def decode(
  blob: bytes, fields: tuple[str, ...] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Arrays `[T, ...]` and metadata of a record; arrays are read-only views.

  Args:
    blob: a record; it is the safetensors format, read here because the
      library copies every array and drops the metadata.
    fields: names to read, all by default.

  Raises:
    ValueError: the blob is malformed.
  """
  try:
    end = 8 + int.from_bytes(blob[:8], "little")
    metadata, layout = _read_header(blob[8:end])
    steps = {}
    for name in layout if fields is None else fields:
      dtype, shape, start, stop = layout[name]
      count = (stop - start) // dtype.itemsize
      array = np.frombuffer(blob, dtype, count, end + start)
      steps[name] = array.reshape(shape)
  except (KeyError, ValueError, TypeError, AttributeError) as error:
    raise ValueError(f"malformed record: {error!r}") from error
  return steps, metadata


_Layout = dict[str, tuple[np.dtype, list[int], int, int]]


def _read_header(text: bytes) -> tuple[dict[str, str], _Layout]:
  """Metadata and layout of a safetensors header.

  The metadata, an object of strings, differs from record to record. The
  library writes it first; what follows hardly ever differs, and is parsed
  once. Quotes within strings are escaped, so the first `"},"` ends it.
  """
  cut = text.find(b'"},"') + 2
  if cut == 1 or not text.startswith(b'{"__metadata__":'):
    return json.loads(text).get("__metadata__", {}), _parse_layout(text)
  metadata = json.loads(text[:cut] + b"}")["__metadata__"]
  return metadata, _parse_layout(b"{" + text[cut + 1 :])


@functools.lru_cache(maxsize=4 * CHUNK_STEPS)
def _parse_layout(text: bytes) -> _Layout:
  """Where each array lies: dtype, shape, first byte and the byte behind it."""
  table = json.loads(text)
  table.pop("__metadata__", None)
  return {
    name: (_DTYPES[entry["dtype"]], entry["shape"], *entry["data_offsets"])
    for name, entry in table.items()
  }


class ShardWriter:
  """Writes shards of whole episodes, one after the other, in one process.

  Use as a context manager: leaving it commits what is complete, or removes
  the open file after an error.
  """

  def __init__(
    self,
    directory: str | os.PathLike,
    prefix: str,
    shard_bytes: int = 64 << 20,
    shard_s: float = 60.0,
    committed: Callable[[str, list[EpisodeEntry]], None] = lambda *_: None,
  ):
    """Makes a writer; nothing is opened before the first chunk.

    Args:
      directory: where shards go; it must exist.
      prefix: of the shard names, used by no other writer.
      shard_bytes: a shard is committed when its records have this size before
        compression, which shrinks them about tenfold.
      shard_s: a shard is committed when it is this old.
      committed: called with each committed shard's name and episodes.
    """
    self._directory = pathlib.Path(directory)
    self._prefix = prefix
    self._shard_bytes = shard_bytes
    self._shard_s = shard_s
    self._committed = committed
    self._sequence = 0
    self._writer: Any = None
    self._entries: list[EpisodeEntry] = []
    self._episode: _OpenEpisode | None = None

  def __enter__(self) -> "ShardWriter":
    return self

  def __exit__(self, error_type, error, trace) -> None:
    if error_type is None:
      self.commit()
    else:
      self.abandon()

  def begin(self, header: EpisodeHeader) -> None:
    """Starts an episode; an unfinished one before it is an error."""
    if self._episode is not None:
      raise ValueError("the episode before was not ended")
    if header.schema_version != specs.SCHEMA_VERSION:
      raise ValueError(
        f"schema_version: {header.schema_version}, this program writes "
        f"{specs.SCHEMA_VERSION}"
      )
    if self._writer is None:
      self._open()
    self._episode = _OpenEpisode(header, self._records)

  def write(self, steps: dict[str, np.ndarray]) -> None:
    """Writes the next chunk: `CHUNK_STEPS` steps, fewer only in the last.

    Raises:
      ValueError: the chunk has another length, or fields of another kind.
      OSError: the file cannot be written.
    """
    length = specs.check_steps(steps)
    episode = self._open_episode()
    if episode.length % CHUNK_STEPS or not 0 < length <= CHUNK_STEPS:
      raise ValueError(
        f"chunk of {length} steps after {episode.length}: chunks hold "
        f"{CHUNK_STEPS} steps, the last one fewer"
      )
    metadata = {
      "header": json.dumps(dataclasses.asdict(episode.header)),
      "start": str(episode.length),
    }
    blob = encode(steps, metadata)
    self._call(self._writer.write, blob)
    episode.add(steps, length)
    self._records += 1
    self._bytes += len(blob)

  def end(self, summary: dict[str, Any]) -> None:
    """Ends the episode; commits the shard where it is full or old."""
    self._entries.append(self._open_episode().entry(summary))
    self._episode = None
    old = time.monotonic() - self._opened_s >= self._shard_s
    if old or self._bytes >= self._shard_bytes:
      self.commit()

  def commit(self) -> None:
    """Makes the ended episodes permanent; an unfinished one is dropped.

    Raises:
      OSError: the shard cannot be written; its file is removed.
    """
    self._episode = None
    if self._writer is None:
      return
    if not self._entries:
      self.abandon()
      return
    writer, self._writer = self._writer, None
    final = self._directory / (self._name + SHARD_SUFFIX)
    manifest_path = final.with_suffix(MANIFEST_SUFFIX)
    try:
      self._call(writer.close)
      count = count_records(self._temporary)
      if count != self._records:
        raise OSError(
          errno.EIO,
          f"{count} records on disk, {self._records} written",
          str(self._temporary),
        )
      size, digest = whole_files.file_digest(self._temporary)
      publish(self._temporary, final)
      manifest = {
        "schema_version": specs.SCHEMA_VERSION,
        "shard": final.name,
        "bytes": size,
        "sha256": digest,
        "records": self._records,
        "chunk_steps": CHUNK_STEPS,
        "episodes": [entry.to_dict() for entry in self._entries],
      }
      write_json(manifest_path, whole_files.seal(manifest))
    except BaseException:
      self._temporary.unlink(missing_ok=True)
      if not manifest_path.exists():
        final.unlink(missing_ok=True)
      raise
    entries, self._entries = self._entries, []
    self._committed(final.name, entries)

  def abandon(self) -> None:
    """Drops the open shard and its file."""
    self._episode = None
    self._entries = []
    if self._writer is not None:
      try:
        self._writer.close()
      except RuntimeError:
        pass  # it could not be written; it goes away in any case
      finally:
        self._writer = None
        self._temporary.unlink(missing_ok=True)

  def _open_episode(self) -> "_OpenEpisode":
    if self._episode is None:
      raise ValueError("no episode was begun")
    return self._episode

  def _call(self, method: Callable[..., None], *args: bytes) -> None:
    """Calls the writer, which tells of a failed write as `RuntimeError`."""
    try:
      method(*args)
    except RuntimeError as error:
      raise OSError(errno.EIO, str(error), str(self._temporary)) from error

  def _open(self) -> None:
    from array_record.python import array_record_module

    self._name = f"{self._prefix}-{self._sequence:05d}"
    self._sequence += 1
    self._temporary = self._directory / (
      self._name + SHARD_SUFFIX + TEMPORARY_SUFFIX
    )
    self._writer = array_record_module.ArrayRecordWriter(
      str(self._temporary), WRITER_OPTIONS
    )
    self._records = 0
    self._bytes = 0
    self._opened_s = time.monotonic()


class _OpenEpisode:
  """An episode that is being written."""

  def __init__(self, header: EpisodeHeader, first_record: int):
    self.header = header
    self.length = 0
    self._first_record = first_record
    self._hash = hashlib.sha256()

  def add(self, steps: dict[str, np.ndarray], length: int) -> None:
    add_to_digest(self._hash, steps, self.header.schema_version)
    self.length += length

  def entry(self, summary: dict[str, Any]) -> EpisodeEntry:
    return EpisodeEntry(
      header=self.header,
      length=self.length,
      first_record=self._first_record,
      digest=self._hash.hexdigest(),
      summary=summary,
    )


def add_to_digest(
  digest: Any, steps: dict[str, np.ndarray], schema_version: int
) -> None:
  """Adds a chunk `[T, ...]` of all fields to the hash of its episode.

  Args:
    digest: of `hashlib`.
    steps: the fields; those that the version lacks are left out.
    schema_version: that the episode was recorded with.
  """
  for name in specs.field_names(schema_version):
    digest.update(np.ascontiguousarray(steps[name]).data)


def episodes_of_manifest(manifest: dict[str, Any]) -> list[EpisodeEntry]:
  """Entries of a shard's manifest."""
  entries = json_files.as_list(manifest["episodes"], "episodes")
  return [EpisodeEntry.from_dict(data) for data in entries]


def check_manifest(
  manifest: dict[str, Any], episodes: Sequence[EpisodeEntry], shard: str
) -> None:
  """Compares what a manifest says with itself.

  Args:
    manifest: of a shard, not of a part of one.
    episodes: its entries.
    shard: the shard's name, by that of the manifest's file.

  Raises:
    ValueError: what does not fit.
  """
  if manifest["shard"] != shard:
    raise ValueError(
      f"it is the manifest of {str(manifest['shard'])[:80]!r}, by its name "
      f"that of {shard!r}"
    )
  check_version(manifest["schema_version"])
  if manifest["chunk_steps"] != CHUNK_STEPS:
    raise ValueError(
      f"chunk_steps: {manifest['chunk_steps']}, expected {CHUNK_STEPS}"
    )
  next_record, ids = 0, set()
  for entry in episodes:
    number = entry.header.episode
    if entry.header.schema_version != manifest["schema_version"]:
      raise ValueError(
        f"episode {number}: schema_version {entry.header.schema_version}, its "
        f"shard has {manifest['schema_version']}"
      )
    if type(entry.length) is not int or entry.length < 1:
      raise ValueError(f"episode {number}: length {entry.length!r}")
    if entry.first_record != next_record:
      raise ValueError(
        f"episode {number}: first_record {entry.first_record!r}, expected "
        f"{next_record}"
      )
    if entry.header.episode_id in ids:
      raise ValueError(f"episode {number} stands there twice")
    ids.add(entry.header.episode_id)
    next_record += entry.records
  # Behind them may lie what was played of an episode that was not ended.
  if type(manifest["records"]) is not int or manifest["records"] < next_record:
    raise ValueError(
      f"records: {manifest['records']!r}, its episodes have {next_record}"
    )


def manifests(directory: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Manifest paths of a folder, by name."""
  yield from sorted(pathlib.Path(directory).glob("*" + MANIFEST_SUFFIX))


def count_records(path: str | os.PathLike) -> int:
  """Records of a finished ArrayRecord file; 0 where it cannot be read."""
  from array_record.python import array_record_module

  reader = array_record_module.ArrayRecordReader(str(path))
  if not reader.ok():
    return 0
  count = reader.num_records()
  reader.close()
  return count


def publish(temporary: pathlib.Path, final: pathlib.Path) -> None:
  """Syncs a finished file and gives it its name, both lasting."""
  _sync(temporary)
  os.replace(temporary, final)
  files.sync_folder(final.parent)


def write_json(path: pathlib.Path, data: Any) -> None:
  """Writes JSON whole or not at all; others may write the same file."""
  token = secrets.token_hex(4)
  temporary = path.with_name(f"{path.name}.{token}{TEMPORARY_SUFFIX}")
  try:
    temporary.write_text(json.dumps(data, indent=1) + "\n")
    publish(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def _sync(path: pathlib.Path) -> None:
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def _digest(data: bytes) -> str:
  return hashlib.sha256(data).hexdigest()
