"""When dreams and the game are said to part."""

import numpy as np
import pytest

from pokedreamer_jax.evaluation import parting

_GROUPS = np.arange(40) // 4  # ten episodes


def _gains(dreamt, real):
  """Of starts that differ by luck, the same in both for the most part."""
  luck = np.random.default_rng(0).normal(size=40)
  return parting.gains(dreamt + 0.2 * luck, real + 0.2 * luck, _GROUPS, 500)


def test_half_of_a_gain_by_hand():
  dreamt, real = np.full(4, 2.0), np.array([0.0, 1.0, 3.0, 4.0])
  found = parting.gains(dreamt, real, np.array([0, 0, 1, 1]), 200)
  assert found.imagined["mean"] == 2.0 and found.real["mean"] == 2.0
  assert found.over_half["mean"] == 1.0  # 2 - 2 / 2
  # Two episodes: a resample holds either twice, or both.
  assert (found.over_half["low"], found.over_half["high"]) == (-0.5, 2.5)
  with pytest.raises(ValueError, match="groups"):
    parting.gains(dreamt, real, np.zeros(4, int), 200)


@pytest.mark.parametrize(
  ("dreamt", "real", "parted"),
  [
    (2.0, 2.0, False),  # honest
    (2.0, 1.4, False),  # some of it is no gain in the game
    (2.0, 0.2, True),
    (2.0, -1.0, True),
    (-0.5, -3.0, False),  # they promise no gain
    (0.0, 0.0, False),
  ],
)
def test_they_part_where_dreams_promise_a_gain_and_games_pay_less_than_half(
  dreamt, real, parted
):
  assert _gains(dreamt, real).parted == parted


def test_luck_alone_seldom_parts_them():
  rng = np.random.default_rng(1)
  parted = [
    parting.gains(*rng.normal(size=(2, 40)), _GROUPS, 300).parted
    for _ in range(200)
  ]
  # A dream that gains by luck and a game that loses by luck: 2.5 % squared,
  # more where ten episodes make intervals too narrow.
  assert np.mean(parted) < 0.06
