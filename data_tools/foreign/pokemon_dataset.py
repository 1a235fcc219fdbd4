"""Samples with the published dataset's keys, read from records.

For code written against the published `PokemonDataset`: the same keys, shapes
and value ranges, as numpy arrays. Frames are channels-first here and nowhere
else. Training in this project uses `loader` instead, which is far faster.
"""

import bisect
from collections.abc import Callable
import itertools
from typing import Any

import numpy as np

from data_tools.foreign import npz_steps
from data_tools.game import frame_codec
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from pokedreamer_jax import specs

# Column of the files -> key of a single step; a sequence keeps the column's.
_KEYS = {
  "map_ids": "map_id",
  "xs": "x",
  "ys": "y",
  "facings": "facing",
  "in_battles": "in_battle",
  "dialog_opens": "dialog_open",
  "badges": "badges",
  "party_hps": "party_hp",
  "party_max_hps": "party_max_hp",
}
_FLAGS = ("in_battles", "dialog_opens")
_INTEGERS = ("actions", "map_ids", "facings")  # the others become float32


class PokemonDataset:
  """Random access to single steps or to windows that stay in one episode."""

  def __init__(
    self,
    generation: generations.Generation,
    seq_len: int = 1,
    transform: Callable[[np.ndarray], Any] | None = None,
    split: str = "all",
  ):
    """Reads the list of episodes only.

    Args:
      generation: the recorded episodes.
      seq_len: rows of a sample; 1 gives single steps with their own keys.
      transform: applied to `obs`.
      split: one of `loader.SPLITS`.

    Raises:
      ValueError: `seq_len` below 1, or no episode is that long.
    """
    if seq_len < 1:
      raise ValueError(f"seq_len: {seq_len}, expected at least 1")
    self.seq_len = seq_len
    self.transform = transform
    self._index = loader.EpisodeIndex(generation, split)
    self.has_ram = all(h.rom_kind != roms.UNKNOWN for h in self._index.headers)
    counts = np.maximum(self._index.lengths - seq_len + 1, 0)
    self._ends = list(itertools.accumulate(counts.tolist()))
    if not self._ends or not self._ends[-1]:
      raise ValueError(
        f"seq_len: {seq_len}, longer than each of {len(self._index)} episodes"
      )

  def __len__(self) -> int:
    return self._ends[-1]

  def __getitem__(self, number: int) -> dict[str, Any]:
    """One sample.

    Returns:
      `obs` float32 in [0, 1], `[3, 144, 160]` or `[T, 3, 144, 160]`; the
      action; in sequences `rewards` `[T]`, published weights, received on
      arriving at a row; where known the memory fields, `facing` being 0 down,
      4 up, 8 left, 12 right.

    Raises:
      IndexError: there is no such sample.
    """
    if not -len(self) <= number < len(self):
      raise IndexError(f"sample {number} of {len(self)}")
    number %= len(self)
    episode = bisect.bisect_right(self._ends, number)
    start = number - (self._ends[episode - 1] if episode else 0)
    steps = self._index.read(episode, start, start + self.seq_len)
    reward = specs.weighted_reward(
      steps["reward_terms"], specs.REWARD_WEIGHTS["published"]
    )
    rows = npz_steps.columns(steps, reward, self.has_ram)
    # [T, 144, 160, 3] -> [T, 3, 144, 160]
    rgb = frame_codec.unpack_rgb(rows.pop("obs")).transpose(0, 3, 1, 2)
    obs: Any = rgb.astype(np.float32) / np.float32(255)
    if self.seq_len == 1:
      obs = obs[0]
    if self.transform is not None:
      obs = self.transform(obs)
    del rows["episode_starts"]
    if self.seq_len == 1:
      return {"obs": obs, "action": int(rows["actions"][0])} | _single(rows)
    return {"obs": obs} | {
      name: array.astype(np.int64 if name in _INTEGERS else np.float32)
      for name, array in rows.items()
    }


def _single(rows: dict[str, np.ndarray]) -> dict[str, Any]:
  sample: dict[str, Any] = {}
  for column, key in _KEYS.items():
    if column in rows:
      value = rows[column][0]
      if value.ndim:
        sample[key] = value.astype(np.float32)
      else:
        sample[key] = bool(value) if column in _FLAGS else int(value)
  return sample
