"""Returns: against hand arithmetic, plain loops, rlax and identities."""

from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.behaviour import returns


def _stream(seed, length):
  rng = np.random.default_rng(seed)
  reward = rng.normal(size=length).astype(np.float32)
  discount = (0.99 * rng.uniform(size=length)).astype(np.float32)
  discount[rng.uniform(size=length) < 0.2] = 0.0
  value = rng.normal(size=length + 1).astype(np.float32)
  return reward, discount, value


def _slow_lambda_returns(reward, discount, value, lambda_):
  result = np.zeros(len(reward))
  following = value[-1]
  for index in reversed(range(len(reward))):
    mix = (1 - lambda_) * value[index + 1] + lambda_ * following
    following = reward[index] + discount[index] * mix
    result[index] = following
  return result


def _slow_advantages(reward, discount, value, lambda_):
  """The sum over later errors, written out, not the recursion."""
  length = len(reward)
  delta = reward + discount * value[1:] - value[:-1]
  result = np.zeros(length)
  for index in range(length):
    factor = 1.0
    for k in range(index, length):
      result[index] += factor * delta[k]
      factor *= lambda_ * discount[k]
  return result


class ReturnsTest(parameterized.TestCase):
  def test_lambda_returns_by_hand(self):
    # From the end: V_1 = 2 + 0.5 * 4 = 4 (the bootstrap counts whole);
    # V_0 = 1 + 0.5 * (0.5 * 3 + 0.5 * 4) = 2.75.
    out = returns.lambda_returns(
      jnp.array([1.0, 2.0]),
      jnp.array([0.5, 0.5]),
      jnp.array([100.0, 3.0, 4.0]),
      0.5,
    )
    np.testing.assert_allclose(out, [2.75, 4.0])

  @parameterized.product(
    seed=[0, 1], length=[1, 2, 15], lambda_=[0.0, 0.5, 0.95, 1.0]
  )
  def test_slow_loops(self, seed, length, lambda_):
    stream = _stream(seed, length)
    np.testing.assert_allclose(
      returns.lambda_returns(*stream, lambda_),
      _slow_lambda_returns(*stream, lambda_),
      rtol=1e-5,
      atol=1e-5,
    )
    np.testing.assert_allclose(
      returns.generalised_advantages(*stream, lambda_),
      _slow_advantages(*stream, lambda_),
      rtol=1e-5,
      atol=1e-5,
    )

  @parameterized.parameters(0.0, 0.7, 1.0)
  def test_rlax_agrees(self, lambda_):
    rlax = pytest.importorskip("rlax")
    reward, discount, value = map(jnp.asarray, _stream(3, 12))
    np.testing.assert_allclose(
      returns.lambda_returns(reward, discount, value, lambda_),
      rlax.lambda_returns(reward, discount, value[1:], lambda_),
      rtol=1e-5,
      atol=1e-5,
    )
    np.testing.assert_allclose(
      returns.generalised_advantages(reward, discount, value, lambda_),
      rlax.truncated_generalized_advantage_estimation(
        reward, discount, lambda_, value
      ),
      rtol=1e-5,
      atol=1e-5,
    )

  @parameterized.parameters(0.0, 0.95, 1.0)
  def test_advantage_is_return_less_value(self, lambda_):
    reward, discount, value = _stream(5, 9)
    np.testing.assert_allclose(
      returns.generalised_advantages(reward, discount, value, lambda_),
      returns.lambda_returns(reward, discount, value, lambda_) - value[:-1],
      rtol=1e-5,
      atol=1e-5,
    )

  def test_terminal_cuts_the_future(self):
    reward, discount, value = _stream(7, 8)
    discount[:] = 0.9
    discount[3] = 0.0  # state 4 is terminal
    changed = reward.copy()
    changed[4:] += 100.0
    changed_value = value.copy()
    changed_value[4:] -= 100.0
    before = returns.lambda_returns(reward, discount, value, 0.95)
    after = returns.lambda_returns(changed, discount, changed_value, 0.95)
    np.testing.assert_array_equal(before[:4], after[:4])
    assert np.all(np.abs(before[4:] - after[4:]) > 1.0)

  def test_vmap_keeps_streams_apart(self):
    streams = [_stream(seed, 6) for seed in range(3)]
    batch = [np.stack(arrays) for arrays in zip(*streams, strict=True)]
    together = jax.vmap(returns.lambda_returns, (0, 0, 0, None))(*batch, 0.9)
    for row, stream in zip(together, streams, strict=True):
      np.testing.assert_allclose(
        row, returns.lambda_returns(*stream, 0.9), rtol=1e-6
      )

  def test_survival_by_hand(self):
    # States 0 and 1 come before the loss of half the mass at state 2 ...
    out = returns.survival(jnp.array([1.0, 0.5, 0.0, 1.0]))
    np.testing.assert_allclose(out, [1.0, 1.0, 0.5, 0.0])

  def test_lengths_that_do_not_fit_are_refused(self):
    with self.assertRaises(AssertionError):
      returns.lambda_returns(jnp.ones(3), jnp.ones(3), jnp.ones(3), 0.9)


class NormalisationTest(parameterized.TestCase):
  def test_weighted_moments(self):
    rng = np.random.default_rng(0)
    advantage = rng.normal(3.0, 5.0, (4, 50)).astype(np.float32)
    weight = rng.uniform(size=(4, 50)).astype(np.float32)
    weight[0] = 0.0
    out, deviation = returns.normalise_advantages(advantage, weight)
    mean = np.average(advantage, weights=weight)
    variance = np.average(np.square(advantage - mean), weights=weight)
    self.assertAlmostEqual(float(deviation), float(np.sqrt(variance)), places=3)
    self.assertAlmostEqual(float(np.average(out, weights=weight)), 0, places=4)
    self.assertAlmostEqual(
      float(np.average(np.square(out), weights=weight)), 1.0, places=4
    )
    loud = advantage.copy()
    loud[0] = 1e6  # weight 0: does not matter
    np.testing.assert_allclose(
      returns.normalise_advantages(loud, weight)[0][1:], out[1:], rtol=1e-5
    )

  @parameterized.parameters(0.0, 1.0)
  def test_constant_advantages_stay_finite(self, weight):
    out, _ = returns.normalise_advantages(
      jnp.full(8, 7.0), jnp.full(8, jnp.float32(weight))
    )
    assert np.all(np.isfinite(out))

  def test_noise_below_the_floor_stays_small(self):
    noise = jnp.array([1e-3, -1e-3])
    out, _ = returns.normalise_advantages(noise, jnp.ones(2), floor=0.1)
    np.testing.assert_allclose(out, 10 * noise, rtol=1e-5)

  def test_scale_is_the_spread_at_once_and_follows(self):
    scale = returns.init_percentile_scale()
    self.assertEqual(float(returns.return_scale(scale)), 1.0)
    wide = jnp.linspace(0.0, 100.0, 101)
    scale = returns.update_percentile_scale(scale, wide, jnp.ones(101))
    self.assertAlmostEqual(float(returns.return_scale(scale)), 90.0, places=3)
    for _ in range(600):
      scale = returns.update_percentile_scale(scale, 0.1 * wide, jnp.ones(101))
    self.assertAlmostEqual(float(returns.return_scale(scale)), 9.0, delta=0.3)

  def test_small_spreads_meet_the_floor(self):
    scale = returns.update_percentile_scale(
      returns.init_percentile_scale(), jnp.linspace(0.0, 0.01, 20), jnp.ones(20)
    )
    self.assertEqual(float(returns.return_scale(scale, floor=0.5)), 0.5)

  @parameterized.parameters(0, 1, 2)
  def test_weighted_quantiles_are_those_of_numpy(self, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(5, 8)).astype(np.float32)
    weight = rng.uniform(size=(5, 8)).astype(np.float32)
    weight[rng.uniform(size=(5, 8)) < 0.3] = 0.0
    shares = np.array([0.05, 0.5, 0.95])
    expected = np.quantile(
      x.ravel(), shares, weights=weight.ravel(), method="inverted_cdf"
    )
    found = returns.weighted_quantiles(x, weight, jnp.asarray(shares))
    np.testing.assert_array_equal(found, expected)
    loud = np.where(weight == 0, 1e6, x)  # weight 0: does not matter
    found = returns.weighted_quantiles(loud, weight, jnp.asarray(shares))
    np.testing.assert_array_equal(found, expected)
