"""Recorded rows in which goals are reached, and made-up ones."""

import functools

import numpy as np

from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import episodes as episodes_lib
from pokedreamer_jax import specs

# World -> start state, player, seed, rows at most. In each, every kind of goal
# is reached.
_PLAYED = {
  "chapter_one": ("", "demonstrator", 0, 400),
  "great_vale": ("great_vale/mill_road", "demonstrator:eps=0.2", 4, 700),
}
WORLDS = tuple(_PLAYED)


@functools.cache
def played(world):
  """Steps `[T, ...]` of one episode of a practice cartridge."""
  start, behaviour, seed, length = _PLAYED[world]
  rom = roms.resolve(world)
  state = emulator_lib.read_save_state(start) if start else None
  policy = policies.make_policy(behaviour, rom)
  with emulator_lib.Emulator(rom) as game:
    game.reset(seed, state, 60)
    chunks = list(episodes_lib.play(game, policy, seed, length))
  return {k: np.concatenate([c[k] for c in chunks]) for k in chunks[0]}


def random_rows(length, seed=0):
  """Rows of small random numbers, in which much happens by chance.

  Badges come in order, and a game that does not run has zero fields, as in all
  records; which maps were visited is right.
  """
  rng = np.random.default_rng(seed)
  rows = specs.empty_steps(length)
  draw = lambda *choices: rng.choice(choices, length)
  rows["is_first"] = rng.random(length) < 0.03
  rows["is_first"][0] = True
  rows["game_running"] = rng.random(length) < 0.95
  rows["map_id"] = rng.integers(1, 7, length)
  rows["y"], rows["x"] = rng.integers(0, 3, (2, length))
  rows["has_control"] = rng.random(length) < 0.6
  rows["in_battle"] = draw(0, 0, 0, 1, 2, 255)
  rows["dialog_open"] = rng.random(length) < 0.4
  rows["menu_open"] = rng.random(length) < 0.3
  rows["badges"] = draw(0, 1, 3)
  rows["dex_owned"] = rng.integers(1, 4, length)
  rows["party_size"][:] = 2
  for name in ("party_species", "party_level", "party_max_hp"):
    rows[name][:, :2] = 3 + (rng.random((length, 2)) < 0.1)
  rows["party_hp"][:, :2] = rng.integers(2, 5, (length, 2))
  rows["party_hp"][rng.random(length) < 0.1] = 0
  rows["capture_items"] = rng.integers(0, 3, length)
  rows["event_flags"] = rng.integers(0, 3, length)
  rows["reward_terms"] = rng.integers(0, 2, (length, specs.NUM_REWARD_TERMS))
  for field in specs.RAM_FIELDS:
    off = ~rows["game_running"]
    rows[field.name] = rows[field.name].astype(field.dtype)
    rows[field.name][off] = 0
  rows["reward_terms"] = rows["reward_terms"].astype(np.float32)
  rows["visited_maps"] = _visited(rows)
  specs.check_steps(rows)
  return rows


def _visited(rows):
  seen = np.zeros((len(rows["map_id"]), 256), bool)
  for t, first in enumerate(rows["is_first"]):
    if not first:
      seen[t] = seen[t - 1]
    if rows["game_running"][t]:
      seen[t, rows["map_id"][t]] = True
  return np.packbits(seen, axis=1, bitorder="little")
