"""Dreams in groups: several from one start, judged against each other.

GRPO (Shao et al. 2024, DeepSeekMath, arXiv 2402.03300, section 4.1.2, "outcome
supervision") needs no critic: what a dream earned is compared with what its
siblings earned, and the difference is the advantage of all its steps.

Section 4.1.3 also gives each step what was earned after it. That is not done
here. Siblings stand in the same state at their start alone, so that their mean
is a baseline of that state and of no later one: less the mean at the same
step, a dream that was paid early would be blamed for every step after, when
others still have their pay before them. Public codes for learned simulators
take the outcome too (WMPO, arXiv 2511.09515).

Groups lie side by side: dream `n` belongs to group `n // G`.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from pokedreamer_jax.behaviour import returns as returns_lib

# A deviation below this share of the floor is none: dreams of a model never
# earn the same to the last bit.
FLAT_SHARE = 0.01
_ROUNDING = 1e-6  # of a float32, relative to 1 and to the mean


def repeat(rows: Any, size: int) -> Any:
  """Each of `N` rows, leaves `[N, ...]`, `size` times in a row."""
  if size == 1:
    return rows
  return jax.tree.map(lambda leaf: jnp.repeat(leaf, size, axis=0), rows)


def outcome(
  reward_t: jax.Array, discount_t: jax.Array, last_value: jax.Array
) -> jax.Array:
  """What one dream earned: `sum_l d_1..d_l r_{l+1} + d_1..d_L v_L`.

  Args:
    reward_t: `[L]`, received on arriving at states 1..L.
    discount_t: `[L]`, gamma times the probability of going on.
    last_value: `[]`, of state L; 0 for none.

  Returns:
    `[]`, discounted to the start. Nothing behind a terminal state counts.
  """
  value = jnp.zeros(len(reward_t) + 1).at[-1].set(last_value)
  return returns_lib.lambda_returns(reward_t, discount_t, value, 1.0)[0]


def normalise(
  outcomes: jax.Array, size: int, floor: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Each group's outcomes, with mean 0 and deviation 1.

  Args:
    outcomes: `[N]`.
    size: `G`.
    floor: smallest deviation to divide by.

  Returns:
    Advantages `[N]`, exactly 0 in a group without variance; and of each group
    `[N / G]` the deviation, and whether it has no variance.
  """
  chex.assert_rank(outcomes, 1)
  grouped = outcomes.reshape(-1, size)
  mean = jnp.mean(grouped, axis=1, keepdims=True)
  centred = grouped - mean
  deviation = jnp.sqrt(jnp.mean(jnp.square(centred), axis=1))
  none = _ROUNDING * (1.0 + jnp.abs(mean[:, 0]))
  flat = deviation <= jnp.maximum(FLAT_SHARE * floor, none)
  scaled = centred / jnp.maximum(deviation, max(floor, _ROUNDING))[:, None]
  advantage = jnp.where(flat[:, None], 0.0, scaled).reshape(-1)
  return advantage, deviation, flat
