"""What the actions of a dream batch were worth, as each algorithm says it.

An action belongs to the state it was taken in, and so does its baseline: row
`l` is `V_l - v_l`. The deviation, the percentiles and the groups mix dreams;
everything is weighted by the probability that a state was reached, so that
nothing behind a terminal state counts.
"""

from __future__ import annotations

import chex
from flax import struct
import jax
import jax.numpy as jnp

from pokedreamer_jax.behaviour import groups
from pokedreamer_jax.behaviour import returns as returns_lib
from pokedreamer_jax.config import behaviour as behaviour_config

Metrics = dict[str, jax.Array]


@struct.dataclass
class Judged:
  """A dream batch as rewards and critic see it; time first."""

  reward: jax.Array  # [L, N] on arriving at states 1..L
  discount: jax.Array  # [L, N] gamma times the probability of going on
  value: jax.Array  # [L + 1, N] of the critic that bootstraps
  returns: jax.Array  # [L, N] lambda-returns of states 0..L-1
  reached: jax.Array  # [L, N] probability that states 0..L-1 are reached


def make(
  cfg: behaviour_config.PolicyConfig,
  judged: Judged,
  scale: returns_lib.PercentileScale | None,
) -> tuple[jax.Array, returns_lib.PercentileScale | None, Metrics]:
  """Advantages `[L, N]`, scaled as the algorithm scales them.

  Args:
    cfg: says how, in `normaliser`.
    judged: the dreams.
    scale: moving percentiles of earlier batches, None where they are not used.

  Returns:
    The advantages, the percentiles after this batch, and metrics.
  """
  chex.assert_equal_shape([judged.returns, judged.reached, judged.value[1:]])
  if cfg.normaliser == "group":
    advantage, metrics = of_groups(cfg, judged)
    return advantage, scale, metrics
  raw = judged.returns - judged.value[:-1]
  # Normalised over the batch, not divided by the spread of the returns: that
  # spread says where in the game a dream started, not what its actions were
  # worth, and is ten times larger.
  normal, deviation = returns_lib.normalise_advantages(
    raw, judged.reached, cfg.advantage_floor
  )
  metrics = {"imagined/advantage_deviation": deviation}
  if cfg.normaliser == "deviation":
    return normal, scale, metrics
  if cfg.normaliser == "none":
    positive = jnp.sum((raw > 0) * judged.reached) / jnp.sum(judged.reached)
    return raw, scale, metrics | {"pmpo/positive": positive}
  assert scale is not None
  # As published, this batch counts already where it is scaled.
  scale = returns_lib.update_percentile_scale(
    scale, judged.returns, judged.reached
  )
  spread = returns_lib.return_scale(scale)
  return raw / spread, scale, metrics | {"imagined/return_scale": spread}


def of_groups(
  cfg: behaviour_config.PolicyConfig, judged: Judged
) -> tuple[jax.Array, Metrics]:
  """Advantages `[L, N]` of GRPO, the same for all steps of a dream."""
  last = judged.value[-1]
  if not cfg.group_bootstrap:
    last = jnp.zeros_like(last)
  earned = jax.vmap(groups.outcome, (1, 1, 0))(
    judged.reward, judged.discount, last
  )
  advantage, deviation, flat = groups.normalise(
    earned, cfg.group_size, cfg.advantage_floor
  )
  return jnp.broadcast_to(advantage[None], judged.returns.shape), {
    "grpo/deviation": jnp.mean(deviation),
    "grpo/flat_groups": jnp.mean(flat.astype(jnp.float32)),
  }
