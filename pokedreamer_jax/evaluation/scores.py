"""Scores of packed frames and of places, numpy only.

A place is (map, y, x). All functions take any leading axes.
"""

from collections.abc import Mapping

import numpy as np

from pokedreamer_jax import specs

WRONG_MAP_TILES = 20.0  # position error that a wrong map counts as
_LOOKUP = np.array([bin(i).count("1") for i in range(256)], np.uint8)


def pixel_accuracy(frame: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Share of equal pixels `[...]` of packed frames `[..., 144, 40]`."""
  wrong = wrong_pixels(frame, truth)
  count = np.sum(wrong, axis=(-2, -1), dtype=np.int64)
  wrong_share = count / (specs.FRAME_HEIGHT * specs.FRAME_WIDTH)
  return np.asarray(1.0 - wrong_share)


def wrong_pixels(frame: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """How many of the four pixels of each byte `[..., 144, 40]` differ."""
  wrong = frame ^ truth
  # A pixel is wrong if either of its two bits differs.
  return np.asarray(_LOOKUP[(wrong | (wrong >> 1)) & 0x55])


def exact(frame: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """1.0 `[...]` where every pixel is equal."""
  return np.all(frame == truth, axis=(-2, -1)).astype(np.float64)


def psnr(
  frame: np.ndarray, truth: np.ndarray, cap_db: float = 60.0
) -> np.ndarray:
  """Peak signal-to-noise ratio `[...]` in dB of the grey levels, capped."""
  greys = np.array([255, 153, 85, 0], np.float32)
  lut = greys[(np.arange(256)[:, None] >> np.arange(0, 8, 2)) & 3]  # [256, 4]
  squares = np.square(lut[:, None] - lut[None]).sum(-1)  # [256, 256]
  error = squares[frame, truth].sum(axis=(-2, -1))
  mean = error / (specs.FRAME_HEIGHT * specs.FRAME_WIDTH)
  with np.errstate(divide="ignore"):
    decibel = 10.0 * np.log10(255.0**2 / mean)
  return np.minimum(decibel, cap_db)


def tile_error(place: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Manhattan distance `[...]` in tiles of `[..., 3]` places (map, y, x).

  A wrong map counts `WRONG_MAP_TILES`.
  """
  place, truth = place.astype(np.int64), truth.astype(np.int64)
  distance = np.abs(place[..., 1:] - truth[..., 1:]).sum(-1)
  right_map = place[..., 0] == truth[..., 0]
  return np.where(right_map, distance, WRONG_MAP_TILES)


def frame_scores(frame: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
  """`pixels`, `exact` and `psnr` `[...]` of packed frames."""
  return {
    "pixels": pixel_accuracy(frame, truth),
    "exact": exact(frame, truth),
    "psnr": psnr(frame, truth),
  }


def place_scores(place: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
  """`tiles` and `map` `[...]`, the error and whether the map is right."""
  right_map = (place[..., 0] == truth[..., 0]).astype(np.float64)
  return {"tiles": tile_error(place, truth), "map": right_map}


def recorded_places(rows: Mapping[str, np.ndarray]) -> np.ndarray:
  """Places `[..., 3]` (map, y, x) that records hold."""
  return np.stack([rows[name] for name in ("map_id", "y", "x")], axis=-1)
