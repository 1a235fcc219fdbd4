"""From the published system's files to ordinary records, and back.

What the fields mean is told in `npz_steps`. The files' own `rewards` are single
numbers that no reward term can be told from: they are only counted. Imported
episodes cannot be played again.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import itertools
import json
import os
import pathlib
import secrets

import numpy as np

from data_tools.foreign import npz_files
from data_tools.foreign import npz_steps
from data_tools.game import roms
from data_tools.records import episodes
from data_tools.records import generations
from data_tools.records import leftovers
from data_tools.records import loader
from data_tools.records import shards as shards_lib
from data_tools.system import files as files_lib
from data_tools.system import locks
from pokedreamer_jax import specs

_PREFIX = "npz"  # of the shards that an import writes
_EXPORT = "export.json"  # what the files beside it are an export of
_MOST_MARK_BYTES = 1 << 16

BEHAVIOUR = "imported"  # in episode headers
_SLAB = shards_lib.CHUNK_STEPS


@dataclasses.dataclass(frozen=True)
class Result:
  """What an import found and did."""

  files: int
  steps: int
  episodes: int
  new_episodes: int  # the others were there already
  has_ram: bool
  # Files that begin within an episode whose beginning is not there; what they
  # hold of it became an episode of its own.
  cut_starts: tuple[str, ...]
  nonzero_rewards: int  # rows whose recorded reward was not 0, not imported
  stopped: bool


def import_files(
  files: list[npz_files.File],
  data_dir: str | os.PathLike,
  behaviour: str = "policy",
  rom: roms.Rom | None = None,
  shard_bytes: int = 64 << 20,
  progress: Callable[[int], None] = lambda _: None,
  stop: Callable[[], bool] = lambda: False,
) -> Result:
  """Writes the episodes that are not recorded yet.

  Args:
    files: what `npz_files.find` gave; all with memory fields, or none.
    data_dir: shards go to its folder `shards`; made if missing.
    behaviour: one of BEHAVIOURS, who chose the actions.
    rom: the game, for the episode headers; by default it is Pokemon Red where
      there are memory fields, and not said which file.
    shard_bytes: a shard is closed at this size before compression.
    progress: called with the number of steps read.
    stop: True ends the import, with all complete episodes kept.

  Raises:
    ValueError: bad values in a file, or a collector at work; what this call
      wrote is removed.
    OSError: the disk filled up.
  """
  if behaviour not in specs.BEHAVIOURS:
    raise ValueError(
      f"behaviour: {behaviour!r}, expected one of {list(specs.BEHAVIOURS)}"
    )
  has_ram = files[0].has_ram
  if odd := [f.path.name for f in files if f.has_ram != has_ram]:
    raise ValueError(
      f"{odd[0]}: memory fields {'missing' if has_ram else 'present'}, "
      f"unlike in {files[0].path.name}; import the two kinds apart"
    )
  directory = pathlib.Path(data_dir) / generations.SHARDS_DIR
  directory.mkdir(parents=True, exist_ok=True)
  try:
    lock = locks.Lock(directory / ".lock")
  except locks.Taken:
    raise ValueError(f"another collector writes to {directory}") from None
  with lock:
    # Those of an import that was killed; collectors have other names.
    leftovers.remove(
      directory, lambda name: lock.works and name.startswith(_PREFIX)
    )
    reader = _Reader(files, specs.BEHAVIOURS.index(behaviour))
    collection = npz_files.content_digest(files)
    known = _recorded(data_dir, collection)
    made: list[pathlib.Path] = []
    try:
      writer = shards_lib.ShardWriter(
        directory,
        f"{_PREFIX}{secrets.token_hex(4)}",
        shard_bytes,
        committed=lambda name, _: made.append(directory / name),
      )
      with writer:
        count, new, stopped = _write(
          reader, writer, collection, known, rom, progress, stop
        )
    except ValueError:
      for path in made:
        path.with_suffix(shards_lib.MANIFEST_SUFFIX).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
      raise
  return Result(
    files=len(files),
    steps=reader.steps,
    episodes=count,
    new_episodes=new,
    has_ram=has_ram,
    cut_starts=tuple(reader.cut_starts),
    nonzero_rewards=reader.nonzero_rewards,
    stopped=stopped,
  )


def export_files(
  index: loader.EpisodeIndex,
  directory: str | os.PathLike,
  steps_per_file: int = npz_files.STEPS_PER_FILE,
  progress: Callable[[int], None] = lambda _: None,
) -> list[pathlib.Path]:
  """Writes episodes as `transitions_%04d.npz`, numbered from 1.

  Memory fields are written where every episode has them. `rewards` is the
  published weighting of what was received on arriving at a row. An export that
  was ended goes on after the files that are whole.

  Args:
    index: the episodes, in order.
    directory: made if missing; it must not hold files of another export.
    steps_per_file: the last file holds fewer.
    progress: called with the number of steps written.

  Returns:
    The paths.

  Raises:
    ValueError: bad arguments.
    OSError: the disk filled up.
  """
  directory = pathlib.Path(directory)
  if steps_per_file < 1 or not len(index):
    raise ValueError(
      f"steps_per_file {steps_per_file}, {len(index)} episodes: expected at "
      "least 1 of each"
    )
  has_ram = all(header.rom_kind != roms.UNKNOWN for header in index.headers)
  _mark(directory, index.fingerprint, steps_per_file, has_ram)
  left = int(index.lengths.sum())
  paths: list[pathlib.Path] = []
  done = 0
  while (path := _export_path(directory, len(paths))).exists() and left:
    count = min(left, steps_per_file)
    left, done = left - count, done + count
    paths.append(path)
  progress(done)
  chunks = _chunks(index, done)
  rest: dict[str, np.ndarray] | None = None
  while left:
    count = min(left, steps_per_file)
    left -= count
    path = _export_path(directory, len(paths))
    with npz_files.Writer(path, count, has_ram) as writer:
      while count:
        steps = rest if rest is not None else next(chunks)
        part, rest = _split(steps, count)
        reward = specs.weighted_reward(
          part["reward_terms"], specs.REWARD_WEIGHTS["published"]
        )
        writer.write(npz_steps.columns(part, reward, has_ram))
        count -= len(part["frame"])
        done += len(part["frame"])
        progress(done)
    paths.append(path)
  return paths


def _mark(
  directory: pathlib.Path, episodes: str, steps_per_file: int, has_ram: bool
) -> None:
  """Says in the folder what is exported; refuses one of another export."""
  mark = {
    "episodes": episodes,
    "steps_per_file": steps_per_file,
    "has_ram": has_ram,
  }
  directory.mkdir(parents=True, exist_ok=True)
  path = directory / _EXPORT
  old = sorted(directory.glob(npz_files.PATTERN))
  try:
    there = json.loads(files_lib.read(path, _MOST_MARK_BYTES))
  except (OSError, ValueError):
    there = None
  if old and there != mark:
    raise ValueError(
      f"{old[0]} exists already, of another export: choose another folder"
    )
  if there != mark:
    shards_lib.write_json(path, mark)


def _export_path(directory: pathlib.Path, number: int) -> pathlib.Path:
  return directory / f"transitions_{number + 1:04d}.npz"


def _chunks(
  index: loader.EpisodeIndex, skip: int = 0
) -> Iterator[dict[str, np.ndarray]]:
  """The rows in order, without the first `skip`."""
  for episode, length in enumerate(index.lengths.tolist()):
    begin, skip = min(skip, length), max(0, skip - length)
    for start in range(begin, length, _SLAB):
      yield index.read(episode, start, min(start + _SLAB, length))


def _split(steps, count: int) -> tuple[dict, dict | None]:
  """The first `count` rows, and what is left, if anything."""
  if len(steps["frame"]) <= count:
    return steps, None
  return _rows(steps, slice(count)), _rows(steps, slice(count, None))


def _rows(rows: dict[str, np.ndarray], part: slice) -> dict[str, np.ndarray]:
  return {name: array[part] for name, array in rows.items()}


def _recorded(data_dir: str | os.PathLike, collection: str) -> set[int]:
  """Numbers of the collection's episodes that are intact on disk."""
  shards, _ = generations.survey(data_dir)
  return {
    entry.header.episode
    for shard in shards
    for entry in shard.episodes
    if entry.header.collection == collection
  }


def _write(
  reader: "_Reader",
  writer: shards_lib.ShardWriter,
  collection: str,
  known: set[int],
  rom: roms.Rom | None,
  progress: Callable[[int], None],
  stop: Callable[[], bool],
) -> tuple[int, int, bool]:
  """Episodes seen and written, and whether asked to stop."""
  kind = roms.POKEMON_RED if reader.has_ram else roms.UNKNOWN
  episode, new = 0, 0
  summary = episodes.Summary()
  for steps in reader.chunks():
    if steps["is_first"][0]:
      header = shards_lib.EpisodeHeader(
        collection=collection,
        episode=episode,
        seed=0,
        behaviour=BEHAVIOUR,
        rom_sha1=rom.sha1 if rom else "",
        rom_kind=rom.kind if rom and reader.has_ram else kind,
        start_state_sha1="",
        jitter_frames=0,
        pyboy_version="",
      )
      summary = episodes.Summary()
      if episode not in known:
        writer.begin(header)
    if episode not in known:
      writer.write(steps)
    summary.add(steps)
    progress(reader.steps)
    if steps["is_last"][-1]:
      if episode not in known:
        writer.end(summary.to_dict())
        new += 1
      episode += 1
    if stop():
      return episode, new, True
  return episode, new, False


class _Reader:
  """The steps of consecutive files, cut into chunks of whole episodes."""

  def __init__(self, files: list[npz_files.File], behaviour: int):
    self._files = files
    self._behaviour = behaviour
    self.has_ram = files[0].has_ram
    self.steps = 0
    self.nonzero_rewards = 0
    self.cut_starts: list[str] = []

  def chunks(self) -> Iterator[dict[str, np.ndarray]]:
    """Step arrays `[T, ...]`, ready to be written; `T` as records want it."""
    pending: list[dict[str, np.ndarray]] = []  # rows of the episode at hand
    size = 0
    convert = npz_steps.Converter(self._behaviour)
    for rows in self._pieces():
      if rows["episode_starts"][0] and size:
        yield convert(_join(pending), is_last=True)
        pending, size = [], 0
      pending.append(rows)
      size += len(rows["obs"])
      while size > _SLAB:  # whether a row is the last is known one row later
        whole = _join(pending)
        yield convert(_rows(whole, slice(_SLAB)), is_last=False)
        pending = [_rows(whole, slice(_SLAB, None))]
        size -= _SLAB
    yield convert(_join(pending), is_last=True)

  def _pieces(self) -> Iterator[dict[str, np.ndarray]]:
    """Rows of one episode at a time, which begin with every start."""
    last_number = None
    for file in self._files:
      for i, rows in enumerate(npz_files.read(file, _SLAB)):
        self.nonzero_rewards += int(np.count_nonzero(rows["rewards"]))
        starts = rows["episode_starts"].copy()
        follows = last_number is not None and file.number == last_number + 1
        if i == 0 and not starts[0] and not follows:
          starts[0] = True
          self.cut_starts.append(file.path.name)
        rows = rows | {"episode_starts": starts}
        cuts = [0, *(np.flatnonzero(starts[1:]) + 1), len(starts)]
        for start, stop in itertools.pairwise(cuts):
          yield _rows(rows, slice(start, stop))
        self.steps += len(starts)
      last_number = file.number


def _join(pieces: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
  if len(pieces) == 1:
    return pieces[0]
  return {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}
