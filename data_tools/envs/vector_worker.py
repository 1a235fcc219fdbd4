"""A process of `vector.VectorEmulator`: its emulators, and the memory shared.

The parent sends commands through a pipe; rows and actions lie in memory that
all processes share, so that nothing of a step is pickled.
"""

from collections.abc import Callable
import dataclasses
import math
from multiprocessing import connection as connections
from typing import Any

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


@dataclasses.dataclass(frozen=True)
class Kept:
  """A game in the middle of an episode, to go back to."""

  machine: bytes  # state of the emulator
  known: Any  # of the episode, by the reader of its rows


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
  games = _Games(rom, share, episode_length)

  def answer(command: str, resets: Resets) -> None:
    stepped: list[int] = []
    try:
      for number, i in enumerate(share):
        if i in resets:
          seed, start = resets[i]
          games.reset(number, seed, start, jitter_frames)
        elif not games.was_reset(number):
          raise ValueError(f"{command}: environment {i} was never reset")
        elif command == "reset" or games.ended[number]:
          arrays["reward_terms"][i] = 0
          continue
        else:
          games.step(number, int(actions[i]))
        stepped.append(number)
    finally:  # a game that has gone on is read, whatever became of the others
      if stepped:
        rows = games.read(stepped)
        places = [share[number] for number in stepped]
        for name, array in arrays.items():
          array[places] = rows[name]

  def keep(asked: dict[int, None]) -> dict[int, Kept]:
    return {i: games.keep(share.index(i)) for i in asked}

  def go_back(kept: dict[int, Kept]) -> None:
    for i, game in kept.items():
      games.go_back(share.index(i), game)

  others: dict[str, Callable[[Any], Any]] = {"keep": keep, "go_back": go_back}
  try:
    while (message := connection.recv())[0] != "close":
      try:
        command, given = message
        found = others[command](given) if command in others else None
        if command not in others:
          answer(command, given)
        connection.send(("ok", found))
      except Exception as error:
        connection.send(children.explain(error))
  except (EOFError, OSError):
    pass  # the parent is gone
  games.close()


class _Games:
  """The emulators of a process, and the episodes that they are in.

  What they show is read together: that costs little more than reading one.
  """

  def __init__(self, rom: roms.Rom, share: list[int], length: int):
    self._rom, self._length = rom, length
    self._emulators: dict[int, emulator_lib.Emulator] = {}
    self._reader = episodes.StreamReader(rom, len(share))
    self._left = np.zeros(len(share), int)
    self.ended = np.ones(len(share), bool)

  def was_reset(self, number: int) -> bool:
    return number in self._emulators

  def reset(self, number: int, seed, save_state, jitter_frames: int) -> None:
    if number not in self._emulators:
      self._emulators[number] = emulator_lib.Emulator(self._rom)
    self._emulators[number].reset(seed, save_state, jitter_frames)
    self._reader.restart(number)
    self._left[number] = self._length

  def keep(self, number: int) -> Kept:
    if not self.was_reset(number) or self.ended[number]:
      raise ValueError("keep: expected a game that goes on")
    machine = self._emulators[number].save_state()
    return Kept(machine, self._reader.keep(number))

  def go_back(self, number: int, kept: Kept) -> None:
    if number not in self._emulators:
      self._emulators[number] = emulator_lib.Emulator(self._rom)
    self._emulators[number].resume(kept.machine)
    self._reader.go_back(number, kept.known)
    self._left[number] = self._length - 1  # its first row is known
    self.ended[number] = False

  def step(self, number: int, action: int) -> None:
    self._emulators[number].step(action)

  def read(self, numbers: list[int]) -> dict[str, np.ndarray]:
    """The rows `[K, ...]` that some of the games show now."""
    shown = [self._emulators[number] for number in numbers]
    which = np.array(numbers)
    rows = self._reader.read(
      which,
      np.stack([emulator.frame() for emulator in shown]),
      np.stack([emulator.ram() for emulator in shown]),
    )
    self._left[which] -= 1
    rows["is_last"] |= self._left[which] == 0
    self.ended[which] = rows["is_last"]
    return rows

  def close(self) -> None:
    for emulator in self._emulators.values():
      emulator.close()
