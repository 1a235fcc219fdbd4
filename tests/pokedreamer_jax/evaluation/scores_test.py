"""Scores of frames and places against loops and hand arithmetic."""

import numpy as np

from data_tools.game import frame_codec
from pokedreamer_jax.evaluation import scores
from tests.pokedreamer_jax import fakes


def _frames(seed):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (2, 3, 144, 40)).astype(np.uint8)


def test_scores_of_frames_are_those_of_their_pixels():
  truth = _frames(0)
  frame = truth.copy()
  frame[0, 0, 5, 7] ^= 0b01_00_11_10  # three pixels of one byte
  frame[0, 1, 0, 0] ^= 0b11
  frame[1] = _frames(1)[1]
  left, right = (
    frame_codec.unpack_grey(f).astype(float) for f in (frame, truth)
  )
  pixels = scores.pixel_accuracy(frame, truth)
  ratio = scores.psnr(frame, truth)
  exact = scores.exact(frame, truth)
  for index in np.ndindex(2, 3):
    equal = left[index] == right[index]
    np.testing.assert_allclose(pixels[index], equal.mean())
    assert exact[index] == equal.all()
    error = np.mean((left[index] - right[index]) ** 2)
    expected = 60.0 if error == 0 else 10 * np.log10(255**2 / error)
    np.testing.assert_allclose(ratio[index], min(expected, 60.0), rtol=1e-5)
  # By hand: 3 and 1 wrong pixels of 23,040.
  np.testing.assert_allclose(pixels[0], [1 - 3 / 23040, 1 - 1 / 23040, 1.0])
  assert ratio[0, 2] == 60.0


def test_black_against_white_is_zero_decibel():
  black, white = (
    np.full((144, 40), 0xFF, np.uint8),
    np.zeros((144, 40), np.uint8),
  )
  assert scores.psnr(black, white) == 0.0
  assert scores.pixel_accuracy(black, white) == 0.0


def test_tile_errors_by_hand():
  # (map, y, x) in bytes: differences must not wrap around.
  place = np.array([[1, 5, 5], [1, 0, 9], [2, 5, 5], [1, 0, 40]], np.uint8)
  truth = np.array([[1, 5, 5], [1, 3, 7], [1, 5, 5], [1, 0, 0]], np.uint8)
  assert scores.tile_error(place, truth).tolist() == [0, 5, 20, 40]


def test_recorded_places_are_map_row_and_column():
  windows = fakes.windows(8, 20)
  places = scores.recorded_places(windows)
  assert places.shape == (8, 20, 3)
  for i, name in enumerate(("map_id", "y", "x")):
    np.testing.assert_array_equal(places[..., i], windows[name])
