"""The image loss from some blocks, against the one from all of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.frames import tiles
from pokedreamer_jax.networks import tile_mixture
from pokedreamer_jax.world_model import image_loss
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from tests.pokedreamer_jax import fakes


def test_drawn_blocks_stand_for_all_of_them():
  rng = np.random.default_rng(0)
  weight = rng.uniform(0.01, 4, 300).astype(np.float32)
  value = rng.normal(size=300).astype(np.float32)
  draw = jax.jit(functools.partial(image_loss.choose_blocks, count=40))
  sums, seen = [], np.zeros(300)
  for n in range(400):
    chosen, counts = draw(jax.random.key(n), weight)
    sums.append(float(np.sum(value[chosen] * counts)))
    seen += np.bincount(chosen, minlength=300)
  error = np.std(sums) / np.sqrt(len(sums))
  assert abs(np.mean(sums) - value.sum()) < 4 * error + 1e-3
  np.testing.assert_allclose(seen / 400, 40 * weight / weight.sum(), atol=0.15)


_CONFIG = fakes.config(
  "world_model.atlas=counted", "world_model.atlas_cells=512"
)
_CFG = _CONFIG.world_model


@functools.cache
def _case():
  """Parameters whose atlas knows half of the cells, a batch and features."""
  rng = np.random.default_rng(1)
  params = fakes.params(_CFG, noise=0.3)
  pages = np.zeros(params["atlas"]["pages"].shape, np.int32)
  pages[:, :, :] = 1 + np.arange(pages.size).reshape(pages.shape) % 7
  held = rng.integers(0, 4, (_CFG.atlas_cells, 4))
  held[::2] = _CFG.tile_vocab
  atlas = {
    **params["atlas"],
    "pages": jnp.asarray(pages),
    "tiles": jnp.asarray(held, jnp.int32),
  }
  batch = fakes.on_device(fakes.windows(3, 4))
  feat = rng.normal(size=(3, 4, _CFG.feat_dim)).astype(np.float32)
  return {**params, "atlas": atlas}, batch, jnp.asarray(feat)


def _loss(blocks, key):
  params, batch, feat = _case()
  return image_loss.image_loss(
    *(_CFG, params, key, batch, feat), decode_rows=12, decode_blocks=blocks
  )[0]


def test_the_loss_from_some_blocks_is_on_average_the_bound_from_all():
  params, batch, feat = _case()
  x, found = world_model.decoder_outputs(
    _CFG, params, feat.reshape(12, -1), method="read"
  )
  table = world_model.tile_table(params)
  assert table is not None
  frame = jnp.asarray(batch["frame"]).reshape(12, 144, 40)
  tile = tiles.encode(table, frame)
  logits = parts.apply(_CFG, params, "decoder", x, method="draw")
  copied = tile_mixture.is_copy(found, tile)
  drawn = tile_mixture.draw_nats(logits, tile)
  nats = tile_mixture.copy_nats(found, tile) + jnp.where(copied, 0.0, drawn)
  bound = float(nats.sum()) / 12
  some = fakes.jit(functools.partial(_loss, 20))
  values = [float(some(jax.random.key(n))) for n in range(60)]
  error = np.std(values) / np.sqrt(len(values))
  assert abs(np.mean(values) - bound) < 4 * error + 1e-3 * bound
  # And the whole mixture's nats are no more than the bound.
  assert float(_loss(0, jax.random.key(0))) <= bound * (1 + 1e-5)


def test_it_trains_every_part_of_the_decoder():
  params, batch, feat = _case()

  def loss(decoder):
    changed = {**params, "decoder": decoder}
    return image_loss.image_loss(
      *(_CFG, changed, jax.random.key(0), batch, feat),
      decode_rows=12,
      decode_blocks=20,
    )[0]

  grads = fakes.jit(jax.grad(loss))(params["decoder"])
  for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
    assert np.isfinite(leaf).all(), path
    assert np.abs(leaf).max() > 0, path


def test_cells_that_are_hidden_are_not_copied():
  params, batch, feat = _case()
  shown = world_model.decoder_outputs(_CFG, params, feat[0], method="read")[1]
  table = world_model.tile_table(params)
  assert table is not None
  # Frames made of what the atlas offers: copying is nearly all it takes.
  offered = shown.candidate[..., 0]
  assert bool((offered < _CFG.tile_vocab).any())
  frame = tiles.decode(table, offered)
  cut = {"is_first": batch["is_first"][:1], "frame": frame[None]}
  make = functools.partial(
    *(image_loss.image_loss, _CFG, params, jax.random.key(0), cut, feat[:1]),
    decode_rows=4,
  )
  assert float(make(hide=0.0)[0]) < 0.98 * float(make(hide=0.999)[0])
