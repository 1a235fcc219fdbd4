"""Returns and advantages of imagined sequences.

Every sequence function sees one stream, time first: `vmap` makes batches. With
`L` actions there are `L + 1` states. Index `l` of `reward_t` and `discount_t`
belongs to the arrival at state `l + 1`; `value[L]` bootstraps. `discount_t` is
gamma times the probability that state `l + 1` is not terminal, so a terminal
state cuts everything after it.

The moving percentile scale at the end mixes streams and stands outside `vmap`.
"""

from __future__ import annotations

import chex
from flax import struct
import jax
import jax.numpy as jnp


def lambda_returns(
  reward_t: jax.Array,
  discount_t: jax.Array,
  value: jax.Array,
  lambda_: float,
) -> jax.Array:
  """Lambda-returns of one stream (Sutton and Barto 2018, eq. 12.18).

  `V_l = r_{l+1} + d_{l+1} ((1 - lambda) v_{l+1} + lambda V_{l+1})`, with
  `V_L = v_L`.

  Args:
    reward_t: `[L]` float, received on arriving at states 1..L.
    discount_t: `[L]` float, gamma times the probability of going on.
    value: `[L + 1]` float, of states 0..L.
    lambda_: 0 trusts the next value alone, 1 only the last.

  Returns:
    `[L]` float, the return of states 0..L-1.
  """
  _check_stream(reward_t, discount_t, value)

  def step(return_t, inputs):
    reward, discount, value_t = inputs
    target = (1.0 - lambda_) * value_t + lambda_ * return_t
    return_tm1 = reward + discount * target
    return return_tm1, return_tm1

  _, returns = jax.lax.scan(
    step, value[-1], (reward_t, discount_t, value[1:]), reverse=True
  )
  return returns


def generalised_advantages(
  reward_t: jax.Array,
  discount_t: jax.Array,
  value: jax.Array,
  lambda_: float,
) -> jax.Array:
  """Generalised advantage estimates of one stream (Schulman et al. 2016).

  `A_l = delta_l + lambda d_{l+1} A_{l+1}` with
  `delta_l = r_{l+1} + d_{l+1} v_{l+1} - v_l` and `A_L = 0`. Equals
  `lambda_returns - value[:-1]`.

  Args and shapes are those of `lambda_returns`.
  """
  _check_stream(reward_t, discount_t, value)
  delta = reward_t + discount_t * value[1:] - value[:-1]

  def step(advantage_t, inputs):
    delta_t, discount = inputs
    advantage_tm1 = delta_t + lambda_ * discount * advantage_t
    return advantage_tm1, advantage_tm1

  _, advantages = jax.lax.scan(
    step, jnp.zeros_like(value[-1]), (delta, discount_t), reverse=True
  )
  return advantages


def survival(cont_t: jax.Array) -> jax.Array:
  """Probability that each state but the last is reached, of one stream.

  Losses are weighted by it: nothing after a terminal state should teach.

  Args:
    cont_t: `[L]` probability that states 1..L are not terminal.

  Returns:
    `[L]` for states 0..L-1; index 0 is 1.
  """
  chex.assert_rank(cont_t, 1)
  ones = jnp.ones_like(cont_t[:1])
  return jnp.concatenate([ones, jnp.cumprod(cont_t[:-1])])


def weighted_mean(x: jax.Array, weight: jax.Array) -> jax.Array:
  """Mean `[]` of `x`, any shape, by `weight` of the same shape."""
  return jnp.sum(x * weight) / jnp.maximum(jnp.sum(weight), 1e-6)


def normalise_advantages(
  advantage: jax.Array, weight: jax.Array, floor: float = 1e-6
) -> tuple[jax.Array, jax.Array]:
  """Weighted mean 0 and deviation 1 over all elements, any equal shape.

  Args:
    advantage: any shape; this mixes streams.
    weight: the same shape.
    floor: smallest deviation to divide by, so that advantages that are all
      alike but for noise stay small.

  Returns:
    The normalised advantages, and the deviation `[]` they had.
  """
  chex.assert_equal_shape([advantage, weight])
  total = jnp.maximum(jnp.sum(weight), 1e-6)
  mean = jnp.sum(advantage * weight) / total
  variance = jnp.sum(jnp.square(advantage - mean) * weight) / total
  deviation = jnp.sqrt(variance)
  return (advantage - mean) / jnp.maximum(deviation, floor), deviation


@struct.dataclass
class PercentileScale:
  """Moving 5th and 95th percentile of returns (DreamerV3, eq. 7)."""

  low: jax.Array  # [] biased moving average
  high: jax.Array  # []
  mass: jax.Array  # [] share of the averages that is data, for debiasing


def init_percentile_scale() -> PercentileScale:
  """A scale that has seen nothing: `return_scale` gives the floor."""
  # Three arrays, not one: a state may be donated.
  return PercentileScale(*(jnp.zeros(()) for _ in range(3)))


def update_percentile_scale(
  scale: PercentileScale,
  returns: jax.Array,
  weight: jax.Array,
  decay: float = 0.99,
) -> PercentileScale:
  """Moves the percentiles towards those of `returns`.

  Args:
    scale: as it was.
    returns: any shape; this mixes streams.
    weight: the same shape, how much each counts.
    decay: share of what was that stays.
  """
  low, high = weighted_quantiles(returns, weight, jnp.array([0.05, 0.95]))
  return PercentileScale(
    low=decay * scale.low + (1.0 - decay) * low,
    high=decay * scale.high + (1.0 - decay) * high,
    mass=decay * scale.mass + (1.0 - decay),
  )


def weighted_quantiles(
  x: jax.Array, weight: jax.Array, shares: jax.Array
) -> jax.Array:
  """The smallest `x` up to which lies each of `shares` of the weight.

  Args:
    x: any shape.
    weight: the same shape, none negative.
    shares: `[Q]` within 0..1.

  Returns:
    `[Q]`, elements of `x`.
  """
  chex.assert_equal_shape([x, weight])
  order = jnp.argsort(x.ravel())
  mass = jnp.cumsum(weight.ravel()[order])
  place = jnp.searchsorted(mass, shares * mass[-1])
  return x.ravel()[order][jnp.minimum(place, x.size - 1)]


def return_scale(scale: PercentileScale, floor: float = 1.0) -> jax.Array:
  """Spread of the returns, at least `floor`: small returns stay small.

  Dividing by a spread without a floor would blow up the noise of dreams in
  which nothing happens.
  """
  mass = jnp.maximum(scale.mass, 1e-8)
  return jnp.maximum((scale.high - scale.low) / mass, floor)


def _check_stream(reward_t, discount_t, value):
  chex.assert_rank([reward_t, discount_t, value], 1)
  chex.assert_equal_shape([reward_t, discount_t, value[1:]])
