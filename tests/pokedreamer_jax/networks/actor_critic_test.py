"""Actor, critic and the two-hot value."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.networks import two_hot

CFG = behaviour_config.ActorCriticConfig(units=16, goal_dim=4, bins=21)


def _feat(rows=5, dim=12, seed=0):
  return jax.random.normal(jax.random.key(seed), (rows, dim))


def test_actor_starts_near_uniform_and_normalised():
  params = actor_critic.init_actor(CFG, jax.random.key(0), 12)
  logits = actor_critic.make_actor(CFG).apply({"params": params}, _feat())
  chex.assert_shape(logits, (5, 8))
  np.testing.assert_allclose(jnp.exp(logits).sum(-1), 1.0, rtol=1e-5)
  np.testing.assert_allclose(jnp.exp(logits), 0.125, atol=0.01)
  assert np.ptp(np.asarray(logits)) > 0


@pytest.mark.parametrize("unimix", [0.0, 0.01])
def test_unimix_bounds_the_probabilities(unimix):
  actor = actor_critic.Actor((4, 4), unimix=unimix)
  feat = _feat()
  params = actor.init(jax.random.key(0), feat)["params"]
  params["Dense_0"]["bias"] = jnp.array([1e4] + [-1e4] * 7)
  logits = actor.apply({"params": params}, feat)
  if unimix:
    np.testing.assert_allclose(jnp.exp(logits[:, 1:]), 0.01 / 8, rtol=1e-3)
  else:
    assert float(logits.min()) < -1e3
  grads = jax.grad(lambda p: actor.apply({"params": p}, feat)[:, 1].sum())(
    params
  )
  chex.assert_tree_all_finite(grads)


def test_no_goal_is_a_goal_of_zeros_and_another_goal_differs():
  params = actor_critic.init_critic(CFG, jax.random.key(1), 12)
  params["Dense_0"]["kernel"] += 0.1 * jnp.arange(21.0)[None]
  critic = actor_critic.make_critic(CFG)
  feat = _feat()
  without = critic.apply({"params": params}, feat)
  zeros = critic.apply({"params": params}, feat, jnp.zeros((5, 4)))
  ones = critic.apply({"params": params}, feat, jnp.ones((5, 4)))
  np.testing.assert_array_equal(without, zeros)
  assert np.abs(without - ones).max() > 1e-3


def test_fresh_critic_says_zero():
  params = actor_critic.init_critic(CFG, jax.random.key(1), 12)
  logits = actor_critic.make_critic(CFG).apply({"params": params}, _feat())
  bins = actor_critic.value_bins(CFG)
  np.testing.assert_allclose(two_hot.mean(logits, bins), 0.0, atol=1e-5)


def test_two_hot_mean_is_the_value_within_the_bins():
  bins = actor_critic.value_bins(CFG)
  assert np.all(np.diff(bins) > 0)
  x = jnp.array([[-140.0, -1.0, -0.001], [0.0, 0.37, 147.0]])
  weights = two_hot.weights(x, bins)
  np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-6)
  assert int((weights > 0).sum(-1).max()) <= 2
  np.testing.assert_allclose(weights @ bins, x, rtol=1e-4, atol=1e-5)
  outside = two_hot.weights(jnp.array([-1e9, 1e9]), bins)
  np.testing.assert_allclose(outside @ bins, [bins[0], bins[-1]], rtol=1e-5)


def test_even_bins_are_refused():
  with pytest.raises(ValueError, match="bins: 20"):
    behaviour_config.ActorCriticConfig(bins=20)
