"""The tile dictionary: what it keeps, and that frames pass through whole."""

import collections

import chex
import jax
import numpy as np
import pytest

from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles
from tests.pokedreamer_jax import fakes


def _words(packed):
  return np.asarray(packing.tile_words(packed)).reshape(-1, packing.WORDS)


def _counts(packed):
  """Tile -> how often, one by one."""
  return collections.Counter(word.tobytes() for word in _words(packed))


def _same(left, right):
  chex.assert_trees_all_equal(left, right)


def test_the_table_depends_on_neither_order_nor_batches():
  screens = fakes.screens()
  table = tiles.build([screens], 16)
  _same(table, tiles.build([screens[::-1]], 16))
  _same(table, tiles.build([screens[5:], screens[:5]], 16))
  _same(table, tiles.build(iter(screens[:, None]), 16))


def test_ties_are_settled_by_the_tiles_themselves():
  left = np.full((1, 144, 40), 0x11, np.uint8)
  right = np.full((1, 144, 40), 0x22, np.uint8)
  _same(tiles.build([left, right], 1), tiles.build([right, left], 1))


@pytest.mark.parametrize("vocab", [1, 7, 19, 50])
def test_the_escape_share_is_that_of_the_encoded_frames(vocab):
  screens = fakes.screens()
  table = tiles.build([screens[:4]], vocab)
  ids = np.asarray(jax.jit(tiles.encode)(table, screens))
  expected = float((ids == vocab).mean())
  assert tiles.escape_share(table, screens) == pytest.approx(expected, abs=1e-6)
  assert (expected > 0) == (vocab < 50)


@pytest.mark.parametrize("vocab", [1, 7, 19])
def test_the_most_frequent_tiles_are_kept(vocab):
  # Uneven counts: later screens are copies of the first.
  screens = np.concatenate([fakes.screens()[:3], fakes.screens()[[0, 0, 1]]])
  table = tiles.build([screens], vocab)
  kept = {word.tobytes() for word in np.asarray(table.words)}
  assert len(kept) == vocab
  counts = _counts(screens)
  least = min(counts[key] for key in kept)
  assert least >= max(n for key, n in counts.items() if key not in kept)


def test_a_small_set_is_padded_with_black_and_still_found():
  screens = fakes.screens()
  table = tiles.build([screens], 50)
  assert table.words.shape == (50, 4)
  black = np.all(np.asarray(table.words) == 0xFFFFFFFF, axis=-1)
  assert black.sum() == 50 - len(_counts(screens))
  ids = jax.jit(tiles.encode)(table, screens)
  assert ids.shape == (12, 360)
  assert int(ids.max()) < 50
  np.testing.assert_array_equal(jax.jit(tiles.decode)(table, ids), screens)


def test_black_among_the_data_and_the_padding_is_one_tile():
  screens = np.full((1, 144, 40), 0xFF, np.uint8)
  table = tiles.build([screens], 8)
  ids = tiles.encode(table, screens)
  np.testing.assert_array_equal(tiles.decode(table, ids), screens)


def test_numbers_name_the_right_tile_and_unknown_tiles_escape():
  screens = fakes.screens().copy()
  table = tiles.build([screens], 24)
  screens[2, 8:16, 2:4] ^= 0x55  # the second tile of the first block
  screens[2, 143, 39] ^= 1  # one pixel of the last tile
  ids = np.asarray(jax.jit(tiles.encode)(table, screens))
  escaped = np.zeros(ids.shape, bool)
  # Row 1, column 1 of the tiles is the last of the first block.
  escaped[2, [3, 359]] = True
  np.testing.assert_array_equal(ids == table.vocab, escaped)
  words = _words(screens).reshape(*ids.shape, 4)
  np.testing.assert_array_equal(
    np.asarray(table.words)[ids[~escaped]], words[~escaped]
  )
  # Decoded, an escape shows as checks and everything else as it was.
  shown = _words(tiles.decode(table, ids)).reshape(words.shape)
  np.testing.assert_array_equal(shown[~escaped], words[~escaped])
  assert (shown[escaped] == tiles.ESCAPE_WORDS).all()


def test_nothing_but_the_kept_tiles_is_found():
  screens = fakes.screens()
  table = tiles.build([screens], 5)
  kept = {word.tobytes() for word in np.asarray(table.words)}
  ids = np.asarray(tiles.encode(table, screens)).reshape(-1)
  found = np.array([w.tobytes() in kept for w in _words(screens)])
  np.testing.assert_array_equal(ids < table.vocab, found)


def test_shades_of_tiles_are_those_of_the_frames_that_they_make():
  screens = fakes.screens()
  table = tiles.build([screens], 16)  # some tiles are left to the escape
  ids = tiles.encode_numpy(table, screens)
  assert (ids == 16).any()
  tile = tiles.shades_numpy(table)[ids].reshape(-1, 9, 10, 2, 2, 8, 8)
  shades = tile.transpose(0, 1, 3, 5, 2, 4, 6).reshape(-1, 144, 160)
  expected = packing.unpack(tiles.decode(table, ids))
  np.testing.assert_array_equal(shades, expected)
