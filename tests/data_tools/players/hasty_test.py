"""One in haste shows what comes of meeting a leader too early."""

import numpy as np

from data_tools import cartridge
from data_tools.game import emulator
from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import policies
from pokedreamer_jax import specs
from pokedreamer_jax.config import behaviour
from pokedreamer_jax.config import run

_STEPS, _SEEDS = 160, range(6, 12)


def _levels_met(name, seed):
  """Own levels at which a trainer was met, and who chose the actions."""
  rom = roms.resolve(str(cartridge.CHAPTER_ONE))
  player = policies.make_policy(name, rom)
  player.reset(np.random.default_rng(seed))
  levels, before = [], 0
  game = emulator.Emulator(rom)
  game.reset(seed, jitter_frames=24)
  for _ in range(_STEPS):
    game.step(player.act(game.memory))
    fight = game.memory[ram.IN_BATTLE]
    if fight == game_state.TRAINER != before:
      levels.append(game.memory[ram.PARTY + ram.LEVEL_OFFSET])
    before = fight
  game.close()
  return levels, specs.BEHAVIOURS[player.chosen_by]


def test_leaders_are_met_weaker_than_a_demonstrator_dares():
  hasty = [_levels_met("hasty", seed) for seed in _SEEDS]
  patient = [_levels_met("demonstrator", seed) for seed in _SEEDS]
  weak = [min(levels) for levels, _ in hasty if levels]
  assert set(weak) == {5, 6}
  assert all(min(levels) >= 7 for levels, _ in patient if levels)
  assert any(levels for levels, _ in patient)
  assert {name for _, name in hasty} == {"hasty"}
  # Who comes back weak is beaten again: each of these tells more.
  assert max(len(levels) for levels, _ in hasty) >= 2


def test_it_is_recorded_by_default_and_never_cloned():
  mix = policies.parse_mix(run.CollectConfig().policy_mix)
  assert any(item.behaviour.startswith("hasty") for item in mix)
  assert "hasty" not in behaviour.CloneConfig().source_names
