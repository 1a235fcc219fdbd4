"""The atlas: which tiles most often stand at each cell of the game's maps.

The world is a fixed set of maps made of cells of 16x16 pixels, and while the
player stands still the 9x10 blocks of a screen are cells: block `(r, c)` shows
cell `(y + r - 4, x + c - 4)` of the player's map. Beyond a map's edge its own
coordinates go on: the border or a neighbour shows there. Like the tile
dictionary the atlas is data, counted once over training rows
(`atlas_counts.py`) and carried by the parameters.

Cells lie in pages of 8x8; a table says which page is where, so that a world of
maps of all sizes takes little room, and one that grows gets further pages
while every cell keeps its number. Look-ups work on numpy and on jax arrays.
"""

from collections.abc import Mapping
import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import packing
from pokedreamer_jax.world_model import atlas_texts
from pokedreamer_jax.world_model import tokens

PAGE = 8  # cells along each side of a page
PAGE_CELLS = PAGE * PAGE
ROWS, COLUMNS = 9, 10  # blocks of a screen
PLAYER = (4, 4)  # row and column of the player's block
# What is seen from a place, and one cell more on every side: blocks are
# shifted by up to a cell while the screen scrolls.
WINDOW_ROWS, WINDOW_COLUMNS = ROWS + 2, COLUMNS + 2
# Cells before the first one of a map that have a number: a whole page.
MARGIN = PAGE
# The player's own cell, its four neighbours, and two cells straight ahead.
NUM_AROUND = 7
# Rows down and columns right of a walk in each direction.
STEPS = {"down": (1, 0), "left": (0, -1), "right": (0, 1), "up": (-1, 0)}


Array = Any  # of numpy or of jax: what comes in goes out


@flax.struct.dataclass
class Atlas:
  """Pages of cells; cell 0 stands for every place that is not known."""

  pages: Array  # [maps, page rows, page columns] int32, 0 where none is
  tiles: Array  # [C, 4] int32, dictionary numbers; the escape if unknown
  # What a tile looks like at each phase of the clocks (`atlas_clocks.py`).
  looks: Array = None  # [V + 1, P] int32; None where only cells are asked for
  # What the message box shows with each text (`atlas_texts.py`); None without.
  texts: Array = None  # [B] int32, keys of boxes, ascending
  boxes: Array = None  # [B, 120] uint16, dictionary numbers; escapes if unknown
  wholes: Array = None  # [65536] uint16, texts that texts are the beginning of
  letters: Array = None  # [65536] uint8, how far they are printed


@flax.struct.dataclass
class Place:
  """Where the player is; `map` is -1 where no token says it."""

  map: Array  # [...] int32
  y: Array  # [...] int32
  x: Array  # [...] int32


def empty(cfg: world_model_config.WorldModelConfig) -> Atlas:
  """An atlas of `cfg.atlas_cells` cells in which nothing is known."""
  sizes = cfg.token_sizes
  phases = math.prod(
    phases for name, (phases, _) in tokens.CLOCKS.items() if name in sizes
  )
  each = jnp.arange(cfg.tile_vocab + 1, dtype=jnp.int32)
  pages = [_num_pages(sizes[name]) for name in ("y", "x")]
  return Atlas(
    pages=jnp.zeros((sizes["map"], *pages), jnp.int32),
    tiles=jnp.full(
      (cfg.atlas_cells, packing.TILES_PER_BLOCK), cfg.tile_vocab, jnp.int32
    ),
    looks=jnp.tile(each[:, None], (1, phases)),
    **atlas_texts.empty(cfg),
  )


def place(sizes: Mapping[str, int], hot: jax.Array) -> Place:
  """The place that one-hot tokens `[..., R]` name."""
  parts = tokens.slices(sizes)
  number = {
    name: jnp.argmax(hot[..., parts[name]], axis=-1).astype(jnp.int32)
    for name in ("map", "y", "x")
  }
  known = jnp.sum(hot[..., parts["map"]], axis=-1) > 0.5
  return Place(
    map=jnp.where(known, number["map"], -1), y=number["y"], x=number["x"]
  )


def window(atlas: Atlas, where: Place) -> Array:
  """Cells `[..., 11, 12]` in sight of places `[...]`, and one ring more.

  `[..., 1:10, 1:11]` are those of the screen's 9x10 blocks.
  """
  lead = (1,) * where.y.ndim
  row = np.arange(WINDOW_ROWS).reshape(*lead, WINDOW_ROWS, 1)
  column = np.arange(WINDOW_COLUMNS).reshape(*lead, 1, WINDOW_COLUMNS)
  return cells(
    atlas,
    where.map[..., None, None],
    where.y[..., None, None] + (row - PLAYER[0] - 1),
    where.x[..., None, None] + (column - PLAYER[1] - 1),
  )


def screen(atlas: Atlas, where: Place) -> Array:
  """The screen `[..., 360]` that the atlas predicts, in block order."""
  seen = window(atlas, where)[..., 1:-1, 1:-1]
  return atlas.tiles[seen].reshape(*where.map.shape, packing.NUM_TILES)


def around(atlas: Atlas, where: Place, ahead: Array) -> Array:
  """Cells `[..., 7]`: own, below, left, right, above, and two ahead.

  Args:
    atlas: the cells.
    where: places `[...]`.
    ahead: `[..., 2]`, rows and columns of one step ahead; zeros where none is.
  """
  near = np.array([(0, 0), *STEPS.values()], np.int32)
  near = np.broadcast_to(near, (*where.y.shape, *near.shape))
  one = ahead[..., None, :]
  steps = _like(atlas).concatenate([near, one, 2 * one], axis=-2)
  return cells(
    atlas,
    where.map[..., None],
    where.y[..., None] + steps[..., 0],
    where.x[..., None] + steps[..., 1],
  )


def step_ahead(
  sizes: Mapping[str, int], hot: jax.Array, action: jax.Array
) -> jax.Array:
  """One step ahead, `[..., 2]` int32: that of the action, else of the facing.

  Args:
    sizes: token sizes; `facing` may be missing.
    hot: tokens `[..., R]`, one-hot.
    action: `[..., A]`, one-hot, or zeros where there is none.
  """
  taken = np.array([STEPS.get(name, (0, 0)) for name in specs.ACTIONS])
  walks = np.array([name in STEPS for name in specs.ACTIONS])
  step = action @ taken.astype(np.float32)
  facing = tokens.slices(sizes).get("facing")
  if facing is not None:
    looks = np.zeros((sizes["facing"], 2), np.float32)
    for number, name in enumerate(specs.FACINGS[: sizes["facing"]]):
      looks[number] = STEPS[name]
    walking = action @ walks.astype(np.float32)
    step += (1.0 - walking)[..., None] * (hot[..., facing] @ looks)
  return jnp.round(step).astype(jnp.int32)


def cells(atlas: Atlas, map_id: Array, y: Array, x: Array) -> Array:
  """Numbers of cells, broadcast together; 0 where no page is."""
  xp = _like(atlas)
  maps, page_rows, page_columns = atlas.pages.shape
  row, column = y + MARGIN, x + MARGIN
  inside = (map_id >= 0) & (map_id < maps)
  inside = inside & (row >= 0) & (row < page_rows * PAGE)
  inside = inside & (column >= 0) & (column < page_columns * PAGE)
  page = atlas.pages[
    xp.clip(map_id, 0, maps - 1),
    xp.clip(row // PAGE, 0, page_rows - 1),
    xp.clip(column // PAGE, 0, page_columns - 1),
  ]
  number = page * PAGE_CELLS + row % PAGE * PAGE + column % PAGE
  return xp.where(inside & (page > 0), number, 0)


def hidden(key: jax.Array, share: float, cells: jax.Array) -> jax.Array:
  """`cells` `[...]`, a random share of them as if nothing were known there.

  What is counted over the training rows is right in all of them, so that
  without this nothing but copying is learned, and a place never seen before
  looks like none that was trained on.
  """
  return jnp.where(jax.random.bernoulli(key, share, cells.shape), 0, cells)


def known_cells(atlas: Atlas, vocab: int) -> np.ndarray:
  """Whether each cell `[C]` holds tiles of a dictionary of `vocab`."""
  return np.any(np.asarray(atlas.tiles) < vocab, axis=-1)


def leaves(atlas: Atlas) -> dict[str, Array]:
  """The arrays that the parameters carry, without those that it lacks."""
  return {name: a for name, a in vars(atlas).items() if a is not None}


def _num_pages(size: int) -> int:
  """Pages along an axis whose positions are 0 .. `size - 1`."""
  last = size - 1 + WINDOW_COLUMNS - 1 - (PLAYER[1] + 1)
  return (last + MARGIN) // PAGE + 1


def _like(atlas: Atlas) -> Any:
  """The module whose arrays the atlas is made of."""
  return np if isinstance(atlas.pages, np.ndarray) else jnp
