"""Layers whose last or first inputs are data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.networks import blocks


@pytest.mark.parametrize("first", [False, True])
def test_known_inputs_get_no_gradient_and_all_else_the_same(first):
  x = jax.random.normal(jax.random.key(0), (2, 3, 7))
  plain = blocks.half_known_dense(4, 0)
  half = blocks.half_known_dense(4, 5, first)
  params = plain.init(jax.random.key(1), x)
  assert jax.tree.map(jnp.shape, params) == jax.tree.map(
    jnp.shape, half.init(jax.random.key(1), x)
  )

  def loss(layer, params, x):
    return jnp.sum(jnp.sin(layer.apply(params, x)))

  value, (d_params, d_x) = jax.value_and_grad(loss, (1, 2))(half, params, x)
  wanted, (e_params, e_x) = jax.value_and_grad(loss, (1, 2))(plain, params, x)
  np.testing.assert_allclose(value, wanted, rtol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
    d_params,
    e_params,
  )
  learned = np.arange(7) >= 5 if first else np.arange(7) < 2
  assert np.abs(e_x[..., ~learned]).min() > 0.0
  np.testing.assert_array_equal(d_x[..., ~learned], 0.0)
  np.testing.assert_allclose(d_x[..., learned], e_x[..., learned], rtol=1e-5)


def test_an_mlp_with_known_inputs_has_the_same_parameters():
  x = jnp.ones((2, 6))
  shapes = [
    jax.tree.map(
      jnp.shape,
      blocks.MLP((5,), 3, known=known).init(jax.random.key(0), x),
    )
    for known in (0, 4)
  ]
  assert shapes[0] == shapes[1]
