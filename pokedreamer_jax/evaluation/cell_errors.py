"""Where in the game's maps dreamed frames are wrong; numpy only.

While the player stands still, the 9x10 blocks of a screen are cells of its
map: block `(r, c)` shows cell `(y + r - 4, x + c - 4)`, as
`world_model/atlas.py` counts them. Beyond a map's edge its own coordinates go
on.
"""

from collections.abc import Mapping
import dataclasses

import numpy as np

from pokedreamer_jax.evaluation import modes
from pokedreamer_jax.evaluation import scores
from pokedreamer_jax.world_model import atlas

BLOCK_PIXELS = 16 * 16
# A frame with a greater share of wrong pixels is wrong as a whole: it shows a
# battle, or a box of text.
MOST_WRONG = 0.2
_SIDE = 1 << 10  # rows or columns that have a place in a key
_BEFORE = 16  # of them, before a map's first one


@dataclasses.dataclass(frozen=True)
class CellErrors:
  """What was wrong where; one entry a cell that was looked at, sorted."""

  place: np.ndarray  # [N, 3] int64: map, y, x
  wrong: np.ndarray  # [N] int64, wrong pixels in all rows
  rows: np.ndarray  # [N] int64, rows in which it was in sight
  rows_read: int  # rows of frames that were looked at

  @property
  def share(self) -> np.ndarray:
    """Share of wrong pixels `[N]`."""
    return self.wrong / (BLOCK_PIXELS * self.rows)

  def worst(self, count: int, least_rows: int = 1) -> np.ndarray:
    """Indices of the cells with the greatest share, the worst first.

    Of equals the one seen in more rows comes first.

    Args:
      count: how many at most.
      least_rows: cells in sight of fewer rows are passed over.
    """
    order = np.lexsort((-self.rows, -self.share))
    return order[self.rows[order] >= least_rows][:count]


def walking(rows: Mapping[str, np.ndarray]) -> np.ndarray:
  """Rows `[...]` bool whose screens show cells: one can walk in them."""
  overworld = modes.modes_of(rows) == modes.MODES.index("overworld")
  return np.asarray(overworld & rows["has_control"].astype(bool))


def right_at_large(
  frame: np.ndarray,
  truth: np.ndarray,
  dreamed: np.ndarray,
  place: np.ndarray,
) -> np.ndarray:
  """Rows `[...]` bool of the right place that are not wrong as a whole.

  Args:
    frame: packed frames `[..., 144, 40]`.
    truth: the same rows as recorded.
    dreamed: places `[..., 3]` that the tokens name.
    place: places as recorded.
  """
  there = (dreamed == place).all(axis=-1)
  return there & (scores.pixel_accuracy(frame, truth) >= 1.0 - MOST_WRONG)


def per_cell(
  frame: np.ndarray, truth: np.ndarray, place: np.ndarray, at: np.ndarray
) -> CellErrors:
  """Wrong pixels of each cell in sight, over some rows.

  Args:
    frame: packed frames `[..., 144, 40]`.
    truth: the same rows as recorded.
    place: where the player stands, `[..., 3]` (map, y, x).
    at: `[...]` bool, the rows to look at.
  """
  wrong = block_errors(frame[at], truth[at])
  map_id, y, x = np.moveaxis(place[at].astype(np.int64), -1, 0)
  row = np.arange(atlas.ROWS)[:, None] - atlas.PLAYER[0] + _BEFORE
  column = np.arange(atlas.COLUMNS) - atlas.PLAYER[1] + _BEFORE
  cell = map_id[:, None, None] * _SIDE + y[:, None, None] + row
  cell = cell * _SIDE + x[:, None, None] + column
  found, number = np.unique(cell, return_inverse=True)
  number = number.reshape(-1)
  rest, x = np.divmod(found, _SIDE)
  map_id, y = np.divmod(rest, _SIDE)
  total = np.bincount(number, wrong.reshape(-1), minlength=len(found))
  return CellErrors(
    place=np.stack([map_id, y - _BEFORE, x - _BEFORE], axis=-1),
    wrong=total.astype(np.int64),
    rows=np.bincount(number, minlength=len(found)),
    rows_read=int(at.sum()),
  )


def block_errors(frame: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Wrong pixels `[..., 9, 10]` of the blocks of frames `[..., 144, 40]`."""
  count = scores.wrong_pixels(frame, truth)
  parts = count.reshape(*frame.shape[:-2], atlas.ROWS, 16, atlas.COLUMNS, 4)
  return np.asarray(parts.sum(axis=(-3, -1), dtype=np.int64))
