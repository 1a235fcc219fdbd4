"""A dream as functions: as imagination has it, many at once, six values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.behaviour import dream_env
from pokedreamer_jax.behaviour import dream_play
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from tests.pokedreamer_jax import fakes


@functools.cache
def _made():
  cfg = fakes.config()
  world = fakes.params(cfg.world_model, 0.3)
  rows = fakes.steps(3, 0)
  rows["game_running"][:] = True
  starts = fakes.jit(functools.partial(dream_env.begin, cfg))(
    world,
    jax.random.key(0),
    jnp.asarray(rows["frame"]),
    {
      name: jnp.asarray(value)
      for name, value in dream_play.ram_of(cfg.world_model, rows).items()
    },
  )
  return cfg, dream_env.EnvParams(world, starts, max_steps=4)


@functools.cache
def _run():
  """A scan over many environments: what a learner would write."""
  cfg, params = _made()
  env = dream_env.Env(cfg)

  def run(key, params):
    reset_key, key = jax.random.split(key)
    seen, state = env.reset(reset_key, params)

    def step(state, key):
      action_key, step_key = jax.random.split(key)
      action = jax.random.randint(action_key, (), 0, env.num_actions)
      seen, state, *rest = env.step(step_key, state, action, params)
      return state, (seen, *rest, state.time, action)

    _, found = jax.lax.scan(step, state, jax.random.split(key, 9))
    return seen, found

  many = fakes.jit(jax.vmap(run, (0, None)))
  keys = jax.random.split(jax.random.key(5), 3)
  return many(keys, params), fakes.jit(run)(keys[1], params)


def test_many_in_a_scan_are_each_alone():
  many, alone = _run()
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-4),
    many,
    alone,
  )
  first, (frames, reward, terminated, truncated, info, _, _) = many
  assert first.shape == (3, 144, 40) and first.dtype == np.uint8
  assert frames.shape == (3, 9, 144, 40) and reward.shape == (3, 9)
  assert terminated.dtype == truncated.dtype == bool
  assert info["reward_terms"].shape == (3, 9, 8)


def test_an_episode_ends_in_one_of_two_ways_and_another_begins():
  (_, (_, _, terminated, truncated, info, time, _)), _ = _run()
  ended = terminated | truncated
  assert ended.any() and not (terminated & truncated).any()
  np.testing.assert_array_equal(terminated, info["cont"] < 0.5)
  np.testing.assert_array_equal(time == 0, ended)
  running = np.array([[0, *list(row[:-1])] for row in np.asarray(time)])
  np.testing.assert_array_equal(truncated, (running == 3) & ~terminated)


def test_a_step_is_that_of_imagination():
  cfg, params = _made()
  start = jax.tree.map(lambda leaf: leaf[1], params.starts)
  key = jax.random.key(3)
  step = fakes.jit(
    lambda state: dream_env.advance(cfg, params.world, key, state, 2)
  )
  after, arrival = step(start)
  ahead = fakes.jit(
    lambda state: imagination.prior_step(
      cfg.world_model, params.world, key, state, jnp.array([2])
    )
  )(jax.tree.map(lambda leaf: leaf[None], start.model))
  for mine, theirs in zip(
    jax.tree.leaves(after.model), jax.tree.leaves(ahead), strict=True
  ):
    np.testing.assert_allclose(mine, theirs[0], rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(after.earned, arrival.terms)
  assert after.time == 1
  # What a title screen leads to is no news.
  title, silent = step(start.replace(running=jnp.array(False)))
  assert np.abs(arrival.terms).sum() > 0
  assert not np.asarray(silent.terms).any() and silent.reward == 0
  assert title.running


def test_features_are_observed_without_drawing():
  cfg, params = _made()
  env = dream_env.Env(cfg, observation="features")
  start = jax.tree.map(lambda leaf: leaf[0], params.starts)
  np.testing.assert_array_equal(
    env.observe(start, params), world_model.features(start.model)
  )
  with pytest.raises(ValueError, match="observation: 'rgb'"):
    dream_env.Env(cfg, observation="rgb")
