"""What the message box shows with each text: the atlas' other pages.

A text is known by its number in memory (tokens `text` and `text2`), and what
stands in the box is the same whenever it is shown, but for digits, for an arrow
that blinks, and for the cursor of a menu (token `menu_item`). So the box of
every text, with the cursor at every entry, is counted over the training rows
like the cells of a map, its most frequent blocks are kept, and the decoder
copies them: how a wording looks need not be learned, and one seen once is
known. Unlike views of a map every row counts: a box is shown in one way mostly,
and in others seldom.

The box takes the lower six rows of tiles. Counting is numpy on the host; what a
state shows is looked up inside `jit`.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles as tiles_lib
from pokedreamer_jax.world_model import tokens
from pokedreamer_jax.world_model import votes as votes_lib

_BLOCKS = 30  # the last ones of a screen
TILES = _BLOCKS * packing.TILES_PER_BLOCK
# Of pixels, the first that belongs to the box.
FIRST_LINE = (9 - _BLOCKS // 10) * 16


# Tokens that tell boxes apart, as far as the state has them, and what they are
# read from.
TOLD_BY = (*tokens.HASHED, "menu_item")
FIELDS = ("text", "menu_item", "menu_open")


def empty(cfg: world_model_config.WorldModelConfig) -> dict[str, jax.Array]:
  """No text is known: `texts` and `boxes` of an atlas; {} if it holds none."""
  if not cfg.atlas_boxes:
    return {}
  shape = [cfg.token_sizes.get(name, 1) for name in TOLD_BY]
  return {
    "texts": jnp.zeros(shape, jnp.uint16),
    # The first one is that of no text.
    "boxes": jnp.full((cfg.atlas_boxes + 1, TILES), cfg.tile_vocab, jnp.uint16),
  }


def number(
  sizes: Mapping[str, int], rows: Mapping[str, np.ndarray]
) -> np.ndarray:
  """One number `[N]` int64 of each row's box, as tokens tell boxes apart.

  Args:
    sizes: token sizes.
    rows: `FIELDS` `[N]`; where no text is, the number stands for nothing.
  """
  found = np.zeros(len(rows["text"]), np.int64)
  for name in TOLD_BY:
    if name in sizes:
      one = np.asarray(tokens.read({name: sizes[name]}, rows))[:, 0]
      found = found * sizes[name] + one
  return found


def blocks(
  table: tiles_lib.TileTable,
  frame: np.ndarray,
  text: np.ndarray,
  rows: np.ndarray,
) -> votes_lib.Counted:
  """Votes of the boxes in frames: places, codes and votes `[N * 30]`.

  Args:
    table: the dictionary.
    frame: `[N, 144, 40]` uint8.
    text: `[N]`, of `number`.
    rows: `[N]`, how many rows show each.
  """
  shown = tiles_lib.encode_numpy(table, frame)[:, -TILES:]
  code = votes_lib.codes(shown.reshape(-1, packing.TILES_PER_BLOCK))
  place = text[:, None] * _BLOCKS + np.arange(_BLOCKS)
  return place.reshape(-1), code, np.repeat(rows, _BLOCKS)


def extend(atlas: Any, counted: votes_lib.Counted) -> Any:
  """The atlas with the texts that were counted; known ones keep their number.

  Where there is no room for all, those with the most votes get it.

  Args:
    atlas: `atlas.Atlas` that holds texts.
    counted: all votes.
  """
  texts = np.array(atlas.texts, np.int64)
  boxes = np.array(atlas.boxes)
  winner = votes_lib.winners(counted)
  text, block = np.divmod(counted[0][winner], _BLOCKS)
  wanted, at = np.unique(text, return_inverse=True)
  votes = np.bincount(at, counted[2][winner], minlength=len(wanted))
  flat = texts.reshape(-1)
  new = np.flatnonzero(flat[wanted] == 0)
  first = int(flat.max()) + 1
  room = len(boxes) - first
  best = np.sort(new[np.argsort(-votes[new], kind="stable")[:room]])
  flat[wanted[best]] = np.arange(first, first + len(best))
  box = flat[text]
  parts = boxes.reshape(len(boxes), _BLOCKS, packing.TILES_PER_BLOCK)
  shown = votes_lib.from_codes(counted[1][winner])
  parts[box[box > 0], block[box > 0]] = shown[box > 0]
  return dataclasses.replace(
    atlas, texts=jnp.asarray(texts, jnp.uint16), boxes=jnp.asarray(boxes)
  )


def box(atlas: Any, sizes: Mapping[str, int], hot: jax.Array) -> jax.Array:
  """Numbers `[...]` of the boxes of tokens `[..., R]`; 0: not known."""
  places = tokens.slices(sizes)
  at = [
    jnp.argmax(hot[..., places[name]], axis=-1)
    if name in sizes
    else jnp.zeros(hot.shape[:-1], jnp.int32)
    for name in TOLD_BY
  ]
  return atlas.texts[*at].astype(jnp.int32)


def screen(atlas: Any, boxes: jax.Array, vocab: int) -> jax.Array:
  """Tiles `[..., 360]` int32 of screens that show boxes `[...]`, block order.

  The escape `vocab` stands for what is no part of the box, and not known.
  """
  shown = atlas.boxes[boxes].astype(jnp.int32)
  above = [(0, 0)] * boxes.ndim + [(packing.NUM_TILES - TILES, 0)]
  return jnp.pad(shown, above, constant_values=vocab)
