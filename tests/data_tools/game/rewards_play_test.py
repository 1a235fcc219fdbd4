"""Rewards in real play: attempts to farm them on the practice cartridges."""

import dataclasses
import itertools

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import battles
from data_tools.game import emulator
from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.game import rewards
from data_tools.game import roms
from data_tools.players import policies
from pokedreamer_jax import specs

_TERM = {name: i for i, name in enumerate(specs.REWARD_TERMS)}
_FIGHTER_HP = 0xD015  # of the member who fights
_OPPOSITE = {"up": "down", "down": "up", "left": "right", "right": "left"}


@dataclasses.dataclass
class _Played:
  """An episode: copied rows, their fields and what they pay."""

  rows: np.ndarray

  def __post_init__(self):
    self.state = game_state.decode(self.rows)
    paid = rewards.RewardTracker().update(self.rows, self.state)
    self.terms = paid["reward_terms"]
    self.outcomes = battles.outcomes(self.rows).tolist()

  def total(self, name):
    return self.terms[:, _TERM[name]].sum()


def _rom(world):
  return roms.resolve(str(cartridge.GREAT_VALE) if world == "vale" else None)


def _play(game, steps, choose):
  """Rows of `steps` steps; `choose(memory, t)` gives the name of an action."""
  rows = []
  for t in range(steps):
    rows.append(game.ram().copy())
    game.step(specs.ACTIONS.index(choose(game.memory, t)))
  return np.stack(rows)


def _player(world, text, seed=0):
  policy = policies.make_policy(text, _rom(world))
  policy.reset(np.random.default_rng(seed))
  return lambda memory, t: specs.ACTIONS[policy.act(memory)]


def _episode(world, start, text, seed, steps):
  rom = _rom(world)
  state = emulator.read_save_state(f"great_vale/{start}") if start else None
  with emulator.Emulator(rom) as game:
    game.reset(seed, state, 60)
    return _Played(_play(game, steps, _player(world, text, seed)))


@pytest.fixture(scope="module")
def episodes():
  plans = [
    ("one", "", "demonstrator:eps=0.5", 0, 500),
    ("one", "", "sticky_random", 1, 500),
    ("vale", "first_badge", "demonstrator", 2, 700),
    ("vale", "home", "demonstrator:eps=0.3", 3, 900),
    ("vale", "upper_cave", "demonstrator:eps=0.3", 4, 700),
    ("vale", "tide_hall", "sticky_random", 5, 500),
  ]
  return [_episode(*plan) for plan in plans]


def _rises(values):
  return int(values.max()) - int(values[0])


def test_totals_are_what_was_reached_and_not_how_often(episodes):
  for played in episodes:
    state = {k: v[played.state["game_running"]] for k, v in
             played.state.items()}  # fmt: skip
    assert played.total("new_maps") == len(np.unique(state["map_id"])) - 1
    assert played.total("badges") == _rises(np.bitwise_count(state["badges"]))
    assert played.total("species") == _rises(state["dex_owned"])
  maps = [int(np.count_nonzero(np.diff(p.state["map_id"]))) for p in episodes]
  assert sum(maps) > sum(p.total("new_maps") for p in episodes) + 5


def test_a_battle_pays_once_and_only_where_experience_or_money_rose(episodes):
  wins = 0
  for played in episodes:
    in_battle = played.state["in_battle"]
    fights = np.isin(in_battle, (1, 2))
    begun = np.flatnonzero(~fights[:-1] & fights[1:])
    ends = np.flatnonzero(fights[:-1] & ~fights[1:]) + 1
    won = played.terms[:, [_TERM["wild_wins"], _TERM["trainer_wins"]]]
    paid = np.flatnonzero(won.any(axis=1))
    assert set(paid) <= set(ends) and won.sum() == len(paid)
    xp = played.state["party_xp"].astype(int).sum(axis=1)
    for t in paid:
      wins += 1
      assert xp[t] > xp[begun[begun < t].max()]
  assert wins >= 10


def test_experience_never_exceeds_what_the_same_members_gained(episodes):
  for played in episodes:
    kept = played.state["party_xp"].astype(int)
    size = int(played.state["party_size"].min())
    gained = (kept[-1] - kept[0])[:size].sum() if size else 0
    later = kept[-1, size:].sum()
    assert 0 <= played.total("xp") <= gained + later
  assert sum(p.total("xp") for p in episodes) > 100


def test_lost_hp_are_the_falls_and_healing_is_worth_nothing(episodes):
  healed = fallen = 0
  for played in episodes:
    hp = played.state["party_hp"].astype(int)
    same = (
      np.diff(played.state["party_species"].astype(int), axis=0) == 0
    ).all(axis=1) & played.state["game_running"][:-1]
    change = np.diff(hp, axis=0) * same[:, None]
    np.testing.assert_array_equal(
      played.terms[1:, _TERM["hp_lost"]], -np.minimum(change, 0).sum(axis=1)
    )
    levels = np.diff(played.state["party_level"].astype(int), axis=0).any(
      axis=1
    )
    rise = (change > 0).any(axis=1) & ~levels
    healed += int(rise.sum())
    fallen += int((change < 0).sum())
    positive = [i for n, i in _TERM.items() if n not in ("hp_lost", "stuck")]
    at = np.flatnonzero(rise) + 1
    # What these rows pay, they pay for something else: a map, a battle.
    others = np.isin(played.state["map_id"][at], played.state["map_id"][at - 1])
    xp = played.terms[at][:, positive]
    assert not xp[others & (np.array(played.outcomes)[at] == 0)].any()
  assert healed > 0 and fallen > 20


@pytest.mark.parametrize("world", ["one", "vale"])
def test_going_in_and_out_of_a_door_pays_once(world):
  start = emulator.read_save_state("great_vale/home")
  with emulator.Emulator(_rom(world)) as game:
    game.reset(0, start if world == "vale" else None, 0)
    lead = _player(world, "demonstrator")
    rows = []
    for t in range(400):  # until the demonstrator goes through a door
      rows.append(game.ram().copy())
      before = game_state.from_memory(game.memory)
      game.step(specs.ACTIONS.index(lead(game.memory, t)))
      after = game_state.from_memory(game.memory)
      if before.game_running and after.map_id != before.map_id:
        break
    here, tried = game.save_state(), []
    for back, on in _OPPOSITE.items():
      game.resume(here)
      keys = itertools.cycle([back] * 4 + [on] * 4)
      tried.append(_play(game, 100, lambda memory, t, keys=keys: next(keys)))
    more = max(tried, key=_map_changes)
  played = _Played(np.concatenate([rows, more]))
  maps = played.state["map_id"][played.state["game_running"]]
  assert _map_changes(more) >= 8
  assert played.total("new_maps") == len(np.unique(maps)) - 1 <= 3


def _map_changes(rows):
  return np.count_nonzero(np.diff(game_state.decode(rows)["map_id"]))


def _towards(entry, key="down"):
  """Keys to an entry of the menu, and A; B where none is open."""

  def choose(memory):
    state = game_state.from_memory(memory)
    if not state.menu_open:
      return "b"
    return "a" if state.menu_item >= entry else key

  return choose


@pytest.mark.parametrize(("world", "entry"), [("one", 2), ("vale", 3)])
def test_running_from_every_battle_pays_nothing_for_them(world, entry):
  away, lead = _towards(entry), _player(world, "demonstrator:eps=0.6", 3)

  def choose(memory, t):
    wild = memory[ram.IN_BATTLE] == game_state.WILD
    return away(memory) if wild else lead(memory, t)

  start = emulator.read_save_state("great_vale/ledge_road")
  with emulator.Emulator(_rom(world)) as game:
    game.reset(1, start if world == "vale" else None, 60)
    played = _Played(_play(game, 900, choose))
  assert played.outcomes.count(battles.Outcome.RAN) >= 2
  assert played.total("wild_wins") == 0
  assert battles.Outcome.WIN not in [
    outcome
    for outcome, kind in zip(
      played.outcomes, np.r_[0, played.state["in_battle"][:-1]], strict=True
    )
    if kind == game_state.WILD
  ]


@pytest.mark.parametrize("world", ["one", "vale"])
def test_fainting_and_the_healing_after_a_blackout_pay_nothing(world):
  lead = _player(world, "demonstrator:eps=0.3", 5)
  start = emulator.read_save_state("great_vale/meadow_road")
  with emulator.Emulator(_rom(world)) as game:
    game.reset(2, start if world == "vale" else None, 60)
    for t in range(1500):
      if game.memory[ram.IN_BATTLE] not in (1, 2):
        game.step(specs.ACTIONS.index(lead(game.memory, t)))
        continue
      # Everyone is about to fall, who fights now too: before the first row.
      size = game.memory[ram.PARTY_SIZE]
      for address in (_FIGHTER_HP, *ram.HP_ADDRESSES[:size]):
        game.memory[address], game.memory[address + 1] = 0, 1
      rows = [game.ram().copy()]
      while rows[-1][ram.column(ram.IN_BATTLE)] in (1, 2):
        game.step(specs.ACTIONS.index("b"))
        rows.append(game.ram().copy())
      if rows[-1][ram.column(ram.IN_BATTLE)] == game_state.BLACKOUT:
        break
    game.step(specs.ACTIONS.index("b"))
    played = _Played(np.vstack([rows, _play(game, 60, lambda *_: "b")]))
  hp = played.state["party_hp"].astype(int).sum(axis=1)
  ends = np.flatnonzero(np.array(played.outcomes) == battles.Outcome.LOSS)
  assert len(ends) == 1
  blackout = np.flatnonzero(played.state["in_battle"] == game_state.BLACKOUT)
  assert len(blackout) and hp[-1] > hp[0]
  assert played.total("hp_lost") == hp[0]
  maps = np.unique(played.state["map_id"])
  assert played.total("new_maps") == len(maps) - 1
  for name in ("badges", "species", "xp", "wild_wins", "trainer_wins"):
    assert played.total(name) == 0, name
