"""Sampling: frequencies, gradients, and the chain of tokens."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.networks import rssm
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import tokens

_SIZES = {"first": 3, "second": 3, "third": 4}
_ROWS = 10
_draw = jax.jit(
  lambda key, logits, chain, most_likely: tokens.one_hot(
    _SIZES,
    sampling.token_numbers(key, _SIZES, logits, chain, most_likely),
  ),
  static_argnums=3,
)


def _assert_frequencies(counts, probs):
  """Pearson's statistic stays within 6 deviations of its mean."""
  counts, probs = np.asarray(counts, float), np.asarray(probs, float)
  expected = counts.sum() * probs
  assert (counts[expected == 0] == 0).all()
  counts, expected = counts[expected > 0], expected[expected > 0]
  statistic = ((counts - expected) ** 2 / expected).sum()
  free = len(counts) - 1  # mean of the statistic; its variance is twice this
  assert statistic < free + 6 * np.sqrt(2 * free)


@pytest.mark.parametrize(
  "probs",
  [
    (0.5, 0.5),
    (0.7, 0.0, 0.2, 0.1),
    (0.0, 0.25, 0.75, 0.0),
    (0.001, 0.009, 0.09, 0.9),
  ],
)
def test_frequencies_follow_the_probabilities(probs):
  count = 20_000
  with np.errstate(divide="ignore"):
    log_probs = jnp.log(jnp.array(probs))
  rows = jnp.broadcast_to(log_probs, (count, len(probs)))
  drawn = jax.jit(sampling.categorical)(jax.random.key(0), rows)
  assert drawn.shape == (count,)
  assert drawn.dtype == jnp.int32
  _assert_frequencies(np.bincount(drawn, minlength=len(probs)), probs)


def test_each_variable_has_its_own_chance():
  probs = jnp.array([[0.9, 0.1], [0.2, 0.8]])
  rows = jnp.broadcast_to(jnp.log(probs), (20_000, 2, 2))
  drawn = np.asarray(sampling.categorical(jax.random.key(1), rows))
  # Independent: the pair's chance is the product.
  pairs = np.bincount(2 * drawn[:, 0] + drawn[:, 1], minlength=4)
  _assert_frequencies(pairs, np.outer(probs[0], probs[1]).reshape(-1))


def test_a_certain_class_is_always_drawn():
  log_probs = jnp.where(jnp.eye(5, dtype=bool), 0.0, -jnp.inf)
  rows = jnp.broadcast_to(log_probs, (200, 5, 5))
  drawn = sampling.categorical(jax.random.key(2), rows)
  assert (np.asarray(drawn) == np.arange(5)).all()


def test_straight_through_is_one_hot_forward_and_probability_backward():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(64, 6)).astype(np.float32)
  weights = rng.normal(size=(64, 6)).astype(np.float32)
  key = jax.random.key(3)

  def sampled(logits):
    hot = sampling.straight_through(key, jax.nn.log_softmax(logits))
    return jnp.sum(weights * hot), hot

  def expected(logits):
    return jnp.sum(weights * jax.nn.softmax(logits))

  grad, hot = jax.jit(jax.grad(sampled, has_aux=True))(logits)
  index = sampling.categorical(key, jax.nn.log_softmax(logits))
  np.testing.assert_array_equal(hot, np.eye(6)[index])  # without rounding
  np.testing.assert_allclose(grad, jax.grad(expected)(logits), atol=1e-6)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_gumbel_samples_follow_the_probabilities_at_any_temperature(
  temperature,
):
  probs = (0.7, 0.0, 0.2, 0.1)
  with np.errstate(divide="ignore"):
    rows = jnp.broadcast_to(jnp.log(jnp.array(probs)), (20_000, 4))
  draw = jax.jit(sampling.gumbel_straight_through)
  hot = np.asarray(draw(jax.random.key(6), rows, temperature))
  assert set(np.unique(hot)) == {0.0, 1.0}
  assert (hot.sum(-1) == 1).all()
  _assert_frequencies(hot.sum(0), probs)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_gumbel_gradients_are_those_of_the_tempered_softmax(temperature):
  rng = np.random.default_rng(1)
  logits = rng.normal(size=(16, 5)).astype(np.float32)
  weights = rng.normal(size=(16, 5)).astype(np.float32)
  key = jax.random.key(7)

  def sampled(logits):
    log_probs = jax.nn.log_softmax(logits)
    hot = sampling.gumbel_straight_through(key, log_probs, temperature)
    return jnp.sum(weights * hot)

  noise = np.asarray(jax.random.gumbel(key, (16, 5)))
  soft = np.exp((logits + noise) / temperature)
  soft /= soft.sum(-1, keepdims=True)
  mean = (soft * weights).sum(-1, keepdims=True)
  expected = soft * (weights - mean) / temperature
  np.testing.assert_allclose(jax.grad(sampled)(logits), expected, atol=1e-5)


def test_the_most_likely_class_carries_the_gradient_of_its_probability():
  log_probs = jax.nn.log_softmax(jnp.array([0.0, 2.0, 1.0]))
  jacobian = jax.jacobian(sampling.most_likely_straight_through)(log_probs)
  hot = sampling.most_likely_straight_through(log_probs)
  assert hot.tolist() == [0, 1, 0]
  expected = np.diag(np.exp(log_probs))
  np.testing.assert_allclose(jacobian, expected, atol=1e-7)


def test_a_draw_carries_no_gradient():
  for most_likely in (False, True):

    def total(log_probs, most_likely=most_likely):
      hot = sampling.one_hot_draw(jax.random.key(4), log_probs, most_likely)
      return jnp.sum(hot * jnp.arange(4.0))

    grad = jax.grad(total)(jax.nn.log_softmax(jnp.arange(4.0)))
    np.testing.assert_array_equal(grad, np.zeros(4))


def test_the_most_likely_needs_no_key():
  log_probs = jax.nn.log_softmax(jnp.array([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0]]))
  for seed in range(5):
    hot = sampling.one_hot_draw(jax.random.key(seed), log_probs, True)
    assert hot.tolist() == [[0, 1, 0], [1, 0, 0]]


def _random_chain(seed):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(_ROWS, _ROWS)).astype(np.float32)


@pytest.mark.parametrize("most_likely", [False, True])
def test_a_token_follows_the_tokens_before_it(most_likely):
  # The second token is the first plus one (mod 3), the third is the first.
  chain = np.zeros((_ROWS, _ROWS), np.float32)
  for value in range(3):
    chain[value, 3 + (value + 1) % 3] = 100.0
    chain[value, 6 + value] = 100.0
  logits = jnp.zeros((300, _ROWS))
  hot = _draw(jax.random.key(5), logits, chain, most_likely)
  first, second, third = np.asarray(tokens.numbers(_SIZES, hot)).T
  np.testing.assert_array_equal(second, (first + 1) % 3)
  np.testing.assert_array_equal(third, first)
  assert (np.asarray(hot).sum(-1) == 3).all()
  if not most_likely:
    _assert_frequencies(np.bincount(first, minlength=3), np.full(3, 1 / 3))


def test_only_the_causal_part_of_the_kernel_is_used():
  group = np.repeat(np.arange(3), list(_SIZES.values()))
  causal = group[:, None] < group[None, :]
  chain = _random_chain(0)
  spoiled = np.where(causal, chain, 50.0 * _random_chain(1))
  logits = jnp.asarray(_random_chain(2))
  key = jax.random.key(6)
  chex.assert_trees_all_equal(
    _draw(key, logits, chain, False), _draw(key, logits, spoiled, False)
  )


def test_drawing_uses_the_logits_that_training_scores():
  # With the same keys, drawing every token from the teacher-forced logits of
  # the drawn row gives that row again.
  module = rssm.TokenChain(tuple(_SIZES.values()))
  chain = 2.0 * _random_chain(3)
  logits = jax.random.normal(jax.random.key(7), (500, _ROWS))
  key = jax.random.key(8)
  for most_likely in (False, True):
    hot = _draw(key, logits, chain, most_likely)
    forced = logits + module.apply({"params": {"kernel": chain}}, hot)
    keys = jax.random.split(key, len(_SIZES))
    for place, token_key in zip(
      tokens.slices(_SIZES).values(), keys, strict=True
    ):
      again = sampling.one_hot_draw(
        token_key, jax.nn.log_softmax(forced[:, place]), most_likely
      )
      np.testing.assert_array_equal(again, hot[:, place])


def test_joint_frequencies_are_the_product_of_conditionals():
  sizes = {"first": 2, "second": 3}
  rng = np.random.default_rng(4)
  logits, chain = rng.normal(size=5), rng.normal(size=(5, 5))
  joint = np.zeros((2, 3))
  for a in range(2):
    first = np.exp(logits[:2]) / np.exp(logits[:2]).sum()
    second = np.exp(logits[2:] + chain[a, 2:])
    joint[a] = first[a] * second / second.sum()
  rows = jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (20_000, 5))
  draw = functools.partial(sampling.token_numbers, most_likely=False)
  drawn = np.asarray(
    draw(jax.random.key(9), sizes, rows, jnp.asarray(chain, jnp.float32))
  )
  counts = np.bincount(3 * drawn[:, 0] + drawn[:, 1], minlength=6)
  _assert_frequencies(counts, joint.reshape(-1))


def test_the_uniform_share_is_taken_out_again():
  probs = np.array([[0.7, 0.3, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
  mixed = np.log(0.9 * probs + 0.1 / 4)
  found = np.exp(sampling.without_uniform(jnp.asarray(mixed), 0.1))
  np.testing.assert_allclose(found, probs, atol=1e-6)


def test_one_program_draws_and_takes_the_likeliest():
  logits = np.random.default_rng(3).normal(size=(500, 6)).astype(np.float32)
  log_probs = jax.nn.log_softmax(logits)
  key = jax.random.key(2)
  draw = jax.jit(sampling.one_hot_draw)
  for flag in (False, True):
    expected = sampling.one_hot_draw(key, log_probs, flag)
    found = draw(key, log_probs, jnp.array(flag))
    # A sum in another order may fall on the other side of a draw.
    differs = np.any(np.asarray(found) != np.asarray(expected), axis=-1)
    assert differs.sum() <= (0 if flag else 1)
    np.testing.assert_array_equal(found.sum(axis=-1), 1.0)
