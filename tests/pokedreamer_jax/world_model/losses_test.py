"""The training loss: against plain numpy, where it stops, and at extremes."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import losses
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import reward_heads
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_B, _T, _BURN = 4, 8, 2
_ROWS = _B * (_T - _BURN)
_CFG = fakes.config().world_model
_KEY = jax.random.key(0)
_SCALES = {
  name: float(getattr(_CFG, name))
  for name in (
    *("image_scale", "token_scale", "infer_scale", "dyn_scale", "rep_scale"),
    *("free_nats", "reward_scale", "cont_scale"),
  )
}
_NONE = {**dict.fromkeys(_SCALES, 0.0), "free_nats": 0.0}


def _loss(weights, frozen, scales, batch):
  cfg = dataclasses.replace(_CFG, **scales)  # traced: one compile for all
  return losses.world_model_loss(
    cfg, {**weights, **frozen}, _KEY, batch, _ROWS, _BURN
  )


_grad = fakes.jit(jax.value_and_grad(_loss, has_aux=True))
_observe = fakes.jit(
  lambda params, key, batch: world_model.observe(_CFG, params, key, batch)
)


@fakes.jit
def _heads(params, state, batch):
  """Outputs by head, tile numbers and the reward loss, `[B, T, ...]`."""
  feat = world_model.features(state)
  raw = {
    name: parts.apply(_CFG, params, name, feat)
    for name in ("decoder", "reward", "continue")
  }
  ids = tiles.encode(world_model.tile_table(params), batch["frame"])
  return raw, ids, reward_heads.loss(raw["reward"], batch["reward_terms"])


def _run(params, batch, **scales):
  """Loss, metrics and gradients; every scale not named is its default."""
  weights = {k: v for k, v in params.items() if k != "tiles"}
  frozen = {"tiles": params["tiles"]}
  (loss, metrics), grads = _grad(weights, frozen, {**_SCALES, **scales}, batch)
  return loss, metrics, grads


@pytest.fixture(autouse=True)
def _no_nans():
  with jax.debug_nans(True):
    yield


@pytest.fixture(scope="module")
def params():
  return fakes.params(_CFG, noise=0.3)


@pytest.fixture
def batch():
  batch = fakes.on_device(fakes.windows(_B, _T))
  batch["is_first"] = batch["is_first"].at[1, 4].set(True)
  batch["is_terminal"] = batch["is_terminal"].at[2, 7].set(True)
  return batch


def _largest(tree):
  return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def _kl(log_p, log_q):
  """KL in nats of `[S, K]`, variable by variable."""
  total = 0.0
  for p, q in zip(np.exp(log_p), np.exp(log_q), strict=True):
    total += sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))
  return total


def test_every_part_is_what_a_loop_makes_of_the_posterior(params, batch):
  loss, metrics, _ = _run(params, batch)
  seen = _observe(params, jax.random.split(_KEY)[0], batch)
  raw, ids, reward = jax.device_get(_heads(params, seen.state, batch))
  seen = jax.device_get(seen)
  numbers = np.asarray(tokens.read(_CFG.token_sizes, batch))
  sums = dict.fromkeys(
    ("image", "tokens", "infer", "kl", "dyn", "reward", "cont", "exact"), 0.0
  )
  for b in range(_B):
    for t in range(_BURN, _T):
      logits = raw["decoder"][b, t].astype(np.float64)
      own = ids[b, t]
      sums["image"] -= _log_softmax(logits)[np.arange(360), own].sum()
      sums["exact"] += np.all(logits.argmax(-1) == own)
      first = batch["is_first"][b, t]
      if not first:
        kl = _kl(seen.post[b, t], seen.prior[b, t])
        sums["kl"] += kl
        sums["dyn"] += max(kl, _CFG.free_nats)
      sums["reward"] += float(reward[b, t])
      alive = 1 / (1 + np.exp(-float(raw["continue"][b, t])))
      ended = batch["is_terminal"][b, t]
      sums["cont"] -= np.log(1 - alive if ended else alive)
      places = tokens.slices(_CFG.token_sizes).values()
      for m, place in enumerate(places):
        n = numbers[b, t, m]
        guess = _log_softmax(np.asarray(seen.infer_logits[b, t, place]))
        sums["infer"] -= guess[n]
        if not first:
          said = _log_softmax(np.asarray(seen.token_logits[b, t, place]))
          sums["tokens"] -= said[n]
  mean = {name: value / _ROWS for name, value in sums.items()}
  mean["rep"] = mean["dyn"]  # the same number; only gradients differ
  for name in ("image", "tokens", "infer", "kl", "dyn", "rep", "reward"):
    np.testing.assert_allclose(
      metrics[f"loss/{name}"], mean[name], rtol=1e-4, err_msg=name
    )
  np.testing.assert_allclose(metrics["loss/cont"], mean["cont"], rtol=1e-4)
  np.testing.assert_allclose(metrics["posterior/exact_frames"], mean["exact"])
  by_token = [metrics[f"token/{name}"] for name in _CFG.token_sizes]
  np.testing.assert_allclose(sum(by_token), mean["tokens"], rtol=1e-4)
  total = sum(
    _SCALES[scale] * mean[name]
    for scale, name in {
      "image_scale": "image",
      "token_scale": "tokens",
      "infer_scale": "infer",
      "dyn_scale": "dyn",
      "rep_scale": "rep",
      "reward_scale": "reward",
      "cont_scale": "cont",
    }.items()
  )
  np.testing.assert_allclose(loss, total, rtol=1e-4)
  np.testing.assert_allclose(loss, metrics["loss/total"])


def _log_softmax(x):
  x = x.astype(np.float64)
  return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_divergence_by_hand():
  # 0.5 log(0.5 / 0.25) + 0.5 log(0.5 / 0.75) = 0.1438; twice, as S = 2.
  p = jnp.log(jnp.full((2, 2), 0.5))
  q = jnp.log(jnp.array([[0.25, 0.75], [0.25, 0.75]]))
  np.testing.assert_allclose(
    world_model.divergence(p, q), 2 * 0.143841, rtol=1e-5
  )
  assert float(world_model.divergence(q, q)) == 0.0


def test_dynamics_teach_the_prior_alone_representation_the_posterior(
  params, batch
):
  # Cut the way from one row's sample to the next row's prior: what is left is
  # each row's own divergence.
  cut = jax.tree.map(jnp.zeros_like, params["rssm"]["stoch_in"])
  params = {**params, "rssm": {**params["rssm"], "stoch_in": cut}}
  for scale, moved in (("dyn_scale", False), ("rep_scale", True)):
    _, _, grads = _run(params, batch, **{**_NONE, scale: 1.0})
    for name in ("post_deter", "post_seen", "post_norm", "post_out"):
      assert (_largest(grads["rssm"][name]) > 0) == moved, name
    assert (_largest(grads["encoder"]) > 0) == moved
    assert (_largest(grads["rssm"]["prior_net"]) > 0) == (not moved)


def test_free_nats_stop_both(params, batch):
  scales = {**_NONE, "dyn_scale": 1.0, "rep_scale": 1.0, "free_nats": 1e3}
  loss, metrics, grads = _run(params, batch, **scales)
  # Two losses of 1,000 nats on every row but the first row at [1, 4].
  np.testing.assert_allclose(loss, 2e3 * (_ROWS - 1) / _ROWS, rtol=1e-6)
  assert float(metrics["loss/kl"]) < 1e2  # what is plotted is not clipped
  assert _largest(grads) == 0.0
  _, _, grads = _run(params, batch, **{**scales, "free_nats": 0.0})
  assert _largest(grads) > 0.0


@pytest.mark.parametrize(
  ("scale", "parts"),
  [
    ("image_scale", {"decoder"}),
    ("reward_scale", {"reward"}),
    ("cont_scale", {"continue"}),
  ],
)
def test_a_head_learns_from_its_own_loss_and_shapes_the_state(
  params, batch, scale, parts
):
  _, _, grads = _run(params, batch, **{**_NONE, scale: 1.0})
  heads = {"decoder", "reward", "continue"}
  assert {name for name in heads if _largest(grads[name]) > 0} == parts
  assert _largest(grads["encoder"]) > 0
  assert _largest(grads["rssm"]["gates"]) > 0


def test_burn_in_rows_carry_no_loss(params, batch):
  def moved(row):
    changed = dict(batch)
    terms = batch["reward_terms"]
    changed["reward_terms"] = terms.at[:, row].set(5.0 - terms[:, row])
    ended = batch["is_terminal"]
    changed["is_terminal"] = ended.at[:, row].set(~ended[:, row])
    return float(_run(params, changed)[0])

  loss = float(_run(params, batch)[0])
  assert moved(0) == loss
  assert moved(_BURN - 1) == loss
  assert moved(_BURN) != loss


def test_burn_in_rows_before_a_reset_count_for_nothing(params, batch):
  batch["is_first"] = batch["is_first"].at[:, _BURN].set(True)
  others = fakes.on_device(fakes.windows(_B, _T, seed=5))
  changed = {
    name: value.at[:, :_BURN].set(others[name][:, :_BURN])
    if value.ndim > 1
    else value
    for name, value in batch.items()
  }
  left, right = _run(params, batch), _run(params, changed)
  chex.assert_trees_all_equal(left[:2], right[:2])
  chex.assert_trees_all_close(left[2], right[2], rtol=1e-5, atol=1e-6)


def test_a_first_row_is_predicted_from_nothing(params, batch):
  batch["is_first"] = jnp.ones_like(batch["is_first"])
  scales = {**_NONE, "token_scale": 1.0, "dyn_scale": 1.0, "rep_scale": 1.0}
  loss, metrics, grads = _run(params, batch, **scales)
  assert float(loss) == float(metrics["loss/tokens"]) == 0.0
  assert _largest(grads) == 0.0


@pytest.mark.parametrize("noise", [0.0, 30.0])
def test_finite_at_extremes(batch, noise):
  batch["reward_terms"] = batch["reward_terms"].at[0, 3].set(1e9)
  chex.assert_tree_all_finite(_run(fakes.params(_CFG, noise=noise), batch))


def test_without_ram_and_without_burn_in(batch):
  cfg = fakes.config("world_model.ram=off").world_model
  params = fakes.params(cfg, noise=0.3)
  run = fakes.jit(
    lambda batch: losses.world_model_loss(cfg, params, _KEY, batch, 8)
  )
  loss, metrics = run(batch)
  assert float(metrics["loss/tokens"]) == float(metrics["loss/infer"]) == 0.0
  assert float(metrics["loss/image"]) > 0.0
  assert float(metrics["loss/dyn"]) > 0.0
  assert np.isfinite(loss)
  assert not [name for name in metrics if name.startswith("token/")]
  # Without burn-in a window's first row is predicted from nothing, too.
  batch["is_first"] = batch["is_first"].at[:, 1:].set(True)
  assert not batch["is_first"].all()
  assert float(run(batch)[1]["loss/dyn"]) == 0.0


def test_validation_is_free_of_chance(params, batch):
  validate = fakes.jit(
    lambda params, batch: losses.validation_loss(_CFG, params, batch, _BURN)
  )
  found = validate(params, batch)
  # Every window's keys are its place in the batch: no draw depends on it.
  order = jnp.array([2, 0, 3, 1])
  turned = validate(params, {name: v[order] for name, v in batch.items()})
  for name, value in found.items():
    np.testing.assert_allclose(value, turned[name], rtol=1e-5, err_msg=name)
  _, sampled, _ = _run(params, batch)
  assert found.keys() == sampled.keys()
  assert abs(float(found["loss/total"] - sampled["loss/total"])) > 1e-3


def test_validation_takes_the_most_likely_latents(params, batch):
  def most_likely(_, log_probs):
    return jax.nn.one_hot(jnp.argmax(log_probs, -1), log_probs.shape[-1])

  @fakes.jit
  def both(params, batch):
    expected = losses.world_model_loss(
      _CFG, params, _KEY, batch, _ROWS, _BURN, most_likely
    )[1]
    return losses.validation_loss(_CFG, params, batch, _BURN), expected

  found, expected = both(params, batch)
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)
