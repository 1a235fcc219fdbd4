"""Screens between two cells, against pixels that are moved one by one."""

import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles as tiles_lib
from pokedreamer_jax.world_model import atlas_view
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_V = 24


def _pixels(table):
  """Shades `[V + 1, 8, 8]` of a dictionary's tiles; the escape's are 9."""
  words = np.asarray(table.words)
  shades = np.zeros((len(words) + 1, 8, 8), np.uint8)
  for n, word in enumerate(words):
    for i in range(64):
      byte = int(word[i // 16]) >> (8 * (i // 4 % 4)) & 0xFF
      shades[n, i // 8, i % 8] = byte >> (2 * (i % 4)) & 3
  shades[-1] = 9
  return shades


@pytest.mark.parametrize(
  "pixels", [(0, 0), (0, 3), (0, -2), (5, 0), (-15, 0), (8, 8), (-3, 13)]
)
def test_every_pixel_is_that_of_the_window_so_far_away(pixels):
  rng = np.random.default_rng(0)
  # Few shapes, so that what is put together is often in the dictionary.
  base = fakes.table(_V)
  table = tiles_lib.TileTable(base.words, base.hashes)
  window = rng.integers(0, _V + 1, (2, 11, 12, 4)).astype(np.int32)
  window[0, :, :6] = 3  # one tile all over
  shades = _pixels(table)
  found = np.asarray(
    atlas_view.screen(table, jnp.asarray(window), jnp.array([pixels] * 2))
  )
  assert found.shape == (2, packing.NUM_TILES)
  numbers = {shades[n].tobytes(): n for n in range(_V)}
  for n in range(2):
    picture = np.zeros((11 * 16, 12 * 16), np.uint8)
    for r, c, k in np.ndindex(11, 12, 4):
      top, left = 16 * r + 8 * (k // 2), 16 * c + 8 * (k % 2)
      picture[top : top + 8, left : left + 8] = shades[window[n, r, c, k]]
    top, left = 16 + pixels[0], 16 + pixels[1]
    seen = picture[top : top + 144, left : left + 160]
    for block, k in np.ndindex(90, 4):
      y = 16 * (block // 10) + 8 * (k // 2)
      x = 16 * (block % 10) + 8 * (k % 2)
      tile = seen[y : y + 8, x : x + 8]
      expected = numbers.get(tile.tobytes(), _V)
      # Unused entries of the dictionary are alike: not the numbers decide.
      same = shades[found[n, 4 * block + k]] == shades[expected]
      assert same.all()
  assert (found < _V).any()


def test_scroll_tokens_say_by_how_much():
  sizes = {"map": 3, "scroll_y": 16, "scroll_x": 16}
  hot = tokens.one_hot(sizes, jnp.array([[1, 0, 14], [1, 2, 0], [1, 8, 9]]))
  found = atlas_view.shift(sizes, hot)
  np.testing.assert_array_equal(found, [[0, -2], [2, 0], [8, -7]])
  alone = atlas_view.shift({"map": 3}, jnp.eye(3))
  assert not alone.any()
