"""How well frames are decoded: the image part of the training loss.

Frames are dear to decode, so only some rows of a batch are; with an atlas, of
these only some blocks are drawn from the dictionary, since most tiles are
copied and need no softmax (`tile_mixture.py`).
"""

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.networks import codecs
from pokedreamer_jax.networks import tile_mixture
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts

# A pytree of rows or windows `[N, ...]` -> the same, shared out over devices.
SpreadFn = Callable[[Any], Any]

# How much likelier a block is drawn that has changed since the row before, and
# one whose tiles could be copied as well.
_CHANGED = 4.0
_COPIED = 0.02


def image_loss(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  batch: world_model.Batch,
  feat: jax.Array,
  decode_rows: int,
  decode_blocks: int = 0,
  spread: SpreadFn = lambda rows: rows,
  hide: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
  """Mean nats a frame over sampled rows, and the share decoded exactly.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    batch: fields `[B, T, ...]`.
    feat: features `[B, T, F]` of their states.
    decode_rows: rows that are looked at, at most `B * T`.
    decode_blocks: blocks of each of them, on average, that are drawn from the
      dictionary; 0: all. Takes an atlas. The mean is that of the bound which
      `tile_mixture.copy_nats` speaks of, in expectation over the blocks.
    spread: shares the rows out over devices.
    hide: share of the atlas' cells that are not seen.

  Returns:
    Nats, and the share of the frames that are right in every tile; where only
    some blocks are drawn, of the tiles that could be copied and are most
    likely copied so.
  """
  rows = batch["is_first"].size
  chosen = jax.random.permutation(key, rows)[:decode_rows]
  table = world_model.tile_table(params)
  chosen_feat = feat.reshape(rows, -1)[chosen]
  if not decode_blocks:
    frame = batch["frame"].reshape(rows, *batch["frame"].shape[2:])[chosen]
    frame, chosen_feat = spread((frame, chosen_feat))
  else:
    assert table is not None  # the configuration has an atlas
    # All frames, and as they come: the encoder has asked for the same.
    tile = tiles.encode(table, batch["frame"]).reshape(rows, -1)
    # A window's first row follows another one's last here: all of it changes.
    before = jnp.concatenate([tile[:1], tile[:-1]])
    changed = tile[chosen] != before[chosen]
    tile, changed, chosen_feat = spread((tile[chosen], changed, chosen_feat))
  outputs_of = functools.partial(
    world_model.decoder_outputs, cfg, params, chosen_feat
  )
  if cfg.has_atlas and hide:
    hide_key = jax.random.fold_in(key, 1)
    hide_cells = functools.partial(atlas_lib.hidden, hide_key, hide)
    outputs_of = functools.partial(outputs_of, hide=hide_cells)
  if not decode_blocks:
    outputs = outputs_of()
    nats, exact = codecs.score(cfg, table, outputs, frame)
    return jnp.mean(nats), jnp.mean(exact.astype(jnp.float32))
  x, found = outputs_of(method="read")
  return _some_blocks(
    functools.partial(parts.apply, cfg, params, "decoder", method="draw"),
    jax.random.fold_in(key, 2),
    *(x, found, tile, changed),
    decode_blocks,
  )


def choose_blocks(
  key: jax.Array, weight: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
  """Draws `count` of `N` blocks, likelier ones more often: systematic sampling.

  Args:
    key: typed PRNG key; consumed.
    weight: `[N]`, above 0: how likely each is to be drawn.
    count: static.

  Returns:
    Numbers `[count]` int32, where one may stand several times, and how much
    each counts, `[count]`: a sum over all blocks is on average the sum over the
    drawn ones, each times this.
  """
  reached = jnp.cumsum(weight)
  step = reached[-1] / count
  mark = (jnp.arange(count) + jax.random.uniform(key)) * step
  chosen = jnp.searchsorted(reached, mark, side="right")
  chosen = jnp.minimum(chosen, len(weight) - 1).astype(jnp.int32)
  return chosen, step / weight[chosen]


def _some_blocks(draw, key, x, found, tile, changed, decode_blocks):
  """Nats a frame of tiles `[N, 360]` from some blocks of all `N` frames."""
  frames = len(tile)

  def by_block(values):
    """`[N, 360, ...]` as `[N * 90, 4, ...]`."""
    shape = (-1, packing.TILES_PER_BLOCK, *values.shape[2:])
    return values.reshape(shape)

  copied = tile_mixture.is_copy(found, tile)
  copy_nats = tile_mixture.copy_nats(found, tile)
  needed = jnp.any(by_block(~copied), axis=-1)
  weight = jnp.where(needed, 1.0, _COPIED)
  weight *= jnp.where(jnp.any(by_block(changed), axis=-1), _CHANGED, 1.0)
  chosen, counts = choose_blocks(key, weight, frames * decode_blocks)
  logits = draw(by_block(x)[chosen])
  drawn = tile_mixture.draw_nats(logits, by_block(tile)[chosen])
  drawn = jnp.where(by_block(copied)[chosen], 0.0, drawn)
  nats = jnp.sum(copy_nats) + jnp.sum(counts[:, None] * drawn)
  right = copy_nats < jnp.log(2.0)
  share = jnp.sum(copied & right) / jnp.maximum(jnp.sum(copied), 1)
  return nats / frames, share
