"""A process of `vector.VectorEmulator`: its emulators, and the memory shared.

The parent sends commands through a pipe; rows and actions lie in memory that
all processes share, so that nothing of a step is pickled.
"""

import math
from multiprocessing import connection as connections

import numpy as np

from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from data_tools.records import episodes
from data_tools.system import children
from pokedreamer_jax import specs

_ALIGNED = 64  # bytes, a cache line
ACTIONS = "_actions"  # what the parent has chosen, beside the step fields

# By environment: seed and start state.
Resets = dict[int, tuple[int, bytes | None]]


def make_memory(num_envs: int) -> children.Memory:
  """Memory for the rows and actions of `N` environments."""
  return children.Memory(sum(_places(num_envs).values()))


def views(memory: children.Memory, num_envs: int) -> dict[str, np.ndarray]:
  """The step fields `[N, ...]` and `ACTIONS` `[N]` in memory, not copied."""
  arrays, start = {}, 0
  for name, size in _places(num_envs).items():
    shape, dtype = _layout(num_envs)[name]
    arrays[name] = np.frombuffer(
      memory.view, dtype, math.prod(shape), start
    ).reshape(shape)
    start += size
  return arrays


def _places(num_envs: int) -> dict[str, int]:
  """Bytes of each array, rounded up so that all of them are aligned."""
  return {
    name: -(-math.prod(shape) * np.dtype(dtype).itemsize // _ALIGNED) * _ALIGNED
    for name, (shape, dtype) in _layout(num_envs).items()
  }


def _layout(num_envs: int) -> dict[str, tuple[tuple[int, ...], str]]:
  fields = {
    field.name: ((num_envs, *field.shape), field.dtype)
    for field in specs.STEP_FIELDS
  }
  return fields | {ACTIONS: ((num_envs,), "uint8")}


def work(
  connection: connections.Connection,
  rom: roms.Rom,
  memory: children.Memory,
  num_envs: int,
  share: list[int],
  episode_length: int,
  jitter_frames: int,
) -> None:
  """Answers commands for the environments `share`, in its own process."""
  arrays = views(memory, num_envs)
  actions = arrays.pop(ACTIONS)
  envs: dict[int, _Env] = {}

  def answer(command: str, resets: Resets) -> None:
    for i in share:
      if i in resets:
        if i not in envs:
          envs[i] = _Env(rom)
        seed, start = resets[i]
        row = envs[i].reset(seed, start, jitter_frames, episode_length)
      elif i not in envs:
        raise ValueError(f"{command}: environment {i} was never reset")
      elif command == "reset" or envs[i].ended:
        arrays["reward_terms"][i] = 0
        continue
      else:
        row = envs[i].step(int(actions[i]))
      for name, array in arrays.items():
        array[i] = row[name][0]

  try:
    while (message := connection.recv())[0] != "close":
      try:
        answer(*message)
        connection.send(("ok", ""))
      except Exception as error:
        connection.send(children.explain(error))
  except (EOFError, OSError):
    pass  # the parent is gone
  for env in envs.values():
    env.close()


class _Env:
  """One emulator and the episode it is in."""

  def __init__(self, rom: roms.Rom):
    self._emulator = emulator_lib.Emulator(rom)
    self.ended = True

  def reset(self, seed, save_state, jitter_frames, length) -> dict:
    self._emulator.reset(seed, save_state, jitter_frames)
    self._reader = episodes.RowReader(self._emulator.rom)
    self._left = length
    return self._row()

  def step(self, action: int) -> dict:
    self._emulator.step(action)
    return self._row()

  def close(self) -> None:
    self._emulator.close()

  def _row(self) -> dict:
    row = self._reader.read(
      self._emulator.frame()[None], self._emulator.ram()[None]
    )
    self._left -= 1
    row["is_last"] |= self._left == 0
    self.ended = bool(row["is_last"][0])
    return row
