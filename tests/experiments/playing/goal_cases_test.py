"""Play under goals: which cases are drawn, and that moments are entered right.

Recorded on the practice cartridge: an agent that does what the recording did
reaches each goal exactly when the recording did.
"""

import dataclasses
import types

import numpy as np
import pytest

from data_tools.envs import vector
from data_tools.game import goals
from experiments.playing import entering
from experiments.playing import goal_cases
from experiments.playing import goal_episodes
from experiments.reports import goal_evaluation
from experiments.reports import goal_tables
from experiments.reports import text_tables
from experiments.runs import inputs
from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.evaluation import honesty
from pokedreamer_jax.world_model import tokens
from tests.experiments.playing import goal_policies
from tests.experiments.playing import recordings
from tests.pokedreamer_jax import fakes

_JITTER, _LENGTH = recordings.JITTER, 190
_KINDS = {"map": 2.0, "tile": 1.0, "win_wild": 1.0, "level": 1.0, "heal": 0.0}


@pytest.fixture(scope="module")
def recorded():
  """Two demonstrator's episodes, and an index of them."""
  return recordings.record((3, 4), _LENGTH)


@pytest.fixture(scope="module")
def cases(recorded):
  return goal_cases.choose(
    recorded[2], [0, 1], _KINDS, 3, 32, 40, 150, np.random.default_rng(0)
  )


def test_a_case_is_reached_when_it_says_and_not_before(recorded, cases):
  kinds = [case.goal.kind for case in cases]
  assert set(kinds) == {"map", "tile", "win_wild", "level"}
  labels = [case.label for case in cases]
  assert all(labels.count(label) <= 3 for label in labels)
  for case in cases:
    if case.off_way:
      continue
    hits = np.flatnonzero(goals.reached(recorded[1][case.place], case.goal))
    later = hits[hits > case.row]
    assert later[0] - case.row == case.env_steps <= 32
    assert case.row <= 150


def test_goals_off_the_way_are_reached_from_the_cell_by_others(recorded, cases):
  off = [case for case in cases if case.off_way]
  assert off
  for case in off:
    mine, theirs = recorded[1][case.place], recorded[1][1 - case.place]
    own = goals.reached(mine, case.goal)[case.row : case.row + 41]
    assert not own.any()
    same = np.all([theirs[n] == mine[n][case.row] for n in goals.CELL], axis=0)
    hits = np.flatnonzero(goals.reached(theirs, case.goal))
    ahead = hits[None] - np.flatnonzero(same)[:, None]
    assert (ahead == case.env_steps).any()


def test_goals_of_a_kind_and_episodes_take_turns(cases):
  tiles = [case.goal for case in cases if case.label == "tile"]
  assert len(set(tiles)) == len(tiles)
  assert {case.place for case in cases} == {0, 1}


def test_the_other_goal_is_no_way_to_the_right_one(cases):
  assert any(case.other.kind != "none" for case in cases)
  for case in cases:
    assert case.other != case.goal
    if case.goal.kind in ("map", "tile") and case.other.kind in ("map", "tile"):
      assert case.other.map_id != case.goal.map_id
    assert not {case.goal.kind, case.other.kind} <= {"win", "win_wild"}


def test_an_agent_that_repeats_the_recording_reaches_each_goal_in_time(
  recorded, cases, monkeypatch
):
  rom, made, index = recorded
  chosen = [case for case in cases if not case.off_way]
  chosen = sorted(chosen, key=lambda case: case.row)[:3]
  given = []

  def make_act(*_):
    played = iter(range(10_000))

    def act(state, frame, ram, is_first, key):
      del ram, is_first, key
      t = next(played)
      if t == 0:
        given.append(np.asarray(state.goal))
      # In the streams' order: a case stands there for each condition.
      padded = sorted(chosen, key=lambda case: case.row)
      padded += padded[-1:] * (len(frame) // 3 - len(padded))
      action = [
        made[c.place]["action"][min(t, _LENGTH - 1)]
        for c in padded
        for _ in range(3)
      ]
      return state, np.array(action)

    return act

  monkeypatch.setattr(acting, "make_act", make_act)
  monkeypatch.setattr(entering, "STREAMS", 9)
  config = fakes.config(
    "actor_critic.goal_dim=64", "actor_critic.reads_goal=true"
  )
  agent = types.SimpleNamespace(
    config=config, world_params=None, actor_params=None
  )
  setting = entering.Setting(rom, index, _JITTER, 40)
  found = goal_episodes.play(agent, chosen, setting).reached
  wanted = np.array([case.env_steps for case in chosen])
  np.testing.assert_array_equal(found, np.repeat(wanted[:, None], 3, axis=1))
  # The conditions differ in the goal that is read.
  assert not given[0][2::3].any()
  assert (given[0][0] != given[0][1]).any()
  wrong = dataclasses.replace(setting, jitter_frames=7)
  with pytest.raises(ValueError, match="is not what playing it again shows"):
    goal_episodes.play(agent, chosen[:1], wrong)


def test_the_agent_acts_from_the_entered_row_on_and_not_before(
  recorded, cases, monkeypatch
):
  rom, made, index = recorded
  case = min(
    (case for case in cases if not case.off_way), key=lambda case: case.row
  )
  presses, step = [], vector.VectorEmulator.step
  monkeypatch.setattr(
    vector.VectorEmulator,
    "step",
    lambda self, actions: presses.append(actions) or step(self, actions),
  )
  act = lambda state, frame, *_: (state, np.full(len(frame), specs.PASS))
  monkeypatch.setattr(acting, "make_act", lambda *_: act)
  monkeypatch.setattr(entering, "STREAMS", 3)
  config = fakes.config(
    "actor_critic.goal_dim=64", "actor_critic.reads_goal=true"
  )
  agent = types.SimpleNamespace(
    config=config, world_params=None, actor_params=None
  )
  # At a row where the recording does not wait.
  row = next(
    row
    for row in range(case.row, _LENGTH)
    if made[case.place]["action"][row] != specs.PASS
  )
  entered = dataclasses.replace(case, row=row)
  setting = entering.Setting(rom, index, _JITTER, 2)
  goal_episodes.play(agent, [entered], setting)
  pressed = np.stack(presses)
  np.testing.assert_array_equal(
    pressed[:row], np.repeat(made[case.place]["action"][:row, None], 3, axis=1)
  )
  assert len(pressed) > row and (pressed[row:] == specs.PASS).all()


def test_dreams_go_on_from_where_games_are_entered(
  recorded, cases, monkeypatch, tmp_path
):
  rom, made, index = recorded
  chosen = [case for case in cases if not case.off_way][:2]
  goal_policies.write(tmp_path)
  agent = inputs.load_agent(str(tmp_path))
  seen = []

  def make(config, length, samples, greedy):
    assert (length, samples, greedy) == (3, 5, False)

    def dream(world, actor, key, state, earned, asked):
      seen.append((state, earned, asked))
      return np.arange(len(asked)) / 8

    return dream

  monkeypatch.setattr(honesty, "make_goal_dream_fn", make)
  monkeypatch.setattr(entering, "STREAMS", 6)
  setting = entering.Setting(rom, index, _JITTER, 3)
  ends = goal_episodes.play(agent, chosen, setting, dreams=5)
  ((state, earned, asked),) = seen
  order = sorted(range(2), key=lambda i: chosen[i].row)
  assert [ends.dreamt[i] for i in order] == [0.0, 0.125]
  sizes = agent.config.world_model.token_sizes
  numbers = np.asarray(tokens.numbers(sizes, state.model.tokens))
  for at, case in enumerate(chosen[i] for i in order):
    steps = made[case.place]
    for name, field in (("map", "map_id"), ("y", "y"), ("x", "x")):
      value = min(int(steps[field][case.row]), sizes[name] - 1)
      assert numbers[at, list(sizes).index(name)] == value
    np.testing.assert_array_equal(asked[at], case.goal.to_array())
    np.testing.assert_array_equal(
      state.goal[at], goal_embeddings.embed_goal(case.goal)
    )
    until = steps["reward_terms"][: case.row + 1].sum(axis=0)
    np.testing.assert_allclose(earned[at], until, rtol=1e-4)
  assert goal_episodes.play(agent, chosen, setting).dreamt is None


def test_shares_gains_and_words():
  reached = np.array([[4, -1, -1], [9, -1, 3], [-1, -1, -1], [5, 5, 5]])
  kinds = ["map", "map", "heal", "heal"]
  found = goal_tables.measure(kinds, [0, 1, 0, 1], reached, 200)
  assert found["map"]["right"] == 1.0 and found["map"]["none"] == 0.5
  assert found["map"]["median_steps"] == 6.5
  assert found["heal"]["over_other"]["mean"] == 0.0
  assert found[goal_tables.ALL]["cases"] == 4
  result = {"players": {"policy": found}, "limit": 96, "horizon": 32}
  table = goal_tables.tables(result)[0]
  assert table.rows[0][:6] == ["map", "2", "100%", "0%", "50%", "6"]
  verdict = goal_tables.verdicts(result)[0]
  assert "below 90 %: heal" in verdict.text
  kinds = ["map", "map, off the way", "heal, off the way", "heal"]
  apart = goal_tables.measure(kinds, [0, 1, 0, 1], reached, 200)
  assert apart["all off the way"]["cases"] == 2
  assert apart["all off the way"]["right"] == 0.5
  assert text_tables.plain_table(table)
  alone = goal_tables.measure(["map"], [0], reached[:1], 200)
  assert alone["map"]["over_none"] is None


def test_dreams_under_goals_stand_beside_games():
  reached = np.array([[4, -1, -1], [9, -1, 3], [-1, -1, -1], [5, 5, 5]])
  groups = np.array([0, 1, 0, 1])
  worse = np.where(np.arange(4)[:, None] == 1, -1, reached)
  once = [steps[:, :1] >= 0 for steps in (worse, reached)]
  ends = {
    "clone": goal_episodes.Ends(
      worse, np.array([0.5, 0.25, 0.0, 1.0]), once[0]
    ),
    "policy": goal_episodes.Ends(
      reached, np.array([0.75, 0.5, 0.0, 1.0]), once[1]
    ),
  }
  kinds = ["map", "map", "heal", "heal"]
  players = {
    name: goal_tables.measure(kinds, groups, end.reached, 200, end.dreamt)
    for name, end in ends.items()
  }
  assert players["policy"]["map"]["dreamt"] == 0.625
  found = goal_evaluation.held_against_games(ends, groups, 200)
  assert found["players"]["policy"]["real"] == 0.75
  assert found["players"]["policy"]["other_luck"] is None
  gain = found["gains"]["policy - clone"]
  assert gain["dreamt"]["mean"] == 0.125 and gain["real"]["mean"] == 0.25
  assert gain["ratio"]["value"] == 2.0
  result = {"players": players, "limit": 9, "horizon": 3, "dreams": found}
  tables = goal_tables.tables(result)
  assert tables[1].rows[0][:5] == ["map", "2", "100%", "62%", "0%"]
  assert tables[2].rows[0][:3] == ["clone", "0.44", "0.50"]
  assert tables[2].rows[0][-1] == "-"
  assert tables[3].rows[0][0] == "policy - clone"
  assert all(text_tables.plain_table(table) for table in tables)


def test_games_are_played_again_with_other_luck(
  recorded, cases, monkeypatch, tmp_path
):
  rom, _, index = recorded
  chosen = [case for case in cases if not case.off_way][:2]
  goal_policies.write(tmp_path)
  agent = inputs.load_agent(str(tmp_path))
  monkeypatch.setattr(entering, "STREAMS", 6)
  given = []
  play = entering.play

  def watched(agent, act, entries, setting, seed, vectors):
    given.append((seed, vectors))
    return play(agent, act, entries, setting, seed, vectors)

  monkeypatch.setattr(entering, "play", watched)
  setting = entering.Setting(rom, index, _JITTER, 3)
  ends = goal_episodes.play(agent, chosen, setting, games=5)
  once = goal_episodes.play(agent, chosen, setting)
  assert ends.games.shape == (2, 5) and once.games.shape == (2, 1)
  np.testing.assert_array_equal(ends.reached, once.reached)
  np.testing.assert_array_equal(ends.games[:, 0], once.games[:, 0])
  # Two further passes of three games, each of a luck of its own.
  first, *further, again = given
  assert len(further) == 2 and again[0] == first[0]
  assert len({seed for seed, _ in given}) == 3
  order = sorted(chosen, key=lambda case: case.row)
  right = [goal_embeddings.embed_goal(c.goal) for c in order for _ in range(3)]
  for _, vectors in further:
    np.testing.assert_array_equal(vectors, right)


def test_more_games_are_held_against_dreams():
  groups = np.array([0, 1, 0, 1])
  games = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
  steps = np.where(games[:, :1] > 0, 4, -1) * np.ones((1, 3), int)
  dreamt = games.mean(axis=1)
  ends = {
    "clone": goal_episodes.Ends(steps, dreamt / 2, games * 0),
    "policy": goal_episodes.Ends(steps, dreamt, games),
  }
  found = goal_evaluation.held_against_games(ends, groups, 200)
  policy = found["players"]["policy"]
  assert policy["correlation"]["value"] == pytest.approx(1.0)
  halves = np.corrcoef(games[:, :2].mean(axis=1), games[:, 2:].mean(axis=1))
  assert policy["other_luck"] == pytest.approx(halves[0, 1])
  assert found["players"]["clone"]["correlation"] is None
  assert found["gains"]["policy - clone"]["real"]["mean"] == 7 / 16


def test_none_where_nothing_was_reached(recorded):
  index = recorded[2]
  assert not goal_cases.choose(
    index, [0, 1], {"badge": 1.0}, 3, 5, 9, 3, np.random.default_rng(0)
  )
