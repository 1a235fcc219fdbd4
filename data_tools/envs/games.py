"""Which games there are, and what one and many environments of them share."""

import os
from typing import Any

import gymnasium
import numpy as np

from data_tools import cartridge
from data_tools.envs import env_rows
from data_tools.envs import starts
from data_tools.game import roms

GAMES = {
  "practice_small": "PokeDreamer/PracticeSmall-v0",
  "practice": "PokeDreamer/Practice-v0",
  "pokemon_red": "PokeDreamer/PokemonRed-v0",
}
_PRACTICE_ROMS = {
  "practice_small": cartridge.CHAPTER_ONE,
  "practice": cartridge.GREAT_VALE,
}
_OPTIONS = ("save_state",)  # of `reset`


def observation_space(observation: str) -> gymnasium.spaces.Box:
  """The space of one environment's observations."""
  return gymnasium.spaces.Box(
    0, 255, env_rows.OBSERVATIONS[observation], np.uint8
  )


def start_of(
  options: dict[str, Any] | None, save_state: bytes | None, rom: roms.Rom
) -> bytes | None:
  """The start state of an episode: that of the options, or the usual one.

  Raises:
    ValueError: an unknown option, or a state that does not fit.
  """
  unknown = set(options or ()) - set(_OPTIONS)
  if unknown:
    raise ValueError(
      f"reset options {sorted(unknown)}: expected {list(_OPTIONS)}"
    )
  if options and "save_state" in options:
    return starts.read(options["save_state"], rom)
  return save_state


def find_rom(game: str, rom: str | os.PathLike | None = None) -> roms.Rom:
  """The ROM of an environment.

  Raises:
    ValueError: unknown game, the ROM is missing, or it is another game's.
  """
  if game not in GAMES:
    raise ValueError(f"game: {game!r}, expected one of {sorted(GAMES)}")
  name = GAMES[game]
  if game != "pokemon_red":
    path = _PRACTICE_ROMS[game]
    if rom is not None:
      raise ValueError(f"{name}: rom={os.fspath(rom)!r}, it plays {path.name}")
    return roms.resolve(path)
  path_given = rom or os.environ.get(roms.ROM_VARIABLE)
  if not path_given:
    raise ValueError(
      f"{name}: give rom='FILE' or set {roms.ROM_VARIABLE}; no commercial ROM "
      "comes with this project"
    )
  found = roms.resolve(path_given)
  if found.kind != roms.POKEMON_RED:
    raise ValueError(
      f"{name}: it plays Pokemon Red or Blue, {found.describe()}"
    )
  return found
