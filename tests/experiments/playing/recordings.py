"""Episodes of the practice cartridge that tests enter again."""

from collections.abc import Sequence
import dataclasses
import types

import numpy as np

from data_tools.game import emulator
from data_tools.game import roms
from data_tools.records import episodes
from data_tools.records import shards

JITTER = 60


class Index:
  """What is read of a `loader.EpisodeIndex`."""

  def __init__(self, recorded, headers):
    self._recorded = recorded
    self.headers = headers
    self.lengths = np.array([len(steps["action"]) for steps in recorded])
    self.generation = types.SimpleNamespace(data_dir="/nowhere")

  def read(self, place, start, stop, fields):
    return {n: self._recorded[place][n][start:stop] for n in fields}


def record(seeds: Sequence[int], length: int):
  """ROM, a demonstrator's episodes as step arrays, and an index of them."""
  rom = roms.resolve(None)
  made, headers = [], []
  for seed in seeds:
    playing = episodes.Playing(rom, "demonstrator:eps=0.3", seed, length, 0)
    with emulator.Emulator(rom) as game:
      jitter = game.reset(seed, None, JITTER)
    steps = episodes.play_whole(
      dataclasses.replace(playing, jitter_frames=JITTER)
    )
    made.append(steps)
    headers.append(
      shards.EpisodeHeader(
        *("c", seed, seed, playing.behaviour, rom.sha1, rom.kind, "", jitter),
        emulator.pyboy_version(),
      )
    )
  return rom, made, Index(made, headers)
