"""Gradients computed after a loop are those that the loop would add up."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.networks import late_gradients

_B, _T, _D, _I = 3, 5, 7, 4


class _Cell(nn.Module):
  """A recurrent step with a layer that is called twice, and a bias."""

  def setup(self):
    self.mix = nn.Dense(_D)
    self.norm = nn.RMSNorm()
    self.out = nn.Dense(2, use_bias=False)

  def __call__(self, carry, seen):
    x = jnp.tanh(self.norm(self.mix(jnp.concatenate([carry, seen], axis=-1))))
    twice = self.mix(jnp.concatenate([x, seen], axis=-1))
    return x, self.out(twice)


def _step(weights, carry, row):
  seen, keep, key = row
  carry = jnp.where(keep, carry, 0.0) + 0.1 * jax.random.normal(key, (_D,))
  carry, out = _Cell().apply({"params": weights}, carry, seen)
  return carry, (carry, out)


def _plain(step, weights, start, rows):
  def one_stream(start, rows):
    run = lambda carry, row: step(weights, carry, row)
    return jax.lax.scan(run, start, rows)[1]

  return jax.vmap(one_stream)(start, rows)


def _problem():
  rng = np.random.default_rng(0)
  weights = _Cell().init(jax.random.key(0), jnp.zeros(_D), jnp.zeros(_I))
  start = jnp.asarray(rng.normal(size=(_B, _D)), jnp.float32)
  seen = jnp.asarray(rng.normal(size=(_B, _T, _I)), jnp.float32)
  keep = jnp.asarray(rng.random((_B, _T)) < 0.7)
  keys = jax.random.split(jax.random.key(1), (_B, _T))
  return weights["params"], start, seen, keep, keys


def _loss(scan, weights, start, seen, keep, keys):
  states, outs = scan(_step, weights, start, (seen, keep, keys))
  weighed = jnp.arange(states.size).reshape(states.shape) * states
  return jnp.sum(weighed) + jnp.sum(jnp.sin(3.0 * outs))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_gradients_are_those_of_the_plain_loop(which):
  problem = _problem()
  late, plain = (
    jax.jit(jax.value_and_grad(_loss, which + 1), static_argnums=0)(
      scan, *problem
    )
    for scan in (late_gradients.scan_streams, _plain)
  )
  assert late[0] == plain[0]
  found, wanted = jax.tree.leaves(late[1]), jax.tree.leaves(plain[1])
  assert len(found) == len(wanted)
  for one, other in zip(found, wanted, strict=True):
    assert np.abs(other).max() > 0.1
    np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-4)


def test_without_a_gradient_the_loop_is_the_plain_one():
  weights, start, *rows = _problem()
  made = late_gradients.scan_streams(_step, weights, start, tuple(rows))
  wanted = _plain(_step, weights, start, tuple(rows))
  for one, other in zip(made, wanted, strict=True):
    np.testing.assert_array_equal(one, other)


def test_no_matrix_is_added_up_within_the_loop():
  problem = _problem()
  shape = f"f32[{_D + _I},{_D}]"  # of the kernel

  def carried(scan):
    gradient = jax.grad(lambda *args: _loss(scan, *args))
    jaxpr = jax.make_jaxpr(gradient)(*problem).jaxpr
    return any(shape in line for line in _carries(jaxpr))

  assert carried(_plain)
  assert not carried(late_gradients.scan_streams)


def _carries(jaxpr):
  """What all scans in it carry from step to step."""
  for equation in jaxpr.eqns:
    if equation.primitive.name == "scan":
      first = equation.params["num_consts"]
      count = equation.params["num_carry"]
      for variable in equation.invars[first : first + count]:
        yield str(variable.aval).replace("float32", "f32")
    for value in equation.params.values():
      inner = getattr(value, "jaxpr", None)
      if inner is not None:
        yield from _carries(inner)
