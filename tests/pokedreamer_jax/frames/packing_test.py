"""Frames: inverse pairs, block order, and the twin on the host."""

import chex
import jax
import numpy as np
import pytest

from data_tools.game import frame_codec
from pokedreamer_jax.frames import packing


def _packed(*lead):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (*lead, 144, 40)).astype(np.uint8)


def _slow_tiles(shades):
  """Tiles `[360, 8, 8]` of one frame of shades, block by block."""
  tiles = []
  for block_row in range(9):
    for block_column in range(10):
      for row in (2 * block_row, 2 * block_row + 1):
        for column in (2 * block_column, 2 * block_column + 1):
          tiles.append(
            shades[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
          )
  return np.array(tiles)


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_pack_undoes_unpack_and_the_host_agrees(lead):
  packed = _packed(*lead)
  shades = jax.jit(packing.unpack)(packed)
  assert shades.shape == (*lead, 144, 160)
  assert shades.dtype == np.uint8
  np.testing.assert_array_equal(shades, frame_codec.unpack(packed))
  np.testing.assert_array_equal(jax.jit(packing.pack)(shades), packed)
  np.testing.assert_array_equal(
    packing.to_grey(shades), frame_codec.unpack_grey(packed)
  )


def test_the_leftmost_pixel_lies_in_the_low_bits():
  packed = np.zeros((144, 40), np.uint8)
  packed[3, 1] = 0b11_00_01_10
  shades = np.asarray(packing.unpack(packed))
  assert shades[3, 4:8].tolist() == [2, 1, 0, 3]
  assert shades.sum() == 6


@pytest.mark.parametrize("lead", [(), (2, 3)])
def test_tiles_come_in_block_order_and_go_back(lead):
  packed = _packed(*lead)
  words = jax.jit(packing.tile_words)(packed)
  assert words.shape == (*lead, 360, 4)
  assert words.dtype == np.uint32
  shades = np.asarray(packing.tile_shades(words)).reshape(-1, 360, 8, 8)
  whole = frame_codec.unpack(packed).reshape(-1, 144, 160)
  for found, frame in zip(shades, whole, strict=True):
    np.testing.assert_array_equal(found, _slow_tiles(frame))
  np.testing.assert_array_equal(jax.jit(packing.from_tile_words)(words), packed)
  again = jax.jit(packing.from_tile_shades)(packing.tile_shades(words))
  assert again.dtype == np.uint32
  np.testing.assert_array_equal(again, words)


@pytest.mark.parametrize(
  "frame",
  [
    np.zeros((144, 160), np.uint8),
    np.zeros((40, 144), np.uint8),
    np.zeros((144, 40), np.int32),
  ],
)
def test_what_is_no_packed_frame_is_refused(frame):
  for function in (packing.unpack, packing.tile_words):
    with pytest.raises(AssertionError):
      function(frame)


def test_greys_are_those_of_the_host():
  chex.assert_trees_all_equal(packing.GREYS, frame_codec.GREY_LEVELS)
