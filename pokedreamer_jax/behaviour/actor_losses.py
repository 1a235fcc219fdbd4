"""The losses of the actor: one per algorithm, and what all of them share.

To each row's own term come an entropy bonus and a divergence from the clone:

- PPO and GRPO clip the ratio to the policy that dreamt (Schulman et al. 2017,
  eq. 7; Shao et al. 2024, eq. 3), above 1 as far as `clip_high` says.
- REINFORCE takes the plain gradient (Hafner et al. 2023, DreamerV3, eq. 6).
- PMPO reads signs alone (Abdolmaleki et al. 2024, arXiv 2410.04166; in dreams
  Hafner et al. 2025, Dreamer 4).

The divergence is `KL(policy || clone)`, which keeps the policy to what the
clone would do and lets it drop some of that. PMPO alone has the other
direction, `KL(clone || policy)`, as published. Its signs push an action down
however little was lost by it. `KL(clone || policy)` pulls the logit of an
action back by `beta (clone - policy)`, also where it is not dreamt any more;
the pull of `KL(policy || clone)` goes to 0 with the policy.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from pokedreamer_jax.behaviour import dream_rows
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.behaviour import returns as returns_lib
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic

Metrics = dict[str, jax.Array]


def clipped_surrogate(
  ratio: jax.Array, advantage: jax.Array, below: float, above: float
) -> jax.Array:
  """`-min(ratio A, clip(ratio, 1 - below, 1 + above) A)`, `[M]`.

  Args:
    ratio: `[M]`, of the probabilities now and when the action was taken.
    advantage: `[M]`.
    below: how far below 1 a ratio counts.
    above: how far above 1.
  """
  chex.assert_equal_shape([ratio, advantage])
  clipped = jnp.clip(ratio, 1.0 - below, 1.0 + above)
  return -jnp.minimum(ratio * advantage, clipped * advantage)


def weighted_likelihood(log_prob: jax.Array, advantage: jax.Array) -> jax.Array:
  """`-A log pi`, `[M]`; the gradient is that of REINFORCE with a baseline."""
  chex.assert_equal_shape([log_prob, advantage])
  return -advantage * log_prob


def signed_likelihood(
  log_prob: jax.Array, advantage: jax.Array, weight: jax.Array, alpha: float
) -> jax.Array:
  """`-alpha mean_{A>0} log pi + (1 - alpha) mean_{A<0} log pi`, by rows.

  Args:
    log_prob: `[M]`.
    advantage: `[M]`; of its size nothing is read, and 0 is on neither side.
    weight: `[M]` of each row in both means.
    alpha: the share of the good side. Of a side without rows nothing is left.

  Returns:
    `[M]`, so that their mean weighted by `weight` is the above.
  """
  chex.assert_equal_shape([log_prob, advantage, weight])
  good = (advantage > 0).astype(jnp.float32)
  bad = (advantage < 0).astype(jnp.float32)

  def side(rows):
    """Rows over their share of the weight."""
    return rows / jnp.maximum(returns_lib.weighted_mean(rows, weight), 1e-6)

  return (-alpha * side(good) + (1.0 - alpha) * side(bad)) * log_prob


def loss(
  cfg: config_lib.Config,
  params: Any,
  rows: dream_rows.Rows,
  kl_scale: jax.Array | float | None,
) -> tuple[jax.Array, Metrics]:
  """The algorithm's term, entropy bonus and divergence from the clone.

  Args:
    cfg: the configuration.
    params: of the actor.
    rows: leaves `[M, ...]`.
    kl_scale: weight of the divergence, in battles `policy.kl_battle` at least;
      None where there is no clone.

  Returns:
    The loss `[]` and metrics, all means weighted by `rows.weight`.
  """
  chex.assert_rank([rows.feat, rows.action, rows.advantage], [2, 1, 1])
  policy = cfg.policy
  logits = actor_critic.actor_logits(cfg.actor_critic, params, rows.feat)
  log_prob = dream_rows.of_action(logits, rows.action)
  log_ratio = log_prob - rows.log_prob
  ratio = jnp.exp(log_ratio)
  probs = jnp.exp(logits)
  entropy = -jnp.sum(probs * logits, axis=-1)
  kl = jnp.sum(probs * (logits - rows.clone_logits), axis=-1)
  mean = lambda x: returns_lib.weighted_mean(x, rows.weight)
  metrics = {
    "policy/entropy": mean(entropy),
    "policy/kl_to_clone": mean(kl),
    # The low-variance estimate of KL(old || new), never negative.
    "policy/kl_to_old": mean(ratio - 1.0 - log_ratio),
  }
  divergence = kl
  if policy.algorithm == "reinforce":
    term = weighted_likelihood(log_prob, rows.advantage)
  elif policy.algorithm == "pmpo":
    term = signed_likelihood(
      log_prob, rows.advantage, rows.weight, policy.pmpo_alpha
    )
    clone_probs = jnp.exp(rows.clone_logits)
    divergence = jnp.sum(clone_probs * (rows.clone_logits - logits), axis=-1)
    metrics["policy/kl_from_clone"] = mean(divergence)
  else:
    below, above = policy.clip, policy.clip_above
    term = clipped_surrogate(ratio, rows.advantage, below, above)
    outside = (ratio - 1.0 > above) | (ratio - 1.0 < -below)
    metrics["policy/clip_fraction"] = mean(outside.astype(jnp.float32))
  if kl_scale is None:
    kl_scale = 0.0
  elif policy.kl_battle:
    fights = policy_inputs.fights(cfg, rows.feat)
    held = jnp.maximum(kl_scale, policy.kl_battle)
    kl_scale = jnp.where(fights, held, kl_scale)
  per_row = term - policy.entropy_scale * entropy + kl_scale * divergence
  chex.assert_equal_shape([per_row, rows.weight])
  total = mean(per_row)
  return total, metrics | {"loss/actor": total}
