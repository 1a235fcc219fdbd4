"""A classifier that finds what is there to be found, and nothing else."""

import jax
import numpy as np
import pytest

from pokedreamer_jax.evaluation import blind

_STEPS = 6


def _clips(rng, count, library):
  ids = rng.integers(len(library), size=(count, _STEPS + 1, 18, 20))
  tiles = library[ids].transpose(0, 1, 2, 4, 3, 5)
  return np.ascontiguousarray(tiles).reshape(count, _STEPS + 1, 144, 40)


@pytest.fixture(scope="module")
def real():
  rng = np.random.default_rng(0)
  library = rng.integers(256, size=(30, 8, 2), dtype=np.uint8)
  return _clips(rng, 16, library)


def _told(real, other, seed=0):
  rng = np.random.default_rng(seed)
  action = rng.integers(8, size=(len(real), _STEPS), dtype=np.uint8)
  pairs = blind.Pairs(real, other, action, np.repeat(np.arange(8), 2))
  found = blind.scores(jax.random.key(seed), pairs, folds=2)
  assert found.shape == (len(real), 2, _STEPS)
  return blind.told_apart(found, pairs, [2, _STEPS], 200)


def test_a_mark_of_the_model_is_found_in_other_episodes(real):
  marked = real.copy()
  marked[:, 1:, :8, :2] = 0x55  # one tile that the game never shows
  found = _told(real, marked)
  assert found[str(_STEPS)]["share"]["mean"] == 1.0
  assert found[str(_STEPS)]["wilson"]["low"] > 0.75
  assert found[str(_STEPS)]["identical"] == 0


def test_what_is_no_different_is_not_told_apart(real):
  same = _told(real, real.copy())["2"]
  assert same["identical"] == same["pairs"] == len(real)
  assert same["share"]["mean"] == 0.5
  rng = np.random.default_rng(5)
  # Other draws of the very same game: nothing to learn, however much differs.
  other = real[rng.permutation(len(real))]
  found = _told(real, other)[str(_STEPS)]
  assert found["wilson"]["low"] < 0.5 < found["wilson"]["high"]


def test_exchanged_tiles_are_tiles_of_the_frame(real):
  broken = blind.exchanged(0, real, 3)
  np.testing.assert_array_equal(broken[:, 0], real[:, 0])  # the start stays
  tiles = lambda clips: clips.reshape(*clips.shape[:2], 18, 8, 20, 2)
  differ = (tiles(broken) != tiles(real)).any(axis=(3, 5)).sum(axis=(2, 3))
  assert differ.max() == 3 and differ[:, 1:].mean() > 2.5
  a, b = (
    tiles(clips)[4, 2].transpose(0, 2, 1, 3).reshape(-1, 16).tolist()
    for clips in (broken, real)
  )
  assert all(tile in b for tile in a)


def test_episodes_are_asked_whole_by_who_never_saw_them():
  groups = np.array([3, 3, 3, 1, 1, 2, 5, 3])
  part = blind._parts(groups, 3)
  for group in np.unique(groups):
    assert len(set(part[groups == group])) == 1
  assert set(part) == {0, 1, 2}
  with pytest.raises(ValueError, match="expected 2 or more"):
    blind._parts(np.zeros(4, int), 3)
