"""What a policy is paid: an objective's reward of dreamt or recorded steps.

An objective is data in `specs`: weights of the reward terms, caps on their
sums, and what a new highest level pays. The environments pay the same
(`data_tools/envs/env_rows.py`).
"""

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib


def check(cfg: config_lib.Config) -> None:
  """Raises ValueError where dreams do not say what the loss asks for."""
  pays_levels = cfg.policy.term_weights[specs.LEVEL]
  if pays_levels and specs.LEVEL not in cfg.world_model.token_sizes:
    raise ValueError(
      f"policy.reward: {cfg.policy.objective_name!r} pays levels, and the "
      "world model's state has no token 'level', expected one of "
      f"{[n for n, weight in specs.LEVEL_WEIGHTS.items() if not weight]}"
    )
  if cfg.policy.kl_battle and "battle" not in cfg.world_model.token_sizes:
    raise ValueError(
      f"policy.kl_battle: {cfg.policy.kl_battle}, and the world model's state "
      "has no token 'battle', expected 0"
    )


class Steps(Protocol):
  """What is paid for: dreamt or recorded sequences, time first."""

  reward_terms: jax.Array  # [L, N, 8] unweighted, on arriving at states 1..L
  earned: jax.Array  # [N, 8] terms of the same episode before

  @property
  def level(self) -> jax.Array:
    """The highest level of the episode up to each state, `[L + 1, N]`."""


def rewards(cfg: config_lib.Config, steps: Steps) -> jax.Array:
  """Rewards `[L, N]` on arriving at states 1..L; `cfg` names the objective."""
  objective = cfg.policy.objective
  counted = specs.cap_terms(steps.reward_terms, steps.earned, objective)
  weights = cfg.policy.term_weights
  level_weight = weights.pop(specs.LEVEL)
  reward = counted @ jnp.asarray(list(weights.values()))
  if level_weight:
    reward += level_weight * level_rises(steps.level)
  return reward


class Pursued(Steps, Protocol):
  """Dreams of which some pursue goals, `dream_rows.Pursued`."""

  cont: jax.Array  # [L, N]
  pursues: jax.Array  # [N] bool
  success: jax.Array  # [L, N] probability of reaching the goal


def under_goals(
  cfg: config_lib.Config, dreams: Pursued, reward: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Rewards and continuation `[L, N]` where dreams may pursue goals.

  A dream with a goal is paid `goals.reward` for reaching it and nothing else,
  and ends there, so that its value is what `goals.reward` is worth by the time
  it takes: nothing that is dreamt behind a success teaches anything.

  Args:
    cfg: the configuration.
    dreams: rolled out.
    reward: `[L, N]` of the objective, which dreams without a goal are paid.
  """
  own = cfg.goals.reward * dreams.success
  ends = dreams.cont * (1.0 - dreams.success)
  return (
    jnp.where(dreams.pursues, own, reward),
    jnp.where(dreams.pursues, ends, dreams.cont),
  )


def level_rises(highest: jax.Array | np.ndarray) -> jax.Array:
  """By how much the highest level rises on arriving at states 1..L, `[L, N]`.

  The first creature that there is pays nothing: a game may begin with it.

  Args:
    highest: `[L + 1, N]`, of the first creature up to each state; 0: none.
  """
  return jnp.where(highest[:-1] > 0, highest[1:] - highest[:-1], 0.0)
