"""Further tokens for a world model that is trained already.

What is told of a game in tokens can grow: the parameters of a model are put
into those of one whose state holds more tokens, named after the ones it has.
Weights of new inputs and outputs are zeros, so that the wider model calculates
what the old one did: the same states and frames, the same distributions of the
tokens that both have; the new ones are uniform until they are learned.
"""

import dataclasses
from typing import Any

from flax import traverse_util
import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import atlas_view
from pokedreamer_jax.world_model import model as world_model

# What may differ: how a model is trained, not what it calculates.
_FREE = (
  *("unimix", "image_scale", "token_scale", "infer_scale", "dyn_scale"),
  *("rep_scale", "free_nats", "reward_scale", "cont_scale", "ram_scale"),
  *("atlas_hidden", "compute_dtype"),
)
_TOKENS = ("tokens", "unseen_tokens")  # of which some are added


def check(
  cfg: world_model_config.WorldModelConfig,
  wider: world_model_config.WorldModelConfig,
) -> None:
  """Complains where parameters of `cfg` cannot become those of `wider`.

  Raises:
    ValueError: naming the field, both values and what is allowed.
  """
  before, after = list(cfg.token_sizes.items()), wider.token_sizes
  if list(after.items())[: len(before)] != before:
    raise ValueError(
      f"world_model.tokens: {wider.tokens!r}, expected {cfg.tokens!r}, as the "
      "model has that it begins with, or these and others after them"
    )
  added = list(after)[len(before) :]
  boxes = [n for n in added if n in world_model_config.BOX_TOKENS]
  if wider.num_boxes and boxes:
    raise ValueError(
      f"world_model.tokens: adds {boxes}, by which the atlas knows its message "
      "boxes, expected none of these"
    )
  slides = [n for _, _, n in world_model_config.BARS if n in added]
  if wider.has_bars and slides:
    raise ValueError(
      f"world_model.tokens: adds {slides}, which move the HP bars that the "
      "decoder is told of, expected none of these"
    )
  looks = (*atlas_view.TOKENS, *world_model_config.CLOCKS)
  moving = [n for n in added if n in looks]
  if wider.has_atlas and moving:
    raise ValueError(
      f"world_model.tokens: adds {moving}, by which the screen that is copied "
      "moves, is lit or goes on, expected none of these"
    )
  unseen = lambda one: set(one.unseen_tokens.split()) & set(cfg.token_sizes)
  if unseen(cfg) != unseen(wider):
    raise ValueError(
      f"world_model.unseen_tokens: {wider.unseen_tokens!r}, expected "
      f"{cfg.unseen_tokens!r}, or added tokens as well"
    )
  for field in dataclasses.fields(cfg):
    name = field.name
    mine, other = getattr(wider, name), getattr(cfg, name)
    if name not in (*_TOKENS, *_FREE) and mine != other:
      raise ValueError(
        f"world_model.{name}: {mine}, expected {other}, as the model has that "
        "it begins with"
      )


def widen(
  cfg: world_model_config.WorldModelConfig,
  wider: world_model_config.WorldModelConfig,
  params: world_model.Params,
) -> world_model.Params:
  """`params` of `cfg` as parameters of `wider`, on the host.

  Raises:
    ValueError: as `check`; or they are of other sizes than `cfg`.
  """
  check(cfg, wider)
  before, after = (_flat(world_model.shapes(each)) for each in (cfg, wider))
  found = {}
  for name, value in _flat(params).items():
    value = np.asarray(value)
    if name not in before or value.shape != before[name].shape:
      raise ValueError(f"parameter {name}: {value.shape}, not of this model")
    for axis, length in enumerate(value.shape):
      added = after[name].shape[axis] - length
      places = _places(cfg, wider, name, length, added)
      value = np.insert(value, places, 0, axis=axis)
    found[name] = value
  return traverse_util.unflatten_dict(found, sep="/")


def _places(cfg, wider, name, length, added) -> list[int]:
  """Before which of `length` entries each of the `added` zeros stands."""
  if not added:
    return []
  if name.startswith("rssm/token_net/Dense_1"):  # values, then scores
    values = wider.token_dim - cfg.token_dim
    return [cfg.token_dim] * values + [length] * (added - values)
  if name.startswith(("rssm/known_in", "rssm/around/Dense_0")):
    return [cfg.token_dim] * added  # the action follows, and cells
  if name.startswith("decoder/") and cfg.has_bars:
    return [length - world_model_config.BARS_DIM] * added
  return [length] * added


def _flat(params: world_model.Params) -> dict[str, Any]:
  return traverse_util.flatten_dict(params, sep="/")
