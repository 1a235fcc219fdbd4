"""Reference lines start where the model stops seeing."""

import numpy as np
import pytest

from pokedreamer_jax.evaluation import references
from pokedreamer_jax.evaluation import scores
from tests.pokedreamer_jax import fakes

_CONTEXT, _HORIZON = 4, 16


def test_the_frozen_line_repeats_the_last_context_row():
  windows = fakes.windows(8, _CONTEXT + _HORIZON)
  frozen = references.frozen(windows, _CONTEXT, range(1, _HORIZON + 1))
  assert frozen.frame.shape == (8, _HORIZON, 144, 40)
  for k in range(_HORIZON):
    np.testing.assert_array_equal(
      frozen.frame[:, k], windows["frame"][:, _CONTEXT - 1]
    )
    np.testing.assert_array_equal(
      frozen.place[:, k, 2], windows["x"][:, _CONTEXT - 1]
    )


def test_the_random_walker_starts_there_and_takes_single_steps():
  places = scores.recorded_places(fakes.windows(8, _CONTEXT + _HORIZON))
  walk = references.random_walk(
    places, _CONTEXT, range(1, _HORIZON + 1), np.random.default_rng(0)
  )
  assert walk.shape == (8, _HORIZON, 3)
  start = places[:, _CONTEXT - 1, None].astype(int)
  taken = np.diff(np.concatenate([start, walk], axis=1), axis=1)
  assert (taken[..., 0] == 0).all()  # no map is left
  assert set(np.abs(taken[..., 1:]).sum(-1).reshape(-1)) == {0, 1}
  # Four of eight buttons walk: 64 of 128 presses, deviation 5.7.
  assert 30 <= np.abs(taken).sum() <= 98


@pytest.mark.parametrize(
  "sizes", [[1] * 7, [5, 5], [3, 1, 2], [10, 4, 4, 2], [1, 1]]
)
def test_every_window_meets_one_of_another_episode(sizes):
  groups = np.repeat(np.arange(len(sizes)), sizes)
  for seed in range(20):
    partner = references.others(groups, seed)
    assert sorted(partner) == list(range(len(groups)))
    assert (groups[partner] != groups).all()


def test_one_large_episode_meets_itself_but_no_window_does():
  groups = np.array([0] * 9 + [1])
  partner = references.others(groups)
  assert sorted(partner) == list(range(10))
  assert (partner != np.arange(10)).all()


def test_the_majority_and_its_share():
  assert references.majority(np.array([[3, 1], [3, 3]])) == (3, 0.75)
