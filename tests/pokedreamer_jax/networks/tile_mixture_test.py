"""The mixture of copied and drawn tiles, against one written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.networks import tile_mixture

_V = 7  # tiles; number 7 is the escape
_K = 3


def _mixture(seed=0, count=40):
  rng = np.random.default_rng(seed)
  candidate = rng.integers(0, _V + 1, (count, _K)).astype(np.int32)
  candidate[0] = _V  # nothing is known there
  candidate[1] = [2, 2, 5]  # one tile twice
  weight, gate, logits = (
    3 * rng.normal(size=size).astype(np.float32)
    for size in ((count, _K), (count,), (count, _V + 1))
  )
  found = tile_mixture.copies(candidate, weight, gate, _V)
  return tile_mixture.Mixture(found, logits), candidate, weight, gate


def _softmax(values):
  values = np.exp(np.asarray(values, np.float64))
  return values / values.sum()


def _reference(mixture, candidate, weight, gate):
  """Probabilities `[N, V + 1]` of the tiles."""
  found = []
  for n, row in enumerate(candidate):
    known = [k for k in range(_K) if row[k] < _V]
    g = 1 / (1 + np.exp(-float(gate[n]))) if known else 0.0
    probs = (1 - g) * _softmax(mixture.logits[n])
    for k, share in zip(known, _softmax(weight[n][known]), strict=True):
      probs[row[k]] += g * share
    found.append(probs)
  return np.array(found)


def test_nats_are_those_of_the_mixture_written_out():
  mixture, *parts = _mixture()
  probs = _reference(mixture, *parts)
  np.testing.assert_allclose(probs.sum(-1), 1)
  for tile in range(_V + 1):
    nats = tile_mixture.nats(mixture, jnp.full(len(probs), tile))
    np.testing.assert_allclose(nats, -np.log(probs[:, tile]), rtol=2e-4)


def test_the_most_likely_tile_is_that_of_the_mixture_written_out():
  for seed in range(5):
    mixture, *parts = _mixture(seed)
    probs = _reference(mixture, *parts)
    best = np.asarray(tile_mixture.likeliest(mixture))
    np.testing.assert_allclose(
      probs[np.arange(len(best)), best], probs.max(-1), rtol=1e-5
    )


def test_copying_and_drawing_apart_bound_the_nats_from_above():
  mixture, candidate, *_ = parts = _mixture()
  probs = _reference(mixture, *parts[1:])
  for tile in range(_V + 1):
    tiles = jnp.full(len(candidate), tile)
    copied = np.asarray(tile_mixture.is_copy(mixture.copies, tiles))
    expected = (candidate == tile).any(-1) & (tile < _V)
    np.testing.assert_array_equal(copied, expected)
    nats = np.asarray(tile_mixture.copy_nats(mixture.copies, tiles))
    drawn = np.asarray(tile_mixture.draw_nats(mixture.logits, tiles))
    whole = -np.log(probs[:, tile])
    np.testing.assert_allclose(
      (nats + drawn)[~copied], whole[~copied], rtol=2e-4
    )
    assert (nats[copied] >= whole[copied] - 1e-4).all()


def test_gradients_are_finite_and_those_of_the_plain_cross_entropy():
  mixture, candidate, weight, gate = _mixture()
  tile = jnp.asarray(candidate[:, 0])

  def bound(weight, gate):
    found = tile_mixture.copies(candidate, weight, gate, _V)
    return tile_mixture.copy_nats(found, tile).sum()

  for grad in jax.grad(bound, (0, 1))(weight, gate):
    assert np.isfinite(grad).all()
    assert np.abs(grad).max() > 0.1

  def plain(logits):
    own = jnp.take_along_axis(jax.nn.log_softmax(logits), tile[:, None], -1)
    return -jnp.sum(own)

  np.testing.assert_allclose(
    jax.grad(lambda x: tile_mixture.draw_nats(x, tile).sum())(mixture.logits),
    jax.grad(plain)(mixture.logits),
    atol=1e-6,
  )
