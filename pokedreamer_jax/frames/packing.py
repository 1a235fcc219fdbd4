"""Packed Game Boy frames: shades, colours and 8x8 tiles.

A packed frame is `[144, 40]` uint8, four 2-bit shades a byte, the leftmost
pixel in the low bits. A tile row is two bytes, so an 8x8 tile is 16 bytes, read
here as four uint32 words. Tiles are listed in block order: the 9x10 blocks of
16x16 pixels row by row, and in each block its 2x2 tiles row by row, so that the
networks work on blocks without a transpose. All functions take any leading
axes and run inside `jit`.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs

TILE_ROWS = specs.FRAME_HEIGHT // 8  # 18
TILE_COLUMNS = specs.FRAME_WIDTH // 8  # 20
NUM_TILES = TILE_ROWS * TILE_COLUMNS  # 360
NUM_BLOCKS = NUM_TILES // 4  # 90 blocks of 16x16 pixels
TILES_PER_BLOCK = 4
WORDS = 4  # uint32 words of a tile

# Shade -> grey level of PyBoy's default palette.
GREYS = np.array([255, 153, 85, 0], np.uint8)


def unpack(packed: jax.Array) -> jax.Array:
  """Shades `[..., 144, 160]` uint8 in 0..3 of packed frames `[..., 144, 40]`.

  Shapes and dtype in, shapes and dtype out; exact.
  """
  _check_packed(packed)
  return _pixels(packed).reshape(*packed.shape[:-1], specs.FRAME_WIDTH)


def pack(shades: jax.Array) -> jax.Array:
  """The inverse of `unpack`."""
  return _pack_quads(shades.reshape(*shades.shape[:-1], specs.PACKED_WIDTH, 4))


def to_grey(shades: jax.Array) -> jax.Array:
  """Grey levels `[...]` uint8 as PyBoy's default palette shows them."""
  return jnp.asarray(GREYS)[shades]


def to_rgb(packed: jax.Array) -> jax.Array:
  """Colours `[..., 144, 160, 3]` float32 in [0, 1] of packed frames."""
  grey = to_grey(unpack(packed)).astype(jnp.float32) / 255.0
  return jnp.broadcast_to(grey[..., None], (*grey.shape, 3))


def from_rgb(rgb: jax.Array) -> jax.Array:
  """Packed frames of the greys nearest to colours `[..., 144, 160, 3]`.

  The greys lie on one line through the colours, so the nearest one is that
  nearest to the mean of the three channels. The inverse of `to_rgb`.
  """
  level = 255.0 * jnp.mean(rgb, axis=-1, keepdims=True)
  greys = jnp.asarray(GREYS, jnp.float32)
  distance = jnp.abs(level - jnp.broadcast_to(greys, (*rgb.shape[:-1], 4)))
  return pack(jnp.argmin(distance, axis=-1))


def tile_words(packed: jax.Array) -> jax.Array:
  """Tiles `[..., 360, 4]` uint32 in block order of packed frames.

  Args:
    packed: `[..., 144, 40]` uint8.
  """
  _check_packed(packed)
  lead = packed.shape[:-2]
  # (block row, tile row in block, pixel row, block column, tile column, byte)
  parts = packed.reshape(*lead, 9, 2, 8, 10, 2, 2)
  n = len(lead)
  order = (*range(n), n, n + 3, n + 1, n + 4, n + 2, n + 5)
  tiles = parts.transpose(order).reshape(*lead, NUM_TILES, WORDS, 4)
  return jax.lax.bitcast_convert_type(tiles, jnp.uint32)


def from_tile_words(words: jax.Array) -> jax.Array:
  """Packed frames `[..., 144, 40]` of tiles `[..., 360, 4]`; inverse."""
  lead = words.shape[:-2]
  tiles = jax.lax.bitcast_convert_type(words, jnp.uint8)
  parts = tiles.reshape(*lead, 9, 10, 2, 2, 8, 2)
  n = len(lead)
  order = (*range(n), n, n + 2, n + 4, n + 1, n + 3, n + 5)
  return parts.transpose(order).reshape(
    *lead, specs.FRAME_HEIGHT, specs.PACKED_WIDTH
  )


def tile_shades(words: jax.Array) -> jax.Array:
  """Pixels `[..., 64]` uint8 in 0..3 of tiles `[..., 4]` uint32."""
  tile_bytes = jax.lax.bitcast_convert_type(words, jnp.uint8)
  return _pixels(tile_bytes).reshape(*words.shape[:-1], 64)


def from_tile_shades(shades: jax.Array) -> jax.Array:
  """Tiles `[..., 4]` uint32 of pixels `[..., 64]` in 0..3; inverse."""
  tile_bytes = _pack_quads(shades.reshape(*shades.shape[:-1], WORDS, 4, 4))
  return jax.lax.bitcast_convert_type(tile_bytes, jnp.uint32)


def _pixels(quads: jax.Array) -> jax.Array:
  """The four shades `[..., 4]` in each byte `[...]`."""
  quads = quads[..., None]
  return (quads >> _shifts((*quads.shape[:-1], 4))) & jnp.uint8(3)


def _pack_quads(quads: jax.Array) -> jax.Array:
  """Bytes `[...]` of four shades each, `[..., 4]`; inverse of `_pixels`."""
  placed = quads.astype(jnp.uint8) << _shifts(quads.shape)
  return jnp.sum(placed, axis=-1, dtype=jnp.uint8)


def _shifts(shape: tuple[int, ...]) -> jax.Array:
  """Where each of the last axis' four pixels lies in its byte."""
  return jnp.broadcast_to(jnp.arange(0, 8, 2, dtype=jnp.uint8), shape)


def _check_packed(packed: jax.Array) -> None:
  chex.assert_type(packed, jnp.uint8)
  chex.assert_axis_dimension(packed, -2, specs.FRAME_HEIGHT)
  chex.assert_axis_dimension(packed, -1, specs.PACKED_WIDTH)
