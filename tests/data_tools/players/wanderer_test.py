"""The wanderer goes where no errand leads, and where it cannot, it says so."""

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import policies
from pokedreamer_jax import specs
from tests.data_tools.players import vale_game

_STEPS = 1500
_HOUSES = (3, 11, 12)  # nobody there is needed


def _play(name, seed, steps):
  """Maps that one episode from power-on sees, and who chose its actions."""
  player = policies.make_policy(name, roms.resolve(str(cartridge.GREAT_VALE)))
  player.reset(np.random.default_rng(seed))
  maps, actions = [], []
  with vale_game.fresh_game(seed) as game:
    for _ in range(steps):
      actions.append(player.act(game.memory))
      game.step(actions[-1])
      maps.append(game.memory[ram.MAP_ID])
  return set(maps), actions, specs.BEHAVIOURS[player.chosen_by]


def test_it_sees_houses_that_no_errand_leads_to():
  maps, actions, chosen_by = _play("wanderer", 4, _STEPS)
  assert chosen_by == "wanderer"
  assert {*_HOUSES} <= maps and len(maps) >= 12
  assert _play("wanderer", 4, 200)[1] == actions[:200]  # all chance is seeded


def test_it_plays_full_worlds_only():
  rom = roms.resolve(str(cartridge.CHAPTER_ONE))
  with pytest.raises(ValueError, match=r"wanderer: it plays .*great_vale only"):
    policies.make_policy("wanderer", rom)
