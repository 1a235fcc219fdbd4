"""The great vale is fair: won by who plans, not by chance.

Seeds are those that nothing was tuned on; WORLD.md has the numbers of ten.
"""

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import emulator
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import demonstrator_small
from pokedreamer_jax import specs

WIN_LIMIT = 15_000  # steps from power-on
FIRST_BADGE_LIMIT = 2_500
RANDOM_STEPS = 5_000
SPECIES = 10


@pytest.fixture(scope="module")
def rom():
  if not cartridge.GREAT_VALE.is_file():
    pytest.skip("great_vale.gb is not built")
  return roms.resolve(str(cartridge.GREAT_VALE))


def play(rom, seed, limit, noise=0.0, save_state=None):
  """Plays one episode; returns what was reached, and when."""
  player_rng, noise_rng = np.random.default_rng(seed).spawn(2)
  player = demonstrator_small.make(rom.sha1)
  player.reset(player_rng)
  result = {"beaten": 0, "first_badge": None, "maps": set()}
  with emulator.Emulator(rom) as game:
    game.reset(seed, save_state, jitter_frames=24)
    for step in range(1, limit + 1):
      action = player.act(game.memory)
      if noise and noise_rng.random() < noise:
        action = int(noise_rng.integers(specs.NUM_ACTIONS))
      game.step(action)
      result["maps"].add(game.memory[ram.MAP_ID])
      if game.memory[ram.BADGE_FLAGS] and not result["first_badge"]:
        result["first_badge"] = step
      if game.memory[ram.HALL_OF_FAME]:
        result["beaten"] = step
        break
    owned = game.memory[ram.DEX_OWNED : ram.DEX_OWNED + ram.DEX_BYTES]
    result["badges"] = game.memory[ram.BADGE_FLAGS].bit_count()
    result["species"] = int.from_bytes(bytes(owned), "little").bit_count()
  return result


@pytest.mark.parametrize("seed", [101, 102])
def test_the_demonstrator_wins_in_time(rom, seed):
  result = play(rom, seed, WIN_LIMIT)
  assert result["beaten"] and result["badges"] == 3, result
  assert result["first_badge"] < FIRST_BADGE_LIMIT
  assert result["species"] >= SPECIES
  assert len(result["maps"]) >= 18


def test_chance_earns_no_badge(rom):
  result = play(rom, 103, RANDOM_STEPS, noise=1.0)
  assert result["badges"] == 0 and not result["beaten"]


def test_it_goes_on_from_where_others_left_it(rom):
  # From a start state, and pushed about.
  state = emulator.read_save_state("great_vale/key_cut", rom)
  result = play(rom, 104, WIN_LIMIT, noise=0.1, save_state=state)
  assert result["beaten"], result
