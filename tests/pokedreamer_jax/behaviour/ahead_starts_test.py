"""Dreams that begin where the policy's own dreams lead: from where, how far."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import ahead_starts
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib
from tests.pokedreamer_jax import fakes

_N, _STEPS = 6, 5


@pytest.fixture(scope="module")
def cfg():
  return fakes.config("policy.ahead_starts=0.7", f"policy.ahead_steps={_STEPS}")


def _start(cfg):
  state = world_model.initial_state(cfg.world_model, (_N,))
  noise = jax.random.normal(jax.random.key(7), state.deter.shape)
  return ahead_starts.Start(
    state=state.replace(deter=noise),
    progress=progress_lib.nothing((_N,)),
    earned=jnp.arange(_N * 8.0).reshape(_N, 8),
  )


def _policy_fn(key, inputs):
  return jax.random.randint(key, (len(inputs),), 0, specs.NUM_ACTIONS)


def _rollout(cfg, world, key, start):
  """The dream before the dream, as `lead` makes it."""
  some = jax.tree.map(lambda leaf: leaf[:4], start)  # .7 of 6
  return imagination.imagine(
    cfg.world_model, world, key, some.state, some.progress, _policy_fn, _STEPS
  )


def test_most_starts_are_further_on_and_the_rest_stays(cfg):
  world, start = fakes.params(cfg.world_model, 0.1), _start(cfg)
  world["continue"] = jax.tree.map(jnp.zeros_like, world["continue"])
  world["continue"] = _with_bias(world["continue"], 5.0)
  key = jax.random.key(1)
  led = fakes.jit(
    lambda key: ahead_starts.lead(cfg, world, key, start, _policy_fn, None)
  )(key)
  steps_key, dream_key = jax.random.split(key)
  rollout = _rollout(cfg, world, dream_key, start)
  steps = jax.random.randint(steps_key, (4,), 1, _STEPS + 1)
  assert len(set(steps.tolist())) > 1 and int(steps.min()) >= 1
  for n, step in enumerate(steps.tolist()):
    np.testing.assert_allclose(
      led.state.deter[n], rollout.state.deter[step, n], atol=1e-5
    )
    np.testing.assert_array_equal(
      led.progress.visited[n], rollout.progress.visited[step, n]
    )
    gained = rollout.reward_terms[:step, n].sum(axis=0)
    np.testing.assert_allclose(
      led.earned[n], start.earned[n] + gained, rtol=1e-4
    )
  for far, near in zip(
    jax.tree.leaves(led), jax.tree.leaves(start), strict=True
  ):
    np.testing.assert_array_equal(far[4:], near[4:])


def _with_bias(params, value):
  """Parameters of a head whose every output is `value`."""
  flat, tree = jax.tree.flatten_with_path(params)
  last = [path for path, leaf in flat if leaf.shape == (1,)][-1]
  return jax.tree.unflatten(
    tree,
    [leaf + value if path == last else leaf for path, leaf in flat],
  )


@pytest.mark.parametrize("how", ["ends at once", "before an event", "off"])
def test_no_start_lies_past_an_end_or_is_moved_from_an_event(cfg, how):
  world, start = dict(fakes.params(cfg.world_model, 0.1)), _start(cfg)
  zeros = jax.tree.map(jnp.zeros_like, world["continue"])
  world["continue"] = _with_bias(zeros, -5.0 if how == "ends at once" else 5.0)
  if how == "off":
    cfg = fakes.config("policy.ahead_starts=0")
  fixed = jnp.full(_N, how == "before an event")
  led = ahead_starts.lead(
    cfg, world, jax.random.key(1), start, _policy_fn, None, fixed
  )
  for far, near in zip(
    jax.tree.leaves(led), jax.tree.leaves(start), strict=True
  ):
    np.testing.assert_array_equal(far, near)
