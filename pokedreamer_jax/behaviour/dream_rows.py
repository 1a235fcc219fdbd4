"""A dream batch, judged: the rows that actor and critic learn from.

Values, returns, advantages and the clone's opinion are computed once a batch,
for all rows at once; no gradient passes through them.
"""

from __future__ import annotations

from typing import Any
from typing import Protocol

import chex
from flax import struct
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import advantages
from pokedreamer_jax.behaviour import critics
from pokedreamer_jax.behaviour import objectives
from pokedreamer_jax.behaviour import policy_state
from pokedreamer_jax.behaviour import replay
from pokedreamer_jax.behaviour import returns as returns_lib
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic

Metrics = dict[str, jax.Array]


class Rollout(Protocol):
  """What is read of a dream; time first, as `imagination.Rollout`."""

  feat: jax.Array  # [L + 1, N, F], index 0 is the start
  action: jax.Array  # [L, N] int32
  reward_terms: jax.Array  # [L, N, 8] on arriving at states 1..L
  cont: jax.Array  # [L, N] probability that states 1..L are not terminal
  earned: jax.Array  # [N, 8] terms of the episode before the dream

  @property
  def level(self) -> jax.Array:
    """The highest level up to each state, `[L + 1, N]`."""


class Pursued(Protocol):
  """What a `Rollout` of dreams under goals says as well."""

  pursues: jax.Array  # [N] bool, whether a dream has a goal
  # [L, N] probability that arriving at states 1..L reaches it
  success: jax.Array
  # [N] what the goal is worth in the last state, NaN where the critic says it;
  # None: everywhere
  worth: jax.Array | None


@struct.dataclass
class Rows:
  """Rows of a dream batch as minibatches see them, `M = L * N` at most."""

  feat: jax.Array  # [M, F]
  action: jax.Array  # [M] int32
  log_prob: jax.Array  # [M] of `action` when it was taken
  clone_logits: jax.Array  # [M, A] normalised log-probabilities
  advantage: jax.Array  # [M] as `advantages.make` scales it
  returns: jax.Array  # [M] targets of the critic
  weight: jax.Array  # [M] probability that the state was reached


@struct.dataclass
class PlayedRows:
  """Rows of recorded sequences, for the critic alone; `M = L * N`."""

  feat: jax.Array  # [M, F]
  returns: jax.Array  # [M]
  weight: jax.Array  # [M] 0 where a row has no return


def judge(
  cfg: config_lib.Config,
  state: policy_state.PolicyState,
  rollout: Rollout,
  clone: Any,
) -> tuple[Rows, returns_lib.PercentileScale | None, Metrics]:
  """Judges a dream batch: values, returns, advantages; no gradients.

  Args:
    cfg: the configuration.
    state: the policy that dreamt.
    rollout: the dreams.
    clone: parameters of the cloned actor, or None.

  Returns:
    `Rows` with leaves `[L * N, ...]`, the state's `return_scale` after this
    batch, and metrics of the dreams.
  """
  length, dreams = rollout.action.shape
  chex.assert_shape(rollout.feat, (length + 1, dreams, None))
  chex.assert_shape(
    rollout.reward_terms, (length, dreams, specs.NUM_REWARD_TERMS)
  )
  chex.assert_shape(rollout.cont, (length, dreams))
  value = critics.bootstrap_values(cfg, state, rollout.feat)
  reward, cont = objectives.rewards(cfg, rollout), rollout.cont
  pursued: Any = rollout
  if getattr(rollout, "success", None) is None:
    pursued = None
  if pursued is not None:
    reward, cont = objectives.under_goals(cfg, pursued, reward)
    if pursued.worth is not None:
      known = pursued.pursues & ~jnp.isnan(pursued.worth)
      value = value.at[-1].set(jnp.where(known, pursued.worth, value[-1]))
  discount = cfg.policy.gamma * cont
  streams = (1, 1, 1, None)
  judged = advantages.Judged(
    reward=reward,
    discount=discount,
    value=value,
    returns=jax.vmap(returns_lib.lambda_returns, streams, 1)(
      reward, discount, value, cfg.policy.lambda_
    ),
    reached=jax.vmap(returns_lib.survival, 1, 1)(cont),
  )
  advantage, scale, metrics = advantages.make(
    cfg.policy, judged, state.return_scale
  )
  feat = rollout.feat[:-1]
  logits = actor_critic.actor_logits(cfg.actor_critic, state.actor, feat)
  clone_logits = logits
  if clone is not None:
    clone_logits = actor_critic.actor_logits(cfg.actor_critic, clone, feat)
  rows = Rows(
    feat=feat,
    action=rollout.action,
    log_prob=of_action(logits, rollout.action),
    clone_logits=clone_logits,
    advantage=advantage,
    returns=judged.returns,
    weight=judged.reached,
  )
  metrics |= _dream_metrics(rollout, judged)
  if pursued is not None:
    metrics |= _goal_metrics(pursued, judged)
  flat = lambda leaf: leaf.reshape(length * dreams, *leaf.shape[2:])
  rows = jax.tree.map(flat, rows)
  rows, scale = jax.lax.stop_gradient((rows, scale))
  return rows, scale, metrics


def judge_played(
  cfg: config_lib.Config,
  state: policy_state.PolicyState,
  sequences: replay.Sequences,
) -> PlayedRows:
  """Returns of recorded sequences, `[L * N, ...]`; no gradients."""
  value = critics.bootstrap_values(cfg, state, sequences.feat)
  reward = objectives.rewards(cfg, sequences)
  # Into the next episode nothing rises.
  reward *= sequences.weight
  targets = replay.returns(
    *(sequences, value, reward, cfg.policy.gamma, cfg.policy.lambda_)
  )
  flat = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])
  rows = PlayedRows(
    feat=flat(sequences.feat[:-1]),
    returns=flat(targets),
    weight=flat(sequences.weight),
  )
  return jax.lax.stop_gradient(rows)


def of_action(logits: jax.Array, action: jax.Array) -> jax.Array:
  """The entries `[...]` of `logits` `[..., A]` that belong to `action`."""
  return jnp.take_along_axis(logits, action[..., None], axis=-1)[..., 0]


def _dream_metrics(rollout, judged) -> Metrics:
  """Means over dreams; terms are unweighted sums over a dream."""
  targets, value, reached = judged.returns, judged.value, judged.reached
  residual = _variance(targets - value[:-1], reached)
  explained = 1.0 - residual / jnp.maximum(_variance(targets, reached), 1e-8)
  terms = jnp.sum(rollout.reward_terms * reached[..., None], axis=0)
  metrics = {
    f"imagined/{name}": jnp.mean(terms[:, index])
    for index, name in enumerate(specs.REWARD_TERMS)
  }
  return metrics | {
    "imagined/reward": jnp.mean(jnp.sum(judged.reward * reached, axis=0)),
    "imagined/return": jnp.mean(targets[0]),
    "imagined/value": jnp.mean(value[0]),
    "imagined/survival": jnp.mean(reached[-1]),
    "critic/explained_variance": explained,
  }


def _goal_metrics(rollout: Pursued, judged: advantages.Judged) -> Metrics:
  """Of the dreams that have a goal, those that reach it; and their share."""
  pursues = rollout.pursues.astype(jnp.float32)
  arrives = jnp.sum(rollout.success * judged.reached, axis=0)
  reached = returns_lib.weighted_mean(jnp.clip(arrives, 0.0, 1.0), pursues)
  return {
    "imagined/goals": jnp.mean(pursues),
    "imagined/goals_reached": reached,
  }


def _variance(x: jax.Array, weight: jax.Array) -> jax.Array:
  centred = x - returns_lib.weighted_mean(x, weight)
  return returns_lib.weighted_mean(jnp.square(centred), weight)
