"""What a policy is paid: an objective's reward of dreamt or recorded steps.

An objective is data in `specs`: weights of the reward terms, caps on their
sums, and what a new highest level pays. The environments pay the same
(`data_tools/envs/env_rows.py`).
"""

import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import tokens


def check(cfg: config_lib.Config) -> None:
  """Raises ValueError where dreams do not say what the objective pays."""
  name = cfg.policy.reward
  if specs.LEVEL_WEIGHTS[name] and "level" not in cfg.world_model.token_sizes:
    raise ValueError(
      f"policy.reward: {name!r} pays levels, and the world model's state has "
      "no token 'level', expected one of "
      f"{[n for n, weight in specs.LEVEL_WEIGHTS.items() if not weight]}"
    )


def rewards(
  cfg: config_lib.Config,
  feat: jax.Array,
  reward_terms: jax.Array,
  earned: jax.Array,
) -> jax.Array:
  """Rewards `[L, N]` on arriving at states 1..L.

  Args:
    cfg: names the objective.
    feat: features `[L + 1, N, F]` of states, which hold their tokens.
    reward_terms: `[L, N, 8]` unweighted.
    earned: `[N, 8]` terms of the same episode before.
  """
  name = cfg.policy.reward
  counted = specs.cap_terms(reward_terms, earned, name)
  reward = counted @ jnp.asarray(specs.REWARD_WEIGHTS[name])
  if specs.LEVEL_WEIGHTS[name]:
    rises = level_rises(cfg.world_model, feat)
    reward += specs.LEVEL_WEIGHTS[name] * rises
  return reward


def level_rises(
  cfg: world_model_config.WorldModelConfig, feat: jax.Array
) -> jax.Array:
  """By how much each state's level exceeds the highest so far, `[L, N]`.

  The level of the first creature, as the token says; what stands before the
  first state is not known, so that it counts from there. The first creature
  that there is pays nothing: a game may begin with it.

  Args:
    cfg: sizes, with a token `level`.
    feat: features `[L + 1, N, F]`.
  """
  hot = feat[..., cfg.feat_dim - cfg.token_dim :]
  place = tokens.slices(cfg.token_sizes)["level"]
  level = jnp.argmax(hot[..., place], axis=-1).astype(jnp.float32)
  highest = jax.lax.cummax(level, axis=0)
  return jnp.where(highest[:-1] > 0, highest[1:] - highest[:-1], 0.0)
