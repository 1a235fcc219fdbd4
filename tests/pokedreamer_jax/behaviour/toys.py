"""Toy worlds that policies learn in tests, and their configuration."""

import dataclasses

from flax import struct
import jax
import jax.numpy as jnp

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import critics
from pokedreamer_jax.behaviour import groups
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import presets

CELLS = 6
RIGHT = specs.ACTIONS.index("right")
NEW_MAP = specs.REWARD_TERMS.index("new_maps")


@struct.dataclass
class Rollout:
  """A dream; shapes as in `dream_rows.Rollout`."""

  feat: jax.Array
  action: jax.Array
  reward_terms: jax.Array
  cont: jax.Array
  earned: jax.Array

  @property
  def level(self):
    """No creatures here."""
    return jnp.zeros(self.feat.shape[:2])


def config(**policy):
  """Small networks, 32 dreams of 8 steps, no divergence from a clone."""
  values = {
    "updates": 60,
    "critic_warmup": 0,
    "starts": 32,
    "horizon": 8,
    "epochs": 2,
    "minibatches": 2,
    "learning_rate": 3e-3,
    "critic_learning_rate": 3e-3,
    "kl_scale": 0.0,
    "kl_final": 0.0,
  }
  return dataclasses.replace(
    presets.make("debug"),
    policy=behaviour_config.PolicyConfig(**{**values, **policy}),
    actor_critic=behaviour_config.ActorCriticConfig(
      units=32, goal_dim=4, bins=21
    ),
  )


def corridor(cfg):
  """A world of CELLS cells; only `right` at the far end pays, and ends it.

  `world` is what it pays, in new maps.
  """
  length, dreams = cfg.policy.horizon, cfg.policy.starts

  def dream_fn(world, key, starts, policy_fn):
    del starts
    start_key, key = jax.random.split(key)
    cell = jax.random.randint(start_key, (dreams,), 0, CELLS)
    own = cell[: dreams // cfg.policy.branches]
    cell = groups.repeat(own, cfg.policy.branches)

    def step(cell, step_key):
      action = policy_fn(step_key, jax.nn.one_hot(cell, CELLS))
      won = (cell == CELLS - 1) & (action == RIGHT)
      moved = jnp.where(action == RIGHT, cell + 1, cell - 1)
      arrived = jnp.clip(moved, 0, CELLS - 1)
      return arrived, (arrived, action, won)

    _, (cells, action, won) = jax.lax.scan(
      step, cell, jax.random.split(key, length)
    )
    feat = jax.nn.one_hot(jnp.concatenate([cell[None], cells]), CELLS)
    terms = jnp.zeros((length, dreams, specs.NUM_REWARD_TERMS))
    terms = terms.at[..., NEW_MAP].set(world * won)
    earned = jnp.zeros((dreams, specs.NUM_REWARD_TERMS))
    return Rollout(feat, action, terms, 1.0 - won.astype(jnp.float32), earned)

  return dream_fn


@struct.dataclass
class Pursued(Rollout):
  """A dream under goals."""

  pursues: jax.Array
  success: jax.Array
  worth: jax.Array | None = None


def two_ends_inputs(cell, goal):
  """Inputs `[..., CELLS + 64]`; goal 0 is the left end, 1 the right, 2 none."""
  known = jnp.eye(3, goal_embeddings.DIM).at[2].set(0.0)
  goal = jnp.broadcast_to(jnp.asarray(goal), jnp.shape(cell))
  return jnp.concatenate([jax.nn.one_hot(cell, CELLS), known[goal]], axis=-1)


def two_ends(cfg):
  """A corridor in which a dream is to reach one end, the other, or neither.

  Dreams go on after their success, as the world model's do. Nothing but goals
  pays.
  """
  length, dreams = cfg.policy.horizon, cfg.policy.starts

  def dream_fn(world, key, starts, policy_fn):
    del world, starts
    start_key, goal_key, key = jax.random.split(key, 3)
    cell = jax.random.randint(start_key, (dreams,), 1, CELLS - 1)
    goal = jax.random.randint(goal_key, (dreams,), 0, 3)

    def step(cell, step_key):
      action = policy_fn(step_key, two_ends_inputs(cell, goal))
      moved = jnp.where(action == RIGHT, cell + 1, cell - 1)
      arrived = jnp.clip(moved, 0, CELLS - 1)
      return arrived, (arrived, action)

    _, (cells, action) = jax.lax.scan(step, cell, jax.random.split(key, length))
    end = jnp.where(goal == 0, 0, CELLS - 1)
    cells_all = jnp.concatenate([cell[None], cells])
    zeros = jnp.zeros((length, dreams, specs.NUM_REWARD_TERMS))
    return Pursued(
      feat=two_ends_inputs(cells_all, jnp.broadcast_to(goal, cells_all.shape)),
      action=action,
      reward_terms=zeros,
      cont=jnp.ones((length, dreams)),
      earned=zeros[0],
      pursues=goal < 2,
      success=(cells == end[None]).astype(jnp.float32),
    )

  return dream_fn


def values(cfg, state, inputs):
  """What the critic says of inputs."""
  return critics.bootstrap_values(cfg, state, inputs)
