"""The acting step: memory, resets, own last action, one program."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import presets
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.world_model import model as world_model

PLAYERS = 3


@pytest.fixture(scope="module", params=["given", "inferred", "off"])
def parts(request):
  """A tiny agent: configuration, parameters, a row of fields, its act."""
  cfg = presets.make(
    "debug",
    [
      *(f"world_model.ram={request.param}", "world_model.tile_vocab=8"),
      "world_model.tokens=map:8 y:12 x:12",
    ],
  )
  rng = np.random.default_rng(0)
  row = specs.empty_steps(PLAYERS)
  row["frame"][:] = rng.integers(0, 256, row["frame"].shape)
  row["x"][:] = [1, 2, 3]
  world = world_model.init(
    cfg.world_model,
    jax.random.key(0),
    tiles.build([row["frame"]], cfg.world_model.tile_vocab),
  )
  actor = actor_critic.init_actor(
    cfg.actor_critic, jax.random.key(1), policy_inputs.size(cfg)
  )
  actor["Dense_0"]["kernel"] *= 1e3  # decided, so that inputs matter
  return cfg, world, actor, row, acting.make_act(cfg, world, actor)


def test_acting_needs_no_decoder_and_no_heads(parts):
  cfg, world, actor, row, whole = parts
  shapes = acting.acting_params(
    cfg.world_model, world_model.shapes(cfg.world_model)
  )
  part = acting.acting_params(cfg.world_model, world)
  assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), part) == (
    jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), shapes)
  )
  assert {"decoder", "reward", "continue"} == set(world) - set(part)
  acts = (whole, acting.make_act(cfg, part, actor))
  one, other = (_step(act, _states(cfg, 1), row, False) for act in acts)
  chex.assert_trees_all_equal(one, other)


def _step(act, state, row, is_first, seed=5):
  is_first = np.full(PLAYERS, is_first)
  key = jax.random.key(seed)
  return act(state, row["frame"], acting.ram_of(row), is_first, key)


def _states(cfg, seed):
  """A made-up memory; made anew because acting uses it up."""
  rng = np.random.default_rng(seed)
  blank = acting.init_state(cfg.world_model, PLAYERS)
  return acting.ActState(
    model=jax.tree.map(
      lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32),
      blank.model,
    ),
    progress=blank.progress,
    action_tm1=jnp.asarray(rng.integers(0, 8, PLAYERS), jnp.int32),
    goal=blank.goal,
  )


def test_first_frame_forgets_and_later_frames_do_not(parts):
  cfg, *_, row, act = parts
  for is_first, forgets in ((True, True), (False, False)):
    one, _ = _step(act, _states(cfg, 1), row, is_first)
    other, _ = _step(act, _states(cfg, 2), row, is_first)
    assert np.array_equal(one.model.deter, other.model.deter) == forgets


def test_last_action_is_its_own_and_enters_the_state(parts):
  cfg, *_, row, act = parts
  state, action = _step(act, _states(cfg, 1), row, False)
  np.testing.assert_array_equal(state.action_tm1, action)
  assert action.dtype == np.int32 and np.all((action >= 0) & (action < 8))
  changed = _states(cfg, 1)
  changed = changed.replace(action_tm1=(changed.action_tm1 + 1) % 8)
  other, _ = _step(act, changed, row, False)
  rows_differ = np.any(state.model.deter != other.model.deter, axis=-1)
  np.testing.assert_array_equal(rows_differ, True)


def test_greedy_takes_the_most_likely(parts):
  cfg, world, actor, row, _ = parts
  greedy = acting.make_act(cfg, world, actor, greedy=True)
  state, action = _step(greedy, _states(cfg, 1), row, False)
  logits = actor_critic.make_actor(cfg.actor_critic).apply(
    {"params": actor}, policy_inputs.read(cfg, state.model, state.progress)
  )
  np.testing.assert_array_equal(action, jnp.argmax(logits, -1))


def test_sampling_follows_the_policy(parts):
  cfg, world, actor, row, _ = parts
  if cfg.world_model.ram != "off":  # the same whatever the RAM: once is enough
    return
  # A uniform actor draws every action in its turn.
  flat = jax.tree.map(jnp.zeros_like, actor)
  act = acting.make_act(cfg, world, flat)
  drawn = [
    np.asarray(_step(act, _states(cfg, 1), row, False, seed)[1])
    for seed in range(64)
  ]
  # 192 draws: a given action is missing with probability 7e-12.
  assert set(np.concatenate(drawn)) == set(range(8))


def test_ram_is_read_only_where_given(parts):
  cfg, *_, row, act = parts
  moved = dict(row, x=row["x"] + 1)
  here, _ = _step(act, _states(cfg, 1), row, False)
  there, _ = _step(act, _states(cfg, 1), moved, False)
  same = np.array_equal(
    world_model.features(here.model), world_model.features(there.model)
  )
  assert same == (cfg.world_model.ram != "given")


def test_sizes_follow_the_configuration():
  cfg = dataclasses.replace(presets.make("debug").world_model, deter=7)
  state = acting.init_state(cfg, 5)
  assert state.model.deter.shape == (5, 7)
  assert state.action_tm1.shape == (5,)


def test_with_its_own_key_a_player_does_not_depend_on_the_others(parts):
  cfg, world, actor, row, _ = parts
  act = acting.make_act(cfg, world, actor, own_keys=True)
  keys = jax.vmap(jax.random.key)(jnp.arange(PLAYERS, dtype=jnp.uint32))
  first = np.full(PLAYERS, True)
  state = acting.init_state(cfg.world_model, PLAYERS)
  state, together = act(state, row["frame"], acting.ram_of(row), first, keys)
  turned = {name: field[::-1] for name, field in row.items()}
  other = acting.init_state(cfg.world_model, PLAYERS)
  _, reverse = act(
    other, turned["frame"], acting.ram_of(turned), first, keys[::-1]
  )
  np.testing.assert_array_equal(together, reverse[::-1])
  np.testing.assert_array_equal(state.action_tm1, together)
