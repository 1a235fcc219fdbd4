import dataclasses

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.collecting import collector
from data_tools.game import emulator as emulator_lib
from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.game import rewards
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import episodes
from pokedreamer_jax import specs


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.CHAPTER_ONE)


@pytest.fixture(scope="module")
def game(rom):
  with emulator_lib.Emulator(rom) as emulator:
    yield emulator


def _collection(rom, **changes):
  collection = collector.make_collection(
    rom, 7, 150, "sticky_random:eps=0.2=0.5,random=0.5", 60
  )
  return dataclasses.replace(collection, **changes)


def _record(game, collection, number):
  plan = episodes.plan(collection, number)
  policy = policies.make_policy(plan.behaviour, game.rom)
  jitter = game.reset(plan.seed, None, collection.jitter_frames)
  chunks = episodes.play(game, policy, plan.seed, collection.episode_length)
  parts = list(chunks)
  return episodes.header(collection, plan, jitter), {
    name: np.concatenate([part[name] for part in parts]) for name in parts[0]
  }


def test_replaying_the_actions_reproduces_every_frame_and_field(rom, game):
  header, steps = _record(game, _collection(rom), 3)
  assert specs.check_steps(steps) == 150
  with emulator_lib.Emulator(rom) as other:
    other.replay_reset(header.jitter_frames)
    for t, action in enumerate(steps["action"]):
      np.testing.assert_array_equal(other.frame(), steps["frame"][t])
      for name, value in game_state.decode(other.ram()[None]).items():
        np.testing.assert_array_equal(value[0], steps[name][t], err_msg=name)
      other.step(action)


def test_the_rewards_see_a_demonstrator_win(rom, game):
  policy = policies.make_policy("demonstrator", rom)
  for seed in range(3):
    game.reset(seed, jitter_frames=60)
    summary = episodes.Summary()
    for steps in episodes.play(game, policy, seed, 1000):
      summary.add(steps)
    found = summary.to_dict()
    terms = found["reward_terms"]
    assert found["is_terminal"]
    # One leader with one badge; every map but the first is new.
    assert (terms["badges"], terms["trainer_wins"]) == (1, 1)
    assert terms["new_maps"] == len(found["maps"]) - 1
    assert 0 < terms["wild_wins"] < found["battles"] and terms["xp"] > 0
    assert terms["hp_lost"] > 0


def test_flags_and_the_last_action(rom, game):
  _, steps = _record(game, _collection(rom), 0)
  t = np.arange(150)
  np.testing.assert_array_equal(steps["is_first"], t == 0)
  np.testing.assert_array_equal(steps["is_last"], t == 149)
  assert not steps["is_terminal"].any()
  assert steps["action"][-1] == specs.PASS
  assert steps["behaviour"][-1] == specs.BEHAVIOURS.index("none")
  assert (steps["behaviour"][:-1] != specs.BEHAVIOURS.index("none")).all()
  assert not steps["reward_terms"][0].any()


def test_an_episode_does_not_depend_on_what_was_played_before(rom, game):
  collection = _collection(rom)
  first = _record(game, collection, 5)
  _record(game, collection, 6)
  again = _record(game, collection, 5)
  assert first[0] == again[0]
  for name in specs.STEP_FIELD_NAMES:
    np.testing.assert_array_equal(first[1][name], again[1][name])


def test_plans_differ_by_number_and_seed(rom):
  collection = _collection(rom)
  plans = [episodes.plan(collection, i) for i in range(50)]
  assert len({plan.seed for plan in plans}) == 50
  assert {plan.behaviour for plan in plans} == {
    "sticky_random:eps=0.2", "random"
  }  # fmt: skip
  other = dataclasses.replace(collection, seed=8)
  assert episodes.plan(other, 0) != plans[0]


def test_a_collection_is_named_by_all_that_decides_it(rom):
  collection = _collection(rom)
  changes = [
    {},
    {"seed": 8},
    {"episode_length": 151},
    {"policy_mix": "random"},
    {"jitter_frames": 0},
    {"start_state_sha1": "ab"},
    {"pyboy_version": "0"},
  ]
  names = {dataclasses.replace(collection, **c).digest for c in changes}
  assert len(names) == len(changes)


def test_bad_settings_are_named(rom):
  for changes, name in [
    ({"episode_length": 1}, "episode_length: 1"),
    ({"jitter_frames": -1}, "jitter_frames -1"),
    ({"policy_mix": "walker"}, "walker"),
  ]:
    with pytest.raises(ValueError, match=name):
      _collection(rom, **changes)


class _BeatenAt:
  """Stands in for an emulator whose game is beaten at a given row."""

  def __init__(self, rom, row):
    self.rom, self.memory = rom, None
    self._row, self._t = row, 0

  def frame(self):
    return np.zeros((144, 40), np.uint8)

  def ram(self):
    row = np.zeros(ram.RAM_BYTES, np.uint8)
    row[ram.column(ram.STATUS_FLAGS_6)] = self._t > 0
    row[ram.column(ram.HALL_OF_FAME)] = 2 + (self._t >= self._row)
    return row

  def step(self, action):
    self._t += 1


@pytest.mark.parametrize("row", [1, 63, 64, 65, 99, 200])
def test_an_episode_ends_where_the_game_is_beaten(rom, row):
  parts = list(episodes.play(_BeatenAt(rom, row), policies.Random(), 0, 100))
  steps = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
  # At row 1 the game is first seen running, so nothing was beaten since.
  beaten = 1 < row < 100
  length = row + 1 if beaten else 100
  t = np.arange(length)
  np.testing.assert_array_equal(steps["is_last"], t == length - 1)
  np.testing.assert_array_equal(
    steps["is_terminal"], beaten & (t == length - 1)
  )
  assert steps["action"][-1] == specs.PASS


def test_the_end_is_the_same_by_rows_and_by_chunks():
  rng = np.random.default_rng(0)
  rows = np.zeros((500, ram.RAM_BYTES), np.uint8)
  rows[:, ram.column(ram.STATUS_FLAGS_6)] = rng.random(500) < 0.8
  rows[:, ram.column(ram.HALL_OF_FAME)] = rng.integers(0, 3, 500)
  end, tracker = rewards.EndOfGame(), rewards.RewardTracker()
  by_rows = [end.update(row) for row in rows]
  chunks = np.split(rows, range(64, 500, 64))
  by_chunks = np.concatenate(
    [tracker.update(c, game_state.decode(c))["is_terminal"] for c in chunks]
  )
  np.testing.assert_array_equal(by_rows, by_chunks)
  assert 0 < sum(by_rows) < 500


def test_an_unknown_game_has_frames_only(tmp_path, rom):
  data = bytearray(rom.read())
  data[0x7FF0] ^= 1
  data[0x14E:0x150] = roms.global_checksum(data)
  (tmp_path / "patched.gb").write_bytes(data)
  other = roms.resolve(tmp_path / "patched.gb")
  with emulator_lib.Emulator(other) as game:
    _, steps = _record(game, _collection(other), 1)
  assert len(np.unique(steps["frame"], axis=0)) > 1
  assert not steps["reward_terms"].any() and not steps["visited_maps"].any()
  for field in specs.RAM_FIELDS:
    assert not steps[field.name].any(), field.name


def test_the_summary_does_not_depend_on_chunks(rom, game):
  _, steps = _record(game, _collection(rom), 2)
  steps["in_battle"][:] = [0, 1, 1, 0, 2] * 30
  whole, parts = episodes.Summary(), episodes.Summary()
  whole.add(steps)
  for start in range(0, 150, 7):
    parts.add({k: v[start : start + 7] for k, v in steps.items()})
  assert whole.to_dict() == parts.to_dict()
  assert whole.to_dict()["battles"] == 60
