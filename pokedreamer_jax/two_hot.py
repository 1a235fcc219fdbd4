"""Numbers as weights on the two neighbours among fixed bins.

A head that predicts a distribution over bins is trained by the cross-entropy
to these weights: its gradients are bounded whatever the scale of the number
(Hafner et al. 2023, DreamerV3, eq. 9 and 10).
"""

import jax
import jax.numpy as jnp


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
