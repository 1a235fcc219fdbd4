"""Other random numbers: the engine's generator goes on from them."""

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import chance
from data_tools.game import emulator
from data_tools.game import roms
from pokedreamer_jax import specs


def _bytes(game, sha1):
  return [int(game.memory[address]) for address in chance.KNOWN[sha1]]


@pytest.mark.parametrize("path", [cartridge.CHAPTER_ONE, cartridge.GREAT_VALE])
def test_the_generator_goes_on_from_other_numbers(path):
  rom = roms.resolve(str(path))
  with emulator.Emulator(rom) as game:
    game.reset(0)
    for action in (*["start"] * 2, *["a"] * 8):
      game.step(specs.ACTIONS.index(action))
    here = game.save_state()
    seen = []
    for seed in (None, 1, 2):
      game.resume(here)
      if seed is not None:
        before = _bytes(game, rom.sha1)
        chance.change(game.memory, rom.sha1, seed)
        assert _bytes(game, rom.sha1) != before
      rows = []
      for _ in range(20):
        rows.append(_bytes(game, rom.sha1))
        game._pyboy.tick(1, False)
      seen.append(np.array(rows))
  for rows in seen:  # the high byte takes on the low one's highest bit
    low, high = rows.T
    after = (high[:-1] << 1 | low[:-1] >> 7) & 0xFF
    assert (after == high[1:]).mean() > 0.9
  for one, other in ((0, 1), (0, 2), (1, 2)):
    assert (seen[one] != seen[other]).any(axis=1).mean() > 0.9


def test_of_another_game_nothing_is_changed():
  assert not chance.is_known("0" * 40)
  memory = np.zeros(65_536, np.uint8)
  with pytest.raises(KeyError):
    chance.change(memory, "0" * 40, 1)
  assert not memory.any()
