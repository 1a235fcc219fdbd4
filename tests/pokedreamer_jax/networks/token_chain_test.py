"""What tokens owe to those before them: the whole matrix and the packed one."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.config import presets
from pokedreamer_jax.networks import rssm
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress
from tests.pokedreamer_jax import fakes

_SIZES = (3, 1, 4, 2)


def _pack(matrix, sizes):
  """Packed entry by entry."""
  packed, start = [], 0
  for size in sizes:
    for row in range(start):
      packed.extend(matrix[row, start : start + size])
    start += size
  return np.array(packed, np.float32)


def _chain(sizes, packed):
  module = rssm.TokenChain(sizes, packed=packed)
  return module, module.init(jax.random.key(0), jnp.zeros((1, sum(sizes))))


@pytest.mark.parametrize("sizes", [_SIZES, (5,), (2, 2)])
def test_both_forms_are_one_matrix(sizes):
  matrix = np.random.default_rng(1).normal(size=(sum(sizes),) * 2)
  matrix = matrix.astype(np.float32)
  packed = _pack(matrix, sizes)
  whole = rssm.causal({"kernel": jnp.asarray(matrix)}, sizes)
  np.testing.assert_array_equal(
    rssm.causal({"kernel": jnp.asarray(packed)}, sizes), whole
  )
  ends = np.cumsum(sizes)
  for row in range(sum(sizes)):
    later = ends[np.searchsorted(ends, row, side="right")]
    np.testing.assert_array_equal(whole[row, :later], 0.0)
    np.testing.assert_array_equal(whole[row, later:], matrix[row, later:])
  assert _chain(sizes, True)[1]["params"]["kernel"].shape == packed.shape
  assert _chain(sizes, False)[1]["params"]["kernel"].shape == matrix.shape


def test_they_learn_the_same():
  matrix = np.random.default_rng(2).normal(size=(10, 10)).astype(np.float32)
  hot = jax.nn.one_hot(np.array([[0, 0, 2, 1], [2, 0, 1, 0]]), 4)
  hot = jnp.concatenate(
    [hot[:, i, :size] for i, size in enumerate(_SIZES)], axis=1
  )
  weight = np.random.default_rng(3).normal(size=(2, 10))

  def loss(kernel, packed):
    module, _ = _chain(_SIZES, packed)
    return jnp.sum(weight * module.apply({"params": {"kernel": kernel}}, hot))

  value, slope = jax.value_and_grad(loss)(jnp.asarray(matrix), False)
  again, packed = jax.value_and_grad(loss)(
    jnp.asarray(_pack(matrix, _SIZES)), True
  )
  assert value == again
  np.testing.assert_array_equal(packed, _pack(np.asarray(slope), _SIZES))


def test_a_model_with_either_dreams_the_same():
  cfg = fakes.config().world_model
  other = dataclasses.replace(cfg, packed_chain=True)
  params = fakes.params(cfg, noise=0.3)
  sizes = tuple(cfg.token_sizes.values())
  matrix = np.asarray(params["chain"]["kernel"])
  chain = {"kernel": jnp.asarray(_pack(matrix, sizes))}
  start = world_model.initial_state(cfg, (16,))
  reached = progress.nothing((16,))

  def dream(cfg, params):
    walk = lambda key, feat: jax.random.randint(key, feat.shape[:1], 0, 8)
    key = jax.random.key(4)
    return imagination.roll(cfg, params, key, start, reached, walk, 5)

  one = jax.jit(lambda: dream(cfg, params))()
  two = jax.jit(lambda: dream(other, {**params, "chain": chain}))()
  np.testing.assert_array_equal(one.numbers.tokens, two.numbers.tokens)
  assert len(np.unique(np.asarray(one.numbers.tokens), axis=1)) > 1
  np.testing.assert_allclose(one.state.deter, two.state.deter, atol=1e-6)


def test_the_great_vale_is_below_sixty_megabytes():
  cfg = presets.make("vale").world_model
  shapes = jax.tree.leaves(world_model.shapes(cfg))
  assert 4 * sum(math.prod(leaf.shape) for leaf in shapes) < 60e6
