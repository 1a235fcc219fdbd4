"""Generations: immutable lists of the shards that training may read.

A generation is frozen from what is complete in a data directory and is named
by a digest. Batches are functions of a generation, never of "what is on disk
now"; data grows by freezing further generations. What was left out (damaged,
unfinished, foreign or repeated data) is counted and named, never hidden.
"""

from collections.abc import Iterator
import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

from data_tools.records import shards as shards_lib
from data_tools.system import files
from pokedreamer_jax import json_files
from pokedreamer_jax import specs
from pokedreamer_jax import whole_files

SHARDS_DIR = "shards"
GENERATIONS_DIR = "generations"

# What reading JSON of another shape than ours may raise.
_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclasses.dataclass(frozen=True)
class Shard:
  """A finished shard file and its episodes."""

  name: str
  size_bytes: int
  sha256: str
  num_records: int
  episodes: tuple[shards_lib.EpisodeEntry, ...]

  def to_dict(self) -> dict[str, Any]:
    data = dataclasses.asdict(self)
    data["episodes"] = [episode.to_dict() for episode in self.episodes]
    return data

  @classmethod
  def from_dict(cls, data: dict[str, Any]) -> "Shard":
    """Inverse of `to_dict`."""
    episodes = shards_lib.episodes_of_manifest(data)
    values = data | {"episodes": tuple(episodes)}
    return json_files.fill(cls, values, "shard")


@dataclasses.dataclass(frozen=True)
class Skipped:
  """Something in the data directory that was left out."""

  name: str  # file, or file and episode
  reason: str

  def __str__(self) -> str:
    return f"{self.name}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Generation:
  """An immutable list of shards."""

  data_dir: pathlib.Path
  digest: str  # names the generation: files and episodes
  content_digest: str  # of the episodes alone, however they lie in shards
  shards: tuple[Shard, ...]
  skipped: tuple[Skipped, ...] = ()  # known to `freeze` only

  @property
  def path(self) -> pathlib.Path:
    """The file that holds the list."""
    return self.data_dir / GENERATIONS_DIR / f"{self.digest}.json"

  @property
  def num_episodes(self) -> int:
    return sum(len(shard.episodes) for shard in self.shards)

  @property
  def num_steps(self) -> int:
    return sum(episode.length for _, episode in self.episodes())

  @property
  def size_bytes(self) -> int:
    return sum(shard.size_bytes for shard in self.shards)

  @property
  def lacking(self) -> dict[str, int]:
    """Step fields that some episodes were recorded without, read as zeros.

    Each with the schema version that brought it.
    """
    versions = {entry.header.schema_version for _, entry in self.episodes()}
    names = specs.lacking(min(versions, default=specs.SCHEMA_VERSION))
    return {f.name: f.since for f in specs.STEP_FIELDS if f.name in names}

  def episodes(self) -> Iterator[tuple[Shard, shards_lib.EpisodeEntry]]:
    """Shard and entry of every episode, in collection order.

    The order is by collection and episode number, so it does not depend on
    how many workers wrote the shards.
    """
    pairs = [(shard, e) for shard in self.shards for e in shard.episodes]
    yield from sorted(
      pairs,
      key=lambda pair: (pair[1].header.collection, pair[1].header.episode),
    )

  def report(self) -> list[str]:
    """Lines for a person: what is in, and what was left out."""
    lines = [
      f"generation {self.digest}: {self.num_episodes} episodes, "
      f"{self.num_steps} steps, {len(self.shards)} shards, "
      f"{self.size_bytes / 2**20:.1f} MiB"
    ]
    if self.skipped:
      lines.append(f"left out: {len(self.skipped)}")
      lines += [f"  {skipped}" for skipped in self.skipped]
    return lines


def freeze(
  data_dir: str | os.PathLike,
  known: Generation | None = None,
  max_shards: int = 0,
) -> Generation:
  """Freezes everything complete in a data directory to a generation.

  Every shard is read once and compared with its manifest. Freezing the same
  shards again gives the same generation.

  Args:
    data_dir: the directory of the records.
    known: a generation of it whose shards were compared before: they are not
      read again, so that a learner waits for what is new alone.
    max_shards: take the first ones by name only; 0 is all.

  Raises:
    ValueError: nothing readable is there; the message names what was skipped.
  """
  generation = gather(data_dir, known, max_shards)
  generation.path.parent.mkdir(parents=True, exist_ok=True)
  files.remove_abandoned(generation.path.parent)
  if not generation.path.exists():
    shards_lib.write_json(generation.path, _to_json(generation))
  return generation


def gather(
  data_dir: str | os.PathLike,
  known: Generation | None = None,
  max_shards: int = 0,
) -> Generation:
  """The generation that `freeze` would write, without writing it.

  Arguments and errors as of `freeze`.
  """
  data_dir = pathlib.Path(data_dir)
  shards, skipped = survey(data_dir, known)
  shards = shards[:max_shards] if max_shards else shards
  if not shards:
    why = ""
    if not data_dir.is_dir():
      why = " (there is no such directory)"
    elif skipped:
      detail = "".join(f"; {item}" for item in skipped[:5])
      why = f" ({len(skipped)} files left out{detail})"
    raise ValueError(
      f"no complete episodes in {data_dir}{why}: collect some with python -m "
      "experiments.collect_data"
    )
  return Generation(
    data_dir=data_dir,
    digest=_digest([shard.to_dict() for shard in shards]),
    content_digest=_content_digest(shards),
    shards=tuple(shards),
    skipped=tuple(skipped),
  )


def load(path: str | os.PathLike) -> Generation:
  """Reads a generation that `freeze` wrote, and checks that it is intact.

  Raises:
    ValueError: the file is missing, damaged or of another version, or a shard
      that it lists is gone or has another size.
  """
  path = pathlib.Path(path)
  try:
    data = json_files.read_object(path)
  except FileNotFoundError as error:
    raise ValueError(f"generation {path}: {error.strerror}") from None
  except ValueError as error:
    raise ValueError(f"generation {error}") from None
  try:
    shards = tuple(Shard.from_dict(shard) for shard in data["shards"])
    digest = data["digest"]
    shards_lib.check_version(data["schema_version"])
    said = data["content_digest"]
  except _DAMAGED as error:
    raise ValueError(f"generation {path}: damaged ({error})") from error
  found = _digest([shard.to_dict() for shard in shards])
  contents = _content_digest(shards)
  if digest != found or path.stem != found or said != contents:
    raise ValueError(
      f"generation {path}: damaged (digest {digest}, its contents have {found})"
    )
  generation = Generation(
    data_dir=path.parent.parent,
    digest=digest,
    content_digest=contents,
    shards=shards,
  )
  for shard in shards:
    shard_path = generation.data_dir / SHARDS_DIR / shard.name
    size = shard_path.stat().st_size if shard_path.exists() else None
    if size != shard.size_bytes:
      raise ValueError(
        f"generation {path}: shard {shard_path} has {size} bytes, "
        f"expected {shard.size_bytes}"
      )
  return generation


def survey(
  data_dir: str | os.PathLike, known: Generation | None = None
) -> tuple[list[Shard], list[Skipped]]:
  """Intact shards by name, and what was left out and why.

  Of shards that `known` lists only the size is looked at.
  """
  directory = pathlib.Path(data_dir) / SHARDS_DIR
  compared = {
    shard.name: (shard.size_bytes, shard.sha256)
    for shard in (known.shards if known else ())
  }
  shards, skipped = [], []
  seen: dict[str, str] = {}
  listed = set()
  for manifest_path in shards_lib.manifests(directory):
    listed.add(manifest_path.with_suffix(shards_lib.SHARD_SUFFIX).name)
    try:
      shard = _read_shard(manifest_path, compared)
    except ValueError as error:
      skipped.append(Skipped(manifest_path.name, str(error)))
      continue
    fresh = []
    for episode in shard.episodes:
      first = seen.setdefault(episode.header.episode_id, shard.name)
      if first == shard.name:
        fresh.append(episode)
      else:
        name = f"{shard.name} episode {episode.header.episode}"
        skipped.append(Skipped(name, f"repeats an episode of {first}"))
    if fresh:
      shards.append(dataclasses.replace(shard, episodes=tuple(fresh)))
  for path in sorted(directory.glob("*")):
    if path.name.endswith(shards_lib.TEMPORARY_SUFFIX):
      skipped.append(Skipped(path.name, "unfinished"))
    elif path.suffix == shards_lib.SHARD_SUFFIX and path.name not in listed:
      skipped.append(Skipped(path.name, "unfinished: it has no manifest"))
  return shards, skipped


def _read_shard(
  manifest_path: pathlib.Path, compared: dict[str, tuple[int, str]]
) -> Shard:
  """Reads a manifest and checks the shard against it.

  Args:
    manifest_path: of the shard.
    compared: name -> size and digest of shards that need not be read again.

  Raises:
    ValueError: the manifest or the shard is damaged.
  """
  try:
    manifest = whole_files.unseal(
      json_files.read_object(manifest_path), manifest_path
    )
    episodes = tuple(shards_lib.episodes_of_manifest(manifest))
    name = manifest_path.with_suffix(shards_lib.SHARD_SUFFIX).name
    shards_lib.check_manifest(manifest, episodes, name)
    size_bytes, sha256 = manifest["bytes"], manifest["sha256"]
    num_records = manifest["records"]
  except _DAMAGED as error:
    raise ValueError(f"damaged manifest: {error}") from error
  path = manifest_path.parent / name
  try:
    if compared.get(name) == (size_bytes, sha256):
      found_bytes, found_sha256 = path.stat().st_size, sha256
    else:
      found_bytes, found_sha256 = whole_files.file_digest(path)
  except OSError as error:
    raise ValueError(f"shard {name} cannot be read: {error}") from error
  if found_bytes != size_bytes:
    raise ValueError(
      f"damaged shard {name}: {found_bytes} bytes, expected {size_bytes}"
    )
  if found_sha256 != sha256:
    raise ValueError(
      f"damaged shard {name}: SHA-256 {found_sha256[:12]}, expected "
      f"{sha256[:12]}"
    )
  return Shard(name, size_bytes, sha256, num_records, episodes)


def _content_digest(shards: tuple[Shard, ...] | list[Shard]) -> str:
  """Digest of the episodes in collection order, whatever shard they are in."""
  rows = sorted(
    [e.header.collection, e.header.episode, e.header.episode_id, e.digest]
    for shard in shards
    for e in shard.episodes
  )
  return _digest(rows)


def _to_json(generation: Generation) -> dict[str, Any]:
  return {
    "schema_version": specs.SCHEMA_VERSION,
    "digest": generation.digest,
    "content_digest": generation.content_digest,
    "shards": [shard.to_dict() for shard in generation.shards],
  }


def _digest(data: Any) -> str:
  text = json.dumps(data, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
