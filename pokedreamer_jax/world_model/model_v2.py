"""What is another in a world model of family v2: pixels in, pixels out.

`world_model` calls these where `cfg.family` says so; state, scans and dreams
are shared. A model of this family carries the running averages of its
BatchNorms in its parameters, as `BATCH_STATS`: training moves them, all else
reads them, and whoever saves parameters saves them too.
"""

from collections.abc import Callable
from typing import Any

import jax

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import packing
from pokedreamer_jax.networks import v2
from pokedreamer_jax.networks import v2_layers

Params = dict[str, Any]
BATCH_STATS = v2_layers.BATCH_STATS
_CHUNK = 64  # frames at a time where they do not depend on each other


def modules(cfg: world_model_config.WorldModelConfig) -> dict[str, Any]:
  """The Linen modules of a configuration, by their name in the parameters."""
  channels = tuple(cfg.channels << i for i in range(len(v2.CHANNELS)))
  return {
    "encoder": v2.Encoder(channels, cfg.hidden),
    "rssm": cell(cfg),
    "decoder": v2.Decoder(channels),
    "reward": v2.RewardPredictor(cfg.head_units),
    "continue": v2.ContinuePredictor(cfg.head_units),
  }


def cell(cfg: world_model_config.WorldModelConfig) -> v2.RSSMCell:
  """The recurrent cell of a configuration."""
  return v2.RSSMCell(
    deter=cfg.deter,
    stoch=cfg.stoch,
    classes=cfg.classes,
    hidden=cfg.hidden,
    embed=cfg.hidden,
  )


def embed(
  cfg: world_model_config.WorldModelConfig, params: Params, frame: jax.Array
) -> jax.Array:
  """Embeddings `[..., E]` of packed frames, by the running averages."""
  encoder = modules(cfg)["encoder"]
  variables = _variables(params, "encoder")
  return _in_chunks(
    lambda frame: encoder.apply(variables, packing.to_rgb(frame)), frame, 2
  )


def decode(
  cfg: world_model_config.WorldModelConfig, params: Params, feat: jax.Array
) -> jax.Array:
  """Packed frames `[..., 144, 40]` nearest to what `feat` `[..., F]` shows."""
  return _in_chunks(
    lambda feat: packing.from_rgb(decode_rgb(cfg, params, feat)), feat, 1
  )


def decode_rgb(
  cfg: world_model_config.WorldModelConfig, params: Params, feat: jax.Array
) -> jax.Array:
  """Colours `[..., 144, 160, 3]` in [0, 1] by the running averages."""
  decoder = modules(cfg)["decoder"]
  return decoder.apply(_variables(params, "decoder"), feat)


def apply_training(
  cfg: world_model_config.WorldModelConfig,
  params: Params,
  name: str,
  x: jax.Array,
) -> tuple[jax.Array, Params]:
  """Encoder or decoder by the batch's own statistics.

  Returns:
    The output, and the running averages of `name` moved towards the batch.
  """
  output, moved = modules(cfg)[name].apply(
    _variables(params, name), x, train=True, mutable=[BATCH_STATS]
  )
  return output, moved[BATCH_STATS]


def _variables(params: Params, name: str) -> Params:
  return {"params": params[name], BATCH_STATS: params[BATCH_STATS][name]}


def _in_chunks(
  function: Callable[[jax.Array], jax.Array], x: jax.Array, inner: int
) -> jax.Array:
  """`function` of `x`, whose last `inner` axes are one item, part by part.

  The first activations of one frame take a megabyte, and evaluation observes
  thousands of frames at once.
  """
  lead = x.shape[: x.ndim - inner]
  flat = x.reshape(-1, *x.shape[x.ndim - inner :])
  if len(flat) > _CHUNK:
    y = jax.lax.map(
      lambda item: function(item[None])[0], flat, batch_size=_CHUNK
    )
  else:
    y = function(flat)
  return y.reshape(*lead, *y.shape[1:])
