"""How frames come in and go out: the codec that the configuration names.

`dictionary`: a frame is 360 tile numbers; a tile outside the dictionary is the
escape. `pixels`: a frame is its 23,040 shades, four classes each, which also
holds for what stands off the 8-pixel grid or was never seen. Encoder and
decoder are chosen apart. Both list tiles in block order (`frames.py`).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.networks import atlas_reader
from pokedreamer_jax.networks import codec
from pokedreamer_jax.networks import pixel_codec
from pokedreamer_jax.networks import tile_mixture

# What a decoder says: logits, or the mixture of one with an atlas.
Outputs = jax.Array | tile_mixture.Mixture


def make_encoder(cfg: world_model_config.WorldModelConfig) -> nn.Module:
  """The module from `encoder_input` to embeddings `[..., E]`."""
  if cfg.encoder == "dictionary":
    return codec.TileEncoder(cfg.tile_vocab, cfg.block_units, cfg.hidden)
  return pixel_codec.PixelEncoder(cfg.tile_units, cfg.block_units, cfg.hidden)


def make_decoder(cfg: world_model_config.WorldModelConfig) -> nn.Module:
  """The module from features `[..., F]` to what `score` takes.

  Where it is told of HP bars, they follow the features.
  With an atlas it takes the window of cells in sight and their tiles as well.
  """
  if cfg.has_atlas:
    return atlas_reader.AtlasDecoder(
      cfg.tile_vocab,
      cfg.tile_units,
      cfg.block_units,
      cfg.atlas_cells,
      cfg.atlas_units,
      cfg.hidden,
      cfg.token_dim + (world_model_config.BARS_DIM if cfg.has_bars else 0),
      shown_tokens(cfg),
      copies=cfg.atlas_copies,
      mix=cfg.block_mix,
      texts=cfg.copies_boxes,
    )
  if cfg.decoder == "dictionary":
    return codec.TileDecoder(cfg.tile_vocab, cfg.tile_units, cfg.block_units)
  return pixel_codec.PixelDecoder(cfg.tile_units, cfg.block_units)


def encoder_input(
  cfg: world_model_config.WorldModelConfig,
  table: tiles.TileTable | None,
  packed: jax.Array,
) -> jax.Array:
  """What the encoder reads of packed frames `[..., 144, 40]`.

  Args:
    cfg: names the encoder.
    table: the dictionary, if there is one.
    packed: `[..., 144, 40]` uint8.

  Returns:
    Tile numbers `[..., 360]` int32, or tiles `[..., 360, 4]` uint32.
  """
  if cfg.encoder == "dictionary":
    return tiles.encode(_needed(table), packed)
  return packing.tile_words(packed)


def score(
  cfg: world_model_config.WorldModelConfig,
  table: tiles.TileTable | None,
  outputs: Outputs,
  packed: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Judges decoder outputs by the frames they should show.

  Args:
    cfg: names the decoder.
    table: the dictionary, if there is one.
    outputs: of the decoder, `[..., 360, V + 1]` or `[..., 360, 4, 64]`, or the
      mixture of one with an atlas.
    packed: `[..., 144, 40]` uint8.

  Returns:
    Nats `[...]` float32 of whole frames, and `[...]` bool where the most
    likely frame is right throughout (the escape counts as a tile).
  """
  if isinstance(outputs, tile_mixture.Mixture):
    ids = tiles.encode(_needed(table), packed)
    nats = jnp.sum(tile_mixture.nats(outputs, ids), axis=-1)
    return nats, jnp.all(tile_mixture.likeliest(outputs) == ids, axis=-1)
  if cfg.decoder == "pixels":
    shades = packing.tile_shades(packing.tile_words(packed))
    right = jnp.all(_likeliest_shades(outputs) == shades, axis=(-2, -1))
    return pixel_nats(outputs, shades), right
  ids = tiles.encode(_needed(table), packed)
  log_norm = jax.nn.logsumexp(outputs, axis=-1)
  own = jnp.take_along_axis(outputs, ids[..., None], axis=-1)[..., 0]
  nats = jnp.sum(log_norm - own, axis=-1)
  return nats, jnp.all(jnp.max(outputs, axis=-1) <= own, axis=-1)


def most_likely_frames(
  cfg: world_model_config.WorldModelConfig,
  table: tiles.TileTable | None,
  outputs: Outputs,
) -> jax.Array:
  """The most likely packed frames `[..., 144, 40]` of decoder outputs."""
  if isinstance(outputs, tile_mixture.Mixture):
    return tiles.decode(_needed(table), tile_mixture.likeliest(outputs))
  if cfg.decoder == "dictionary":
    return tiles.decode(_needed(table), jnp.argmax(outputs, axis=-1))
  words = packing.from_tile_shades(_likeliest_shades(outputs))
  return packing.from_tile_words(words)


@jax.custom_vjp
def pixel_nats(logits: jax.Array, shades: jax.Array) -> jax.Array:
  """Cross-entropy `[...]` in nats of whole frames, summed over their pixels.

  Four classes lie on the axis before the last: a last axis of 4 would leave
  most of a vector unit idle. The gradient is written out, since it needs only
  the logits and their norm.

  Args:
    logits: `[..., 360, 4, 64]`.
    shades: `[..., 360, 64]` uint8 in 0..3.
  """
  return _pixel_nats_forward(logits, shades)[0]


def _pixel_nats_forward(logits, shades):
  log_norm = jax.nn.logsumexp(logits, axis=-2)  # [..., 360, 64]
  own = jnp.sum(jnp.where(_is_shade(shades), logits, 0.0), axis=-2)
  nats = jnp.sum(log_norm - own, axis=(-2, -1))
  return nats, (logits, log_norm, shades)


def _pixel_nats_backward(kept, grad):
  logits, log_norm, shades = kept
  probs = jnp.exp(logits - log_norm[..., None, :])
  error = probs - _is_shade(shades).astype(probs.dtype)
  return grad[..., None, None, None] * error, None


pixel_nats.defvjp(_pixel_nats_forward, _pixel_nats_backward)


def shown_tokens(
  cfg: world_model_config.WorldModelConfig,
) -> tuple[tuple[int, int, int, bool], ...]:
  """Tokens that stand for more than the place: `AtlasDecoder.shown`."""
  found, start = [], 0
  told = list(cfg.unseen_tokens.split())
  if cfg.copies_boxes:
    told += world_model_config.TEXT_TOKENS
  if cfg.has_bars:
    told += [slide for _, _, slide in world_model_config.BARS]
  for name, size in cfg.token_sizes.items():
    if name not in ("map", "y", "x"):
      phases, _ = world_model_config.CLOCKS.get(name, (0, 0))
      found.append((start, start + size, phases, name not in told))
    start += size
  if cfg.has_bars:
    found.append((start, start + world_model_config.BARS_DIM, 0, True))
  return tuple(found)


def _needed(table: tiles.TileTable | None) -> tiles.TileTable:
  if table is None:
    raise ValueError("codec dictionary: the parameters carry no tiles")
  return table


def _is_shade(shades: jax.Array) -> jax.Array:
  """`[..., 4, 64]` bool: which shade each pixel of `[..., 64]` has."""
  shape = (*shades.shape[:-1], specs.NUM_SHADES, shades.shape[-1])
  each = jax.lax.broadcasted_iota(shades.dtype, shape, len(shape) - 2)
  return shades[..., None, :] == each


def _likeliest_shades(logits: jax.Array) -> jax.Array:
  """Shades `[..., 360, 64]` uint8 of logits `[..., 360, 4, 64]`."""
  return jnp.argmax(logits, axis=-2).astype(jnp.uint8)
