"""A frozen Stable-Baselines3 PPO policy as a player, in numpy.

The files are those of PWhiddy's Pokemon Red baseline: a zip whose `policy.pth`
holds a convolutional policy for a stacked observation of 40 columns: 8 rows of
a memory bar, 2 of zeros, 8 of another bar, 2 of zeros, then frames of 36 rows,
the newest first. The bars showed the rewards of that environment; they are
zero here. All sizes are read from the arrays. Actions are the first of ours.
What is accepted is what is computed here: every array and every setting of the
file is known, or the file is refused.
"""

import dataclasses
import hashlib
import os
import pathlib
import re

import numpy as np

from data_tools.foreign import sb3_settings
from data_tools.foreign import torch_files
from data_tools.foreign import zip_files
from data_tools.game import frame_codec
from pokedreamer_jax import specs

BAR_ROWS = 2 * (8 + 2)  # both memory bars and the zeros below each
SHRINK = 4  # 144 x 160 becomes 36 x 40
ROWS, COLUMNS = specs.FRAME_HEIGHT // SHRINK, specs.FRAME_WIDTH // SHRINK
CHANNELS = 3
STRIDES = (4, 2, 1)  # of the convolutions; no array tells them
MOST_FRAMES = 8  # stacked
MOST_UNITS = 1024  # of a layer; the baseline's have 32, 64, 64 and 512

_MOST_FILE_BYTES = 256 << 20
_MOST_JSON_BYTES = 16 << 20
_MOST_VERSION_BYTES = 64
# The arrays that the library stores: those of the actor, its critic's, and
# where the two share their convolutions those under three names.
_EXTRACTORS = ("features_extractor", "pi_features_extractor")
_KNOWN_ARRAY = re.compile(
  r"((pi_|vf_)?features_extractor\.(cnn\.[024]|linear\.0)"
  r"|mlp_extractor\.value_net\.\d{1,3}|action_net|value_net)\.(weight|bias)"
)
_KNOWN_ENTRIES = ("policy.pth", "policy.optimizer.pth", "pytorch_variables.pth")


@dataclasses.dataclass(frozen=True)
class Weights:
  """Arrays of the acting half of a policy, float32, channels first."""

  convolutions: tuple[tuple[np.ndarray, np.ndarray], ...]  # [O, I, h, w], [O]
  linear: tuple[np.ndarray, np.ndarray]  # [512, features], [512]
  action: tuple[np.ndarray, np.ndarray]  # [A, 512], [A]
  num_frames: int  # stacked in the observation
  sha256: str  # of the file

  @property
  def num_actions(self) -> int:
    """Actions that the policy chooses from, the first ones of ours."""
    return len(self.action[1])


def read(path: str | os.PathLike) -> Weights:
  """Reads a policy; nothing in the file is executed.

  Raises:
    ValueError: the file cannot be read, is damaged or too large, or holds
      another kind of policy.
  """
  label = f"policy {path}"
  with zip_files.open_regular(path, _MOST_FILE_BYTES, label) as file:
    data = file.read(_MOST_FILE_BYTES + 1)
  if len(data) > _MOST_FILE_BYTES:  # it grew
    raise ValueError(f"{label}: larger than {_MOST_FILE_BYTES >> 20} MiB")
  name = f"policy {pathlib.Path(path).name}"
  with zip_files.Archive(data, name) as archive:
    for entry in archive.names:
      if entry.endswith(".pth") and entry not in _KNOWN_ENTRIES:
        raise ValueError(
          f"{name}: {zip_files.shown(entry)}: not a known entry of a policy"
        )
    blob = archive.read("policy.pth", _MOST_FILE_BYTES)
    settings = sb3_settings.read(
      archive.read("data", _MOST_JSON_BYTES),
      archive.read("_stable_baselines3_version", _MOST_VERSION_BYTES),
      name,
    )
  arrays = torch_files.read_state_dict(blob, f"{name}, policy.pth")
  weights = _weights(arrays, name, hashlib.sha256(data).hexdigest())
  rows = BAR_ROWS + ROWS * weights.num_frames
  for field, given, expected in (
    ("observation_space", settings.shape, (CHANNELS, rows, COLUMNS)),
    ("action_space", settings.num_actions, weights.num_actions),
  ):
    if given != expected:
      raise ValueError(
        f"{name}: {field}: {given}, where the arrays tell {expected}"
      )
  return weights


class Player:
  """Plays `N` streams side by side; remembers the last frames of each."""

  chosen_by = specs.BEHAVIOURS.index("policy")

  def __init__(self, weights: Weights, num_envs: int):
    self._weights = weights
    self._recent = np.zeros(
      (num_envs, weights.num_frames, ROWS, COLUMNS), np.uint8
    )

  def act(
    self,
    frames: np.ndarray,
    is_first: np.ndarray,
    uniforms: np.ndarray | None = None,
  ) -> np.ndarray:
    """The next action of every stream; call it once a step.

    Args:
      frames: `[N, 144, 40]` uint8, packed.
      is_first: `[N]` bool; such a stream forgets its earlier frames.
      uniforms: `[N]` in [0, 1), by which actions are drawn; None takes the
        most likely ones.

    Returns:
      `[N]` uint8, indices into ACTIONS.
    """
    logits = action_logits(self._weights, self.observe(frames, is_first))
    if uniforms is None:
      return logits.argmax(axis=1).astype(np.uint8)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    ends = np.cumsum(odds, axis=1)
    drawn = (ends <= np.asarray(uniforms)[:, None] * ends[:, -1:]).sum(axis=1)
    return np.minimum(drawn, self._weights.num_actions - 1).astype(np.uint8)

  def observe(self, frames: np.ndarray, is_first: np.ndarray) -> np.ndarray:
    """Stacked observations `[N, H, 40, 3]` uint8; takes note of the frames."""
    if len(frames) != len(self._recent) or len(is_first) != len(frames):
      raise ValueError(
        f"{len(frames)} frames, {len(is_first)} is_first for "
        f"{len(self._recent)} streams"
      )
    self._recent[np.asarray(is_first, bool)] = 0
    self._recent[:, 1:] = self._recent[:, :-1].copy()
    self._recent[:, 0] = shrink(frames)
    return stack(self._recent)


def shrink(frames: np.ndarray) -> np.ndarray:
  """Means of 4 x 4 pixels `[N, 36, 40]` uint8 of packed frames, rounded."""
  grey = frame_codec.unpack_grey(frames)
  blocks = grey.reshape(-1, ROWS, SHRINK, COLUMNS, SHRINK)
  sums = blocks.sum(axis=(2, 4), dtype=np.uint16)
  # To the nearest, halves to even, as area resizing does.
  return np.rint(sums / np.float32(SHRINK**2)).astype(np.uint8)


def stack(recent: np.ndarray) -> np.ndarray:
  """Observations `[N, 20 + 36 F, 40, 3]` of frames `[N, F, 36, 40]`."""
  count = len(recent)
  grey = np.concatenate(
    [
      np.zeros((count, BAR_ROWS, COLUMNS), np.uint8),
      recent.reshape(count, -1, COLUMNS),
    ],
    axis=1,
  )
  return np.repeat(grey[..., None], CHANNELS, axis=-1)


def action_logits(weights: Weights, observations: np.ndarray) -> np.ndarray:
  """Logits `[N, A]` float32 of observations `[N, H, W, 3]` uint8."""
  # [N, H, W, C] -> [N, C, H, W]
  x = observations.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
  for (kernel, bias), stride in zip(weights.convolutions, STRIDES, strict=True):
    x = np.maximum(_convolve(x, kernel, bias, stride), 0)
  features = x.reshape(len(x), -1)
  kernel, bias = weights.linear
  features = np.maximum(features @ kernel.T + bias, 0)
  kernel, bias = weights.action
  return features @ kernel.T + bias


def _convolve(
  x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int
) -> np.ndarray:
  """`[N, I, H, W]` to `[N, O, H', W']`, no padding."""
  windows = np.lib.stride_tricks.sliding_window_view(
    x, kernel.shape[2:], axis=(2, 3)
  )[:, :, ::stride, ::stride]
  # [N, I, H', W', h, w] -> [N, H', W', I * h * w]
  windows = windows.transpose(0, 2, 3, 1, 4, 5)
  columns = windows.reshape(*windows.shape[:3], -1)
  y = columns @ kernel.reshape(len(kernel), -1).T + bias
  return y.transpose(0, 3, 1, 2)


def _weights(arrays: dict[str, np.ndarray], name: str, sha256: str) -> Weights:
  """Picks and checks the arrays of the acting half."""
  if any(key.startswith("mlp_extractor.policy_net") for key in arrays):
    raise ValueError(f"{name}: layers after the convolutions, expected none")
  for key in arrays:
    if not _KNOWN_ARRAY.fullmatch(key):
      raise ValueError(
        f"{name}: {zip_files.shown(key)}: not a known array of a "
        "convolutional PPO policy"
      )
    # One array under two names: which of two the library takes is its secret.
    twin = arrays.get(f"pi_{key}")
    if twin is not None and not np.array_equal(arrays[key], twin):
      raise ValueError(f"{name}: {key} is not pi_{key}, expected the same")
  newer = f"{_EXTRACTORS[1]}.linear.0.weight" in arrays
  prefix = _EXTRACTORS[newer]

  def layer(key: str, rank: int) -> tuple[np.ndarray, np.ndarray]:
    found = [arrays.get(f"{key}.{part}") for part in ("weight", "bias")]
    kernel, bias = found
    if (
      kernel is None
      or bias is None
      or kernel.ndim != rank
      or bias.shape != kernel.shape[:1]
      or not all(np.issubdtype(a.dtype, np.floating) for a in (kernel, bias))
    ):
      raise ValueError(f"{name}: no layer {key} of a convolutional PPO policy")
    # Weights alone do not tell how much memory it takes to play.
    if 0 in kernel.shape or len(bias) > MOST_UNITS:
      raise ValueError(
        f"{name}: layer {key} of shape {list(kernel.shape)}, expected 1 to "
        f"{MOST_UNITS} units"
      )
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
      return kernel.astype(np.float32), bias.astype(np.float32)

  convolutions = tuple(layer(f"{prefix}.cnn.{i}", 4) for i in (0, 2, 4))
  linear = layer(f"{prefix}.linear.0", 2)
  action = layer("action_net", 2)
  inputs = [kernel.shape[1] for kernel, _ in (*convolutions, action)]
  outputs = [len(bias) for _, bias in (*convolutions, linear)]
  joined = [CHANNELS, *outputs[:2], outputs[3]]
  if inputs != joined or not 0 < len(action[1]) <= specs.NUM_ACTIONS:
    raise ValueError(
      f"{name}: layers take {inputs} and give {[*outputs, len(action[1])]}, "
      f"expected {joined} in, and at most {specs.NUM_ACTIONS} actions"
    )
  everything = [*convolutions, linear, action]
  if not all(np.isfinite(array).all() for pair in everything for array in pair):
    raise ValueError(f"{name}: a weight is not finite")
  frames = _num_frames(convolutions, linear[0].shape[1], name)
  return Weights(convolutions, linear, action, frames, sha256)


def _num_frames(convolutions, features: int, name: str) -> int:
  """How many stacked frames give so many features."""
  for frames in range(1, MOST_FRAMES + 1):
    height, width = BAR_ROWS + ROWS * frames, COLUMNS
    for (kernel, _), stride in zip(convolutions, STRIDES, strict=True):
      height = (height - kernel.shape[2]) // stride + 1
      width = (width - kernel.shape[3]) // stride + 1
    if min(height, width) > 0 and len(kernel) * height * width == features:
      return frames
  raise ValueError(
    f"{name}: {features} features fit no observation of {BAR_ROWS} rows and 1 "
    f"to {MOST_FRAMES} frames of {ROWS} x {COLUMNS}"
  )
