"""Lengths of the HP bars in battle, which the state's tokens decide.

A bar of 48 pixels shows `HP * 48 // maximum`, and at least one pixel while any
HP is left. No sum over one-hot tokens gives such a share, and learnt by heart
it takes every pair of HP and maximum; so the decoder is told. A bar follows the
HP pixel by pixel: where the state has the token that says how far it still has
to go, its length is that of the moment.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import tokens

PIXELS = world_model_config.BAR_PIXELS


def lengths(sizes: Mapping[str, int], hot: jax.Array) -> jax.Array:
  """Pixels `[..., N]` int32, 0 .. 48, of the bars `world_model_config.BARS`.

  Args:
    sizes: token sizes, among them those of every bar.
    hot: tokens `[..., R]`, one-hot.
  """
  places, found = tokens.slices(sizes), []
  value = lambda name: jnp.argmax(hot[..., places[name]], axis=-1).astype(
    jnp.int32
  )
  for now, most, slide in world_model_config.BARS:
    length = tokens.bar_pixels(value(now), value(most))
    if slide in sizes:
      length = jnp.minimum(length + value(slide), PIXELS)
    found.append(length)
  return jnp.stack(found, axis=-1)


def one_hot(sizes: Mapping[str, int], hot: jax.Array) -> jax.Array:
  """Lengths of the bars as concatenated one-hots `[..., N * 49]` float32."""
  found = jax.nn.one_hot(lengths(sizes, hot), PIXELS + 1)
  return found.reshape(*hot.shape[:-1], world_model_config.BARS_DIM)
