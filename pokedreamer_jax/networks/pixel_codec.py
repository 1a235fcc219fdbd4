"""The pixel codec: frames in and out shade by shade, without a dictionary.

Frames are cut into 8x8 tiles in block order, as in the dictionary codec, but
the content of a tile is free. There is no convolution, and the axis of the 64
pixels stays last: both for speed on a CPU.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.frames import packing
from pokedreamer_jax.networks import blocks
from pokedreamer_jax.networks import codec

_TILE_PIXELS = 64


class PixelEncoder(nn.Module):
  """Tiles of a frame to one embedding.

  Attributes:
    tile_units: embedding of an 8x8 tile.
    block_units: embedding of a block of 2x2 tiles.
    outputs: embedding of the frame, `E`.
  """

  tile_units: int
  block_units: int
  outputs: int

  @nn.compact
  def __call__(self, words: jax.Array) -> jax.Array:
    """`[..., 360, 4]` uint32 in block order to `[..., E]`."""
    lead = words.shape[:-2]
    # One input in four is on: four times the variance gives outputs near 1.
    kernel = self.param(
      "kernel",
      blocks.scaled_init(float(specs.NUM_SHADES)),
      (specs.NUM_SHADES * _TILE_PIXELS, self.tile_units),
    )
    bias = self.param("bias", nn.initializers.zeros_init(), (self.tile_units,))
    tile = _project_shades(words, kernel)
    tile = nn.silu(tile + jnp.broadcast_to(bias, tile.shape))
    block = tile.reshape(*lead, packing.NUM_BLOCKS, -1)
    block = nn.silu(nn.Dense(self.block_units)(block))
    flat = block.reshape(*lead, packing.NUM_BLOCKS * self.block_units)
    return nn.RMSNorm()(nn.Dense(self.outputs, use_bias=False)(flat))


class PixelDecoder(nn.Module):
  """Features to logits over the four shades of every pixel.

  Attributes:
    tile_units: features of a tile before its logits.
    block_units: features of a block.
  """

  tile_units: int
  block_units: int

  @nn.compact
  def __call__(self, feat: jax.Array) -> jax.Array:
    """`[..., F]` to `[..., 360, 4, 64]` float32 logits in block order."""
    x = codec.tile_features(feat, self.block_units, self.tile_units)
    x = nn.Dense(
      specs.NUM_SHADES * _TILE_PIXELS,
      kernel_init=blocks.scaled_init(0.1),
      name="pixel_logits",
    )(x)
    return x.reshape(*x.shape[:-1], specs.NUM_SHADES, _TILE_PIXELS)


# The one-hots take 64 times the room of the tiles they are made of, and
# all that the gradient needs: made again there instead of kept.
@jax.checkpoint
def _project_shades(words: jax.Array, kernel: jax.Array) -> jax.Array:
  """One-hot shades of tiles `[..., 4]` times a kernel `[256, U]`."""
  shades = packing.tile_shades(words)[..., None, :]
  shape = (*shades.shape[:-2], specs.NUM_SHADES, _TILE_PIXELS)
  each = jax.lax.broadcasted_iota(shades.dtype, shape, len(shape) - 2)
  hot = (shades == each).astype(kernel.dtype)
  return hot.reshape(*shape[:-2], -1) @ kernel
