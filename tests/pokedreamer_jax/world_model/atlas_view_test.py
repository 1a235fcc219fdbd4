"""Screens between two cells, against pixels that are moved one by one."""

import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
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


@pytest.mark.parametrize("pixels", [(0, 0), (0, -2), (5, 0)])
def test_light_moves_every_pixel_by_as_many_shades(pixels):
  rng = np.random.default_rng(1)
  # A dictionary that also holds what most of its tiles fade to.
  shades = rng.integers(0, 4, (6, 8, 8))
  shades = np.concatenate(
    [np.clip(shades + by, 0, 3) for by in specs.SHADES[:4]]
    + [np.full((1, 8, 8), n) for n in range(4)]
  )
  parts = shades.reshape(-1, 4, 16).astype(np.uint64) << np.arange(
    0, 32, 2, dtype=np.uint64
  )
  table = tiles_lib.build(
    [_frames(parts.sum(axis=-1).astype(np.uint32))], len(shades) - 3
  )
  known = _pixels(table)
  window = np.repeat(rng.integers(0, table.vocab + 1, (11, 12, 1)), 4, axis=2)
  window = np.repeat(window[:, :1], 12, axis=1).astype(np.int32)
  numbers = {known[n].tobytes(): n for n in range(table.vocab)}
  lit = len(specs.SHADES)
  found = np.asarray(
    atlas_view.screen(
      table,
      jnp.asarray(np.repeat(window[None], lit, axis=0)),
      jnp.array([pixels] * lit),
      jnp.arange(lit),
    )
  )
  plain = atlas_view.screen(
    table, jnp.asarray(window[None]), jnp.array([pixels])
  )
  np.testing.assert_array_equal(found[:1], plain)
  picture = np.zeros((11 * 16, 12 * 16), np.uint8)
  for r, c, k in np.ndindex(11, 12, 4):
    top, left = 16 * r + 8 * (k // 2), 16 * c + 8 * (k % 2)
    picture[top : top + 8, left : left + 8] = known[window[r, c, k]]
  for n, by in enumerate(specs.SHADES):
    dark = np.where(picture == 9, 9, np.clip(picture + float(by), 0, 3))
    copied = 0
    for block, k in np.ndindex(90, 4):
      y = 16 + pixels[0] + 16 * (block // 10) + 8 * (k // 2)
      x = 16 + pixels[1] + 16 * (block % 10) + 8 * (k % 2)
      tile = dark[y : y + 8, x : x + 8].astype(np.uint8)
      expected = numbers.get(tile.tobytes(), table.vocab)
      got = found[n, 4 * block + k]
      assert (known[got] == known[expected]).all()
      copied += got < table.vocab
    assert copied


def _frames(words):
  """Frames `[1, 144, 40]` of which the first tiles are these `[N, 4]`."""
  shown = np.resize(words, (1, packing.NUM_TILES, packing.WORDS))
  return np.asarray(packing.from_tile_words(jnp.asarray(shown)))


def test_the_token_says_how_a_screen_is_lit():
  sizes = {"map": 3, "shade": 7}
  hot = tokens.one_hot(sizes, jnp.array([[1, 0], [2, 3], [0, 6]]))
  assert atlas_view.shade(sizes, hot).tolist() == [0, 3, 6]
  assert not atlas_view.shade({"map": 3}, jnp.eye(3)).any()


def test_scroll_tokens_say_by_how_much():
  sizes = {"map": 3, "scroll_y": 16, "scroll_x": 16}
  hot = tokens.one_hot(sizes, jnp.array([[1, 0, 14], [1, 2, 0], [1, 8, 9]]))
  found = atlas_view.shift(sizes, hot)
  np.testing.assert_array_equal(found, [[0, -2], [2, 0], [8, -7]])
  # Who walks is between the cell that memory names and the next one.
  sizes = {"facing": 4, "scroll_y": 16, "scroll_x": 16}
  walks = jnp.array([[0, 14, 0], [1, 2, 0], [2, 0, 2], [3, 0, 14], [2, 0, 0]])
  found = atlas_view.shift(sizes, tokens.one_hot(sizes, walks))
  np.testing.assert_array_equal(
    found, [[14, 0], [-14, 0], [0, -14], [0, 14], [0, 0]]
  )
  # The picture is a pixel behind, but where a second frame is waited for.
  walks = jnp.array([[0, 13, 0], [1, 3, 0], [2, 0, 4], [3, 0, 12]])
  found = atlas_view.shift(sizes, tokens.one_hot(sizes, walks))
  np.testing.assert_array_equal(found, [[12, 0], [-12, 0], [0, -11], [0, 11]])
  # Who arrives lacks a pixel to the next one.
  sizes = {"facing": 4, "arriving": 2, "scroll_y": 16, "scroll_x": 16}
  ends = [[0, 1, 0, 0], [1, 1, 0, 0], [2, 1, 0, 0], [3, 1, 0, 0], [3, 0, 0, 14]]
  found = atlas_view.shift(sizes, tokens.one_hot(sizes, jnp.array(ends)))
  np.testing.assert_array_equal(
    found, [[15, 0], [-15, 0], [0, -15], [0, 15], [0, 14]]
  )
  alone = atlas_view.shift({"map": 3}, jnp.eye(3))
  assert not alone.any()
