"""The critic: what it says, what it learns, and one that follows slowly."""

from typing import Any
from typing import Protocol

import chex
import jax

from pokedreamer_jax.behaviour import policy_state
from pokedreamer_jax.behaviour import returns as returns_lib
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.networks import two_hot


class Targets(Protocol):
  """Rows that a critic learns from."""

  feat: jax.Array  # [M, F]
  returns: jax.Array  # [M]
  weight: jax.Array  # [M]


def bootstrap_values(
  cfg: config_lib.Config, state: policy_state.PolicyState, feat: jax.Array
) -> jax.Array:
  """Values `[...]` of features `[..., F]`, as returns are bootstrapped.

  The slow critic's where there is one, else the critic's own. Baselines are
  taken from the same one: where the slow one lags behind, the difference to
  the other would have a sign of its own in every advantage.
  """
  params = state.critic if state.slow_critic is None else state.slow_critic
  return two_hot.mean(
    actor_critic.critic_logits(cfg.actor_critic, params, feat),
    actor_critic.value_bins(cfg.actor_critic),
  )


def loss(
  cfg: config_lib.Config, params: Any, rows: Targets
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Cross-entropy to the two-hot returns, weighted by `rows.weight`."""
  chex.assert_rank([rows.feat, rows.returns], [2, 1])
  logits = actor_critic.critic_logits(cfg.actor_critic, params, rows.feat)
  bins = actor_critic.value_bins(cfg.actor_critic)
  per_row = two_hot.cross_entropy(logits, rows.returns, bins)
  chex.assert_equal_shape([per_row, rows.weight])
  mean = returns_lib.weighted_mean(per_row, rows.weight)
  return mean, {"loss/critic": mean}


def follow(slow: Any, critic: Any, rate: float) -> Any:
  """The slow critic's parameters after a step of the critic.

  `s <- (1 - rate) s + rate c` (Hafner et al. 2023, "critic learning").
  """
  return jax.tree.map(lambda s, c: (1.0 - rate) * s + rate * c, slow, critic)
