"""What a model is shown of its map memory: cells in sight, and cells around.

The decoder reads the window of the place that the tokens say, as it looks at
the moment that clocks, scroll and shade say; the recurrent step reads the cells
around that place. Shape letters: `R` concatenated one-hot tokens.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_clocks
from pokedreamer_jax.world_model import atlas_texts
from pokedreamer_jax.world_model import atlas_view

# Cells of the atlas `[...]` -> the same, some of them unknown.
HideFn = Callable[[jax.Array], jax.Array]


def all_seen(cells: jax.Array) -> jax.Array:
  """Hides nothing."""
  return cells


def shown(
  cfg: world_model_config.WorldModelConfig,
  table: tiles.TileTable | None,
  atlas: atlas_lib.Atlas | None,
  hot: jax.Array,
  hide: HideFn = all_seen,
) -> tuple[jax.Array, ...]:
  """What the decoder reads of the atlas; nothing without one.

  Args:
    cfg: sizes.
    table: the dictionary.
    atlas: the map memory.
    hot: tokens, one-hot `[..., R]`.
    hide: replaces cells and boxes by the one of which nothing is known.

  Returns:
    Cells in sight `[..., 11, 12]`, their tiles as the clocks show them
    `[..., 11, 12, 4]`, the screen `[..., 360]` that they make, and where boxes
    are copied the same with the message box of the text alone.
  """
  if atlas is None:
    return ()
  assert table is not None  # of whose tiles the atlas is
  sizes = cfg.token_sizes
  cells, boxes = _in_sight(cfg, atlas, hot, hide)
  phase = atlas_clocks.phase(sizes, hot)[..., None, None, None]
  looks = atlas.looks[atlas.tiles[cells], phase]
  light = atlas_view.shade(sizes, hot) if "shade" in sizes else None
  screen = atlas_view.screen(table, looks, atlas_view.shift(sizes, hot), light)
  if boxes is None:
    return cells, looks, screen
  return cells, looks, screen, atlas_texts.screen(atlas, boxes, cfg.tile_vocab)


def around(
  cfg: world_model_config.WorldModelConfig,
  atlas: atlas_lib.Atlas | None,
  hot: jax.Array,
  action: jax.Array,
  hide: HideFn = all_seen,
) -> tuple[jax.Array, ...]:
  """Cells `[..., 7]` around a place and their tiles `[..., 7, 4]`; or nothing.

  Args:
    cfg: sizes.
    atlas: the map memory.
    hot: tokens, one-hot `[..., R]`.
    action: one-hot `[..., A]`.
    hide: makes some cells unknown.
  """
  if atlas is None or not cfg.reads_around:
    return ()
  place = atlas_lib.place(cfg.token_sizes, hot)
  ahead = atlas_lib.step_ahead(cfg.token_sizes, hot, action)
  cells = hide(atlas_lib.around(atlas, place, ahead))
  return cells, atlas.tiles[cells]


def _in_sight(cfg, atlas, hot, hide) -> tuple[jax.Array, jax.Array | None]:
  """Cells `[..., 11, 12]` and boxes `[...]` of tokens, some of them hidden.

  None in place of boxes where none is copied. Hidden as one array, so that who
  hides draws once for all of it.
  """
  cells = atlas_lib.window(atlas, atlas_lib.place(cfg.token_sizes, hot))
  if not cfg.copies_boxes:
    return hide(cells), None
  boxes = atlas_texts.box(atlas, cfg.token_sizes, hot)
  flat = cells.reshape(*boxes.shape, -1)
  flat = hide(jnp.concatenate([flat, boxes[..., None]], axis=-1))
  return flat[..., :-1].reshape(cells.shape), flat[..., -1]
