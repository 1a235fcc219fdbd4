"""Layers that every network shares."""

from collections.abc import Sequence
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class MLP(nn.Module):
  """Dense, RMSNorm, SiLU for each hidden layer, then a plain Dense.

  Attributes:
    hidden: units of each hidden layer.
    outputs: units of the last layer.
    output_scale: scale of the last layer's initial weights; 0 starts flat.
    known: last inputs that are data: see `half_known_dense`.
  """

  hidden: Sequence[int]
  outputs: int
  output_scale: float = 1.0
  known: int = 0

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    for i, units in enumerate(self.hidden):
      layer = half_known_dense(units, self.known if i == 0 else 0)
      x = nn.silu(nn.RMSNorm()(layer(x)))
    return nn.Dense(self.outputs, kernel_init=scaled_init(self.output_scale))(x)


def scaled_init(scale: float) -> nn.initializers.Initializer:
  """Truncated normal with variance `scale / fan_in`; zeros for 0."""
  if scale == 0.0:
    return nn.initializers.zeros_init()
  return nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal")


def half_known_dense(units: int, known: int, first: bool = False) -> nn.Dense:
  """`nn.Dense` without bias of whose inputs `known` get no gradient.

  They are data, such as recorded tokens, of which most of a feature vector may
  be: the product that would say what they should have been is left out.

  Args:
    units: outputs.
    known: how many of the inputs.
    first: whether those stand before all others; else they are the last.
  """
  if not known:
    return nn.Dense(units, use_bias=False)
  product = functools.partial(_half_known_product, known, first)
  return nn.Dense(units, use_bias=False, dot_general=product)


def _half_known_product(
  known: int, first: bool, x: jax.Array, kernel: jax.Array, *_: Any, **__: Any
) -> jax.Array:
  """`x @ kernel`, called as `lax.dot_general` is by `nn.Dense`."""
  rows = _product(x.reshape(-1, x.shape[-1]), kernel, known, first)
  return rows.reshape(*x.shape[:-1], kernel.shape[1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _product(
  x: jax.Array, kernel: jax.Array, known: int, first: bool
) -> jax.Array:
  del known, first
  return x @ kernel


def _product_forward(x, kernel, known, first):
  return _product(x, kernel, known, first), (x, kernel)


def _product_backward(known, first, kept, gradient):
  x, kernel = kept
  zeros = jnp.zeros((len(x), known), x.dtype)
  if first:
    parts = [zeros, gradient @ kernel[known:].T]
  else:
    parts = [gradient @ kernel[: len(kernel) - known].T, zeros]
  return jnp.concatenate(parts, axis=1), x.T @ gradient


_product.defvjp(_product_forward, _product_backward)
