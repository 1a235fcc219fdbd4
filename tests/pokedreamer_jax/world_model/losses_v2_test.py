"""The published loss: its parts by hand, its gradients, its validation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.frames import packing
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import losses_v2
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from tests.pokedreamer_jax import fakes

_CONFIG = fakes.config_v2()
_CFG = _CONFIG.world_model
_KEY = jax.random.key(3)


def _params():
  return fakes.params(_CFG, noise=0.05)


def _batch(seed=0):
  return fakes.on_device(fakes.windows(2, 4, seed))


def _training(cfg, burn_in=0):
  def run(params, batch, step):
    return losses_v2.world_model_loss(cfg, params, _KEY, batch, step, burn_in)

  return run


# Jitted once for the tests that share it.
_value_and_grad = fakes.jit(jax.value_and_grad(_training(_CFG), has_aux=True))


@pytest.mark.parametrize(
  ("step", "expected"), [(0, 2.0), (5, 1.25), (10, 0.5), (99, 0.5)]
)
def test_the_temperature_by_hand(step, expected):
  cfg = fakes.config_v2(
    "world_model.temperature_start=2.0",
    "world_model.temperature_end=0.5",
    "world_model.temperature_steps=10",
  ).world_model
  np.testing.assert_allclose(losses_v2.temperature(cfg, step), expected)


def test_validation_is_the_loss_by_hand():
  batch = _batch()
  batch["is_terminal"] = batch["is_terminal"].at[1, 2].set(True)
  params = _params()

  def likely(params, batch):
    seen = world_model.observe(_CFG, params, _KEY, batch)
    return losses_v2.validation_loss(_CFG, params, batch), seen

  made, seen = fakes.most_likely(likely)(params, batch)
  feat = world_model.features(seen.state)
  reward, logit = (
    parts.apply(_CFG, params, name, feat) for name in ("reward", "continue")
  )
  shown = parts.modules(_CFG)["decoder"].apply(
    {
      "params": params["decoder"],
      "batch_stats": params["batch_stats"]["decoder"],
    },
    feat,
  )
  post, prior = np.asarray(seen.post), np.asarray(seen.prior)
  target = np.asarray(packing.to_rgb(batch["frame"]))
  weights = np.array(specs.REWARD_WEIGHTS["published"])
  paid = np.asarray(batch["reward_terms"]) @ weights
  right = np.where(batch["is_terminal"], -logit, logit)
  expected = {
    "loss/image": np.mean((np.asarray(shown) - target) ** 2),
    "loss/kl": (np.exp(post) * (post - prior)).sum((-2, -1)).mean(),
    "loss/reward": np.mean((np.asarray(reward) - paid) ** 2),
    "loss/cont": np.mean(np.log1p(np.exp(-right))),
    "image/constant": np.mean((target - target.mean((0, 1))) ** 2),
  }
  total = sum(expected[f"loss/{n}"] for n in ("image", "kl", "reward", "cont"))
  assert expected["loss/kl"] > 0.01
  for name, value in (expected | {"loss/total": total}).items():
    np.testing.assert_allclose(made[name], value, rtol=1e-4, err_msg=name)


def test_the_balance_splits_the_gradient_of_the_kl():
  """Logits of prior and posterior get alpha and 1 - alpha of its gradient."""
  rng = np.random.default_rng(0)
  first, second = rng.normal(size=(2, 2, 4, 3, 4)).astype(np.float32)
  params, batch = _params(), _batch()
  state = world_model.initial_state(_CFG, (2, 4))
  picture = jnp.zeros((2, 144, 160, 3))

  def loss(alpha, prior, post):
    cfg = fakes.config_v2(f"world_model.kl_alpha={alpha}").world_model
    seen = world_model.Posterior(
      state=state,
      prior=jax.nn.log_softmax(prior),
      post=jax.nn.log_softmax(post),
      token_logits=jnp.zeros((2, 4, 0)),
      infer_logits=jnp.zeros((2, 4, 0)),
    )
    return losses_v2._loss(cfg, params, batch, seen, picture, picture)[0]

  grads = {
    alpha: jax.grad(loss, (1, 2))(alpha, first, second)
    for alpha in (0.0, 0.8, 1.0)
  }
  prior, _ = grads[1.0]
  _, post = grads[0.0]
  assert np.abs(prior).max() > 1e-3 and np.abs(post).max() > 1e-3
  np.testing.assert_array_equal(grads[1.0][1], np.zeros_like(post))
  np.testing.assert_array_equal(grads[0.0][0], np.zeros_like(prior))
  np.testing.assert_allclose(grads[0.8][0], 0.8 * prior, atol=1e-7)
  np.testing.assert_allclose(grads[0.8][1], 0.2 * post, atol=1e-7)


def test_running_averages_move_only_in_training_and_over_all_frames():
  params, batch = _params(), _batch()
  (total, (metrics, stats)), _ = _value_and_grad(params, batch, 0)
  assert total == metrics["loss/total"]
  mean = stats["encoder"]["res1"]["bn1"]["mean"]
  # The first norm sees the first convolutions of all 8 frames at once.
  encoder = parts.modules(_CFG)["encoder"]
  _, seen = encoder.apply(
    {
      "params": params["encoder"],
      "batch_stats": params["batch_stats"]["encoder"],
    },
    packing.to_rgb(batch["frame"]),
    capture_intermediates=lambda module, _: module.name == "conv1",
  )
  conv = seen["intermediates"]["res1"]["conv1"]["__call__"][0]
  assert conv.shape == (8, 72, 80, 2)
  np.testing.assert_allclose(mean, 0.1 * conv.mean((0, 1, 2)), atol=1e-6)


def test_the_gradient_depends_on_the_temperature_but_the_sample_does_not():
  ((_, (before, _)), hot), ((_, (after, _)), cold) = (
    _value_and_grad(_params(), _batch(), step)
    for step in (0, _CFG.temperature_steps)
  )
  assert (before["sampling/temperature"], after["sampling/temperature"]) == (
    *(_CFG.temperature_start, _CFG.temperature_end),
  )
  np.testing.assert_allclose(before["loss/total"], after["loss/total"])
  hot, cold = (grads["rssm"]["post_out"]["kernel"] for grads in (hot, cold))
  assert not np.allclose(hot, cold, rtol=1e-2, atol=0)


@pytest.mark.parametrize("annealed", ["sampled", "most_likely"])
def test_annealing_ends_in_the_plain_gradient(annealed):
  """That of the probabilities: no noise, no temperature is in it."""
  cfg = fakes.config_v2(
    *("world_model.temperature_start=2", "world_model.temperature_end=0.5"),
    *("world_model.temperature_steps=10", f"world_model.annealed={annealed}"),
  ).world_model
  rng = np.random.default_rng(1)
  logits, weights = rng.normal(size=(2, 400, 3, 4)).astype(np.float32)

  def total(logits, step):
    draw, metrics = losses_v2._draw(cfg, step)
    hot = draw(_KEY, jax.nn.log_softmax(logits))
    return jnp.sum(hot * weights), (hot, metrics["sampling/temperature"])

  run = fakes.jit(jax.grad(total, has_aux=True))
  before, (warm, warmth) = run(logits, 9)
  after, (cold, coldness) = run(logits, 10)
  np.testing.assert_allclose([warmth, coldness], [0.65, 0.0], rtol=1e-6)
  probs = np.asarray(jax.nn.softmax(logits))
  expected = probs * (weights - (probs * weights).sum(-1, keepdims=True))
  np.testing.assert_allclose(after, expected, atol=1e-6)
  assert np.abs(before - expected).max() > 0.1
  for hot in (warm, cold):
    one_hot = np.broadcast_to([0.0, 0.0, 0.0, 1.0], hot.shape)
    np.testing.assert_array_equal(np.sort(hot, -1), one_hot)
  likely = (np.argmax(cold, -1) == np.argmax(logits, -1)).mean()
  if annealed == "most_likely":
    assert likely == 1.0
  else:  # as often as its probability says, of 1,200 draws
    assert abs(likely - probs.max(-1).mean()) < 0.06


def test_no_temperature_is_logged_where_none_is_used():
  used = fakes.config_v2().world_model
  unused = fakes.config_v2("world_model.temperature_start=0").world_model
  metrics = [
    jax.eval_shape(_training(cfg), _params(), _batch(), 0)[1][0]
    for cfg in (used, unused)
  ]
  assert set(metrics[0]) - set(metrics[1]) == {"sampling/temperature"}


def test_from_the_start_without_a_temperature_the_fall_back_is_as_asked():
  cfg = fakes.config_v2(
    "world_model.temperature_start=0", "world_model.annealed=most_likely"
  ).world_model
  draw, metrics = losses_v2._draw(cfg, 0)
  logits = np.random.default_rng(2).normal(size=(50, 3, 4)).astype(np.float32)
  hot = draw(_KEY, jax.nn.log_softmax(logits))
  np.testing.assert_array_equal(np.argmax(hot, -1), np.argmax(logits, -1))
  assert metrics == {}


def test_without_a_temperature_the_sampler_is_the_plain_one(monkeypatch):
  cfg = fakes.config_v2("world_model.temperature_start=0").world_model

  def observe(*args, draw, embed):
    assert draw is sampling.straight_through
    raise InterruptedError

  monkeypatch.setattr(world_model, "observe", observe)
  with pytest.raises(InterruptedError):
    jax.eval_shape(_training(cfg), _params(), _batch(), 0)


def test_rows_of_the_burn_in_carry_no_loss():
  batch, params = _batch(), _params()
  terms = batch["reward_terms"]
  run = fakes.jit(_training(_CFG, burn_in=2))
  early, late, as_it_is = (
    run(params, {**batch, "reward_terms": changed}, 0)[0]
    for changed in (terms.at[:, :2].add(9.0), terms.at[:, 2:].add(9.0), terms)
  )
  assert early == as_it_is != late
