"""Both codecs: references in numpy, frames off the grid, what is learned."""

import functools
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_tools.game import frame_codec
from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.networks import codecs
from pokedreamer_jax.networks import pixel_codec
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import losses
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from tests.pokedreamer_jax import fakes

_KEY = jax.random.key(0)
_PIXELS = ("world_model.encoder=pixels", "world_model.decoder=pixels")
_CFG = fakes.config(*_PIXELS).world_model


def _off_grid(count):
  """Packed frames moved by 3 pixels and 5: no tile of the dictionary."""
  shades = frame_codec.unpack(fakes.screens()[:count])
  return frame_codec.pack_shades(np.roll(shades, (5, 3), axis=(1, 2)))


def _shades(packed):
  return np.asarray(packing.tile_shades(packing.tile_words(packed)))


def _slow_nats(logits, shades):
  """Summed over pixels and over frames, in float64."""
  logits = logits.astype(np.float64)
  norm = np.log(np.exp(logits).sum(axis=-2))
  total = 0.0
  for shade in range(4):
    own = (logits[..., shade, :] - norm) * (shades == shade)
    total -= own.sum(axis=(-2, -1))
  return total


@pytest.mark.parametrize("lead", [(), (3,), (2, 2)])
def test_pixel_nats_and_their_gradient_are_those_of_a_plain_loop(lead):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(*lead, 360, 4, 64)).astype(np.float32)
  shades = rng.integers(4, size=(*lead, 360, 64)).astype(np.uint8)
  weights = rng.normal(size=lead).astype(np.float32)

  def loss(logits):
    nats = codecs.pixel_nats(logits, shades)
    return jnp.sum(weights * nats), nats

  grad, nats = jax.jit(jax.grad(loss, has_aux=True))(logits)
  np.testing.assert_allclose(nats, _slow_nats(logits, shades), rtol=1e-5)
  # d nats / d logit = probability - [this is the shade]
  probs = np.exp(logits) / np.exp(logits).sum(axis=-2, keepdims=True)
  hot = np.moveaxis(np.eye(4)[shades], -1, -2)
  np.testing.assert_allclose(
    grad, weights[..., None, None, None] * (probs - hot), rtol=1e-4, atol=1e-6
  )


def test_flat_logits_cost_the_logarithm_of_four():
  packed = _off_grid(2)
  nats, exact = codecs.score(
    _CFG, None, jnp.zeros((2, 360, 4, 64)), jnp.asarray(packed)
  )
  np.testing.assert_allclose(nats, 144 * 160 * np.log(4.0), rtol=1e-5)
  assert not exact.any()


def test_pixel_nats_stay_finite_at_extremes():
  shades = jnp.zeros((360, 64), jnp.uint8)
  for wrong in (-1e4, 1e4):
    logits = jnp.zeros((360, 4, 64)).at[:, 1].set(wrong)
    with jax.debug_nans(True):
      nats, grad = jax.value_and_grad(codecs.pixel_nats)(logits, shades)
    assert np.isfinite(nats)
    assert np.abs(np.asarray(grad)).max() <= 1.0


@pytest.mark.parametrize("packed", [_off_grid(3), fakes.screens()[:3]])
def test_what_the_logits_say_is_the_frame_shown(packed):
  packed = jnp.asarray(packed)
  hot = np.moveaxis(np.eye(4, dtype=np.float32)[_shades(packed)], -1, -2)
  shown = codecs.most_likely_frames(_CFG, None, jnp.asarray(hot))
  assert shown.dtype == jnp.uint8
  np.testing.assert_array_equal(shown, packed)
  _, exact = codecs.score(_CFG, None, jnp.asarray(hot), packed)
  assert exact.all()
  hot[1, 100, :, 7] = np.roll(hot[1, 100, :, 7], 1)  # one pixel wrong
  _, exact = codecs.score(_CFG, None, jnp.asarray(hot), packed)
  np.testing.assert_array_equal(exact, [True, False, True])


def test_the_dictionary_scores_the_escape_as_a_tile():
  cfg = fakes.config().world_model
  table = fakes.table(cfg.tile_vocab)
  packed = jnp.asarray(np.stack([fakes.screens()[0], _off_grid(1)[0]]))
  ids = np.asarray(tiles.encode(table, packed))
  assert (ids[1] == cfg.tile_vocab).all()  # nothing of it is known
  logits = 2.0 * np.eye(cfg.tile_vocab + 1, dtype=np.float32)[ids]
  nats, exact = codecs.score(cfg, table, jnp.asarray(logits), packed)
  one = np.log(np.exp(2.0) + cfg.tile_vocab) - 2.0
  np.testing.assert_allclose(nats, 360 * one, rtol=1e-5)
  assert exact.all()
  shown = codecs.most_likely_frames(cfg, table, jnp.asarray(logits))
  np.testing.assert_array_equal(shown[0], packed[0])
  assert (np.asarray(packing.tile_words(shown[1])) == tiles.ESCAPE_WORDS).all()


def test_the_first_layer_reads_every_pixel_of_its_own_tile():
  words = packing.tile_words(jnp.asarray(_off_grid(2)))
  rng = np.random.default_rng(0)
  kernel = rng.normal(size=(256, 5)).astype(np.float32)
  grad_out = rng.normal(size=(2, 360, 5)).astype(np.float32)
  shades = _shades(_off_grid(2))
  hot = np.moveaxis(np.eye(4)[shades], -1, -2).reshape(2, 360, 256)

  def project(kernel):
    return pixel_codec._project_shades(words, kernel)

  found, pull = jax.vjp(project, kernel)
  np.testing.assert_allclose(found, hot @ kernel, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(
    pull(jnp.asarray(grad_out))[0],
    np.einsum("nti,ntu->iu", hot, grad_out),
    rtol=1e-4,
    atol=1e-4,
  )


def test_the_pixel_encoder_tells_frames_apart_that_the_dictionary_cannot():
  packed = jnp.asarray(_off_grid(2))

  def embed(*overrides):
    cfg = fakes.config(*overrides).world_model
    params, table = fakes.params(cfg), fakes.table(cfg.tile_vocab)
    seen = codecs.encoder_input(cfg, table, packed)
    return np.asarray(parts.apply(cfg, params, "encoder", seen))

  same = embed()
  np.testing.assert_array_equal(same[0], same[1])  # escapes throughout
  apart = embed(*_PIXELS)
  assert np.abs(apart[0] - apart[1]).max() > 0.1


@pytest.mark.parametrize("encoder", ["dictionary", "pixels"])
@pytest.mark.parametrize("decoder", ["dictionary", "pixels"])
def test_every_pair_of_codecs_trains_and_decodes_its_share(encoder, decoder):
  config = fakes.config(
    f"world_model.encoder={encoder}",
    f"world_model.decoder={decoder}",
    "train.decode_rows=5",
  )
  cfg = config.world_model
  params = jax.eval_shape(
    functools.partial(world_model.init, cfg), _KEY, fakes.table(cfg.tile_vocab)
  )
  assert ("tiles" in params) == ("dictionary" in (encoder, decoder))
  batch = jax.eval_shape(lambda: fakes.on_device(fakes.windows(4, 8)))
  state = jax.eval_shape(
    functools.partial(training.init_state, config.train), params
  )
  with mock.patch.object(codecs, "score", wraps=codecs.score) as scored:
    after, metrics = jax.eval_shape(
      training.make_update(config), state, batch, _KEY
    )
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert metrics["loss/image"].dtype == jnp.float32
  *_, outputs, packed = scored.call_args.args
  assert outputs.shape[:2] == (5, 360)
  assert packed.shape == (5, 144, 40)
  shown = jax.eval_shape(
    functools.partial(world_model.decode, cfg),
    params,
    world_model.initial_state(cfg, (3, 2)),
  )
  assert shown.shape == (3, 2, 144, 40)
  assert shown.dtype == jnp.uint8


def test_without_a_dictionary_none_is_needed_and_with_one_it_is():
  init = jax.eval_shape(
    lambda key: world_model.init(_CFG, key, None), jax.random.key(0)
  )
  assert "tiles" not in init
  with pytest.raises(ValueError, match="tile_vocab: table None"):
    world_model.init(fakes.config().world_model, _KEY, None)


def test_the_image_loss_of_pixels_is_the_mean_over_frames():
  params = fakes.params(_CFG, noise=0.1)
  batch = fakes.on_device(fakes.windows(2, 4))
  run = fakes.jit(
    lambda params, batch: (
      losses.world_model_loss(_CFG, params, _KEY, batch, 8)[1],
      world_model.observe(_CFG, params, jax.random.split(_KEY)[0], batch).state,
    )
  )
  metrics, state = run(params, batch)
  logits = parts.apply(_CFG, params, "decoder", world_model.features(state))
  chex.assert_shape(logits, (2, 4, 360, 4, 64))
  nats = _slow_nats(np.asarray(logits), _shades(batch["frame"]))
  np.testing.assert_allclose(metrics["loss/image"], nats.mean(), rtol=1e-4)


@pytest.mark.slow
def test_one_batch_off_the_grid_is_learned_until_its_frames_are_exact():
  config = fakes.config(
    *_PIXELS,
    "train.steps=400",
    "train.warmup_steps=20",
    "train.learning_rate=0.01",
    "train.decode_rows=32",
    "world_model.image_scale=0.05",
    "world_model.block_units=64",
    "world_model.tile_units=64",
  )
  cfg = config.world_model
  batch = fakes.windows(4, 8)
  batch["frame"] = _scenes()[batch["map_id"] + 4 * batch["x"]]
  batch = fakes.on_device(batch)
  state = training.init_state(config.train, fakes.params(cfg))
  update = jax.jit(training.make_update(config))
  for _ in range(config.train.steps):
    state, metrics = update(state, batch, _KEY)
  assert float(metrics["posterior/exact_frames"]) == 1.0
  observe = jax.jit(functools.partial(world_model.observe, cfg))
  seen = observe(state.params, jax.random.key(5), batch).state
  shown = world_model.decode(cfg, state.params, seen)
  right = np.all(np.asarray(shown == batch["frame"]), axis=(-2, -1))
  assert right.mean() > 0.8


def _scenes():
  """Twelve packed frames: a few things on a plain ground, off the grid."""
  rng = np.random.default_rng(0)
  art = rng.integers(0, 4, (6, 8, 8)).astype(np.uint8)
  art[0] = 1
  thing = rng.integers(1, len(art), (12, 18, 20))
  grid = art[np.where(rng.random(thing.shape) < 0.1, thing, 0)]
  shades = grid.transpose(0, 1, 3, 2, 4).reshape(12, 144, 160)
  return frame_codec.pack_shades(np.roll(shades, (5, 3), axis=(1, 2)))
