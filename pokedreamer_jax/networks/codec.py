"""The dictionary codec: frames in and out through the tile dictionary."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from pokedreamer_jax.frames import packing
from pokedreamer_jax.networks import blocks


class TileEncoder(nn.Module):
  """Tile numbers of a frame to one embedding.

  Every tile is looked up in a learned table, 2x2 tiles make a block, all
  blocks make the frame. There is no convolution: on a CPU the table is what
  makes a frame cheap.

  Attributes:
    vocab: tiles in the dictionary; number `vocab` is the escape.
    block_units: embedding of a block.
    outputs: embedding of the frame, `E`.
  """

  vocab: int
  block_units: int
  outputs: int

  @nn.compact
  def __call__(self, ids: jax.Array) -> jax.Array:
    """`[..., 360]` int32 in block order to `[..., E]`."""
    lead = ids.shape[:-1]
    # A dense layer on four concatenated tile embeddings is a sum of four table
    # rows; the table holds that product directly, one part per corner.
    rows = packing.TILES_PER_BLOCK * (self.vocab + 1)
    table = self.param(
      "table", nn.initializers.normal(0.5), (rows, self.block_units)
    )
    corner = jnp.arange(packing.TILES_PER_BLOCK) * (self.vocab + 1)
    blocks_of_ids = ids.reshape(*lead, packing.NUM_BLOCKS, -1)
    places = blocks_of_ids + jnp.broadcast_to(corner, blocks_of_ids.shape)
    block = nn.silu(jnp.sum(table[places], axis=-2))
    flat = block.reshape(*lead, packing.NUM_BLOCKS * self.block_units)
    return nn.RMSNorm()(nn.Dense(self.outputs, use_bias=False)(flat))


class TileDecoder(nn.Module):
  """Features to logits over the tile dictionary for every tile.

  Attributes:
    vocab: tiles in the dictionary; the escape is one class more.
    tile_units: features of a tile before its logits.
    block_units: features of a block.
  """

  vocab: int
  tile_units: int
  block_units: int

  @nn.compact
  def __call__(self, feat: jax.Array) -> jax.Array:
    """`[..., F]` to `[..., 360, V + 1]` float32 logits in block order."""
    x = tile_features(feat, self.block_units, self.tile_units)
    return nn.Dense(
      self.vocab + 1, kernel_init=blocks.scaled_init(0.1), name="tile_logits"
    )(x)


def tile_features(
  feat: jax.Array, block_units: int, tile_units: int
) -> jax.Array:
  """Features `[..., F]` of a state to those of its tiles `[..., 360, U]`.

  Both decoders begin with this; its layers belong to the module that calls it
  in its compact method. Blocks first, then the tiles of each: block order
  needs no transpose.
  """
  lead = feat.shape[:-1]
  x = nn.Dense(packing.NUM_BLOCKS * block_units, use_bias=False)(feat)
  x = x.reshape(*lead, packing.NUM_BLOCKS, block_units)
  x = nn.silu(nn.RMSNorm()(x))
  x = nn.silu(nn.Dense(packing.TILES_PER_BLOCK * tile_units)(x))
  return x.reshape(*lead, packing.NUM_TILES, tile_units)
