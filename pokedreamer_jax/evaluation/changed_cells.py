"""Cells that change: blocks that are not what the atlas holds at their cell.

People who come and go, doors that open, items that are taken, moving water: an
atlas is wrong there by construction, and a model has to know better. Numpy
alone. `N` overworld rows, 90 blocks of 16x16 pixels each.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pokedreamer_jax.evaluation import modes
from pokedreamer_jax.evaluation import tables
from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib

_ROWS, _COLUMNS = atlas_lib.ROWS, atlas_lib.COLUMNS
_CHUNK = 1024  # frames whose blocks are in memory at a time
KINDS = ("changed", "changed_now", "agrees", "unknown", "player")


def measure(
  table: tiles.TileTable,
  atlas: atlas_lib.Atlas,
  windows: Mapping[str, np.ndarray],
  context: int,
  ahead: np.ndarray,
  groups: np.ndarray,
  resamples: int,
) -> dict[str, Any]:
  """How often blocks are right where the world differs from the atlas.

  Rows in which fewer than half of the known blocks are what the atlas holds are
  amid a step or a fade: there nothing says which cell a block shows, and they
  are reported apart.

  Args:
    table: the tile dictionary.
    atlas: the cells.
    windows: held-out windows `[W, context + H, ...]`.
    context: rows before the first one that counts.
    ahead: `[W, H, 144, 40]`, each row imagined one step ahead.
    groups: `[W]`, the episode of each window.
    resamples: bootstrap draws.

  Returns:
    JSON-ready: `rows` in the overworld, `off_grid_rows`; `share` of changed
    blocks among those whose cell is known; for each of `KINDS` the number of
    `blocks` and the share of them right in every pixel `ahead`, in the frame
    before at the same place of the screen (`previous`), and there at the same
    cell, where it was in sight (`previous_cell`); `off_grid` the same of all
    blocks of those rows. The player's own block and the one above it count as
    `player` alone. `changed_now` are the changed ones that were in sight in the
    frame before, and looked otherwise.
  """
  mode = modes.modes_of(windows)
  at = np.nonzero(mode[:, context:] == modes.MODES.index("overworld"))
  now = (at[0], at[1] + context)
  found: dict[str, list[np.ndarray]] = {}
  for start in range(0, len(at[0]), _CHUNK):
    some = slice(start, start + _CHUNK)
    part = _blocks(
      *(table, atlas, windows, (now[0][some], now[1][some])),
      ahead[at[0][some], at[1][some]],
    )
    for name, value in part.items():
      found.setdefault(name, []).append(value)
  if not found:
    return {"rows": 0, "off_grid_rows": 0}
  whole = {name: np.concatenate(parts) for name, parts in found.items()}
  on_grid = whole.pop("on_grid")
  of = groups[at[0]]
  right = ("ahead", "previous", "previous_cell")

  def part_of(mask: np.ndarray) -> dict[str, Any]:
    return {
      "blocks": int(mask.sum()),
      **{
        name: tables.interval(whole[name], of, resamples, mask)
        for name in right
      },
    }

  still = np.broadcast_to(on_grid[:, None], whole["known"].shape)
  background = still & ~_is_player()[None]
  known, same = whole["known"], whole["same"]
  changed = background & known & ~same
  masks = {
    "changed": changed,
    "changed_now": changed & (whole["previous_cell"] == 0),
    "agrees": background & known & same,
    "unknown": background & ~known,
    "player": still & _is_player()[None],
  }
  return {
    "rows": len(of),
    "off_grid_rows": int((~on_grid).sum()),
    "share": tables.interval(
      changed.astype(float), of, resamples, background & known
    ),
    **{kind: part_of(masks[kind]) for kind in KINDS},
    "off_grid": part_of(~still),
  }


def _is_player() -> np.ndarray:
  """The player's block and the one above, `[90]` bool."""
  row, column = np.divmod(np.arange(packing.NUM_BLOCKS), _COLUMNS)
  above = row - atlas_lib.PLAYER[0]
  return (column == atlas_lib.PLAYER[1]) & ((above == 0) | (above == -1))


def _blocks(table, atlas, windows, now, ahead) -> dict[str, np.ndarray]:
  """What there is to say of each block `[N, 90]` of rows, and of rows `[N]`."""
  before = (now[0], now[1] - 1)
  truth, last = windows["frame"][now], windows["frame"][before]
  place = atlas_lib.Place(
    *(windows[name][now].astype(np.int64) for name in ("map_id", "y", "x"))
  )
  pages, held_tiles = np.asarray(atlas.pages), np.asarray(atlas.tiles)
  memory = atlas.replace(pages=pages, tiles=held_tiles)
  shape = (-1, packing.NUM_BLOCKS, packing.TILES_PER_BLOCK)
  held = atlas_lib.screen(memory, place).reshape(shape)
  shown = tiles.encode_numpy(table, truth).reshape(shape)
  known = (held < table.vocab).all(axis=-1)
  same = (held == shown).all(axis=-1)
  told = known & ~_is_player()[None]
  on_grid = 2 * (told & same).sum(axis=-1) >= told.sum(axis=-1)
  pieces = _pieces(truth)
  return {
    "known": known,
    "same": same,
    "on_grid": on_grid,
    "ahead": _equal(_pieces(ahead), pieces),
    "previous": _equal(_pieces(last), pieces),
    "previous_cell": _at_cells(windows, now, before, pieces, _pieces(last)),
  }


def _pieces(frame: np.ndarray) -> np.ndarray:
  """The bytes `[N, 90, 64]` of each block of packed frames `[N, 144, 40]`."""
  parts = frame.reshape(-1, _ROWS, 16, _COLUMNS, 4).transpose(0, 1, 3, 2, 4)
  return parts.reshape(-1, packing.NUM_BLOCKS, 64)


def _equal(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  return (one == other).all(axis=-1).astype(np.float64)


def _at_cells(windows, now, before, pieces, last) -> np.ndarray:
  """Whether each cell looked the same before; NaN where it was out of sight."""
  row, column = np.divmod(np.arange(packing.NUM_BLOCKS), _COLUMNS)
  moved = {
    name: windows[name][now].astype(np.int64) - windows[name][before]
    for name in ("map_id", "y", "x")
  }
  row = row + moved["y"][:, None]
  column = column + moved["x"][:, None]
  inside = (row >= 0) & (row < _ROWS) & (column >= 0) & (column < _COLUMNS)
  inside &= (moved["map_id"] == 0)[:, None]
  index = np.where(inside, row * _COLUMNS + column, 0)
  there = np.take_along_axis(last, index[..., None], axis=1)
  return np.where(inside, _equal(there, pieces), np.nan)
