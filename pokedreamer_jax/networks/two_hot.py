"""Numbers as distributions over fixed bins.

A head that predicts a distribution over bins is trained by the cross-entropy
to weights on the two neighbours of the number: its gradients are bounded
whatever the scale of the number (Hafner et al. 2023, DreamerV3, eq. 9 and 10).
Bins of what spans orders of magnitude are spaced evenly in symlog.
"""

import jax
import jax.numpy as jnp


def symlog(x: jax.Array) -> jax.Array:
  """`sign(x) log(1 + |x|)`."""
  return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: jax.Array) -> jax.Array:
  """The inverse of `symlog`."""
  return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def weights(x: jax.Array, bins: jax.Array) -> jax.Array:
  """Weights `[..., K]` on the two bins around `x` whose mean is `x`.

  Args:
    x: `[...]`; values beyond the outermost bins are clipped to them.
    bins: `[K]`, strictly ascending.
  """
  x = jnp.clip(x, bins[0], bins[-1])
  upper = jnp.clip(jnp.searchsorted(bins, x, side="right"), 1, len(bins) - 1)
  lower = upper - 1
  share = (x - bins[lower]) / (bins[upper] - bins[lower])
  return (
    jax.nn.one_hot(lower, len(bins)) * (1.0 - share)[..., None]
    + jax.nn.one_hot(upper, len(bins)) * share[..., None]
  )


def cross_entropy(
  logits: jax.Array, x: jax.Array, bins: jax.Array
) -> jax.Array:
  """Nats `[...]` of logits `[..., K]` over `bins` for numbers `x` `[...]`."""
  log_probs = jax.nn.log_softmax(logits, axis=-1)
  return -jnp.sum(weights(x, bins) * log_probs, axis=-1)


def mean(logits: jax.Array, bins: jax.Array) -> jax.Array:
  """Mean `[...]` of the distribution over `bins` `[K]`."""
  return jax.nn.softmax(logits, axis=-1) @ bins
