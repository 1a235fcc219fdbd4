"""Imagined steps that look rows up, against the plain step in a loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import progress as progress_lib
from pokedreamer_jax.world_model import reward_heads
from pokedreamer_jax.world_model import table_step
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_N, _L = 5, 4
_ATLAS = ("world_model.atlas=counted", "world_model.atlas_cells=1024")
_RELATIVE = "world_model.relative_tokens=true"
_CONFIGS = {
  "plain": fakes.config(),
  "atlas": fakes.config(*_ATLAS, _RELATIVE),
  "chained": fakes.config(
    *(*_ATLAS, _RELATIVE, "world_model.chain_changes=true")
  ),
  "not around": fakes.config(*_ATLAS, "world_model.atlas_around=false"),
  "no tokens": fakes.config("world_model.ram=off"),
  "v2": fakes.config_v2(),
}
_DREAMS = ("plain", "no tokens")  # with reward terms


@functools.cache
def _params(name):
  return fakes.params(_CONFIGS[name].world_model, 0.3)


def _start(cfg, drawn):
  """States as observed, or as before the first frame: no one-hots."""
  rng = np.random.default_rng(3)
  start = world_model.initial_state(cfg, (_N,))
  if not drawn:
    return start
  numbers = [rng.integers(size, size=_N) for size in cfg.token_sizes.values()]
  hot = start.tokens
  if numbers:
    hot = tokens.one_hot(cfg.token_sizes, jnp.asarray(np.stack(numbers, -1)))
  stoch = np.eye(cfg.classes)[rng.integers(cfg.classes, size=(_N, cfg.stoch))]
  return world_model.State(
    deter=jnp.asarray(rng.normal(size=(_N, cfg.deter)), jnp.float32),
    stoch=jnp.asarray(stoch.reshape(_N, -1), jnp.float32),
    tokens=hot,
  )


@functools.cache
def _programs(name):
  cfg = _CONFIGS[name].world_model
  return tuple(
    fakes.jit(functools.partial(dream, cfg))
    for dream in (imagination.replay_actions, imagination.prior_step)
  )


@pytest.mark.parametrize("most_likely", [False, True])
@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("name", _CONFIGS)
def test_a_dream_is_that_of_the_plain_step(name, drawn, most_likely):
  cfg, params = _CONFIGS[name].world_model, _params(name)
  assert table_step.serves(cfg)
  key, likely = jax.random.key(4), jnp.asarray(most_likely)
  rng = np.random.default_rng(5)
  action = jnp.asarray(rng.integers(specs.NUM_ACTIONS, size=(_L, _N)))
  replay, step = _programs(name)
  found = replay(params, key, _start(cfg, drawn), action, likely)
  state, keys = _start(cfg, drawn), jax.random.split(key, _L)
  for i in range(_L):
    state = step(params, keys[i], state, action[i], likely)
    np.testing.assert_allclose(found.deter[i], state.deter, atol=1e-5)
    np.testing.assert_array_equal(found.stoch[i], state.stoch)
    np.testing.assert_array_equal(found.tokens[i], state.tokens)


@pytest.mark.parametrize("name", _DREAMS)
def test_what_heads_say_is_what_they_say_of_the_features(name):
  cfg, params = _CONFIGS[name].world_model, _params(name)
  start = _start(cfg, True)
  reached = progress_lib.nothing((_N,))

  def policy(key, feat):
    return jax.random.randint(key, feat.shape[:1], 0, specs.NUM_ACTIONS)

  dream = fakes.jit(
    lambda params: imagination.imagine(
      cfg, params, jax.random.key(1), start, reached, policy, _L
    )
  )
  made = dream(params)
  feat = made.feat[1:]
  logit = parts.apply(cfg, params, "continue", feat)
  np.testing.assert_allclose(made.cont, jax.nn.sigmoid(logit), atol=1e-5)
  predicted = reward_heads.predict(parts.apply(cfg, params, "reward", feat))
  before, after = (
    jax.tree.map(lambda leaf, part=part: leaf[part], made.progress)
    for part in (slice(None, -1), slice(1, None))
  )
  here = progress_lib.here_flags(cfg.token_sizes, made.state.tokens[0])
  visited = before.visited.at[0].set(before.visited[0] | here)
  terms = reward_heads.from_tokens(
    cfg.token_sizes, predicted, before.replace(visited=visited), after
  )
  np.testing.assert_allclose(made.reward_terms, terms, rtol=1e-4, atol=1e-5)


def test_rounded_models_keep_to_the_plain_step():
  cfg = fakes.config("world_model.compute_dtype=bfloat16").world_model
  assert not table_step.serves(cfg)
