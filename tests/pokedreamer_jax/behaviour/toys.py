"""Toy worlds that policies learn in tests, and their configuration."""

import dataclasses

from flax import struct
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
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
    cell = groups.branch(cell, cfg.policy.branches)

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
