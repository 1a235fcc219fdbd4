"""Bootstrap intervals: what they cover and what they refuse."""

import numpy as np
import pytest

from pokedreamer_jax.world_model import statistics


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
  rng = np.random.default_rng(0)
  trials, covered = 300, 0
  for trial in range(trials):
    values = rng.normal(loc=1.0, size=60)
    found = statistics.bootstrap_mean(values, resamples=400, seed=trial)
    assert found["low"] <= found["mean"] <= found["high"]
    covered += found["low"] <= 1.0 <= found["high"]
  # 95 % of 300 is 285 with deviation 3.8; the percentile interval of 60
  # values is a little narrow (about 94 %), hence four deviations of room.
  assert 267 <= covered <= 300


def test_the_interval_is_that_of_the_normal_approximation():
  values = np.random.default_rng(1).normal(size=400)
  found = statistics.bootstrap_mean(values, resamples=4000)
  half = 1.96 * values.std() / np.sqrt(len(values))
  np.testing.assert_allclose(found["mean"], values.mean())
  np.testing.assert_allclose(
    [found["low"], found["high"]],
    values.mean() + np.array([-half, half]),
    atol=0.15 * half,
  )
  assert found["n"] == 400


def test_equal_values_leave_no_doubt_and_seeds_repeat():
  assert statistics.bootstrap_mean([2.5, 2.5, 2.5]) == {
    "mean": 2.5,
    "low": 2.5,
    "high": 2.5,
    "n": 3,
  }
  values = np.arange(9.0)
  once = statistics.bootstrap_mean(values, 50, seed=3)
  assert once == statistics.bootstrap_mean(values, 50, seed=3)
  assert once != statistics.bootstrap_mean(values, 50, seed=4)


@pytest.mark.parametrize("values", [[], [1.0], np.zeros((3, 2)), 4.0])
def test_too_few_values_are_refused(values):
  with pytest.raises(ValueError, match=r"values: shape .* expected \[n\]"):
    statistics.bootstrap_mean(values)


def test_values_that_are_alike_within_groups_widen_the_interval():
  rng = np.random.default_rng(2)
  # 40 groups of 10 equal values hold no more than their 40 means.
  means = rng.normal(size=40)
  values, groups = np.repeat(means, 10), np.repeat(np.arange(40), 10)
  order = rng.permutation(400)  # groups need not lie together
  found = statistics.bootstrap_mean(values[order], 4000, groups=groups[order])
  half = 1.96 * means.std() / np.sqrt(40)
  np.testing.assert_allclose(
    [found["low"], found["high"]],
    means.mean() + np.array([-half, half]),
    atol=0.15 * half,
  )
  assert found["n"] == 40
  alone = statistics.bootstrap_mean(values, 4000)
  assert alone["high"] - alone["low"] < half


def test_groups_of_unequal_size_keep_the_plain_mean():
  values, groups = np.array([1.0, 1.0, 1.0, 5.0]), np.array([0, 0, 0, 1])
  found = statistics.bootstrap_mean(values, 4000, groups=groups)
  assert found["mean"] == 2.0
  assert (found["low"], found["high"]) == (1.0, 5.0)
  with pytest.raises(ValueError, match="groups: 1, expected at least 2"):
    statistics.bootstrap_mean(values, groups=np.zeros(4))
  with pytest.raises(
    ValueError, match=r"groups: shape \(3,\), expected \(4,\)"
  ):
    statistics.bootstrap_mean(values, groups=np.zeros(3))


def test_wilsons_interval_of_shares():
  # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
  for right, count, low, high in (
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
  ):
    found = statistics.wilson(right, count)
    assert found["value"] == right / count and found["n"] == count
    np.testing.assert_allclose(
      [found["low"], found["high"]], [low, high], atol=6e-5
    )
  assert statistics.wilson(2.5, 5)["value"] == 0.5  # undecided: a half
  for right, count in ((1, 0), (-1, 4), (5, 4)):
    with pytest.raises(ValueError, match="right: "):
      statistics.wilson(right, count)
