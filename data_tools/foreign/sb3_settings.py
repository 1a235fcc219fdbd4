"""The settings of a Stable-Baselines3 policy, of which every one is known.

They lie beside the arrays, as JSON that carries pickles, and decide what the
arrays mean: the same arrays with pictures that are not divided by 255, or with
another activation, are another policy. So a setting is accepted for what it is
known to do, and a name or a value that is not known is refused. The pickles
are interpreted by `inert_pickles` and never run.
"""

import base64
from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import json
import re
from typing import Any

import numpy as np

from data_tools.foreign import inert_pickles
from data_tools.foreign import numpy_pickles
from data_tools.foreign import zip_files

VERSIONS = (1, 2)  # of the library, whose networks are the same

_MOST_SETTINGS = 256
_MOST_ACTIONS = 1 << 16
_VERSION = re.compile(r"(\d{1,3})(\.\d{1,6}){1,3}[A-Za-z0-9.+]*\s*")
_SERIALIZED = ":serialized:"

# Of training, and of how far it came: they have no part in choosing actions.
_OF_TRAINING = frozenset(
  "_current_progress_remaining _episode_num _last_dones _last_episode_starts "
  "_last_obs _last_original_obs _n_updates _num_timesteps_at_start "
  "_stats_window_size _total_timesteps action_noise batch_size clip_range "
  "clip_range_vf ent_coef ep_info_buffer ep_success_buffer gae_lambda gamma "
  "learning_rate lr_schedule max_grad_norm n_envs n_epochs n_steps "
  "normalize_advantage num_timesteps rollout_buffer_class "
  "rollout_buffer_kwargs sde_sample_freq seed start_time target_kl "
  "tensorboard_log verbose vf_coef".split()
)
_OF_POLICY = ("action_space", "observation_space", "policy_class", "use_sde")
_KWARGS = "policy_kwargs"
# Of them that have no part either: first weights, noise of continuous actions.
_KWARGS_OF_TRAINING = frozenset(
  "device full_std log_std_init optimizer_class optimizer_kwargs ortho_init "
  "sde_net_arch use_expln".split()
)
_POLICY = "stable_baselines3.common.policies ActorCriticCnnPolicy"
_NETWORK = "stable_baselines3.common.torch_layers NatureCNN"
_ACTIVATIONS = "torch.nn.modules.activation "
_GYMS = ("gym", "gymnasium")


@dataclasses.dataclass(frozen=True)
class Settings:
  """What a policy was made for."""

  shape: tuple[int, int, int]  # of observations, channels first
  num_actions: int


def read(data: bytes, version: bytes, name: str) -> Settings:
  """Settings that leave no doubt about what the arrays mean.

  Args:
    data: the entry `data` of the policy's archive.
    version: the entry `_stable_baselines3_version`.
    name: what messages call the file.

  Raises:
    ValueError: damaged, or a setting that is not known; the message names it.
  """
  _check_version(version, name)
  try:
    settings = json.loads(data)
  except (ValueError, RecursionError) as error:
    line = zip_files.one_line(error)
    raise ValueError(f"{name}: damaged entry 'data': {line}") from error
  if not isinstance(settings, dict) or len(settings) > _MOST_SETTINGS:
    raise ValueError(f"{name}: damaged entry 'data': no object of settings")
  needed = {*_OF_POLICY, _KWARGS}
  for key in settings:
    if key not in needed | _OF_TRAINING:
      raise ValueError(f"{name}: {zip_files.shown(key)}: not a known setting")
  if missing := sorted(needed - settings.keys()):
    raise ValueError(f"{name}: {missing[0]}: missing, expected a setting")
  values = {key: _value(settings[key], f"{name}: {key}") for key in needed}
  _check_kwargs(values[_KWARGS], name)
  _check(name, "policy_class", values, _is_global(_POLICY), "CnnPolicy")
  _check(name, "use_sde", values, _is_false, "False")
  shape = _picture(values["observation_space"])
  if shape is None:
    raise ValueError(
      f"{name}: observation_space: {_shown(values['observation_space'])}, "
      "expected a Box of uint8 [channels, rows, columns] from 0 to 255"
    )
  count = _choices(values["action_space"])
  if count is None:
    raise ValueError(
      f"{name}: action_space: {_shown(values['action_space'])}, expected a "
      "Discrete that counts from 0"
    )
  return Settings(shape, count)


def _check_version(version: bytes, name: str) -> None:
  match = _VERSION.fullmatch(version.decode("latin1"))
  if not match or int(match[1]) not in VERSIONS:
    raise ValueError(
      f"{name}: _stable_baselines3_version: "
      f"{zip_files.shown(version.decode('latin1'))}, expected 1.* or 2.*"
    )


def _check_kwargs(value: Any, name: str) -> None:
  """Arguments of the policy's network: defaults, or what changes nothing."""
  given = _mapping(value)
  if given is None:
    raise ValueError(f"{name}: {_KWARGS}: {_shown(value)}, expected a dict")
  where = f"{name}: {_KWARGS}"
  for key, (accepts, expected) in _KNOWN_KWARGS.items():
    if key in given:
      _check(where, key, given, accepts, expected)
  for key in given.keys() - _KNOWN_KWARGS.keys() - _KWARGS_OF_TRAINING:
    raise ValueError(f"{where}: {zip_files.shown(key)}: not a known setting")


def _check(
  where: str,
  key: str,
  values: Mapping[str, Any],
  accepts: Callable[[Any], bool],
  expected: str,
) -> None:
  if not accepts(values[key]):
    raise ValueError(
      f"{where}: {key}: {_shown(values[key])}, expected {expected}"
    )


def _value(value: Any, where: str) -> Any:
  """What the library would restore: JSON, or notes of the pickle in it."""
  if not isinstance(value, dict) or _SERIALIZED not in value:
    return value
  try:
    data = base64.b64decode(value[_SERIALIZED], validate=True)
    return inert_pickles.interpret(data)
  except (ValueError, TypeError) as error:
    line = zip_files.one_line(error)
    raise ValueError(f"{where}: damaged: {line}") from None


def _mapping(value: Any) -> dict[str, Any] | None:
  """A dictionary by name, of JSON or of a pickle."""
  if isinstance(value, inert_pickles.Table):
    if len(value.pairs) > _MOST_SETTINGS:
      return None
    if not all(isinstance(key, str) for key, _ in value.pairs):
      return None
    return dict(value.pairs)
  return value if isinstance(value, dict) else None


def _is_global(*names: str) -> Callable[[Any], bool]:
  return lambda value: (
    isinstance(value, inert_pickles.Global) and value.name in names
  )


def _is_false(value: Any) -> bool:
  return value is False


def _is_activation(value: Any) -> bool:
  # It would stand between layers that the arrays, as checked, do not have.
  return isinstance(value, inert_pickles.Global) and value.name.startswith(
    _ACTIVATIONS
  )


def _is_without_layers(value: Any) -> bool:
  """Whether no layers are asked for between the features and the actions."""
  if isinstance(value, list) and len(value) == 1:
    value = value[0]  # as older versions wrote it
  layers = _mapping(value)
  if layers is None:
    return value is None or value == []
  return layers.keys() <= {"pi", "vf"} and layers.get("pi", []) == []


def _is_network_argument(value: Any) -> bool:
  given = _mapping(value)
  if given is None:
    return value is None
  return (
    given.keys() <= {"features_dim", "normalized_image"}
    and type(given.get("features_dim", 1)) is int  # the arrays tell it too
    and given.get("normalized_image", False) is False
  )


_KNOWN_KWARGS: dict[str, tuple[Callable[[Any], bool], str]] = {
  "activation_fn": (_is_activation, "a class of torch.nn"),
  "features_extractor_class": (_is_global(_NETWORK), "NatureCNN"),
  "features_extractor_kwargs": (_is_network_argument, "features_dim alone"),
  "net_arch": (_is_without_layers, "no layers before the actions"),
  "normalize_images": (lambda value: value is True, "True"),
  "share_features_extractor": (
    lambda value: isinstance(value, bool),
    "True or False",
  ),
  "squash_output": (_is_false, "False"),
  "use_sde": (_is_false, "False"),
}


def _space(value: Any, kind: str) -> dict[str, Any] | None:
  """The attributes of a space, if it is of this very class."""
  names = [f"{gym}.spaces.{kind}" for gym in _GYMS]
  if not inert_pickles.is_call(value, *names) or len(value.states or []) != 1:
    return None
  return _mapping(value.states[0]) if value.arguments == () else None


def _picture(value: Any) -> tuple[int, int, int] | None:
  """The shape of a space of pictures, which are divided by 255."""
  space = _space(value, "box Box")
  if space is None:
    return None
  shape = space.get("_shape", space.get("shape"))
  dtype = numpy_pickles.dtype(space.get("dtype"))
  bounds = [numpy_pickles.array(space.get(key)) for key in ("low", "high")]
  if dtype != np.uint8:
    return None
  for bound, number in zip(bounds, (0, 255), strict=True):
    # With other bounds the library takes them for no pictures.
    if bound is None or bound.dtype != np.uint8 or (bound != number).any():
      return None
    if bound.shape != shape:
      return None
  match shape:
    case (int(channels), int(rows), int(columns)):
      return channels, rows, columns
  return None


def _choices(value: Any) -> int | None:
  space = _space(value, "discrete Discrete")
  if space is None:
    return None
  count = numpy_pickles.number(space.get("n"))
  start = numpy_pickles.number(space.get("start", 0))
  if start != 0 or not isinstance(count, int):
    return None
  return count if 0 < count <= _MOST_ACTIONS else None


def _shown(value: Any) -> str:
  if isinstance(value, dict | list):
    return "a dictionary" if isinstance(value, dict) else "a list"
  if isinstance(value, str):
    return zip_files.shown(value)
  return inert_pickles.describe(value)
