"""Counting an atlas over a stream of training rows; numpy on the host.

Of every row in which one can walk by full light, each block of the screen but
the player's own and the one above it (hair) is a vote for what stands at its
cell; the most frequent block of four tiles wins. A view that was seen before
does not vote again. Most rows stand on the grid, and a majority does not mind
the others.

Where the atlas holds texts, every lit row that shows one votes for the blocks
of the message box (`text_counts.py`).

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
from pokedreamer_jax.world_model import atlas_texts
from pokedreamer_jax.world_model import text_counts
from pokedreamer_jax.world_model import votes as votes_lib

# The step fields that are read of views,
_OF_VIEWS = (
  *("frame", "map_id", "y", "x", "has_control", "in_battle"),
  *("dialog_open", "menu_open", "game_running"),
  *("tile_wait", "tile_phase", "figure_wait", "figure_phase", "shade"),
)
# and with those of texts.
FIELDS = (*_OF_VIEWS, "text", "menu_item", "is_first")
_PIECE_ROWS = 2048
_SIDE = 1 << 9  # rows or columns of a map that have a place in a key


@dataclasses.dataclass(frozen=True)
class Counts:
  """How often which block was seen where; sorted by place and block."""

  place: np.ndarray  # [N] int64, a map's cell
  block: np.ndarray  # [N] uint64, four tiles of 16 bits
  votes: np.ndarray  # [N] int64
  rows: int = 0  # rows read
  views: int = 0  # different views that voted for cells
  texts: text_counts.TextCounts | None = None  # None where nobody asked


class Counter:
  """Counts the rows it is given, in order."""

  def __init__(
    self,
    cfg: world_model_config.WorldModelConfig,
    table: tiles.TileTable,
    max_votes: int = votes_lib.MOST,
  ):
    """Begins with nothing.

    Args:
      cfg: gives token sizes, and says whether texts are counted.
      table: the dictionary of `cfg.tile_vocab` tiles.
      max_votes: different (cell, block) that are kept, of texts as many.
    """
    self._sizes = cfg.token_sizes
    self._table = table
    self._seen = np.zeros(1 << (votes_lib.VIEW_BITS - 3), np.uint8)
    self._waiting: list[dict[str, np.ndarray]] = []
    self._num_waiting = 0
    self._cells = votes_lib.Votes(max_votes)
    self._texts: text_counts.TextCounter | None = None
    if cfg.num_boxes:
      self._texts = text_counts.TextCounter(cfg.token_sizes, table, max_votes)
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
    texts = None if self._texts is None else self._texts.counts()
    return Counts(*self._cells.settle(), self._rows, self._views, texts)

  def _count(self) -> None:
    rows = {
      name: np.concatenate([part[name] for part in self._waiting])
      for name in FIELDS
    }
    self._rows += self._num_waiting
    self._waiting, self._num_waiting = [], 0
    if self._texts is not None:
      self._texts.add(rows)
    rows = _at(rows, np.flatnonzero(_walking(rows, self._sizes)))
    rows = _at(rows, _new(self._seen, _view_bits(rows)))
    self._views += len(rows["frame"])
    self._cells.add(*_blocks(self._table, rows))


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
  seen = np.zeros(1 << (votes_lib.VIEW_BITS - 3), np.uint8)
  for rows in stream:
    kept = {name: np.asarray(rows[name]) for name in _OF_VIEWS}
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
  winner = votes_lib.winners((counts.place, counts.block, counts.votes))
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
  numbers = votes_lib.from_codes(counts.block[winner])
  held[cell[cell > 0]] = numbers[cell > 0]
  made = dataclasses.replace(
    atlas, pages=jnp.asarray(pages), tiles=jnp.asarray(held)
  )
  if counts.texts is not None:
    made = atlas_texts.extend(made, counts.texts)
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

  Of texts nothing is counted: rows that are few would decide about all.

  Args:
    cfg: sizes.
    table: the dictionary; a tile that it lacks stays the escape.
    atlas: what is known; other cells and all boxes keep what they hold.
    stream: rows `[N, ...]` with at least `FIELDS`.
    once: of each place take the first row alone in which one can walk there.
  """
  counter = Counter(dataclasses.replace(cfg, atlas_boxes=0), table)
  been = np.zeros(0, np.int64)
  for rows in stream:
    part = {name: np.asarray(rows[name]) for name in FIELDS}
    if once:
      part = _at(part, np.flatnonzero(_walking(part, cfg.token_sizes)))
      place = _place(part)
      found, first = np.unique(place, return_index=True)
      new = ~np.isin(found, been)
      part = _at(part, np.sort(first[new]))
      been = np.concatenate([been, found[new]])
    counter.add(part)
  counts = counter.counts()
  grown, no_room = extend(atlas, counts)
  winner = votes_lib.winners((counts.place, counts.block, counts.votes))
  numbers = votes_lib.from_codes(counts.block[winner])
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
  lines = rows["frame"].reshape(-1, specs.FRAME_HEIGHT * specs.PACKED_WIDTH)
  return votes_lib.view_bits(np.ascontiguousarray(lines), _place(rows))


def _place(rows) -> np.ndarray:
  return _key(rows["map_id"], rows["y"], rows["x"])


def _blocks(table, rows) -> tuple[np.ndarray, np.ndarray]:
  """Places and codes of all blocks that vote."""
  shown = tiles.encode_numpy(table, rows["frame"])
  shown = shown.reshape(-1, packing.NUM_BLOCKS, packing.TILES_PER_BLOCK)
  code = votes_lib.codes(shown)
  row, column = np.divmod(np.arange(packing.NUM_BLOCKS), atlas_lib.COLUMNS)
  row, column = row - atlas_lib.PLAYER[0], column - atlas_lib.PLAYER[1]
  free = _voting_blocks()
  place = _key(
    rows["map_id"][:, None],
    rows["y"][:, None] + row[free],
    rows["x"][:, None] + column[free],
  )
  return place.reshape(-1), code[:, free].reshape(-1)


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
