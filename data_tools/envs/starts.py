"""Where the episodes of an environment begin: in the game, or at power-on.

A title screen is left by `start` alone, and a search that presses at random
hardly ever begins a game; so on the practice cartridges episodes begin with
the first free step.
"""

import functools
import os

from data_tools.game import emulator as emulator_lib
from data_tools.game import input_scripts
from data_tools.game import roms

# `game` where that is sure, on the practice cartridges; else `power_on`.
DEFAULT = "default"
GAME = "game"  # the first free step, as a script of inputs comes to it
POWER_ON = "power_on"  # as None: the title screen
_SCRIPTS = {
  roms.PRACTICE: "chapter_one_start",
  # Never run on the real ROM, so only for who asks.
  roms.POKEMON_RED: "pokemon_red_intro",
}

# As arguments take it: a word of above, a file, `<world>/<name>`, or a state.
Start = str | os.PathLike | bytes | None


def read(save_state: Start, rom: roms.Rom) -> bytes | None:
  """The start state that an argument names; None is power-on.

  Raises:
    ValueError: a file that cannot be read or belongs to another ROM, or a
      game whose beginning is not known.
  """
  if isinstance(save_state, bytes):
    return save_state
  if save_state == DEFAULT:
    save_state = GAME if rom.kind == roms.PRACTICE else POWER_ON
  if save_state is None or save_state == POWER_ON:
    return None
  if save_state == GAME:
    return _in_game(rom)
  return emulator_lib.read_save_state(save_state, rom)


@functools.cache
def _in_game(rom: roms.Rom) -> bytes:
  hint = (
    f"; expected the file of a state (python -m experiments.make_state), or "
    f"{POWER_ON!r}"
  )
  if rom.kind not in _SCRIPTS:
    raise ValueError(f"save_state: {GAME!r}, of {rom.describe()}{hint}")
  script = input_scripts.read(_SCRIPTS[rom.kind], rom)
  with emulator_lib.Emulator(rom) as game:
    game.replay_reset(0)
    try:
      input_scripts.run(script, game)
    except ValueError as error:
      raise ValueError(f"save_state: {GAME!r}: {error}{hint}") from None
    return game.save_state()
