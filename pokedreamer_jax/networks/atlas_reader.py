"""What the networks make of the atlas: cells read, screens shown, walls felt.

Here are the learned parts; `world_model/atlas.py` says which cells are read.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from pokedreamer_jax.frames import packing
from pokedreamer_jax.networks import blocks

ROWS, COLUMNS = 9, 10  # blocks of a screen
# Where a block's cell and its neighbours stand in the window of 11x12 cells.
_SHIFTS = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
# Learned vectors are multiplied by this where they are read: under Adam a
# learning rate so much higher, since each is read seldom.
_LIVELY = 10.0


class CellEmbedding(nn.Module):
  """Embeds cells by their four tiles and by a learned vector of each.

  Attributes:
    vocab: tiles in the dictionary; number `vocab` is the escape.
    cells: cells of the atlas, `C`.
    cell_units: learned vector of a cell.
    outputs: embedding of a cell, `U`.
  """

  vocab: int
  cells: int
  cell_units: int
  outputs: int

  @nn.compact
  def __call__(self, cells: jax.Array, tiles: jax.Array) -> jax.Array:
    """Cells `[..., N]` with tiles `[..., N, 4]` to `[..., N, U]`."""
    rows = packing.TILES_PER_BLOCK * (self.vocab + 1)
    table = self.param(
      "table", nn.initializers.normal(0.5), (rows, self.outputs)
    )
    vectors = self.param(
      "cells", nn.initializers.normal(0.05), (self.cells, self.cell_units)
    )
    corner = jnp.arange(packing.TILES_PER_BLOCK) * (self.vocab + 1)
    shown = jnp.sum(table[tiles + jnp.broadcast_to(corner, tiles.shape)], -2)
    # As rows: the gradient of a product of higher rank is slow on a CPU.
    learned = _LIVELY * vectors[cells.reshape(-1)]
    learned = nn.Dense(self.outputs, use_bias=False)(learned)
    return shown + learned.reshape(shown.shape)


class Surroundings(nn.Module):
  """What the cells around say about the next step.

  Attributes:
    vocab: tiles in the dictionary.
    cells: cells of the atlas.
    cell_units: learned vector of a cell.
    tile_units: embedding of a cell.
    outputs: units of the hidden layer and of what comes out.
  """

  vocab: int
  cells: int
  cell_units: int
  tile_units: int
  outputs: int

  @nn.compact
  def __call__(
    self, known: jax.Array, cells: jax.Array, tiles: jax.Array
  ) -> jax.Array:
    """`[..., outputs]` of what else is known `[..., I]` and cells `[..., 7]`.

    Args:
      known: tokens and action.
      cells: numbers of the cells.
      tiles: `[..., 7, 4]`, what the atlas holds there.
    """
    seen = CellEmbedding(
      self.vocab, self.cells, self.cell_units, self.tile_units
    )(cells, tiles)
    seen = seen.reshape(*cells.shape[:-1], cells.shape[-1] * self.tile_units)
    x = jnp.concatenate([known, nn.silu(seen)], axis=-1)
    x = nn.silu(nn.RMSNorm()(nn.Dense(self.outputs, use_bias=False)(x)))
    return nn.Dense(self.outputs, use_bias=False)(x)


class AtlasDecoder(nn.Module):
  """Features and cells in sight to logits over the dictionary for every tile.

  A block's features are the state's own and, through gates of the state, those
  of its cell and of the four beside it: gates shared by all blocks follow the
  screen between two cells, one of each block shuts where no map is seen. Then
  a tile is either drawn from the dictionary or copied from the atlas, as in a
  pointer network (See et al. 2017): copying is one class more of the softmax.

  Attributes:
    vocab: tiles in the dictionary; the escape is one class more.
    tile_units: features of a tile before its logits.
    block_units: features of a block.
    cells: cells of the atlas.
    cell_units: learned vector of a cell.
  """

  vocab: int
  tile_units: int
  block_units: int
  cells: int
  cell_units: int

  @nn.compact
  def __call__(
    self, feat: jax.Array, cells: jax.Array, tiles: jax.Array
  ) -> jax.Array:
    """`[..., F]` to `[..., 360, V + 1]` float32 logits in block order.

    Args:
      feat: features of states.
      cells: the window, `[..., 11, 12]`.
      tiles: what the atlas holds there, `[..., 11, 12, 4]`.
    """
    lead, units = feat.shape[:-1], self.block_units
    x = nn.Dense(packing.NUM_BLOCKS * units, use_bias=False)(feat)
    x = x.reshape(*lead, ROWS, COLUMNS, units) + self._seen(feat, cells, tiles)
    x = nn.silu(nn.RMSNorm()(x)).reshape(-1, units)
    x = nn.silu(nn.Dense(packing.TILES_PER_BLOCK * self.tile_units)(x))
    x = x.reshape(-1, self.tile_units)
    logits = nn.Dense(
      self.vocab + 1, kernel_init=blocks.scaled_init(0.1), name="tile_logits"
    )(x)
    copy = nn.Dense(
      1,
      kernel_init=blocks.scaled_init(0.1),
      # At first a tile is as likely copied as drawn.
      bias_init=nn.initializers.constant(math.log(self.vocab + 1)),
      name="copy_logit",
    )(x)
    held = tiles[..., 1:-1, 1:-1, :].reshape(*lead, packing.NUM_TILES)
    return with_copies(
      logits.reshape(*held.shape, self.vocab + 1),
      copy.reshape(held.shape),
      held,
    )

  def _seen(self, feat, cells, tiles):
    """What the atlas adds to the features of blocks, `[..., 9, 10, U]`."""
    embedded = CellEmbedding(
      self.vocab, self.cells, self.cell_units, self.block_units
    )(
      cells.reshape(*feat.shape[:-1], -1),
      tiles.reshape(*feat.shape[:-1], -1, packing.TILES_PER_BLOCK),
    ).reshape(*cells.shape, self.block_units)
    small = blocks.scaled_init(0.1)
    shift = nn.Dense(len(_SHIFTS), kernel_init=small, name="shift")(feat)
    total = jnp.zeros(())
    for i, (row, column) in enumerate(_SHIFTS):
      part = embedded[..., row : row + ROWS, column : column + COLUMNS, :]
      gate = shift[..., i, None, None, None] + (1.0 if i == 0 else 0.0)
      total += gate * part
    shut = nn.Dense(packing.NUM_BLOCKS, kernel_init=small, name="block")(feat)
    shut = jax.nn.sigmoid(1.0 + shut).reshape(*feat.shape[:-1], ROWS, COLUMNS)
    return shut[..., None] * total


def with_copies(
  logits: jax.Array, copy: jax.Array, held: jax.Array
) -> jax.Array:
  """Logits of a mixture: the softmax of `logits`, or the tile that is held.

  The share of the copy is `exp(copy) / (exp(copy) + sum(exp(logits)))`.

  Args:
    logits: `[..., V + 1]`, of all tiles.
    copy: `[...]`, of copying.
    held: `[...]` int32, the tile that would be copied; `V`, the escape, is
      never copied.
  """
  escape = logits.shape[-1] - 1
  own = jnp.take_along_axis(logits, held[..., None], axis=-1)[..., 0]
  mixed = jnp.where(held < escape, jnp.logaddexp(own, copy), own)
  each = jax.lax.broadcasted_iota(held.dtype, logits.shape, logits.ndim - 1)
  return jnp.where(each == held[..., None], mixed[..., None], logits)
