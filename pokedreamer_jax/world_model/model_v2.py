"""What is another in a world model of family v2: pixels in, pixels out.

`world_model` calls these where `cfg.family` says so; state, scans and dreams
are shared. A model of this family carries the running averages of its
BatchNorms in its parameters, as `BATCH_STATS`: training moves them, all else
reads them, and whoever saves parameters saves them too.
"""

from collections.abc import Callable
from typing import Any

import jax

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import packing
from pokedreamer_jax.networks import sampling
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


def cell_step(
  cfg: world_model_config.WorldModelConfig,
  params: Params,
  key: jax.Array | None,
  deter: jax.Array,
  stoch: jax.Array,
  action: jax.Array,
  embed: jax.Array | None = None,
  temperature: float | jax.Array = 1.0,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
  """The published single step of the cell: `h, s, action, embed` and on.

  For code written against the published `RSSMCell`; sequences are faster
  through `model.observe` and `imagination`. `stoch` comes from the posterior
  where there is an embedding, else from the prior.

  Args:
    cfg: sizes, of family v2.
    params: parameters of the whole world model.
    key: typed PRNG key of a hard Gumbel-softmax sample, consumed; None takes
      the most likely classes.
    deter: `h` `[..., D]`.
    stoch: `s` `[..., S * K]` or `[..., S, K]`.
    action: one-hot `[..., A]` that this step takes.
    embed: embedding `[..., E]` of the frame, or None to imagine.
    temperature: of the sample's gradient, above 0.

  Returns:
    The next `h`; the next `s`, one-hots in the shape that `stoch` has, with
    the gradient of the soft values; `prior_logits` and `post_logits`
    `[..., S, K]`, not normalised, `post_logits` None without `embed`.

  Raises:
    ValueError: another family, or shapes that do not fit each other.
  """
  if cfg.family != "v2":
    raise ValueError(f"world_model.family: {cfg.family!r}, expected 'v2'")
  _check_shapes(cfg, deter, stoch, action, embed)
  module = cell(cfg)
  stepped: Any = module.apply(
    {"params": params["rssm"]},
    deter,
    stoch.reshape(*deter.shape[:-1], cfg.stoch_dim),
    action,
    embed,
    method="single_step",
  )
  following, prior, post = stepped
  log_probs = jax.nn.log_softmax(prior if post is None else post, axis=-1)
  if key is None:
    drawn = sampling.most_likely_straight_through(log_probs)
  else:
    drawn = module.sample_stochastic(key, log_probs, temperature)
  return following, drawn.reshape(stoch.shape), prior, post


def _check_shapes(cfg, deter, stoch, action, embed) -> None:
  lead = deter.shape[:-1]
  flat = (*lead, cfg.stoch_dim)
  allowed = {
    "deter": (deter, [(*lead, cfg.deter)]),
    "stoch": (stoch, [flat, (*lead, cfg.stoch, cfg.classes)]),
    "action": (action, [(*lead, specs.NUM_ACTIONS)]),
  }
  if embed is not None:
    allowed["embed"] = (embed, [(*lead, cfg.hidden)])
  for name, (array, shapes) in allowed.items():
    if array.shape not in shapes:
      raise ValueError(
        f"{name}: shape {array.shape}, expected {' or '.join(map(str, shapes))}"
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


def turned(params: Params) -> Params:
  """`params` for embedding single frames on a CPU: see `v2_layers.turned`."""
  encoder = params["encoder"]
  fc = v2_layers.turned(encoder["fc"])
  return {**params, "encoder": {**encoder, "fc": fc}}


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
