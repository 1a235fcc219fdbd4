"""What a policy reads of the episode: the same in records, dreams and play."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_tools.game import roms
from data_tools.records import episodes
from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import goal_offsets
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import presets
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_ROWS = 140  # of the demonstrator: it is in its third map by then


def _config(*overrides):
  return presets.make("debug", ["world_model.tile_vocab=8", *overrides])


@pytest.fixture(scope="module")
def played():
  """The rows of an episode that begins on the title screen, `[T, ...]`."""
  return episodes.play_whole(
    episodes.Playing(roms.resolve(), "demonstrator", 0, _ROWS, 0)
  )


def _recorded(cfg, steps):
  """Inputs `[T, F + P]` of recorded rows, with made-up states."""
  model = cfg.world_model
  hot = tokens.one_hot(model.token_sizes, tokens.read(model.token_sizes, steps))
  state = world_model.initial_state(model, (len(hot),)).replace(tokens=hot)
  batch = {name: jnp.asarray(array) for name, array in steps.items()}
  packed = jax.tree.map(np.asarray, latents.pack(state, batch))
  rows = latents.with_earned(packed)
  state = latents.unpack(model, rows)
  reached = latents.progress(model, rows, state)
  return np.asarray(policy_inputs.read(cfg, state, reached))


def test_play_reads_what_records_say(played):
  cfg = _config()
  maps = cfg.world_model.token_sizes["map"]
  found = _recorded(cfg, played)
  assert found.shape == (_ROWS, policy_inputs.size(cfg))
  extra = found[:, cfg.world_model.feat_dim :]
  bits = np.unpackbits(played["visited_maps"], axis=1, bitorder="little")
  np.testing.assert_array_equal(extra[:, :maps], bits[:, :maps])
  assert not extra[0, :maps].any() and extra[-1, :maps].sum() >= 3
  act = acting.make_act(cfg, *_agent(cfg))
  state, seen = acting.init_state(cfg.world_model, 1), []
  for t in range(_ROWS):
    row = {name: field[t : t + 1] for name, field in played.items()}
    state, _ = act(
      *(state, row["frame"], acting.ram_of(row), row["is_first"]),
      jax.random.key(t),
    )
    seen.append(jax.device_get(state.progress))
  for t, reached in enumerate(seen):
    np.testing.assert_array_equal(reached.visited[0], bits[t])
    highest = played["party_level"][: t + 1, 0].max()
    assert reached.level[0] == highest
  # Another episode begins with nothing, whatever was before.
  row = {name: field[:1] for name, field in played.items()}
  state, _ = act(
    *(state, row["frame"], acting.ram_of(row), row["is_first"]),
    jax.random.key(0),
  )
  assert not state.progress.visited.any() and state.progress.level[0] == 0


def _agent(cfg):
  size = policy_inputs.size(cfg)
  actor = actor_critic.init_actor(cfg.actor_critic, jax.random.key(0), size)
  return fakes.params(cfg.world_model), actor


def test_dreams_carry_it_on():
  cfg = _config("world_model.tokens=map:8 y:12 x:12 level:9")
  model = cfg.world_model
  hot = tokens.one_hot(
    model.token_sizes, jnp.tile(jnp.array([3, 1, 1, 4]), (5, 1))
  )
  start = world_model.initial_state(model, (5,)).replace(tokens=hot)
  seen = jnp.zeros((5, 256), bool).at[:, jnp.array([3, 6])].set(True)
  reached = progress_lib.recorded(
    model.token_sizes, start.tokens, seen, jnp.full(5, 6)
  )
  inputs = []

  def policy_fn(key, feat):
    del key
    inputs.append(feat.shape)
    return jnp.argmax(feat[:, -14:], axis=-1) % specs.NUM_ACTIONS

  rollout = imagination.imagine(
    *(model, fakes.params(model, noise=0.3), jax.random.key(1), start),
    *(reached, policy_fn, 6),
    inputs_fn=lambda *parts: policy_inputs.read(cfg, *parts),
  )
  size = policy_inputs.size(cfg)
  assert size == model.feat_dim + 8 + 5 and inputs[0] == (5, size)
  extra = np.asarray(rollout.feat[..., model.feat_dim :])
  maps, level = (
    np.asarray(tokens.numbers(model.token_sizes, rollout.state.tokens))[..., i]
    for i in (0, 3)
  )
  assert (extra[0, :, :8] == np.isin(np.arange(8), [3, 6])).all()
  assert (extra[0, :, 8:] == np.eye(5)[2]).all()  # two below the highest
  for n in range(5):
    known, highest = {3, 6}, 6
    for t in range(7):
      known.add(int(maps[t, n]))
      highest = max(highest, int(level[t, n]))
      assert set(np.flatnonzero(extra[t, n, :8])) == known
      below = min(highest - int(level[t, n]), 4)
      assert (extra[t, n, 8:] == np.eye(5)[below]).all()
      assert rollout.level[t, n] == highest
  assert len(np.unique(maps)) > 3 and len(np.unique(level)) > 3


def test_without_it_only_features_are_read(played):
  cfg = _config("actor_critic.reads_progress=False")
  found = _recorded(cfg, {name: field[:9] for name, field in played.items()})
  assert found.shape[1] == policy_inputs.size(cfg) == cfg.world_model.feat_dim
  off = _config("world_model.ram=off")
  assert policy_inputs.size(off) == off.world_model.feat_dim


def test_where_a_goal_lies_is_read_before_the_goal():
  asked = ["actor_critic.reads_goal=true", "actor_critic.goal_dim=64"]
  cfg = _config(*asked, "actor_critic.reads_offset=true")
  plain, model = _config(*asked), cfg.world_model
  sizes = model.token_sizes
  values = {name: 3 for name in sizes}
  hot = tokens.one_hot(sizes, jnp.array([list(values.values())] * 2))
  state = world_model.initial_state(model, (2,)).replace(tokens=hot)
  reached = progress_lib.nothing((2,))
  goal = jnp.stack(
    [
      goal_embeddings.embed_goal(goal_specs.Goal("tile", 3, 5, 2)),
      goal_embeddings.embed_goal(goal_specs.NONE),
    ]
  )
  found = policy_inputs.read(cfg, state, reached, goal)
  without = policy_inputs.read(plain, state, reached, goal)
  assert found.shape == (2, policy_inputs.size(cfg))
  count = goal_offsets.num_features(sizes)
  assert found.shape[1] - without.shape[1] == count > 0
  place = slice(found.shape[1] - 64 - count, found.shape[1] - 64)
  offset = np.asarray(found[:, place])
  rows, columns = np.split(offset[0, :-1], 2)
  assert np.argmax(rows) - goal_offsets.REACH == 2
  assert np.argmax(columns) - goal_offsets.REACH == -1
  assert rows.sum() == columns.sum() == 1 and offset[0, -1] == 0
  assert not offset[1].any()
  rest = np.delete(np.asarray(found), np.r_[place], axis=1)
  np.testing.assert_array_equal(rest, without)
  off = _config(*asked, "actor_critic.reads_offset=true", "world_model.ram=off")
  with pytest.raises(ValueError, match=r"reads_offset: True, the state lacks"):
    policy_inputs.size(off)


def test_the_published_actor_reads_features_alone():
  with pytest.raises(ValueError, match=r"reads_progress: True, family v2 read"):
    behaviour_config.ActorCriticConfig(family="v2", reads_progress=True)
  dataclasses.replace(behaviour_config.ActorCriticConfig(), family="v2")
