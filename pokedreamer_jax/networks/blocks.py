"""Layers that every network shares."""

from collections.abc import Sequence

import flax.linen as nn
import jax


class MLP(nn.Module):
  """Dense, RMSNorm, SiLU for each hidden layer, then a plain Dense.

  Attributes:
    hidden: units of each hidden layer.
    outputs: units of the last layer.
    output_scale: scale of the last layer's initial weights; 0 starts flat.
  """

  hidden: Sequence[int]
  outputs: int
  output_scale: float = 1.0

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    for units in self.hidden:
      x = nn.silu(nn.RMSNorm()(nn.Dense(units, use_bias=False)(x)))
    return nn.Dense(self.outputs, kernel_init=scaled_init(self.output_scale))(x)


def scaled_init(scale: float) -> nn.initializers.Initializer:
  """Truncated normal with variance `scale / fan_in`; zeros for 0."""
  if scale == 0.0:
    return nn.initializers.zeros_init()
  return nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal")
