"""Plays the great vale for tests."""

import hashlib

import numpy as np

from data_tools import cartridge
from data_tools.cartridge import generator
from data_tools.cartridge import tables as source
from data_tools.game import emulator
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import demonstrator_small
from pokedreamer_jax import specs

A, B, PASS = (specs.ACTIONS.index(name) for name in ("a", "b", "pass"))
START = specs.ACTIONS.index("start")
BLACKOUT = 255
BAG_COUNT, BAG_ITEMS = 0xD31D, 0xD31E
ACTIVE_SLOT, OWN_SPECIES = 0xCC2F, 0xD014


def read_tables():
  return source.read(generator.WORLDS / "great_vale")


def read_facts():
  sha1 = hashlib.sha1(cartridge.GREAT_VALE.read_bytes()).hexdigest()
  found = cartridge.facts(sha1)
  assert found is not None
  return found


def fresh_game(seed=0):
  game = emulator.Emulator(roms.resolve(str(cartridge.GREAT_VALE)))
  game.reset(seed, jitter_frames=24)
  return game


def new_player(seed):
  player = demonstrator_small.make(read_facts()["rom_sha1"])
  player.reset(np.random.default_rng(seed))
  return player


def flags_of(memory):
  data = memory[ram.EVENT_FLAGS : ram.EVENT_FLAGS + 40]
  return int.from_bytes(bytes(data), "little")


def money_of(memory):
  digits = bytes(memory[ram.MONEY : ram.MONEY + 3]).hex()
  return int(digits)


def bag_of(memory):
  pairs = memory[BAG_ITEMS : BAG_ITEMS + 40][: 2 * memory[BAG_COUNT]]
  return dict(zip(pairs[::2], pairs[1::2], strict=True))
