"""Sums of table rows against products with one-hot vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.networks import table_sums


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
@pytest.mark.parametrize("lead", [(), (5,), (2, 3)])
def test_a_sum_of_rows_is_the_product(count, lead):
  rng = np.random.default_rng(count)
  table = rng.normal(size=(12, 7)).astype(np.float32)
  index = rng.integers(12, size=(*lead, count))
  hot = np.zeros((*lead, 12), np.float32)
  for at in np.ndindex(*lead, count):
    hot[(*at[:-1], index[at])] += 1  # the same row twice counts twice
  found = jax.jit(table_sums.sum_rows)(jnp.asarray(table), jnp.asarray(index))
  assert found.shape == (*lead, 7)
  np.testing.assert_allclose(found, hot @ table, rtol=1e-6, atol=1e-6)


def test_what_other_devices_run_gives_the_same():
  rng = np.random.default_rng(0)
  table = jnp.asarray(rng.normal(size=(12, 7)), jnp.float32)
  index = jnp.asarray(rng.integers(12, size=(5, 6)))
  np.testing.assert_allclose(
    table_sums._multiplied(table, index),
    table_sums._looked_up(table, index),
    rtol=1e-5,
    atol=1e-6,
  )


@pytest.mark.parametrize(
  ("platform", "loops"), [("cpu", True), ("cuda", False), ("tpu", False)]
)
def test_rows_are_looked_up_on_a_cpu_alone(platform, loops):
  shapes = (
    jax.ShapeDtypeStruct((12, 7), jnp.float32),
    jax.ShapeDtypeStruct((5, 8), jnp.int32),
  )
  traced = jax.jit(table_sums.sum_rows).trace(*shapes)
  text = traced.lower(lowering_platforms=(platform,)).as_text()
  assert ("stablehlo.while" in text) == loops
  assert ("stablehlo.dot_general" in text) != loops
