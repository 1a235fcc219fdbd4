"""Counting an atlas over a stream of training rows; numpy on the host.

Of every row in which one can walk by full light, each block of the screen but
the player's own and the one above it (hair) is a vote for what stands at its
cell; the most frequent block of four tiles wins. A view that was seen before
does not vote again. Most rows stand on the grid, and a majority does not mind
the others.

Rows are cut into pieces of a fixed size, whatever the arrays they come in, and
what is kept between pieces is bounded: the outcome depends on the order of the
rows alone, and the memory not on their number.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses

import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib

# The step fields that are read.
FIELDS = (
  *("frame", "map_id", "y", "x", "has_control", "in_battle"),
  *("dialog_open", "menu_open", "game_running"),
  *specs.CLOCK_FIELDS,
  "shade",
)
_PIECE_ROWS = 2048
# Views are told apart by so many bits: of a million, 0.4 % are taken for ones
# seen before.
_VIEW_BITS = 28
# Different blocks of cells kept, 24 bytes each; beyond them the rarest go.
MAX_VOTES = 1 << 22
_MANY_VOTES = 1 << 18  # recent ones, before they are added to the others
_SIDE = 1 << 9  # rows or columns of a map that have a place in a key


# (places [N] int64, blocks [N] uint64, votes [N] int64), sorted, no pair twice.
_Votes = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Counts:
  """How often which block was seen where; sorted by place and block."""

  place: np.ndarray  # [N] int64, a map's cell
  block: np.ndarray  # [N] uint64, four tiles of 16 bits
  votes: np.ndarray  # [N] int64
  rows: int = 0  # rows read
  views: int = 0  # different views that voted


class Counter:
  """Counts the rows it is given, in order."""

  def __init__(
    self,
    cfg: world_model_config.WorldModelConfig,
    table: tiles.TileTable,
    max_votes: int = MAX_VOTES,
  ):
    """Begins with nothing.

    Args:
      cfg: gives the sizes of the tokens `map`, `y` and `x`.
      table: the dictionary of `cfg.tile_vocab` tiles.
      max_votes: different (cell, block) that are kept.
    """
    self._sizes = cfg.token_sizes
    self._table = table
    self._max_votes = max_votes
    self._seen = np.zeros(1 << (_VIEW_BITS - 3), np.uint8)
    self._waiting: list[dict[str, np.ndarray]] = []
    self._num_waiting = 0
    self._kept: _Votes = _votes(np.zeros(0, np.int64), np.zeros(0, np.uint64))
    self._recent: list[_Votes] = []
    self._num_recent = 0
    self._rows = self._views = 0

  def add(self, rows: Mapping[str, np.ndarray]) -> None:
    """Takes rows `[N, ...]` with at least `FIELDS`."""
    start, length = 0, len(rows["frame"])
    while start < length:
      stop = min(length, start + _PIECE_ROWS - self._num_waiting)
      part = {name: np.asarray(rows[name])[start:stop] for name in FIELDS}
      self._waiting.append(part)
      self._num_waiting += stop - start
      if self._num_waiting == _PIECE_ROWS:
        self._count()
      start = stop

  @property
  def rows(self) -> int:
    """Rows that were counted; some given last may still wait."""
    return self._rows

  def counts(self) -> Counts:
    """What was counted so far.

    Rows that wait for others of their piece are counted now: who wants the
    same outcome again asks after the same rows.
    """
    if self._waiting:
      self._count()
    self._settle()
    return Counts(*self._kept, self._rows, self._views)

  def _count(self) -> None:
    rows = {
      name: np.concatenate([part[name] for part in self._waiting])
      for name in FIELDS
    }
    self._rows += self._num_waiting
    self._waiting, self._num_waiting = [], 0
    rows = _at(rows, np.flatnonzero(_walking(rows, self._sizes)))
    rows = _at(rows, _new(self._seen, _view_bits(rows)))
    self._views += len(rows["frame"])
    self._recent.append(_votes(*_blocks(self._table, rows)))
    self._num_recent += len(self._recent[-1][0])
    if self._num_recent > max(len(self._kept[0]), _MANY_VOTES):
      self._settle()

  def _settle(self) -> None:
    """Adds the recent votes to those kept, and drops the rarest."""
    parts = [self._kept, *self._recent]
    self._recent, self._num_recent = [], 0
    merged = _votes(
      *(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    )
    least = 1
    while len(merged[0]) > self._max_votes:
      least += 1
      enough = merged[2] >= least
      merged = (merged[0][enough], merged[1][enough], merged[2][enough])
    self._kept = merged


def count(
  cfg: world_model_config.WorldModelConfig,
  table: tiles.TileTable,
  stream: Iterable[Mapping[str, np.ndarray]],
) -> Counts:
  """Counts a stream of rows `[N, ...]` with at least `FIELDS`."""
  counter = Counter(cfg, table)
  for rows in stream:
    counter.add(rows)
  return counter.counts()


def views(
  cfg: world_model_config.WorldModelConfig,
  stream: Iterable[Mapping[str, np.ndarray]],
) -> Iterator[dict[str, np.ndarray]]:
  """The rows of a stream in which one can walk, every different view once."""
  seen = np.zeros(1 << (_VIEW_BITS - 3), np.uint8)
  for rows in stream:
    kept = {name: np.asarray(rows[name]) for name in FIELDS}
    kept = _at(kept, np.flatnonzero(_walking(kept, cfg.token_sizes)))
    if len(kept["frame"]):
      yield _at(kept, _new(seen, _view_bits(kept)))


def voting_tiles() -> np.ndarray:
  """Which of a screen's 360 tiles vote: all but the player's, `[360]` bool."""
  return np.repeat(_voting_blocks(), packing.TILES_PER_BLOCK)


def extend(
  atlas: atlas_lib.Atlas, counts: Counts
) -> tuple[atlas_lib.Atlas, int]:
  """The atlas with what was counted; cells that had a number keep it.

  Where there is no room for all pages, those with the most votes get it. Cells
  that were not counted hold what they held.

  Args:
    atlas: `atlas_lib.empty`, or an earlier atlas.
    counts: of all rows that shall speak.

  Returns:
    The atlas, and the number of pages that found no room.
  """
  pages, held = np.array(atlas.pages), np.array(atlas.tiles)
  winner = _most_frequent(counts)
  map_id, row, column = _unpacked(counts.place[winner])
  page = np.ravel_multi_index(
    (map_id, row // atlas_lib.PAGE, column // atlas_lib.PAGE), pages.shape
  )
  wanted, at = np.unique(page, return_inverse=True)
  new = np.flatnonzero(pages.reshape(-1)[wanted] == 0)
  views = np.bincount(at, counts.votes[winner], minlength=len(wanted))
  room = len(held) // atlas_lib.PAGE_CELLS - 1 - int((pages > 0).sum())
  best = np.sort(new[np.argsort(-views[new], kind="stable")[:room]])
  first = int(pages.max()) + 1
  pages.reshape(-1)[wanted[best]] = np.arange(first, first + len(best))
  margin = atlas_lib.MARGIN
  cell = atlas_lib.cells(
    atlas_lib.Atlas(pages, held, atlas.looks),
    map_id,
    row - margin,
    column - margin,
  )
  numbers = _from_code(counts.block[winner])
  held[cell[cell > 0]] = numbers[cell > 0]
  made = dataclasses.replace(
    atlas, pages=jnp.asarray(pages), tiles=jnp.asarray(held)
  )
  return made, len(new) - len(best)


@dataclasses.dataclass(frozen=True)
class Filled:
  """An atlas with more rows in it, and what came in."""

  atlas: atlas_lib.Atlas
  rows: int  # read
  views: int  # different views that voted
  cells: int  # that they spoke of
  lacking: int  # of those, cells with a tile that the dictionary lacks
  no_room: int  # pages


def fill(
  cfg: world_model_config.WorldModelConfig,
  table: tiles.TileTable,
  atlas: atlas_lib.Atlas,
  stream: Iterable[Mapping[str, np.ndarray]],
  once: bool = False,
) -> Filled:
  """Puts what rows show into an atlas; no weight and no tile is learned.

  Args:
    cfg: sizes.
    table: the dictionary; a tile that it lacks stays the escape.
    atlas: what is known; other cells keep what they hold.
    stream: rows `[N, ...]` with at least `FIELDS`.
    once: of each place take the first row alone in which one can walk there.
  """
  counter = Counter(cfg, table)
  been = np.zeros(0, np.int64)
  for rows in stream:
    part = {name: np.asarray(rows[name]) for name in FIELDS}
    if once:
      part = _at(part, np.flatnonzero(_walking(part, cfg.token_sizes)))
      place = _key(part["map_id"], part["y"], part["x"])
      found, first = np.unique(place, return_index=True)
      new = ~np.isin(found, been)
      part = _at(part, np.sort(first[new]))
      been = np.concatenate([been, found[new]])
    counter.add(part)
  counts = counter.counts()
  grown, no_room = extend(atlas, counts)
  numbers = _from_code(counts.block[_most_frequent(counts)])
  lacking = int((numbers == cfg.tile_vocab).any(axis=-1).sum())
  return Filled(
    grown, counts.rows, counts.views, len(numbers), lacking, no_room
  )


def _new(seen: np.ndarray, bits: np.ndarray) -> np.ndarray:
  """Indices of the views that were not seen before; remembers them."""
  unique, first = np.unique(bits, return_index=True)
  byte, mask = unique >> 3, np.uint8(1) << (unique & 7).astype(np.uint8)
  new = (seen[byte] & mask) == 0
  np.bitwise_or.at(seen, byte, mask)
  return np.sort(first[new])


def _voting_blocks() -> np.ndarray:
  """All blocks `[90]` bool but the player's and the one above."""
  row, column = np.divmod(np.arange(packing.NUM_BLOCKS), atlas_lib.COLUMNS)
  row, column = row - atlas_lib.PLAYER[0], column - atlas_lib.PLAYER[1]
  return (column != 0) | ((row != 0) & (row != -1))


def _walking(rows, sizes) -> np.ndarray:
  """Lit rows `[N]` bool in which one can walk, at places that tokens name."""
  free = rows["has_control"] & rows["game_running"] & ~rows["dialog_open"]
  free &= rows["shade"] == 0
  free &= ~rows["menu_open"] & (rows["in_battle"] == 0)
  for token, field in (("map", "map_id"), ("y", "y"), ("x", "x")):
    free &= rows[field] < sizes[token]
  return free


def _at(rows, index: np.ndarray) -> dict[str, np.ndarray]:
  return {name: array[index] for name, array in rows.items()}


def _view_bits(rows) -> np.ndarray:
  """A number `[N]` int64 of `_VIEW_BITS` bits for each place and frame."""
  frame = rows["frame"].reshape(-1, specs.FRAME_HEIGHT * specs.PACKED_WIDTH)
  words = np.ascontiguousarray(frame).view("<u8")
  rng = np.random.Generator(np.random.Philox(key=0))
  odd = rng.integers(1 << 62, size=words.shape[1] + 1, dtype=np.uint64) * 2 + 1
  place = _key(rows["map_id"], rows["y"], rows["x"]).astype(np.uint64)
  mixed = (words >> np.uint64(32)) ^ words
  total = np.einsum("nw,w->n", mixed, odd[1:]) + place * odd[0]
  return (total >> np.uint64(64 - _VIEW_BITS)).astype(np.int64)


def _blocks(table, rows) -> tuple[np.ndarray, np.ndarray]:
  """Places and codes of all blocks that vote."""
  shown = tiles.encode_numpy(table, rows["frame"]).astype(np.uint64)
  shown = shown.reshape(-1, packing.NUM_BLOCKS, packing.TILES_PER_BLOCK)
  shifts = np.arange(0, 64, 16, dtype=np.uint64)
  code = np.bitwise_or.reduce(shown << shifts, axis=-1)
  row, column = np.divmod(np.arange(packing.NUM_BLOCKS), atlas_lib.COLUMNS)
  row, column = row - atlas_lib.PLAYER[0], column - atlas_lib.PLAYER[1]
  free = _voting_blocks()
  place = _key(
    rows["map_id"][:, None],
    rows["y"][:, None] + row[free],
    rows["x"][:, None] + column[free],
  )
  return place.reshape(-1), code[:, free].reshape(-1)


def _votes(place, block, votes=None) -> _Votes:
  """The same votes, sorted, equal ones together."""
  if votes is None:
    votes = np.ones(len(place), np.int64)
  order = np.lexsort((block, place))
  place, block, votes = place[order], block[order], votes[order]
  begins = np.ones(len(place), bool)
  begins[1:] = (place[1:] != place[:-1]) | (block[1:] != block[:-1])
  start = np.flatnonzero(begins)
  total = np.add.reduceat(votes, start) if len(start) else votes
  return place[start], block[start], total


def _most_frequent(counts: Counts) -> np.ndarray:
  """Index of each place's winner; of equals the block of the lowest code."""
  order = np.lexsort((counts.block, -counts.votes, counts.place))
  place = counts.place[order]
  return order[np.flatnonzero(np.diff(place, prepend=-1))]


def _key(map_id, y, x) -> np.ndarray:
  """One number for a cell of a map, int64."""
  row = np.asarray(y, np.int64) + atlas_lib.MARGIN
  column = np.asarray(x, np.int64) + atlas_lib.MARGIN
  return (np.asarray(map_id, np.int64) * _SIDE + row) * _SIDE + column


def _unpacked(key) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Map, row and column of a cell, the margin counted in."""
  rest, column = np.divmod(key, _SIDE)
  map_id, row = np.divmod(rest, _SIDE)
  return map_id, row, column


def _from_code(code: np.ndarray) -> np.ndarray:
  """Four dictionary numbers `[N, 4]` int32 of blocks `[N]`."""
  shifts = np.arange(0, 64, 16, dtype=np.uint64)
  return (code[:, None] >> shifts & np.uint64(0xFFFF)).astype(np.int32)
