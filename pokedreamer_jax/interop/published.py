"""Checkpoints of the published v2 system as parameters of ours.

What differs, and is converted here alone:

- Kernels: (out, in, rows, columns) of convolutions, and (in, out, rows,
  columns) of transposed ones, become (rows, columns, in, out) of the
  convolution in question, or of the one transposed; none is turned round.
- Linear weights: (out, in) becomes (in, out).
- A picture's features: the published order is (channel, row, column), ours
  (row, column, channel); the layers next to a picture are reordered.
- The GRU's gates stand in the same order, reset, update, candidate.
- BatchNorm's running averages go to the collection of their own; its count of
  batches is dropped, as nothing reads it.

Arrays in, arrays out: files are read by whoever calls this.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import v2
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import model_v2 as world_model_v2

Arrays = Mapping[str, np.ndarray]  # by `part.name`

# Keys of the checkpoints' state dictionaries that are converted.
WORLD_MODEL_PARTS = (
  "encoder_state_dict",
  "decoder_state_dict",
  "rssm_cell_state_dict",
  "reward_predictor_state_dict",
  "continue_predictor_state_dict",
)
POLICY_PARTS = ("actor_state_dict", "critic_state_dict")

_COUNT = ".num_batches_tracked"
_STAGES = range(1, len(v2.CHANNELS) + 1)
# Rows and columns of the smallest picture.
_GRID = (specs.FRAME_HEIGHT // v2.SHRINK, specs.FRAME_WIDTH // v2.SHRINK)
_PLAIN, _FROM_PICTURE, _TO_PICTURE = range(3)
# Largest size that is read from an array's shape: an array without elements
# could tell any, and shapes are made of it before arrays are compared with
# them.
_MOST_SIZE = 1 << 14

# Name in the checkpoint, place in our tree, one of the three above.
_Entry = tuple[str, tuple[str, ...], int]


def world_model_sizes(
  arrays: Arrays, stoch: int, classes: int
) -> world_model_config.WorldModelConfig:
  """The configuration of a published world model.

  Args:
    arrays: tensors by `part.name`, parts as in `WORLD_MODEL_PARTS`.
    stoch: categorical variables, which no array tells apart from ...
    classes: ... the classes of each.

  Raises:
    ValueError: an array that tells a size is missing or malformed.
  """
  return world_model_config.WorldModelConfig(
    family="v2",
    ram="off",
    action_alignment="published",
    deter=_size(arrays, "rssm_cell_state_dict.gru_cell.weight_hh", 1),
    stoch=stoch,
    classes=classes,
    hidden=_size(arrays, "rssm_cell_state_dict.prior_net.0.weight", 0),
    channels=_size(arrays, "encoder_state_dict.conv1.weight", 0),
    head_units=_size(arrays, "reward_predictor_state_dict.net.0.weight", 0),
  )


def world_model_params(
  cfg: world_model_config.WorldModelConfig, arrays: Arrays
) -> world_model.Params:
  """Parameters and running averages of a published world model.

  Args:
    cfg: of `world_model_sizes`.
    arrays: tensors by `part.name`.

  Raises:
    ValueError: names are missing or unknown, an array has another shape than
      `cfg` gives it, or a value is not finite as a float32.
  """
  shapes = jax.eval_shape(
    lambda: world_model.init(cfg, jax.random.key(0), None)
  )
  return _convert(_world_model_entries(), arrays, shapes)


def actor_critic_sizes(arrays: Arrays) -> behaviour_config.ActorCriticConfig:
  """The configuration of a published policy, parts as in `POLICY_PARTS`.

  Raises:
    ValueError: the array that tells the size is missing or malformed.
  """
  units = _size(arrays, "actor_state_dict.net.0.weight", 0)
  return behaviour_config.ActorCriticConfig(family="v2", units=units)


def actor_critic_params(
  cfg: behaviour_config.ActorCriticConfig, feat_dim: int, arrays: Arrays
) -> dict[str, Any]:
  """Parameters of a published policy: `actor` and `critic`.

  Args:
    cfg: of `actor_critic_sizes`.
    feat_dim: features `F` of the world model that it belongs to.
    arrays: tensors by `part.name`.

  Raises:
    ValueError: as in `world_model_params`.
  """
  hidden = (cfg.units, cfg.units)
  feat = jnp.zeros((1, feat_dim))
  shapes = jax.eval_shape(
    lambda: {
      "actor": v2.Actor(hidden).init(jax.random.key(0), feat)["params"],
      "critic": v2.Critic(hidden).init(jax.random.key(0), feat)["params"],
    }
  )
  entries = [
    entry
    for part in ("actor", "critic")
    for entry in _net(f"{part}_state_dict.net", (part, "net"), 3)
  ]
  return _convert(entries, arrays, shapes)


def _world_model_entries() -> Iterator[_Entry]:
  encoder, decoder, cell, reward, cont = WORLD_MODEL_PARTS
  for i in _STAGES:
    yield from _layer(f"{encoder}.conv{i}", ("encoder", f"conv{i}"))
    yield from _layer(f"{decoder}.deconv{i}", ("decoder", f"deconv{i}"))
    yield from _block(f"{encoder}.res{i}", ("encoder", f"res{i}"))
    yield from _block(f"{decoder}.res{i}", ("decoder", f"res{i}"))
  yield f"{encoder}.fc.weight", ("encoder", "fc", "kernel"), _FROM_PICTURE
  yield f"{encoder}.fc.bias", ("encoder", "fc", "bias"), _PLAIN
  yield f"{decoder}.fc.weight", ("decoder", "fc", "kernel"), _TO_PICTURE
  yield f"{decoder}.fc.bias", ("decoder", "fc", "bias"), _TO_PICTURE
  for side in ("ih", "hh"):
    gru = f"{cell}.gru_cell"
    yield f"{gru}.weight_{side}", ("rssm", f"gru_{side}"), _PLAIN
    yield f"{gru}.bias_{side}", ("rssm", f"gru_bias_{side}"), _PLAIN
  yield from _net(f"{cell}.prior_net", ("rssm", "prior_net"), 2)
  yield f"{cell}.post_net.0.weight", ("rssm", "post_in"), _PLAIN
  yield f"{cell}.post_net.0.bias", ("rssm", "post_bias"), _PLAIN
  yield from _layer(f"{cell}.post_net.2", ("rssm", "post_out"))
  yield from _net(f"{reward}.net", ("reward", "net"), 2)
  yield from _net(f"{cont}.net", ("continue", "net"), 2)


def _layer(name: str, place: tuple[str, ...]) -> Iterator[_Entry]:
  yield f"{name}.weight", (*place, "kernel"), _PLAIN
  yield f"{name}.bias", (*place, "bias"), _PLAIN


def _net(name: str, place: tuple[str, ...], layers: int) -> Iterator[_Entry]:
  for i in range(0, 2 * layers, 2):  # every other one is an activation
    yield from _layer(f"{name}.{i}", (*place, f"layer_{i}"))


def _block(name: str, place: tuple[str, ...]) -> Iterator[_Entry]:
  for i in (1, 2):
    yield f"{name}.conv{i}.weight", (*place, f"conv{i}", "kernel"), _PLAIN
    norm = (*place, f"bn{i}")
    yield f"{name}.bn{i}.weight", (*norm, "scale"), _PLAIN
    yield f"{name}.bn{i}.bias", (*norm, "bias"), _PLAIN
    running = (world_model_v2.BATCH_STATS, *norm)
    yield f"{name}.bn{i}.running_mean", (*running, "mean"), _PLAIN
    yield f"{name}.bn{i}.running_var", (*running, "var"), _PLAIN


def _convert(entries: Iterable[_Entry], arrays: Arrays, shapes: Any) -> Any:
  """The tree of `shapes`, filled from published arrays."""
  entries = list(entries)
  names = {name for name, _, _ in entries}
  missing = sorted(names - set(arrays))
  unknown = sorted(
    name for name in set(arrays) - names if not name.endswith(_COUNT)
  )
  if missing or unknown:
    raise ValueError(
      f"not a published checkpoint: missing {_few(missing)}, unknown "
      f"{_few(unknown)}"
    )
  tree: dict[str, Any] = {}
  for name, place, kind in entries:
    *folders, leaf = place
    shape = shapes
    for key in place:
      shape = shape[key]
    array = _checked(name, arrays[name], _published_shape(shape.shape))
    node = tree
    for key in folders:
      node = node.setdefault(key, {})
    node[leaf] = jnp.asarray(_rearrange(array, kind))
  return tree


def _checked(
  name: str, array: np.ndarray, expected: tuple[int, ...]
) -> np.ndarray:
  """The array as float32, if it may be taken."""
  if array.shape != expected or not np.issubdtype(array.dtype, np.floating):
    raise ValueError(
      f"{name}: {array.dtype}{list(array.shape)}, expected float32"
      f"{list(expected)}"
    )
  with np.errstate(over="ignore"):  # refused in the next line
    array = array.astype(np.float32)
  if not np.isfinite(array).all():
    raise ValueError(f"{name}: a value is not finite as a float32")
  if name.endswith(".running_var") and (array < 0).any():
    raise ValueError(f"{name}: below 0, not a variance")
  return array


def _published_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
  if len(shape) == 4:
    return (*shape[:1:-1], *shape[:2])
  return shape[::-1]


def _rearrange(array: np.ndarray, kind: int) -> np.ndarray:
  if kind == _FROM_PICTURE:  # [E, C * rows * columns]
    parts = array.reshape(len(array), -1, *_GRID)
    return parts.transpose(2, 3, 1, 0).reshape(-1, len(array))
  if kind == _TO_PICTURE:  # [C * rows * columns], or [.., F]
    parts = array.reshape(-1, *_GRID, *array.shape[1:])
    order = (*range(3, parts.ndim), 1, 2, 0)
    return parts.transpose(order).reshape(*array.shape[1:], -1)
  if array.ndim == 4:
    return array.transpose(2, 3, 1, 0)
  return array.T


def _size(arrays: Arrays, name: str, axis: int) -> int:
  array = arrays.get(name)
  if array is None or array.ndim <= axis:
    raise ValueError(f"{name}: missing, not a published checkpoint")
  size = int(array.shape[axis])
  if not 0 < size <= _MOST_SIZE:
    raise ValueError(
      f"{name}: axis {axis} has size {size}, expected 1 to {_MOST_SIZE}"
    )
  return size


def _few(names: list[str]) -> str:
  more = f" and {len(names) - 3} more" if len(names) > 3 else ""
  return f"{names[:3]}{more}"
