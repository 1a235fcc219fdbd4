"""Batches of windows from a generation, as pure functions of their number.

Element `j` of a `BatchSource` is the global batch `j`: its windows are drawn
uniformly, with replacement, over all valid starts by a counter-based generator
keyed by (seed, j), and never cross an episode, nor a row on a map that is left
out. So the position of a loader is one integer, batches do not depend on
threads, on how shards were written or on the number of processes, and every
process builds only its own rows.
"""

from collections.abc import Container
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import functools
import hashlib
import json

import numpy as np

from data_tools.records import chunk_reader
from data_tools.records import generations
from data_tools.records import left_out
from data_tools.records import shards
from data_tools.records import splits
from pokedreamer_jax import specs

SPLITS = ("train", "val", "all")

# Batches without end: no training reaches this number.
_ENDLESS = 1 << 31
# The fields that a window needs whatever else is asked for.
_ALWAYS = ("action", "is_first")


@dataclasses.dataclass(frozen=True)
class _Episode:
  shard: generations.Shard
  entry: shards.EpisodeEntry


class EpisodeIndex:
  """The episodes of one split of a generation, in collection order.

  An episode is held out for validation by the hash of its identity, and the
  first episode of every behaviour that has two or more is held out as well. A
  generation of one episode is all training. Where data grows, episodes stay
  on the side they were on, and equal contents stay together (`splits.py`).
  """

  def __init__(
    self,
    generation: generations.Generation,
    split: str = "train",
    val_share: float = splits.VALIDATION_SHARE,
    cache_bytes: int = chunk_reader.CACHE_BYTES,
    earlier: splits.Sides | None = None,
    leave_out_maps: Sequence[int] = (),
  ):
    """Reads the list only; shards are opened when steps are.

    Args:
      generation: what may be read.
      split: one of `SPLITS`.
      val_share: share of episodes to hold out, in [0, 1).
      cache_bytes: memory for decompressed chunks, shared by all readers.
      earlier: the sides of episodes in the generations adopted before this
        one, which they keep; its `val_share` is that of this index.
      leave_out_maps: no window holds a row on one of them.

    Raises:
      ValueError: unknown split, or a share out of range.
    """
    if split not in SPLITS:
      raise ValueError(f"split: {split!r}, expected one of {list(SPLITS)}")
    before = earlier or splits.Sides(val_share)
    self.generation = generation
    self.split = split
    self.leave_out_maps = tuple(sorted(set(leave_out_maps)))
    self.val_share = before.val_share
    self.sides = before.extended(generation)
    self._history = before.history
    self._chunks = chunk_reader.ChunkReader(generation, cache_bytes)
    held_out = self.sides.held_out
    self._episodes = [
      _Episode(shard, entry)
      for shard, entry in generation.episodes()
      if split == "all" or held_out[entry.header.episode_id] == (split == "val")
    ]

  def __len__(self) -> int:
    return len(self._episodes)

  @property
  def lengths(self) -> np.ndarray:
    """Steps of each episode `[E]`."""
    return np.array([e.entry.length for e in self._episodes], np.int64)

  @property
  def headers(self) -> list[shards.EpisodeHeader]:
    """How each episode came about."""
    return [e.entry.header for e in self._episodes]

  @property
  def fingerprint(self) -> str:
    """Names exactly these episodes with exactly these contents."""
    parts = [self.generation.content_digest, self.split, self.val_share]
    parts += [self._history] if self._history else []
    # Equal contents once stood on both sides: those batches were others.
    parts += ["equal contents together"] if self.sides.repeats else []
    if self.leave_out_maps:
      parts += ["without maps", list(self.leave_out_maps)]
    return _fingerprint(parts)

  @functools.cached_property
  def stretches(self) -> list[left_out.Stretch]:
    """The rows that may be used, in order: whole episodes, or their parts.

    Where maps are left out, where the player is in every row is read for it.
    """
    return self._divided[0]

  @functools.cached_property
  def _divided(self) -> tuple[list[left_out.Stretch], list[left_out.Stretch]]:
    """The rows that may be used, and those that may not."""
    if not self.leave_out_maps:
      lengths = enumerate(self.lengths.tolist())
      return [left_out.Stretch(e, 0, length) for e, length in lengths], []
    kept, out = [], []
    for episode, (_, rows) in enumerate(self.episodes(left_out.FIELDS)):
      there = left_out.on_maps(rows, self.leave_out_maps)
      kept += left_out.stretches(episode, ~there)
      out += left_out.stretches(episode, there)
    return kept, out

  def kept(
    self,
    fields: Sequence[str],
    most_rows: int | None = None,
    instead: bool = False,
    episodes: Container[int] | None = None,
  ) -> Iterator[dict[str, np.ndarray]]:
    """Arrays `[N, ...]` of all rows that may be used, one after the other.

    Args:
      fields: step fields to read.
      most_rows: rows that one array holds at most; None: as many as lie
        together.
      instead: of those, the rows that are left out.
      episodes: of these alone, by their place here; None: of all.
    """
    for stretch in self._divided[1 if instead else 0]:
      if episodes is not None and stretch.episode not in episodes:
        continue
      step = most_rows or stretch.stop - stretch.start
      for start in range(stretch.start, stretch.stop, step):
        stop = min(start + step, stretch.stop)
        yield self.read(stretch.episode, start, stop, fields)

  def episodes(
    self, fields: Sequence[str] | None = None
  ) -> Iterator[tuple[shards.EpisodeHeader, dict[str, np.ndarray]]]:
    """Header and whole arrays `[T, ...]` of one episode after the other.

    Raises:
      ValueError: the steps are not those of the list; told by all fields
        together, where `fields` is None.
    """
    for i, episode in enumerate(self._episodes):
      length = episode.entry.length
      steps = self.read(i, 0, length, fields)
      if fields is None:
        _check_digest(episode, steps)
      yield episode.entry.header, steps

  def read(
    self,
    episode: int,
    start: int,
    stop: int,
    fields: Sequence[str] | None = None,
  ) -> dict[str, np.ndarray]:
    """Arrays `[stop - start, ...]` of some steps of one episode.

    Raises:
      ValueError: the steps are not all in the episode.
    """
    length = self._episodes[episode].entry.length
    if not 0 <= start < stop <= length:
      raise ValueError(
        f"steps {start}..{stop} of episode {episode}: it has {length} steps"
      )
    window = _Window(episode, start, stop)
    rows = self.read_windows([window], stop - start, fields or None)
    del rows["first_action_tm1"]
    return {name: array[0] for name, array in rows.items()}

  def read_windows(
    self,
    windows: Sequence["_Window"],
    seq_len: int,
    fields: Sequence[str] | None = None,
  ) -> dict[str, np.ndarray]:
    """Equally long windows `[len(windows), seq_len, ...]`.

    With them `first_action_tm1` `[len(windows)]`, as in a batch: the row
    before a window mostly lies in the same record. Fields that an episode's
    schema version lacks are zeros.
    """
    chosen = [
      f for f in specs.STEP_FIELDS if fields is None or f.name in fields
    ]
    out = {
      f.name: np.empty((len(windows), seq_len, *f.shape), f.dtype)
      for f in chosen
    }
    first_action_tm1 = np.full(len(windows), specs.PASS, np.uint8)
    pieces, earlier = [], []
    lacking = []
    for row, window in enumerate(windows):
      episode = self._episodes[window.episode]
      lacking.append(specs.lacking(episode.entry.header.schema_version))
      pieces += [(row, piece) for piece in _pieces(episode, window)]
      if window.start:
        before = _Window(window.episode, window.start - 1, window.start)
        earlier += [(row, piece) for piece in _pieces(episode, before)]
    chunks = self._chunks.read({piece.place for _, piece in pieces + earlier})

    try:
      for row, piece in pieces:
        chunk = chunks[piece.place]
        for name, array in out.items():
          array[row, piece.to] = (
            0 if name in lacking[row] else chunk[name][piece.within]
          )
      for row, piece in earlier:
        chunk = chunks[piece.place]
        first_action_tm1[row] = chunk["action"][piece.within][0]
    except KeyError as error:
      shard, record = piece.place
      raise ValueError(
        f"shard {shard}, record {record}: no field {error}, although its "
        "manifest is of this version: damaged"
      ) from None
    return out | {"first_action_tm1": first_action_tm1}


def _check_digest(episode: _Episode, steps: dict[str, np.ndarray]) -> None:
  digest = hashlib.sha256()
  version = episode.entry.header.schema_version
  for first in range(0, episode.entry.length, shards.CHUNK_STEPS):
    chunk = slice(first, first + shards.CHUNK_STEPS)
    part = {name: array[chunk] for name, array in steps.items()}
    shards.add_to_digest(digest, part, version)
  if digest.hexdigest() != episode.entry.digest:
    raise ValueError(
      f"shard {episode.shard.name}: episode {episode.entry.header.episode} is "
      "not the one that was listed (its digest is another one)"
    )


class BatchSource:
  """Random-access batches; element `j` is the global batch `j`.

  `source[j]` maps every step field to `[B, T, ...]`, and `first_action_tm1`
  to `[B]` uint8: the action before the window's first row, `PASS` where that
  row begins an episode. With several processes each gets its rows of the batch.
  """

  def __init__(
    self,
    index: EpisodeIndex,
    batch_size: int,
    seq_len: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
    fields: Sequence[str] | None = None,
  ):
    """Prepares the table of valid window starts.

    Args:
      index: the episodes.
      batch_size: windows `B` of the global batch.
      seq_len: rows `T` of a window.
      seed: of the draws, at least 0.
      process_index: which share of the rows to build.
      process_count: number of shares.
      fields: step fields to read, all by default.

    Raises:
      ValueError: the batch cannot be shared out evenly, a field is unknown, or
        no episode is long enough.
    """
    if batch_size < 1 or seq_len < 1 or seed < 0:
      raise ValueError(
        f"batch_size {batch_size}, seq_len {seq_len}, seed {seed}: expected "
        "at least 1, 1 and 0"
      )
    if batch_size % process_count or not 0 <= process_index < process_count:
      raise ValueError(
        f"batch_size {batch_size} for process {process_index} of "
        f"{process_count}: expected equal shares"
      )
    unknown = set(fields or ()) - set(specs.STEP_FIELD_NAMES)
    if unknown:
      raise ValueError(
        f"fields: {sorted(unknown)}, valid are {list(specs.STEP_FIELD_NAMES)}"
      )
    self._index = index
    self._batch_size = batch_size
    self._seq_len = seq_len
    self._seed = seed
    share = batch_size // process_count
    self._rows = slice(process_index * share, (process_index + 1) * share)
    self._fields = fields
    self._starts = _Starts(index, seq_len)

  def __len__(self) -> int:
    return _ENDLESS

  def __getitem__(self, j: int) -> dict[str, np.ndarray]:
    rng = np.random.Generator(np.random.Philox(key=[self._seed, int(j)]))
    drawn = rng.integers(0, self._starts.total, self._batch_size)
    return self._starts.read(drawn[self._rows], self._fields)

  @property
  def num_starts(self) -> int:
    """Valid window starts."""
    return self._starts.total

  @property
  def too_short(self) -> int:
    """Episodes that hold no window of this length."""
    return self._starts.too_short

  @property
  def too_short_episodes(self) -> list[str]:
    """These episodes, for a person: which, by whom and how long."""
    pairs = zip(self._index.headers, self._index.lengths, strict=True)
    return [
      f"episode {header.episode} of {header.collection} ({header.behaviour}): "
      f"{length} steps"
      for header, length in pairs
      if length < self._seq_len
    ]

  @property
  def batches_per_epoch(self) -> int:
    """Batches that hold as many windows as there are valid starts."""
    return -(-self._starts.total // self._batch_size)

  @property
  def fingerprint(self) -> str:
    """Names the whole sequence of batches; compare it before resuming."""
    return _fingerprint(
      [
        self._index.fingerprint,
        self._batch_size,
        self._seq_len,
        self._seed,
        "uniform philox 1",
      ]
    )


def batches(
  source: BatchSource,
  start: int = 0,
  num_threads: int = 2,
  prefetch: int = 4,
  stop: int | None = None,
) -> Iterator[dict[str, np.ndarray]]:
  """Batches `start, start + 1, ...`, read ahead by threads.

  Args:
    source: random-access batches.
    start: number of the first batch; it equals the train step.
    num_threads: reading threads.
    prefetch: batches that are kept ready, which bounds the memory.
    stop: number after the last batch, also for reading ahead; None is never.
  """
  import grain

  options = grain.ReadOptions(
    num_threads=num_threads, prefetch_buffer_size=max(prefetch, num_threads)
  )
  dataset = grain.MapDataset.source(source)[start:stop]
  return iter(dataset.to_iter_dataset(options))


def fixed_windows(
  index: EpisodeIndex,
  seq_len: int,
  count: int,
  seed: int = 0,
  fields: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
  """The same windows on every call, spread evenly over all valid starts.

  Returns:
    Step fields `[C, T, ...]` and `first_action_tm1` `[C]`. `C` is `count`, or
    the number of valid starts where that is smaller: no window is repeated.

  Raises:
    ValueError: no episode is long enough.
  """
  starts = _Starts(index, seq_len)
  return starts.read(starts.spread(count, seed), fields)


def fixed_places(
  index: EpisodeIndex, seq_len: int, count: int, seed: int = 0
) -> list[tuple[int, int]]:
  """Where `fixed_windows` lie: number in the index and first row of each."""
  starts = _Starts(index, seq_len)
  windows = [starts.window(int(n)) for n in starts.spread(count, seed)]
  return [(window.episode, window.start) for window in windows]


def windows_at(
  index: EpisodeIndex,
  places: Sequence[tuple[int, int]],
  seq_len: int,
  fields: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
  """The windows that begin at `places`, as `fixed_places` names them.

  Returns:
    Step fields `[C, T, ...]` and `first_action_tm1` `[C]`.
  """
  if fields is not None:
    fields = (*fields, *_ALWAYS)
  windows = [_Window(episode, row, row + seq_len) for episode, row in places]
  return index.read_windows(windows, seq_len, fields)


@dataclasses.dataclass(frozen=True)
class _Window:
  """Steps `start` to `stop` of an episode, given by its place in the index."""

  episode: int
  start: int
  stop: int


@dataclasses.dataclass(frozen=True)
class _Piece:
  """The part of a window that lies in one record."""

  place: tuple[str, int]  # shard and record
  within: slice  # of the chunk
  to: slice  # of the window


def _pieces(episode: _Episode, window: _Window) -> Iterator[_Piece]:
  """Cuts a window where the episode's records are cut."""
  size = shards.CHUNK_STEPS
  for chunk in range(window.start // size, (window.stop - 1) // size + 1):
    first = max(window.start, chunk * size)
    last = min(window.stop, (chunk + 1) * size)
    yield _Piece(
      (episode.shard.name, episode.entry.first_record + chunk),
      slice(first - chunk * size, last - chunk * size),
      slice(first - window.start, last - window.start),
    )


class _Starts:
  """All places where a window of `seq_len` rows fits into a stretch of rows."""

  def __init__(self, index: EpisodeIndex, seq_len: int):
    self._index = index
    self._seq_len = seq_len
    self._stretches = index.stretches
    lengths = np.array([s.stop - s.start for s in self._stretches], np.int64)
    self._ends = np.cumsum(np.maximum(lengths - seq_len + 1, 0))
    self.total = int(self._ends[-1]) if len(lengths) else 0
    self.too_short = int((index.lengths < seq_len).sum())
    if self.total == 0:
      longest = lengths.max() if len(lengths) else 0
      maps = index.leave_out_maps
      raise ValueError(
        f"no window of {seq_len} steps in the {len(index)} {index.split} "
        + (f"episodes without maps {list(maps)} " if maps else "episodes ")
        + f"(longest: {longest} steps): collect more or longer episodes"
      )

  def read(
    self, numbers: np.ndarray, fields: Sequence[str] | None
  ) -> dict[str, np.ndarray]:
    """Windows by number `[C]`, with the action before each."""
    if fields is not None:
      fields = (*fields, *_ALWAYS)
    windows = [self.window(int(number)) for number in numbers]
    return self._index.read_windows(windows, self._seq_len, fields)

  def spread(self, count: int, seed: int) -> np.ndarray:
    """Numbers of at most `count` windows, spread evenly over all starts."""
    count = min(count, self.total)
    offset = np.random.Generator(np.random.Philox(key=[seed, 0])).random()
    return ((np.arange(count) + offset) * self.total / count).astype(np.int64)

  def window(self, number: int) -> _Window:
    """The window of a number below `total`."""
    at = int(np.searchsorted(self._ends, number, side="right"))
    stretch = self._stretches[at]
    start = stretch.start + number - (int(self._ends[at - 1]) if at else 0)
    return _Window(stretch.episode, start, start + self._seq_len)


def _fingerprint(parts: list) -> str:
  return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
