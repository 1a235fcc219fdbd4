"""Recorded sequences for the critic: edges of episodes, and returns by loop."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import critics
from pokedreamer_jax.behaviour import dream_rows
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.behaviour import policy_state
from pokedreamer_jax.behaviour import policy_update
from pokedreamer_jax.behaviour import replay
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import model as world_model

_DEMO, _RANDOM, _NONE = (
  specs.BEHAVIOURS.index(n) for n in ("demonstrator", "random", "none")
)
_BADGES = specs.REWARD_TERMS.index("badges")
_CFG = world_model_config.WorldModelConfig(
  deter=4, stoch=2, classes=2, ram="off"
)
_LENGTHS = (5, 7, 4)  # rows of the episodes; the second one is won


def _config(**policy):
  values = {"starts": 200, "horizon": 4, "minibatches": 1, **policy}
  return dataclasses.replace(
    presets.make("debug"),
    world_model=_CFG,
    policy=behaviour_config.PolicyConfig(**values),
    actor_critic=behaviour_config.ActorCriticConfig(units=16, bins=21),
  )


def _recorded():
  """Three short episodes; `deter` counts rows, each row earns one badge."""
  count = sum(_LENGTHS)
  starts = np.cumsum((0, *_LENGTHS[:-1]))
  is_first = np.isin(np.arange(count), starts)
  is_last = np.roll(is_first, -1)
  terms = np.zeros((count, specs.NUM_REWARD_TERMS), np.float32)
  terms[:, _BADGES] = 1.0
  behaviour = np.full(count, _DEMO, np.uint8)
  behaviour[1:3] = _RANDOM
  behaviour[is_last] = _NONE
  batch = {
    "action": np.zeros(count, np.uint8),
    "behaviour": behaviour,
    "is_first": is_first,
    "is_last": is_last,
    "is_terminal": is_last & (np.arange(count) == starts[1] + _LENGTHS[1] - 1),
    "visited_maps": np.zeros((count, 32), np.uint8),
    "party_level": np.zeros((count, 6), np.uint8),
    "reward_terms": terms,
  }
  state = world_model.initial_state(_CFG, (count,))
  state = state.replace(
    deter=jnp.tile(jnp.arange(count, dtype=jnp.float32)[:, None], (1, 4))
  )
  rows = latents.pack(state, {k: jnp.asarray(v) for k, v in batch.items()})
  rows = latents.with_earned(jax.tree.map(np.asarray, rows))
  return jax.tree.map(jnp.asarray, rows), batch


def test_sequences_do_not_run_over_the_edge_of_an_episode():
  rows, batch = _recorded()
  drawn = replay.draw(_config(), jax.random.key(0), rows)
  at = np.asarray(drawn.feat[..., 0]).astype(int)  # [L + 1, N]
  assert {*at[0]} == set(range(sum(_LENGTHS) - 4))  # every one is drawn
  episode = np.cumsum(batch["is_first"]) - 1
  same = episode[at[:-1]] == episode[at[1:]]
  np.testing.assert_array_equal(drawn.weight, same)
  np.testing.assert_array_equal(
    drawn.reward_terms[..., _BADGES], same.astype(np.float32)
  )
  np.testing.assert_array_equal(drawn.cont, ~batch["is_terminal"][at[1:]])
  # Traces end where chance chose, and with the sequence.
  meant = batch["behaviour"][at[1:]] == _DEMO
  expected = meant & np.concatenate([same[1:], np.zeros_like(same[:1])])
  np.testing.assert_array_equal(drawn.trace, expected)
  since = at[0] - np.cumsum((0, *_LENGTHS[:-1]))[episode[at[0]]] + 1
  np.testing.assert_array_equal(drawn.earned[:, _BADGES], since)


def test_rows_too_few_for_a_sequence_are_refused():
  rows, _ = _recorded()
  config = _config(horizon=15)
  few = latents.take(rows, jnp.arange(15))
  with pytest.raises(ValueError, match=r"15 recorded rows hold no .* of 16 \("):
    replay.draw(config, jax.random.key(0), few)
  replay.draw(config, jax.random.key(0), rows)  # the one that there is


def test_returns_are_those_of_a_loop():
  rng = np.random.default_rng(0)
  shape = (6, 3)
  reward, value = rng.normal(size=shape), rng.normal(size=(7, 3))
  cont, trace = rng.integers(0, 2, (2, *shape))
  sequences = replay.Sequences(
    feat=jnp.zeros((7, 3, 2)),
    reward_terms=jnp.zeros((*shape, 8)),
    earned=jnp.zeros((3, 8)),
    level=jnp.zeros((7, 3)),
    cont=jnp.asarray(cont, jnp.float32),
    trace=jnp.asarray(trace, jnp.float32),
    weight=jnp.ones(shape),
  )
  found = replay.returns(
    sequences, jnp.asarray(value), jnp.asarray(reward), 0.9, 0.8
  )
  for n in range(3):
    following = value[-1, n]
    for t in reversed(range(6)):
      share = 0.8 * trace[t, n]
      bootstrap = (1 - share) * value[t + 1, n] + share * following
      following = reward[t, n] + 0.9 * cont[t, n] * bootstrap
      np.testing.assert_allclose(found[t, n], following, rtol=1e-5, atol=1e-6)


def test_a_success_at_the_edge_of_an_episode_is_kept(monkeypatch):
  # Row 1 wins what row 0 began; row 2 begins the next and is paid itself. Its
  # `is_first` blanks neither the success before it nor its own.
  count = 6
  numbers = np.arange(count)
  terms = np.zeros((count, specs.NUM_REWARD_TERMS), np.float32)
  terms[1:3, _BADGES] = 1.0
  batch = {
    "action": np.zeros(count, np.uint8),
    "behaviour": np.full(count, _DEMO, np.uint8),
    "is_first": np.isin(numbers, (0, 2)),
    "is_last": np.isin(numbers, (1, 5)),
    "is_terminal": numbers == 1,
    "visited_maps": np.zeros((count, 32), np.uint8),
    "party_level": np.zeros((count, 6), np.uint8),
    "reward_terms": terms,
  }
  state = world_model.initial_state(_CFG, (count,))
  deter = jnp.tile(jnp.arange(count, dtype=jnp.float32)[:, None], (1, 4))
  rows = latents.pack(state.replace(deter=deter), batch)
  rows = latents.with_earned(jax.tree.map(np.asarray, rows))
  cfg = _config(horizon=2, gamma=0.5)
  drawn = replay.draw(cfg, jax.random.key(0), jax.tree.map(jnp.asarray, rows))
  at = np.asarray(drawn.feat[..., 0]).astype(int)
  first, second, third = (np.flatnonzero(at[0] == n)[0] for n in range(3))
  np.testing.assert_array_equal(at[:, first], [0, 1, 2])
  np.testing.assert_array_equal(drawn.weight[:, first], [1.0, 0.0])
  np.testing.assert_array_equal(drawn.cont[:, first], [0.0, 1.0])
  np.testing.assert_array_equal(
    drawn.reward_terms[:, first, _BADGES], [1.0, 0.0]
  )
  np.testing.assert_array_equal(drawn.weight[:, second], [0.0, 1.0])
  np.testing.assert_array_equal(
    drawn.earned[np.array([first, second, third]), _BADGES], [0.0, 1.0, 1.0]
  )
  # The win is worth what it pays, and nothing of the next episode.
  monkeypatch.setattr(
    critics, "bootstrap_values", lambda cfg, state, feat: 100 + feat[..., 0]
  )
  played = dream_rows.judge_played(cfg, None, drawn)
  returns, weight = (
    leaf.reshape(2, -1) for leaf in (played.returns, played.weight)
  )
  paid = specs.REWARD_WEIGHTS["capped"][_BADGES]
  np.testing.assert_allclose(returns[0, first], paid, rtol=1e-6)
  np.testing.assert_array_equal(weight, drawn.weight)


def test_what_was_played_teaches_the_critic():
  rows, _ = _recorded()
  cfg = _config(replay_scale=1.0)
  state = policy_state.init_state(cfg, jax.random.key(1), _CFG.feat_dim)
  sequences = replay.draw(cfg, jax.random.key(0), rows)
  played = dream_rows.judge_played(cfg, state, sequences)
  # The critic is 0 at first; the badge of the next row pays 10.
  assert played.returns.shape == (4 * 200,) and played.returns.max() > 10.0
  kept = played.weight > 0
  assert float(jnp.min(jnp.where(kept, played.returns, 99.0))) >= 10.0
  with pytest.raises(ValueError, match=r"replay_scale: 1\.0, nothing was rec"):
    policy_update.make_update(cfg, lambda *_: None)
