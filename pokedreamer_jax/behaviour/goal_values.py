"""How near goals are, as the critic of a policy under goals sees it.

A dream with a goal is paid `goals.reward` for reaching it, and ends there
(`objectives.py`): in that reward its value is `gamma^n`, where the nth step
from here reaches it, 1 at hand and 0 out of reach.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.networks import two_hot
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib

# (critic_params, state, progress, goals [N, 64]) -> [N], a goal for each state
ValueFn = Callable[..., jax.Array]
# (critic_params, state, progress, number, goals [K, 64]) -> [K], all for one
ReachFn = Callable[..., jax.Array]


def make(cfg: config_lib.Config) -> tuple[ValueFn, ReachFn]:
  """Makes the jitted functions for states `[N, ...]`.

  Raises:
    ValueError: the policy was not trained under goals, or they are not paid.
  """
  if not cfg.actor_critic.reads_goal or cfg.goals.reward <= 0:
    raise ValueError(
      f"actor_critic.reads_goal {cfg.actor_critic.reads_goal}, goals.reward "
      f"{cfg.goals.reward}: expected True and above 0, or values of goals mean "
      "nothing"
    )

  def value(
    params: Any,
    state: world_model.State,
    progress: progress_lib.Progress,
    goal: jax.Array,
  ) -> jax.Array:
    inputs = policy_inputs.read(cfg, state, progress, goal)
    found = two_hot.mean(
      actor_critic.critic_logits(cfg.actor_critic, params, inputs),
      actor_critic.value_bins(cfg.actor_critic),
    )
    return jnp.clip(found / cfg.goals.reward, 0.0, 1.0)

  def reach(
    params: Any,
    state: world_model.State,
    progress: progress_lib.Progress,
    number: jax.Array,
    goals: jax.Array,
  ) -> jax.Array:
    of_one, seen = jax.tree.map(
      lambda leaf: jnp.repeat(leaf[number][None], len(goals), axis=0),
      (state, progress),
    )
    return value(params, of_one, seen, goals)

  return jax.jit(value), jax.jit(reach)
