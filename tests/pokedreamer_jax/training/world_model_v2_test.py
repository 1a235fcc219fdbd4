"""Updates of family v2: averages, repetition, one batch learned."""

import chex
import jax
import numpy as np
import optax
import pytest

from pokedreamer_jax.config import presets
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import model_v2 as world_model_v2
from tests.pokedreamer_jax import fakes

_CONFIG = fakes.config_v2()
_KEY = jax.random.key(0)
_LEARNING_STEPS = 300
_made = training.make_update(_CONFIG)
_apply_training = world_model_v2.apply_training


# A function of its own: chex counts traces by where a function was written.
@fakes.jit
@chex.assert_max_traces(n=1)
def _update(state, batch, run_key):
  return _made(state, batch, run_key)


def _state():
  return training.init_state(_CONFIG.train, fakes.params(_CONFIG.world_model))


def _train(state, steps):
  for number in range(int(state.step), int(state.step) + steps):
    batch = fakes.on_device(fakes.windows(2, 4, number))
    state, metrics = _update(state, batch, _KEY)
  return state, metrics


def test_weights_and_averages_move_and_only_weights_have_moments():
  before = _state()
  after, metrics = _train(before, 2)
  chex.assert_trees_all_equal_shapes_and_dtypes(before, after)
  moved = jax.tree.map(
    lambda a, b: bool((a != b).any()), before.params, after.params
  )
  assert all(jax.tree.leaves(moved)), moved
  weights = {k: v for k, v in after.params.items() if k != "batch_stats"}
  (adam,) = [
    node
    for node in jax.tree.leaves(
      after.opt_state, is_leaf=lambda x: isinstance(x, optax.ScaleByAdamState)
    )
    if isinstance(node, optax.ScaleByAdamState)
  ]
  assert jax.tree.structure(adam.mu) == jax.tree.structure(weights)
  for name, value in metrics.items():
    assert value.shape == () and np.isfinite(value), name


@pytest.mark.parametrize("decode_rows", [0, 5])
def test_every_row_is_decoded_however_large_the_batch(monkeypatch, decode_rows):
  cfg = fakes.config_v2(
    *("train.batch_size=16", "train.seq_len=9", "train.burn_in=1"),
    *([f"train.decode_rows={decode_rows}"] if decode_rows else []),
  )
  decoded = []

  def decode(*args):
    if args[2] == "decoder":
      decoded.append(args[3].size // cfg.world_model.feat_dim)
    return _apply_training(*args)

  monkeypatch.setattr(world_model_v2, "apply_training", decode)
  state = fakes.state_shapes(cfg)
  batch = jax.eval_shape(lambda: fakes.on_device(fakes.windows(16, 9)))
  _, metrics = jax.eval_shape(training.make_update(cfg), state, batch, _KEY)
  assert metrics["loss/image"].shape == ()
  assert decoded == [16 * 8]


def test_an_interrupted_run_repeats_every_bit():
  whole = _train(_state(), 4)
  half, _ = _train(_state(), 2)
  stored = jax.device_put(jax.tree.map(np.asarray, half))
  chex.assert_trees_all_equal(whole, _train(stored, 2))


def test_the_published_optimiser_by_hand():
  cfg = presets.make("v2").train
  tx = training.optimiser(cfg)
  weights = {"a": np.zeros(2, np.float32), "b": np.zeros(1, np.float32)}
  grads = {"a": np.float32([30.0, 0.0]), "b": np.float32([40.0])}  # norm 50
  updates, state = tx.update(grads, tx.init(weights), weights)
  # Scaled to norm 10; Adam's first step is the learning rate by sign.
  np.testing.assert_allclose(updates["a"], [-3e-4, 0.0], rtol=1e-4)
  np.testing.assert_allclose(updates["b"], [-3e-4], rtol=1e-4)
  mu = next(leaf for leaf in jax.tree.leaves(state) if leaf.shape == (2,))
  np.testing.assert_allclose(mu, [0.6, 0.0], rtol=1e-5)  # 0.1 of 6
  rates = [training.learning_rate(cfg)(step) for step in (0, 100, 5999)]
  np.testing.assert_allclose(rates, 3e-4)


@pytest.mark.slow
def test_one_batch_is_learned():
  """30 frames of random blocks in random order, under random actions.

  With the published weight the KL falls to 0.02 nats within 20 updates, and
  the frames, then told apart by `deter` alone, are learned more slowly; so its
  weight is small here.
  """
  cfg = fakes.config_v2(
    "world_model.channels=4",
    "world_model.deter=128",
    "world_model.hidden=128",
    "world_model.stoch=16",
    "world_model.classes=16",
    "world_model.kl_scale=0.01",
    "world_model.temperature_steps=200",
    "train.seq_len=15",
    "train.learning_rate=0.003",
  )
  batch = fakes.windows(2, 15)
  shades = np.random.default_rng(0).integers(4, size=(2, 15, 9, 10))
  packed = (shades * 0b01010101).astype(np.uint8)  # four equal pixels a byte
  batch["frame"] = packed.repeat(16, axis=2).repeat(4, axis=3)
  batch["reward_terms"] = np.minimum(batch["reward_terms"], 1.0) * 0.1
  batch = fakes.on_device(batch)
  params = world_model.init(cfg.world_model, _KEY, None)
  state = training.init_state(cfg.train, params)
  update = fakes.jit(training.make_update(cfg), donate_argnums=0)
  for _ in range(_LEARNING_STEPS):
    state, metrics = update(state, batch, _KEY)
  assert metrics["image/constant"] > 0.12
  assert metrics["loss/image"] < 0.25 * metrics["image/constant"]
  assert metrics["loss/reward"] < 0.02
