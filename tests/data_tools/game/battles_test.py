"""How battles end: by hand, against a plain loop, and in real play."""

import numpy as np
import pytest

from data_tools.game import battles
from data_tools.game import emulator
from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import policies
from pokedreamer_jax import specs

Outcome = battles.Outcome
_NAMES = (
  "STATUS_FLAGS_6", "IN_BATTLE", "BATTLE_RESULT", "BATTLE_TYPE",
  "ESCAPED_FROM_BATTLE", "CAPTURED_SPECIES", "PARTY_SIZE",
)  # fmt: skip


def rows_of(*steps):
  """Copied rows; each step changes some values, the others stay.

  `enemy` and `own` are the HP of the enemy and of the only member.
  """
  memory = np.zeros(1 << 16, np.uint8)
  now = dict.fromkeys(_NAMES, 0) | {"STATUS_FLAGS_6": 1, "PARTY_SIZE": 1}
  now |= {"enemy": 9, "own": 20}
  rows = np.zeros((len(steps), ram.RAM_BYTES), np.uint8)
  for row, step in zip(rows, steps, strict=True):
    now |= step
    for name in _NAMES:
      memory[getattr(ram, name)] = now[name]
    memory[ram.ENEMY_HP : ram.ENEMY_HP + 2] = divmod(now["enemy"], 256)
    memory[ram.PARTY + 1 : ram.PARTY + 3] = divmod(now["own"], 256)
    game_state.copy_ranges(memory, row)
  return rows


def ended(*steps, kind=1):
  """Outcome of a battle: seen alive, then `steps`, and it is over."""
  first = {"IN_BATTLE": kind}
  found = battles.outcomes(rows_of({}, first, *steps, {"IN_BATTLE": 0}, {}))
  assert not found[:-2].any() and not found[-1]  # said once, at the end
  return Outcome(int(found[-2]))


def test_decided_battles():
  assert ended({"enemy": 0}) == Outcome.WIN
  assert ended({"enemy": 0}, kind=2) == Outcome.WIN
  assert ended({"BATTLE_RESULT": 2}) == Outcome.RAN
  assert ended({"CAPTURED_SPECIES": 7}, {"BATTLE_RESULT": 2}) == Outcome.CAUGHT
  # The captured species may be cleared while the battle is still on.
  caught = ({"CAPTURED_SPECIES": 7}, {"CAPTURED_SPECIES": 0})
  assert ended(*caught, {"BATTLE_RESULT": 2}) == Outcome.CAUGHT
  assert ended({"own": 0}) == Outcome.LOSS
  # The first rival's fight is lost without a blackout.
  assert ended({"BATTLE_RESULT": 1}, kind=2) == Outcome.LOSS


def test_a_blackout_is_one_loss():
  lost = rows_of(
    {}, {"IN_BATTLE": 1}, {"own": 0}, {"IN_BATTLE": 255},
    {"IN_BATTLE": 0, "own": 20},
  )  # fmt: skip
  assert battles.outcomes(lost).tolist() == [0, 0, 0, Outcome.LOSS, 0]
  # Some games return to 0 first; poison in the field is no lost battle.
  late = rows_of(
    {"IN_BATTLE": 1}, {"IN_BATTLE": 0, "own": 0}, {"IN_BATTLE": 255}, {}
  )
  assert battles.outcomes(late).tolist() == [0, Outcome.LOSS, 0, 0]
  assert not battles.outcomes(rows_of({}, {"IN_BATTLE": 255}, {})).any()


def test_result_zero_is_also_no_decision():
  assert ended({"enemy": 4}) == Outcome.UNDECIDED  # it fled
  fled = ({"ESCAPED_FROM_BATTLE": 1}, {"enemy": 0, "ESCAPED_FROM_BATTLE": 0})
  assert ended(*fled) == Outcome.UNDECIDED
  assert ended({"enemy": 0, "BATTLE_TYPE": 1}) == Outcome.UNDECIDED
  staged = {"BATTLE_TYPE": 1, "CAPTURED_SPECIES": 3, "BATTLE_RESULT": 2}
  assert ended(staged) == Outcome.UNDECIDED
  off = rows_of({"IN_BATTLE": 1}, {"enemy": 0}, {"STATUS_FLAGS_6": 0})
  assert battles.outcomes(off)[-1] == Outcome.UNDECIDED


def test_stale_fields_of_the_battle_before_decide_nothing():
  # 0 HP and a catch stand in memory; the new enemy is never sent out.
  stale = rows_of(
    {"enemy": 0, "CAPTURED_SPECIES": 5}, {"CAPTURED_SPECIES": 0},
    {"IN_BATTLE": 1}, {"IN_BATTLE": 0}, {"IN_BATTLE": 1},
    {"BATTLE_RESULT": 2}, {"IN_BATTLE": 0},
  )  # fmt: skip
  assert battles.outcomes(stale).tolist() == [
    0, 0, 0, Outcome.UNDECIDED, 0, 0, Outcome.RAN
  ]  # fmt: skip


def _plainly(rows):
  """The same rules, one row after the other."""
  found, battle = [], None
  for row in rows:
    state = {k: v[0] for k, v in game_state.decode(row[None]).items()}
    value = {name: row[ram.column(getattr(ram, name))] for name in _NAMES}
    kind = int(state["in_battle"]) if state["in_battle"] in (1, 2) else 0
    outcome = Outcome.NONE
    if battle is not None and kind != battle["kind"]:
      result = value["BATTLE_RESULT"]
      if not state["game_running"] or kind:
        outcome = Outcome.UNDECIDED
      elif state["in_battle"] == 255 or not any(state["party_hp"]):
        outcome = Outcome.LOSS
      elif result == 1:
        outcome = Outcome.LOSS
      elif result == 2 and not battle["captured"]:
        outcome = Outcome.RAN
      elif battle["spoiled"]:
        outcome = Outcome.UNDECIDED
      elif result == 2:
        outcome = Outcome.CAUGHT
      elif result == 0 and battle["alive"] and battle["hp"] == 0:
        outcome = Outcome.WIN
      else:
        outcome = Outcome.UNDECIDED
      battle = None
    if kind:
      if battle is None:
        battle = {"kind": kind, "alive": 0, "spoiled": 0, "captured": 0}
      battle["hp"] = int(game_state.enemy_hp(row[None])[0])
      battle["alive"] |= battle["hp"] > 0
      battle["captured"] |= value["CAPTURED_SPECIES"] > 0
      battle["spoiled"] |= value["ESCAPED_FROM_BATTLE"] > 0
      battle["spoiled"] |= value["BATTLE_TYPE"] == 1
    found.append(int(outcome))
  return found


def _random_rows(count):
  rng = np.random.default_rng(3)
  return rows_of(
    *(
      {
        "STATUS_FLAGS_6": int(rng.random() < 0.97),
        "IN_BATTLE": int(rng.choice([0, 1, 1, 1, 1, 2, 2, 255])),
        "BATTLE_RESULT": int(rng.choice([0, 0, 0, 1, 2, 2, 3])),
        "BATTLE_TYPE": int(rng.choice([0, 0, 0, 0, 1, 2])),
        "ESCAPED_FROM_BATTLE": int(rng.random() < 0.1),
        "CAPTURED_SPECIES": int(rng.random() < 0.3),
        "enemy": int(rng.choice([0, 0, 300])),
        "own": int(rng.choice([0, 5, 5, 5])),
      }
      for _ in range(count)
    )
  )


def test_a_plain_loop_says_the_same_wherever_the_stream_is_cut():
  rows = _random_rows(1500)
  expected = _plainly(rows)
  assert set(expected) == set(Outcome)
  assert battles.outcomes(rows).tolist() == expected
  for cuts in ([0, 700, 700], range(1, len(rows))):
    tracker = battles.BattleTracker()
    parts = [tracker.update(part)[0] for part in np.split(rows, cuts)]
    assert np.concatenate(parts).tolist() == expected


def test_one_moment_at_a_time():
  memory = np.zeros(1 << 16, np.uint8)
  tracker = battles.BattleTracker()
  said = []
  for in_battle, enemy in [(0, 0), (1, 0), (1, 8), (1, 0), (0, 0), (0, 0)]:
    memory[ram.STATUS_FLAGS_6] = memory[ram.PARTY_SIZE] = 1
    memory[ram.PARTY + 2] = 20
    memory[ram.IN_BATTLE], memory[ram.ENEMY_HP + 1] = in_battle, enemy
    said.append(tracker.read(memory))
  assert said == [Outcome.NONE] * 4 + [Outcome.WIN, Outcome.NONE]


@pytest.fixture(scope="module")
def played():
  """Steps of the practice cartridge, in rows, frames apart."""
  rom = roms.resolve(None)
  rows = []
  for seed in range(4):
    policy = policies.make_policy("demonstrator:eps=0.3", rom)
    policy.reset(np.random.default_rng(seed))
    with emulator.Emulator(rom) as game:
      game.reset(seed, None, 60)
      episode = []
      for _ in range(260):
        episode.append(game.ram().copy())
        game.step(policy.act(game.memory))
      rows.append(np.stack(episode))
  return rows


def test_real_battles_end_as_the_game_shows_elsewhere(played):
  seen = set()
  for rows in played:
    state = game_state.decode(rows)
    found = battles.outcomes(rows)
    fights = np.isin(state["in_battle"], (1, 2))
    over = np.flatnonzero(fights[:-1] & ~fights[1:]) + 1
    assert np.flatnonzero(found).tolist() == over.tolist()
    begun = np.flatnonzero(~fights[:-1] & fights[1:])
    for t in over.tolist():
      outcome = Outcome(int(found[t]))
      seen.add(outcome)
      start = begun[begun < t].max()
      grew = state["party_size"][t] > state["party_size"][start]
      xp = state["party_xp"].astype(int)[:, 0]
      # Signals that the rules do not read.
      if outcome == Outcome.WIN:
        assert xp[t] > xp[start] and not grew
      if outcome == Outcome.CAUGHT:
        assert grew or state["dex_owned"][t] > state["dex_owned"][start]
      if outcome == Outcome.RAN:
        assert xp[t] == xp[start] and not grew
  assert {Outcome.WIN, Outcome.CAUGHT} <= seen


def test_the_result_alone_cannot_tell_a_catch_from_running(played):
  # What a test of the byte alone would say of the same ends.
  results = {Outcome.CAUGHT: set(), Outcome.RAN: set()}
  for rows in (*played, _run_away()):
    found = battles.outcomes(rows)
    for t in np.flatnonzero(np.isin(found, list(results))):
      outcome = Outcome(int(found[t]))
      results[outcome].add(int(rows[t, ram.column(ram.BATTLE_RESULT)]))
  assert results == {Outcome.CAUGHT: {2}, Outcome.RAN: {2}}


def _run_away():
  """Rows of the demonstrator, who runs from wild battles here."""
  rom = roms.resolve(None)
  policy = policies.make_policy("demonstrator", rom)
  policy.reset(np.random.default_rng(0))
  rows = []
  with emulator.Emulator(rom) as game:
    game.reset(0, None, 60)
    for _ in range(400):
      rows.append(game.ram().copy())
      action = policy.act(game.memory)
      if game.memory[ram.IN_BATTLE] == game_state.WILD:
        action = _towards_running(game.memory)
      game.step(action)
  rows = np.stack(rows)
  assert (battles.outcomes(rows) == Outcome.RAN).any()
  return rows


def _towards_running(memory):
  """Down to the last of three entries and A; B where no menu is open."""
  state = game_state.from_memory(memory)
  keys = ("down", "down", "a") if state.menu_open else ("b",) * 3
  return specs.ACTIONS.index(keys[min(state.menu_item, 2)])
