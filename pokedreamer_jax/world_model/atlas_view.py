"""The screen that the atlas shows to a player who is on the way.

Amid a step the screen stands between two cells, that which memory still names
and the next one in the direction of the walk: all of it is shifted by some
pixels, and every tile is put together from up to four others. At doors and
before battles it fades: every pixel is darker or lighter by a shade or more.
What comes out is looked up in the dictionary again, so that it can be copied
like a screen at rest. The shift is what the tokens `scroll_y`, `scroll_x` and
`facing` say, the light what `shade` does. Where the token `arriving` says so, a
step is walked to its last pixel but one, which registers tell as none.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles as tiles_lib
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import tokens

# Tokens by which the screen moves, and is lit.
TOKENS = ("facing", "arriving", "scroll_y", "scroll_x", "shade")
CELL = 16  # pixels
# Registers are read a frame after the picture was drawn, so it is a pixel
# behind them, but where the engine waits for a second frame. In 3,541 rows amid
# a step in caves of the great vale, which rows of 24 frames meet at few phases,
# all that counted 14 showed 14, those of 12 and 13 showed 11 and 12, those of
# 16 (who arrives) 15. The second cell of a hop is not told from a first one: it
# is drawn a cell short.
_WAITED = 14
_LOW_BITS = 0x5555  # the lower bit of each of eight pixels
_TILE = 8  # pixels along each side
_ROWS, _COLUMNS = 2 * atlas_lib.ROWS, 2 * atlas_lib.COLUMNS  # tiles of a screen


def shift(sizes: Mapping[str, int], hot: jax.Array) -> jax.Array:
  """Pixels `[..., 2]` int32, -15 .. 15, that a screen stands down and right.

  The registers count modulo a cell: who walks down or right is so many pixels
  on, who walks up or left lacks as many to a cell back; the picture is drawn
  before they are read.

  Args:
    sizes: token sizes; without the two tokens nothing is ever shifted amid a
      step, and without `facing` by no more than half a cell and at no end.
    hot: tokens `[..., R]`, one-hot.
  """
  places, parts = tokens.slices(sizes), []
  number_of = lambda name: jnp.argmax(hot[..., places[name]], axis=-1)
  for name, onward in (("scroll_y", "down"), ("scroll_x", "right")):
    number = jnp.zeros(hot.shape[:-1], jnp.int32)
    if name in places:
      number = number_of(name).astype(jnp.int32)
    if "facing" not in places:
      parts.append(jnp.where(number > CELL // 2, number - CELL, number))
      continue
    on = number_of("facing") == specs.FACINGS.index(onward)
    ahead = _drawn(jnp.where(on, number, CELL - number))
    parts.append(jnp.where(number > 0, jnp.where(on, ahead, -ahead), 0))
  shifted = jnp.stack(parts, axis=-1)
  if "arriving" not in places or "facing" not in places:
    return shifted
  ways = np.array([atlas_lib.STEPS[name] for name in specs.FACINGS], np.int32)
  ahead = _drawn(CELL) * jnp.asarray(ways)[number_of("facing")]
  arrives = number_of("arriving") > 0
  return jnp.where(arrives[..., None], ahead, shifted)


def _drawn(walked: jax.Array | int) -> jax.Array:
  """Pixels `[...]` of a step that are seen where registers tell so many."""
  return jnp.where(jnp.asarray(walked) == _WAITED, walked, walked - 1)


def shade(sizes: Mapping[str, int], hot: jax.Array) -> jax.Array:
  """How a screen is lit `[...]` int32, an index into `specs.SHADES`.

  Args:
    sizes: token sizes; without the token `shade` no screen ever fades.
    hot: tokens `[..., R]`, one-hot.
  """
  places = tokens.slices(sizes)
  if "shade" not in places:
    return jnp.zeros(hot.shape[:-1], jnp.int32)
  return jnp.argmax(hot[..., places["shade"]], axis=-1).astype(jnp.int32)


def screen(
  table: tiles_lib.TileTable,
  window: jax.Array,
  pixels: jax.Array,
  light: jax.Array | None = None,
) -> jax.Array:
  """Tiles `[..., 360]` int32 of a screen, in block order.

  Args:
    table: the dictionary of `V` tiles.
    window: tiles of the cells in sight and around, `[..., 11, 12, 4]`.
    pixels: `[..., 2]`, how far down and right the screen stands, -15 .. 15.
    light: `[...]`, indices into `specs.SHADES`; as it is where None.

  Returns:
    Dictionary numbers; `V` where a tile is put together from an unknown one, or
    is itself not in the dictionary.
  """
  lead = window.shape[:-3]
  window = window.reshape(-1, *window.shape[-3:])
  pixels = pixels.reshape(-1, 2)
  grid = _as_grid(window)  # [N, 22, 24]
  at = CELL + pixels
  words = jnp.concatenate(
    [table.words, jnp.asarray(tiles_lib.ESCAPE_WORDS)[None]]
  )
  lines = _lines(words)[grid]  # [N, 22, 24, 8], pixels of two bits
  lines = lines.swapaxes(-1, -2).reshape(len(grid), -1, grid.shape[-1])
  lines = _pick(lines, at[:, :1] + np.arange(_ROWS * _TILE)[None], axis=1)
  column, by = at[:, 1:] // _TILE, (at[:, 1:] % _TILE).astype(jnp.uint32)
  lines = _pick(lines, column + np.arange(_COLUMNS + 1)[None], axis=2)
  by = 2 * by[..., None]
  lines = (lines[..., :-1] >> by | lines[..., 1:] << (16 - by)) & 0xFFFF
  if light is not None:
    light = light.reshape(-1)
    lines = _lit(lines, light[:, None, None])
  found = tiles_lib.lookup(table, _as_words(lines))
  # A tile that is partly unknown: none of its four parts may be.
  unknown = grid == table.vocab
  row, down = at[:, :1] // _TILE, at[:, :1] % _TILE > 0
  right = at[:, 1:] % _TILE > 0
  unknown = _pick(unknown, row + np.arange(_ROWS + 1)[None], axis=1)
  unknown = _pick(unknown, column + np.arange(_COLUMNS + 1)[None], axis=2)
  below = unknown | jnp.roll(unknown, -1, axis=1) & down[..., None]
  unknown = below | jnp.roll(below, -1, axis=2) & right[..., None]
  found = jnp.where(
    unknown[:, :_ROWS, :_COLUMNS].reshape(found.shape), table.vocab, found
  )
  # At rest nothing is looked up: two tiles of one hash would be one.
  own = _as_grid(window)[:, 2:-2, 2:-2].reshape(found.shape)
  still = jnp.all(pixels == 0, axis=-1, keepdims=True)
  if light is not None:
    still &= light[:, None] == 0
  found = jnp.where(still, own, found)
  blocks = found.reshape(-1, atlas_lib.ROWS, 2, atlas_lib.COLUMNS, 2)
  return blocks.swapaxes(2, 3).reshape(*lead, packing.NUM_TILES)


def _lit(lines: jax.Array, light: jax.Array) -> jax.Array:
  """Lines of eight pixels, each pixel darker or lighter within 0..3."""
  low, high = lines & _LOW_BITS, lines >> 1 & _LOW_BITS
  darker = jnp.asarray(specs.SHADES, jnp.int32)[light]
  made = jnp.zeros_like(lines)
  for colour in range(4):
    at = (low if colour & 1 else ~low) & (high if colour & 2 else ~high)
    lit = jnp.clip(colour + darker, 0, 3).astype(lines.dtype)
    made |= (at & _LOW_BITS) * lit  # two bits a pixel: no carry
  return made


def _as_grid(window: jax.Array) -> jax.Array:
  """Cells `[N, H, W, 4]` as tiles `[N, 2 H, 2 W]`."""
  rows, columns = window.shape[1:3]
  parts = window.reshape(-1, rows, columns, 2, 2).swapaxes(2, 3)
  return parts.reshape(-1, 2 * rows, 2 * columns)


def _lines(words: jax.Array) -> jax.Array:
  """Tiles `[V, 4]` uint32 as their lines `[V, 8]`, 16 bits in uint32."""
  halves = jnp.stack([words & 0xFFFF, words >> 16], axis=-1)
  return halves.reshape(len(words), _TILE)


def _as_words(lines: jax.Array) -> jax.Array:
  """Lines `[N, 144, 20]` of a screen as its tiles `[N, 18 * 20, 4]`."""
  parts = lines.reshape(-1, _ROWS, packing.WORDS, 2, _COLUMNS)
  words = parts[:, :, :, 0] | parts[:, :, :, 1] << 16
  return words.swapaxes(2, 3).reshape(len(lines), -1, packing.WORDS)


def _pick(values: jax.Array, index: jax.Array, axis: int) -> jax.Array:
  """Of values `[N, A, B]` those at an index `[N, ...]` of one axis."""
  index = jnp.clip(index, 0, values.shape[axis] - 1)
  index = jnp.expand_dims(index, 3 - axis)
  return jnp.take_along_axis(values, index, axis=axis)
