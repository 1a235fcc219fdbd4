"""The wanderer goes where no errand leads, and where it cannot, it says so."""

import dataclasses

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import emulator
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import policies
from data_tools.players import screen_text
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
  maps, actions, chosen_by = _play("wanderer", 6, _STEPS)
  assert chosen_by == "wanderer"
  maps |= _play("wanderer", 8, _STEPS)[0]
  assert {*_HOUSES} <= maps and len(maps) >= 12
  assert _play("wanderer", 6, 200)[1] == actions[:200]  # all chance is seeded


def test_it_sees_rooms_of_a_small_world_from_all_sides():
  cells = {"wanderer": set(), "demonstrator": set()}
  rom = roms.resolve(str(cartridge.CHAPTER_ONE))
  for name, found in cells.items():
    for seed in (0, 3, 4):
      player = policies.make_policy(f"{name}:eps=0.3", rom)
      player.reset(np.random.default_rng(seed))
      with emulator.Emulator(rom) as game:
        game.reset(seed, jitter_frames=24)
        for _ in range(500):
          game.step(player.act(game.memory))
          where = (ram.MAP_ID, ram.PLAYER_X, ram.PLAYER_Y)
          found.add(tuple(int(game.memory[place]) for place in where))
  for number, place in cartridge.world(rom.sha1).maps.items():
    if place.grass.any():
      continue
    seen = {n: sum(c[0] == number for c in found) for n, found in cells.items()}
    assert seen["wanderer"] > place.walkable.sum() / 2, place.name
    assert seen["wanderer"] > 2 * seen["demonstrator"], place.name


def test_it_throws_lanterns_when_there_are_none():
  rom = roms.resolve(str(cartridge.CHAPTER_ONE))
  player = policies.make_policy("wanderer", rom)
  said = 0
  for seed in range(4):
    player.reset(np.random.default_rng(seed))
    with emulator.Emulator(rom) as game:
      game.reset(seed)
      for _ in range(600):
        game.step(player.act(game.memory))
        lines = screen_text.read(game.memory)
        said += any("NO LANTERNS" in line for line in lines)
  assert said >= 3


def test_it_plays_practice_cartridges_only():
  rom = dataclasses.replace(
    roms.resolve(str(cartridge.CHAPTER_ONE)), sha1="0" * 40
  )
  with pytest.raises(ValueError, match=r"wanderer: it plays practice"):
    policies.make_policy("wanderer", rom)
