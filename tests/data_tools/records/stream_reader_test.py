"""Episodes read side by side, against each of them read alone."""

import dataclasses

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.records import episodes
from pokedreamer_jax import specs

_STREAMS, _STEPS = 3, 300
# Address -> what it changes to now and then.
_CHANGES = {
  ram.STATUS_FLAGS_6: (0, 1, 1, 1, 1, 1, 1, 1),
  ram.IN_BATTLE: (0, 0, 0, 1, 1, 2, 2, 255),
  ram.BATTLE_RESULT: (0, 0, 0, 0, 0, 1, 2),
  ram.BATTLE_TYPE: (0, 0, 0, 0, 0, 1),
  ram.ENEMY_HP + 1: (0, 7),
  ram.CAPTURED_SPECIES: (0, 0, 0, 0, 0, 9),
  ram.ESCAPED_FROM_BATTLE: (0, 0, 0, 0, 0, 1),
  ram.MAP_ID: (1, 2, 3, 40),
  ram.BADGE_FLAGS: (0, 1, 3),
  ram.DEX_OWNED: (1, 3, 7, 15),
  ram.PARTY_SIZE: (1, 1, 1, 2),
  ram.PARTY_SPECIES: (4, 4, 4, 5),
  ram.PARTY + ram.HP_OFFSET + 1: (0, 5, 6, 7, 9, 11, 12),
  ram.PARTY + ram.XP_OFFSET + 2: (10, 20, 30, 90),
  ram.HALL_OF_FAME: (0, 0, 0, 1),
}


def _memory(rng):
  """Rows `[T, RAM_BYTES]` of a game in which anything may happen."""
  memory = np.zeros(1 << 16, np.uint8)
  rows = np.zeros((_STEPS, ram.RAM_BYTES), np.uint8)
  for row in rows:
    for address, values in _CHANGES.items():
      often = address in (ram.IN_BATTLE, ram.ENEMY_HP + 1)
      if rng.random() < (0.4 if often else 0.1):
        memory[address] = rng.choice(values)
    game_state.copy_ranges(memory, row)
  return rows


def _assert_same(found, expected, k):
  assert set(found) == set(expected) == set(specs.STEP_FIELD_NAMES)
  for name in expected:
    assert found[name].dtype == expected[name].dtype, name
    np.testing.assert_array_equal(
      found[name][k], expected[name][0], err_msg=name
    )


@pytest.mark.parametrize("known", [True, False])
def test_side_by_side_they_are_what_they_are_alone(known):
  rng = np.random.default_rng(0)
  rom = roms.resolve(str(cartridge.CHAPTER_ONE))
  if not known:
    rom = dataclasses.replace(rom, kind="unknown")
  assert rom.has_ram_fields == known
  memory = [_memory(rng) for _ in range(_STREAMS)]
  frames = rng.integers(0, 256, (_STREAMS, _STEPS, 144, 40), np.uint8)
  reader = episodes.StreamReader(rom, _STREAMS)
  alone = [episodes.RowReader(rom) for _ in range(_STREAMS)]
  at = np.zeros(_STREAMS, int)  # rows that each has shown
  paid = np.zeros(specs.NUM_REWARD_TERMS)
  while at.min() < _STEPS:
    for number in range(_STREAMS):  # some end, and others begin
      if rng.random() < 0.01:
        reader.restart(number)
        alone[number] = episodes.RowReader(rom)
    which = np.flatnonzero((rng.random(_STREAMS) < 0.7) & (at < _STEPS))
    which = rng.permutation(which)
    if not len(which):
      continue
    found = reader.read(
      which,
      frames[which, at[which]],
      np.stack([memory[number][at[number]] for number in which]),
    )
    for k, number in enumerate(which):
      row = slice(at[number], at[number] + 1)
      expected = alone[number].read(frames[number, row], memory[number][row])
      _assert_same(found, expected, k)
    again = reader.again(
      which,
      frames[which, at[which]],
      np.stack([memory[number][at[number]] for number in which]),
    )
    assert not again["reward_terms"].any()
    for name in set(specs.STEP_FIELD_NAMES) - {"reward_terms", "is_last"}:
      np.testing.assert_array_equal(again[name], found[name], err_msg=name)
    at[which] += 1
    paid += np.abs(found["reward_terms"]).sum(axis=0)
  assert (paid > 0).all() == known  # every term was there
