"""Steps that are walked and not told yet, in caves of the great vale."""

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import emulator
from data_tools.game import game_state
from data_tools.game import input_scripts
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import policies
from data_tools.players import vale_state
from data_tools.records import episodes
from pokedreamer_jax import specs
from pokedreamer_jax.frames import packing
from pokedreamer_jax.world_model import atlas


def _played(state, length):
  """Rows of a game of the great vale that somebody plays, with mistakes."""
  rom = roms.resolve(str(cartridge.GREAT_VALE))
  policy = policies.make_policy("demonstrator:eps=0.3", rom)
  with emulator.Emulator(rom) as game:
    game.reset(0, emulator.read_save_state(f"great_vale/{state}", rom))
    parts = list(episodes.play(game, policy, 3, length))
  return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}


def test_who_arrives_stands_on_the_next_cell_and_memory_says_the_last():
  rows = _played("lower_cave", 1000)
  arrives = rows["arriving"]
  at = np.flatnonzero(arrives[:-1] & (rows["in_battle"][1:] == 0))
  at = at[rows["map_id"][at] == rows["map_id"][at + 1]]
  assert len(at) > 20
  assert not rows["has_control"][arrives].any()
  assert not rows["walk_counter"][arrives].any()
  assert not rows["scroll_y"][arrives].any()
  place = np.stack([rows["y"], rows["x"]], 1).astype(int)
  step = np.array([atlas.STEPS[name] for name in specs.FACINGS])
  on = place[at] + step[rows["facing"][at]]
  # It is told a frame later, and a row is longer; then another may begin.
  np.testing.assert_array_equal(place[at + 1], on)
  # Where somebody stood there, the picture is that one, a pixel before.
  free = rows["has_control"] & (rows["in_battle"] == 0)
  free &= ~rows["dialog_open"] & ~rows["menu_open"]
  seen = np.asarray(packing.unpack(rows["frame"])).astype(int)
  inside = (slice(20, 124), slice(20, 140))
  alike = []
  for t, cell in zip(at, on, strict=True):
    there = free & (rows["map_id"] == rows["map_id"][t])
    there &= (place == cell).all(1)
    back = step[rows["facing"][t]]
    for stood in seen[there]:
      shares = [
        (np.roll(stood, by * back, (0, 1))[inside] == seen[t][inside]).mean()
        for by in range(-16, 17)
      ]
      alike.append((int(np.argmax(shares)) - 16, max(shares)))
  assert len(alike) > 20
  by, shares = map(np.array, zip(*alike, strict=True))
  assert (by == 1).all()
  assert shares.mean() > 0.97


def test_where_steps_are_told_at_once_nobody_arrives():
  rows = _played("brookmere", 150)
  assert (np.diff(rows["x"].astype(int)) != 0).any()
  assert not rows["arriving"].any()


@pytest.mark.parametrize(
  ("counter", "x", "x_in_block", "arrives"),
  [(0, 4, 1, True), (0, 5, 1, False), (3, 4, 1, False), (0, 4, 0, False)],
)
def test_one_memory_and_many_say_the_same(counter, x, x_in_block, arrives):
  memory = bytearray(1 << 16)
  memory[ram.STATUS_FLAGS_6] = 1
  memory[ram.WALK_COUNTER], memory[ram.PLAYER_X] = counter, x
  memory[ram.PLAYER_X_IN_BLOCK] = x_in_block
  assert game_state.is_arriving(memory) == arrives
  state = game_state.from_memory(memory)
  assert state.arriving == arrives
  assert state.has_control == (not arrives and not counter)
  memory[ram.PLAYER_FACING] = 12
  assert vale_state.read(memory).here == (0, x + arrives, 0)
  memory[ram.STATUS_FLAGS_6] = 0  # no game runs
  assert not game_state.from_memory(memory).arriving


@pytest.mark.parametrize(
  ("text", "cells"), [("walk down 1", 1), ("press down 1\nwalk down 1", 2)]
)
def test_a_script_walks_as_many_cells_in_a_cave_as_it_says(text, cells):
  rom = roms.resolve(str(cartridge.GREAT_VALE))
  with emulator.Emulator(rom) as game:
    game.reset(0, emulator.read_save_state("great_vale/lower_cave", rom))
    before = game_state.from_memory(game.memory)
    script = input_scripts.parse(f"{text}\nuntil has_control within 3", rom)
    input_scripts.run(script, game)
    after = game_state.from_memory(game.memory)
  assert (after.x, after.y) == (before.x, before.y + cells)
