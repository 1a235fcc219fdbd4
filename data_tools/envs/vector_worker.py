"""A process of `vector.VectorEmulator`: its emulators, and the memory shared.

The parent writes actions into memory that all processes share, and finds there
what the games show: frames and copied ranges. It reads those itself, of all
games at once, since a call into numpy costs as much for one row as for many.
A command without start states is an empty message, and so is its answer.
"""

from collections.abc import Callable
import dataclasses
import math
from multiprocessing import connection as connections
import pickle
from typing import Any

import numpy as np

from data_tools.game import emulator as emulator_lib
from data_tools.game import ram_addresses
from data_tools.game import roms
from data_tools.system import children
from pokedreamer_jax import specs

_ALIGNED = 64  # bytes, a cache line
# What is shared, `[N, ...]`.
FRAME, RAM = "frame", "ram"  # of where each game stands
ACTIONS = "actions"  # what the parent has chosen
MOVED = "moved"  # whether a game has gone on in this command, and was copied
STAY = 255  # among actions: the game stands still

# A message of no bytes: step, without resets; and that all went well.
NOTHING = b""

# By environment: seed and start state.
Resets = dict[int, tuple[int, bytes | None]]


@dataclasses.dataclass(frozen=True)
class Kept:
  """A game in the middle of an episode, to go back to."""

  machine: bytes  # state of the emulator
  known: Any  # of the episode, by the reader of its rows


def make_memory(num_envs: int) -> children.Memory:
  """Memory for what `N` environments show and are told."""
  return children.Memory(sum(_places(num_envs).values()))


def views(memory: children.Memory, num_envs: int) -> dict[str, np.ndarray]:
  """`FRAME`, `RAM`, `ACTIONS` and `MOVED` `[N, ...]` in memory, not copied."""
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
  return {
    FRAME: ((num_envs, specs.FRAME_HEIGHT, specs.PACKED_WIDTH), "uint8"),
    RAM: ((num_envs, ram_addresses.RAM_BYTES), "uint8"),
    ACTIONS: ((num_envs,), "uint8"),
    MOVED: ((num_envs,), "bool"),
  }


def work(
  connection: connections.Connection,
  rom: roms.Rom,
  memory: children.Memory,
  num_envs: int,
  share: list[int],
  jitter_frames: int,
) -> None:
  """Answers commands for the environments `share`, in its own process."""
  arrays = views(memory, num_envs)
  games: dict[int, emulator_lib.Emulator] = {}

  def answer(command: str, resets: Resets) -> None:
    for i in share:
      if i in resets:
        if i not in games:
          games[i] = emulator_lib.Emulator(rom)
        games[i].reset(*resets[i], jitter_frames)
      elif i not in games:
        raise ValueError(f"{command}: environment {i} was never reset")
      elif (action := int(arrays[ACTIONS][i])) != STAY:
        games[i].step(action)
      else:
        continue
      # At once: it has gone on, whatever becomes of the others.
      arrays[FRAME][i] = games[i].frame()
      arrays[RAM][i] = games[i].ram()
      arrays[MOVED][i] = True

  def keep(asked: dict[int, None]) -> dict[int, bytes]:
    if not games.keys() >= asked.keys():
      raise ValueError("keep: expected a game that goes on")
    return {i: games[i].save_state() for i in asked}

  def go_back(machines: dict[int, bytes]) -> None:
    for i, machine in machines.items():
      if i not in games:
        games[i] = emulator_lib.Emulator(rom)
      games[i].resume(machine)
      arrays[FRAME][i] = games[i].frame()
      arrays[RAM][i] = games[i].ram()

  others: dict[str, Callable[[Any], Any]] = {"keep": keep, "go_back": go_back}
  try:
    while True:
      data = connection.recv_bytes()
      command, *resets = pickle.loads(data) if data else ("step", {})
      if command == "close":
        break
      try:
        found = None
        if command in others:
          found = others[command](*resets)
        else:
          answer(command, *resets)
        if found is None:
          connection.send_bytes(NOTHING)
        else:
          connection.send(("ok", found))
      except Exception as error:
        connection.send(children.explain(error))
  except (EOFError, OSError):
    pass  # the parent is gone
  for game in games.values():
    game.close()
