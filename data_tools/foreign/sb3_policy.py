"""A frozen Stable-Baselines3 PPO policy as a player, in numpy.

The files are those of PWhiddy's Pokemon Red baseline: a zip whose `policy.pth`
holds a convolutional policy for a stacked observation of 40 columns: 8 rows of
a memory bar, 2 of zeros, 8 of another bar, 2 of zeros, then frames of 36 rows,
the newest first. The bars showed the rewards of that environment; they are
zero here. All sizes are read from the arrays. Actions are the first of ours.
"""

import dataclasses
import hashlib
import json
import os
import pathlib

import numpy as np

from data_tools.foreign import torch_files
from data_tools.foreign import zip_files
from data_tools.game import frame_codec
from data_tools.system import files
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
  try:
    data = files.read(path, _MOST_FILE_BYTES)
  except OSError as error:
    raise ValueError(f"policy {path}: {error.strerror}") from None
  name = f"policy {pathlib.Path(path).name}"
  with zip_files.Archive(data, name) as archive:
    blob = archive.read("policy.pth", _MOST_FILE_BYTES)
    if "data" in archive.names:
      _check_settings(archive.read("data", _MOST_JSON_BYTES), name)
  arrays = torch_files.read_state_dict(blob, f"{name}, policy.pth")
  return _weights(arrays, name, hashlib.sha256(data).hexdigest())


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


def _check_settings(data: bytes, name: str) -> None:
  """Refuses settings that change what the arrays mean.

  The pickles that this JSON carries are not looked at.
  """
  try:
    settings = json.loads(data)
    changed = settings.get("policy_kwargs") or {}
    known = ":serialized:" not in changed
    scaled = changed.get("normalize_images", True)
  except (ValueError, AttributeError, TypeError, RecursionError) as error:
    line = zip_files.one_line(error)
    raise ValueError(f"{name}: damaged entry 'data': {line}") from error
  if known and not scaled:
    raise ValueError(f"{name}: normalize_images=False, expected True")


def _weights(arrays: dict[str, np.ndarray], name: str, sha256: str) -> Weights:
  """Picks and checks the arrays of the acting half."""
  if any(key.startswith("mlp_extractor.policy_net") for key in arrays):
    raise ValueError(f"{name}: layers after the convolutions, expected none")
  newer = "pi_features_extractor.linear.0.weight" in arrays
  prefix = "pi_features_extractor" if newer else "features_extractor"

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
