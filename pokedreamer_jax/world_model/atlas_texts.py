"""What the message box shows with each text: the atlas' other pages.

A text is known by its number in memory (tokens `text` and `text2`), and what
stands in the box is the same whenever it is shown, but for digits, for an arrow
that blinks, and for the cursor of a menu (token `menu_item`). So the box of
every text, with the cursor at every entry, is counted over the training rows
like the cells of a map (`text_counts.py`), its most frequent blocks are kept,
and the decoder copies them: how a wording looks need not be learned, and one
seen once is known. Unlike views of a map every row counts: a box is shown in
one way mostly, and in others seldom.

Letters appear one by one, and what is there so far has a number of its own in
memory. With the token `letters` such a beginning has the number of the whole
text, and the token says how far it is printed, 0: to its end. Which text is the
beginning of which was counted as well; of several that begin alike it is the
most frequent one. What was once taken for something stays that. Of two that are
beginnings of one text and as long, the box is that of the more frequent one.

The box takes the lower six rows of tiles.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import packing
from pokedreamer_jax.world_model import text_counts
from pokedreamer_jax.world_model import tokens

_NUMBERS = 1 << 16  # of texts in memory
_NONE = np.iinfo(np.int32).max  # no box
_UNKNOWN = text_counts.UNKNOWN


def empty(cfg: world_model_config.WorldModelConfig) -> dict[str, jax.Array]:
  """No text is known: these leaves of an atlas; {} if it holds no boxes."""
  if not cfg.num_boxes:
    return {}
  shape = (cfg.num_boxes, text_counts.TILES)
  made = {
    "texts": jnp.full(shape[:1], _NONE, jnp.int32),
    "boxes": jnp.full(shape, cfg.tile_vocab, jnp.uint16),
  }
  if "letters" in cfg.token_sizes:
    made |= {
      "wholes": jnp.zeros((_NUMBERS,), jnp.uint16),
      "letters": jnp.zeros((_NUMBERS,), jnp.uint8),
    }
  return made


def told(atlas: Any, ram: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
  """RAM fields `[...]` as tokens are read from: whole texts, and `letters`.

  Args:
    atlas: `atlas.Atlas`; without one that knows beginnings texts are what they
      are in memory, and all of them whole.
    ram: fields `[...]`, `text` among them.
  """
  text = jnp.asarray(ram["text"], jnp.int32)
  if atlas is None or atlas.wholes is None:
    return {**ram, "letters": jnp.zeros_like(text)}
  whole = jnp.asarray(atlas.wholes)[text].astype(jnp.int32)
  return {
    **ram,
    "text": jnp.where(whole > 0, whole, text),
    "letters": jnp.asarray(atlas.letters)[text].astype(jnp.int32),
  }


def extend(atlas: Any, counts: text_counts.TextCounts) -> Any:
  """The atlas with the texts that were counted; known ones keep their meaning.

  Where there is no room for all boxes, those with the most rows get it. Boxes
  that were not counted hold what they held.

  Args:
    atlas: `atlas.Atlas` that holds texts.
    counts: of all rows that shall speak.
  """
  if atlas.wholes is not None:
    wholes, letters = np.array(atlas.wholes), np.array(atlas.letters)
    before = np.flatnonzero(wholes)
    earlier = dict(zip(before.tolist(), wholes[before].tolist(), strict=True))
    found = text_counts.read(counts, earlier)
    new = wholes[found.number] == 0
    number = found.number[new]
    wholes[number] = found.whole[new]
    most = counts.sizes["letters"] - 1
    letters[number] = np.minimum(found.letters[new], most)
    atlas = dataclasses.replace(
      atlas, wholes=jnp.asarray(wholes), letters=jnp.asarray(letters)
    )
  key, rows, shown = _counted(atlas, counts)
  held, boxes = np.asarray(atlas.texts), np.asarray(atlas.boxes)
  size, taken = len(held), held != _NONE
  held, boxes = held[taken], boxes[taken]
  again = np.isin(key, held)
  place = np.searchsorted(held, key[again])
  told_now = shown[again].reshape(-1, text_counts.TILES)
  boxes[place] = np.where(told_now == _UNKNOWN, boxes[place], told_now)
  room = size - len(held)
  fresh = np.flatnonzero(~again)
  fresh = fresh[np.argsort(-rows[fresh], kind="stable")[:room]]
  held = np.concatenate([held, key[fresh]])
  boxes = np.concatenate([boxes, shown[fresh].reshape(-1, text_counts.TILES)])
  order = np.argsort(held)
  texts = np.full(size, _NONE, np.int32)
  texts[: len(held)] = held[order]
  tiles = np.full((size, text_counts.TILES), _UNKNOWN, np.uint16)
  tiles[: len(held)] = boxes[order]
  return dataclasses.replace(
    atlas, texts=jnp.asarray(texts), boxes=jnp.asarray(tiles)
  )


def known(atlas: Any) -> int:
  """How many boxes an atlas knows."""
  return int((np.asarray(atlas.texts) != _NONE).sum())


def no_room(atlas: Any, counts: text_counts.TextCounts) -> int:
  """How many of the boxes that were counted an atlas does not hold."""
  key, _, _ = _counted(atlas, counts)
  return int((~np.isin(key, np.asarray(atlas.texts))).sum())


def box(atlas: Any, sizes: Mapping[str, int], hot: jax.Array) -> jax.Array:
  """Numbers `[...]` of the boxes of tokens `[..., R]`; 0: not known."""
  places = tokens.slices(sizes)
  key = jnp.zeros(hot.shape[:-1], jnp.int32)
  for name in world_model_config.BOX_TOKENS:
    if name in sizes:
      number = jnp.argmax(hot[..., places[name]], axis=-1).astype(jnp.int32)
      key = key * sizes[name] + number
  at = jnp.searchsorted(atlas.texts, key).astype(jnp.int32)
  at = jnp.minimum(at, len(atlas.texts) - 1)
  return jnp.where(atlas.texts[at] == key, at + 1, 0)


def screen(atlas: Any, boxes: jax.Array, vocab: int) -> jax.Array:
  """Tiles `[..., 360]` int32 of screens that show boxes `[...]`, block order.

  The escape `vocab` stands for what is no part of the box, and not known.
  """
  shown = atlas.boxes[jnp.maximum(boxes - 1, 0)].astype(jnp.int32)
  shown = jnp.where(boxes[..., None] > 0, jnp.minimum(shown, vocab), vocab)
  above = packing.NUM_TILES - text_counts.TILES
  beyond = [(0, 0)] * boxes.ndim + [(above, 0)]
  return jnp.pad(shown, beyond, constant_values=vocab)


def _counted(atlas, counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Keys of boxes that were counted, ascending, their rows and tiles."""
  text, cursor, rows, shown = text_counts.winners(counts)
  key = _keys(atlas, counts.sizes, text, cursor)
  # Of several texts that tokens do not tell apart the most frequent one.
  order = np.lexsort((-rows, key))
  key, at = np.unique(key[order], return_index=True)
  return key, rows[order][at], shown[order][at]


def _keys(atlas, sizes, text, cursor) -> np.ndarray:
  """Keys `[N]` int64 of boxes, as `box` makes them of tokens."""
  ram = {"text": text, "menu_item": cursor, "menu_open": np.ones_like(cursor)}
  ram = told(atlas, ram)
  key = np.zeros(len(text), np.int64)
  for name in world_model_config.BOX_TOKENS:
    if name in sizes:
      read = tokens.read({name: sizes[name]}, ram)
      key = key * sizes[name] + np.asarray(read)[:, 0]
  return key
