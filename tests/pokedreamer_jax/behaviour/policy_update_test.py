"""One update of each algorithm, and a toy world that each one learns."""

import functools
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pokedreamer_jax.behaviour import critics
from pokedreamer_jax.behaviour import dreams
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.behaviour import policy_state
from pokedreamer_jax.behaviour import policy_update
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.networks import actor_critic
from tests.pokedreamer_jax import fakes
from tests.pokedreamer_jax.behaviour import toys

CELLS = toys.CELLS


def _learner(algorithm):
  """What learns the corridor; a slow critic where little else needs one."""
  extra = {"slow_critic_rate": 0.1} if algorithm == "grpo" else {}
  return toys.config(algorithm=algorithm, critic_warmup=2, **extra)


@functools.cache
def _update(cfg):
  chex.clear_trace_counter()
  update = policy_update.make_update(cfg, toys.corridor(cfg))
  return fakes.jit(chex.assert_max_traces(update, n=1))


def _state(cfg, actor=None):
  return policy_state.init_state(cfg, jax.random.key(0), CELLS, actor)


@functools.partial(jax.jit, static_argnums=0)
def _logits(cfg, params, feat):
  return actor_critic.actor_logits(cfg.actor_critic, params, feat)


def test_warm_up_trains_the_critic_alone():
  cfg = _learner("ppo")
  update, state = _update(cfg), _state(cfg)
  states = [state]
  for _ in range(3):
    state, _ = update(state, jax.random.key(1), 1.0, None, None)
    states.append(state)
  chex.assert_trees_all_equal(states[0].actor, states[2].actor)
  chex.assert_trees_all_equal(states[0].actor_opt, states[2].actor_opt)
  assert _distance(states[0].critic, states[1].critic) > 0
  assert _distance(states[2].actor, states[3].actor) > 0


def test_divergence_holds_the_policy_and_is_annealed():
  free = toys.config(updates=12)
  held = toys.config(updates=12, kl_scale=20.0, kl_final=10.0)
  distances, scales = [], []
  for cfg in (free, held):
    update = fakes.jit(policy_update.make_update(cfg, toys.corridor(cfg)))
    start = actor_critic.init_actor(cfg.actor_critic, jax.random.key(3), CELLS)
    state = _state(cfg, start)
    for _ in range(12):
      state, metrics = update(state, jax.random.key(1), 1.0, None, start)
      scales.append(float(metrics["policy/kl_scale"]))
    distances.append(float(metrics["policy/kl_to_clone"]))
  assert distances[1] < 0.2 * distances[0]
  np.testing.assert_allclose(scales[:12], 0.0)
  np.testing.assert_allclose(scales[12::11], [20.0, 20 - 10 * 11 / 12])


@pytest.mark.parametrize("algorithm", behaviour_config.ALGORITHMS)
def test_learns_the_corridor_without_retracing(algorithm):
  cfg = _learner(algorithm)
  update, state = _update(cfg), _state(cfg)
  rewards = []
  for _ in range(60):
    state, metrics = update(state, jax.random.key(1), 1.0, None, None)
    rewards.append(float(metrics["imagined/new_maps"]))
  # Always right wins from every cell within 8 steps: 1 is the best there is.
  assert np.mean(rewards[:5]) < 0.2
  assert np.mean(rewards[-5:]) > 0.95
  least = 0.5 if algorithm == "ppo" else 0.0
  assert float(metrics["critic/explained_variance"]) > least
  logits = _logits(cfg, state.actor, jnp.eye(CELLS))
  np.testing.assert_array_equal(jnp.argmax(logits, -1), toys.RIGHT)


@pytest.mark.parametrize("algorithm", behaviour_config.ALGORITHMS)
def test_what_is_no_number_stays_in_the_metrics(algorithm):
  update, state = _update(_learner(algorithm)), _state(_learner(algorithm))
  state, metrics = update(state, jax.random.key(1), jnp.nan, None, None)
  assert not np.isfinite(float(metrics["imagined/reward"]))
  # Whoever looks at a later update alone sees it too, whatever is dreamt then.
  _, metrics = update(state, jax.random.key(1), 0.0, None, None)
  assert not np.isfinite(float(metrics["param/critic_norm"]))


def test_the_same_key_and_state_repeat():
  cfg = _learner("ppo")
  update, first = _update(cfg), _state(cfg)
  a = update(first, jax.random.key(1), 1.0, None, None)
  b = update(first, jax.random.key(1), 1.0, None, None)
  other = update(a[0], jax.random.key(1), 1.0, None, None)
  chex.assert_trees_all_equal(a, b)
  assert float(a[1]["imagined/return"]) != float(other[1]["imagined/return"])


class _Seen(Exception):
  """Carries the dreams out of an update that goes no further."""


def _dreams(cfg, dream_fn, world=1.0, starts=None, feat_dim=CELLS):
  """What the first update of a configuration dreams."""

  def spy(world, key, starts, policy_fn):
    dream = fakes.jit(lambda w, k, s: dream_fn(w, k, s, policy_fn))
    raise _Seen(dream(world, key, starts))

  state = policy_state.init_state(cfg, jax.random.key(0), feat_dim)
  update = policy_update.make_update(cfg, spy)
  with pytest.raises(_Seen) as seen:
    update(state, jax.random.key(1), world, starts, None)
  return seen.value.args[0]


def test_all_algorithms_dream_alike():
  rollouts = {}
  for algorithm in behaviour_config.ALGORITHMS:
    cfg = toys.config(
      algorithm=algorithm, slow_critic_rate=0.1 if algorithm == "pmpo" else 0.0
    )
    rollouts[algorithm] = _dreams(cfg, toys.corridor(cfg))
  for algorithm in ("reinforce", "pmpo"):
    chex.assert_trees_all_equal(rollouts["ppo"], rollouts[algorithm])
  first = rollouts["ppo"].feat[0]
  np.testing.assert_array_equal(
    rollouts["grpo"].feat[0], jnp.repeat(first[:4], 8, axis=0)
  )


def test_groups_of_the_world_model_share_their_start_and_part(monkeypatch):
  cfg = fakes.config("policy.starts=8", "policy.horizon=3")
  grouped = fakes.config(
    *("policy.starts=8", "policy.horizon=3", "policy.algorithm=grpo"),
    "policy.group_size=4",
  )
  world = fakes.params(cfg.world_model, noise=0.1)
  rng = np.random.default_rng(0)

  def fill(leaf):
    shape = (40, *leaf.shape[1:])
    if leaf.dtype == jnp.uint8:
      return rng.integers(0, 8, shape).astype(np.uint8)
    return rng.normal(size=shape).astype(leaf.dtype)

  rows = jax.tree.map(fill, latents.empty(cfg.world_model))
  starts = dreams.Experience(rows=rows, start=jnp.arange(40))
  rest = (world, starts, policy_inputs.size(cfg))
  together = _dreams(grouped, dreams.make_dream_fn(grouped), *rest)
  with monkeypatch.context() as patch:  # no more than where they start
    patch.setattr(
      dreams.imagination,
      "imagine",
      lambda *args, earned, inputs_fn: types.SimpleNamespace(
        feat=inputs_fn(*args[3:5]),
        earned=earned,
        **dict.fromkeys(("action", "reward_terms", "cont", "level")),
      ),
    )
    alone = _dreams(cfg, dreams.make_dream_fn(cfg), *rest)
  assert len(np.unique(alone.feat, axis=0)) > 2
  for name, first in (("feat", together.feat[0]), ("earned", together.earned)):
    wanted = jnp.repeat(getattr(alone, name)[:2], 4, axis=0)
    np.testing.assert_array_equal(first, wanted)
  # Chance is not shared: no two dreams of a group end alike.
  assert len(np.unique(together.feat[-1], axis=0)) == 8


def test_a_slow_critic_follows_and_bootstraps():
  np.testing.assert_allclose(critics.follow(1.0, 3.0, 0.1), 1.2)
  cfg = _learner("grpo")
  update, before = _update(cfg), _state(cfg)
  after, _ = update(before, jax.random.key(1), 1.0, None, None)
  # Four steps of the critic: at most 1 - 0.9^4 = 0.34 of its way.
  way = _distance(before.slow_critic, after.critic)
  assert 0.1 < _distance(before.slow_critic, after.slow_critic) / way < 0.34
  # A shifted slow critic shifts the values; a shifted critic does not.
  shifted = jax.tree.map(lambda leaf: leaf + 0.1, after.critic)
  metrics = [
    update(state, jax.random.key(1), 1.0, None, None)[1]["imagined/value"]
    for state in (
      after,
      after.replace(critic=shifted),
      after.replace(slow_critic=shifted),
    )
  ]
  assert float(metrics[0]) == float(metrics[1]) != float(metrics[2])


def test_the_range_of_returns_moves_with_the_state():
  cfg = _learner("reinforce")
  update, state = _update(cfg), _state(cfg)
  assert float(state.return_scale.mass) == 0.0
  for count in (1, 2):
    state, metrics = update(state, jax.random.key(1), 200.0, None, None)
    mass = 1.0 - 0.99**count
    np.testing.assert_allclose(state.return_scale.mass, mass, rtol=1e-5)
  spread = (state.return_scale.high - state.return_scale.low) / mass
  np.testing.assert_allclose(
    metrics["imagined/return_scale"], jnp.maximum(spread, 1.0), rtol=1e-5
  )


@pytest.mark.parametrize(("algorithm", "steps"), [("ppo", 4), ("reinforce", 2)])
def test_a_plain_gradient_makes_one_pass(algorithm, steps):
  cfg = _learner(algorithm)  # two epochs of two minibatches
  state = _state(cfg).replace(update=jnp.int32(cfg.policy.critic_warmup))
  state, _ = _update(cfg)(state, jax.random.key(1), 1.0, None, None)
  assert int(optax.tree.get(state.actor_opt, "count")) == steps
  assert int(optax.tree.get(state.critic_opt, "count")) == 4


def _distance(a, b):
  leaves = jax.tree.leaves(jax.tree.map(jnp.subtract, a, b))
  return float(jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in leaves)))
