"""Groups of dreams: who belongs together, outcomes by loop, flat groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.behaviour import groups


def test_siblings_lie_side_by_side():
  rows = {"a": jnp.arange(2), "b": jnp.arange(4.0).reshape(2, 2)}
  out = groups.repeat(rows, 3)
  np.testing.assert_array_equal(out["a"], [0, 0, 0, 1, 1, 1])
  np.testing.assert_array_equal(out["b"][3:], [[2.0, 3.0]] * 3)
  assert groups.repeat(rows, 1) is rows


@pytest.mark.parametrize("last", [0.0, 3.0])
def test_outcome_is_that_of_a_loop(last):
  rng = np.random.default_rng(0)
  reward = rng.normal(size=7).astype(np.float32)
  discount = rng.uniform(0.5, 1.0, 7).astype(np.float32)
  expected, factor = 0.0, 1.0
  for t in range(7):
    expected += factor * reward[t]
    factor *= discount[t]
  expected += factor * last
  found = groups.outcome(reward, discount, jnp.float32(last))
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  # Behind a terminal state neither rewards nor the last value count.
  discount[2] = 0.0
  found = groups.outcome(reward, discount, jnp.float32(last))
  expected = reward[0] + discount[0] * (reward[1] + discount[1] * reward[2])
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_groups_are_normalised_apart():
  rng = np.random.default_rng(1)
  outcomes = rng.normal(size=12).astype(np.float32)
  outcomes[4:8] = 50.0 + 100.0 * outcomes[4:8]
  advantage, deviation, flat = groups.normalise(jnp.asarray(outcomes), 4, 0.1)
  for g in range(3):
    own = outcomes[4 * g : 4 * g + 4]
    np.testing.assert_allclose(deviation[g], np.std(own), rtol=1e-5)
    expected = (own - np.mean(own)) / np.std(own)
    np.testing.assert_allclose(
      advantage[4 * g : 4 * g + 4], expected, rtol=1e-4, atol=1e-5
    )
  assert not flat.any()


def test_a_group_without_variance_has_no_advantage():
  small = 0.05 * np.array([1, -1, 1, -1])  # below the floor of 0.1, but there
  noise = 1e-4 * np.array([1, -1, 1, -1])
  outcomes = np.concatenate([np.full(4, 1e4 / 3), small, 7 + noise])
  advantage, _, flat = groups.normalise(
    jnp.asarray(outcomes, jnp.float32), 4, 0.1
  )
  np.testing.assert_array_equal(flat, [True, False, True])
  np.testing.assert_array_equal(advantage[:4], 0.0)
  np.testing.assert_array_equal(advantage[8:], 0.0)
  np.testing.assert_allclose(advantage[4:8], small / 0.1, rtol=1e-5)
  # Without a floor only what is alike is flat, and nothing is divided by 0.
  alike = jnp.full(4, 0.1)
  out = jax.jit(groups.normalise, static_argnums=(1, 2))(alike, 4, 0.0)
  np.testing.assert_array_equal(out[0], 0.0)
  assert bool(out[2].all())


def test_what_is_no_number_is_not_flat():
  advantage, _, flat = groups.normalise(
    jnp.array([1.0, jnp.nan, 2.0, 3.0]), 2, 0.1
  )
  assert np.isnan(advantage[:2]).all() and np.isfinite(advantage[2:]).all()
  np.testing.assert_array_equal(flat, [False, False])
