"""One decision of both systems: who sees what, and when."""

import time
import types

import jax
import numpy as np
import pytest

from data_tools.game import roms
from experiments.playing import dual_agent
from experiments.playing import play_episodes
from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import goal_values
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.planner import driver
from pokedreamer_jax.planner import progress
from tests.pokedreamer_jax import fakes
from tests.pokedreamer_jax.planner import games

_GOALS = ("actor_critic.goal_dim=64", "actor_critic.reads_goal=true")


class _Act:
  """In place of the jitted step: remembers what it was given."""

  def __init__(self, monkeypatch):
    self.goals, self.keys = [], []
    monkeypatch.setattr(acting, "make_act", lambda *_: self)

  def __call__(self, state, frame, ram, is_first, keys):
    self.goals.append(np.asarray(state.goal))
    self.keys.append(np.asarray(jax.random.key_data(keys)))
    return state, np.full(len(frame), specs.PASS)


def _agent(*overrides):
  return types.SimpleNamespace(
    config=fakes.config(*overrides), world_params=None, actor_params=None
  )


def _row(*one):
  """Rows of games beside each other, `[N, ...]`."""
  return {name: np.stack([row[name] for row in one]) for name in one[0]}


def _driver(**settings):
  return driver.Driver(games.small_world(), **settings)


def test_a_goal_is_read_on_the_row_on_which_it_was_named(monkeypatch):
  act = _Act(monkeypatch)
  dual = dual_agent.DualAgent(_agent(*_GOALS), [_driver(), _driver()], [0, 1])
  both = np.ones(2, bool)
  found = dual.decide(_row(games.row(), games.row(game_running=False)), both)
  named = goal_specs.Goal("map", 2)
  assert found.goals == (named, goal_specs.NONE)
  expected = goal_embeddings.embed_goals([named, goal_specs.NONE])
  np.testing.assert_array_equal(act.goals[0], expected)
  # The predicate judges the step that arrives, and another goal follows.
  dual.decide(_row(games.row(), games.row()), both)
  found = dual.decide(_row(games.row(map_id=2), games.row()), both)
  assert found.reached.tolist() == [True, False]
  assert [str(goal) for goal in found.goals] == [
    "win trainer battle",
    "reach map 2",
  ]
  np.testing.assert_array_equal(
    act.goals[2], goal_embeddings.embed_goals(found.goals)
  )


def test_a_game_that_has_ended_asks_nobody(monkeypatch):
  _Act(monkeypatch)
  drivers = [_driver(), _driver()]
  dual = dual_agent.DualAgent(_agent(*_GOALS), drivers, [0, 1])
  row = _row(games.row(), games.row())
  for _ in range(3):
    dual.decide(row, np.array([True, False]))
  assert [d.summary()["env_steps"] for d in drivers] == [3, 0]


def test_the_chance_of_a_game_does_not_depend_on_its_neighbours(monkeypatch):
  keys = []
  for seeds in ([5], [4, 5]):
    act = _Act(monkeypatch)
    dual = dual_agent.DualAgent(_agent(), [], seeds)
    row = _row(*[games.row()] * len(seeds))
    for _ in range(3):
      dual.decide(row, np.ones(len(seeds), bool))
    keys.append([drawn[-1].tolist() for drawn in act.keys])
  assert keys[0] == keys[1]
  assert len({tuple(key) for key in keys[0]}) == 3


def test_without_a_planner_any_policy_plays_and_with_one_it_reads_goals(
  monkeypatch,
):
  act = _Act(monkeypatch)
  dual = dual_agent.DualAgent(_agent(), [], [0])
  found = dual.decide(_row(games.row()), np.ones(1, bool))
  assert found.goals == (goal_specs.NONE,) and not act.goals[0].any()
  with pytest.raises(ValueError, match="reads_goal: False"):
    dual_agent.DualAgent(_agent(), [_driver()], [0])


def test_drivers_are_told_how_near_goals_are(monkeypatch):
  config = fakes.config(*_GOALS)
  _Act(monkeypatch)
  critic = actor_critic.init_critic(
    config.actor_critic, jax.random.key(0), policy_inputs.size(config)
  )
  # A critic that learned nothing says 0 of all goals: let it see them.
  noise = np.random.default_rng(0)
  critic = jax.tree.map(
    lambda leaf: leaf + noise.normal(0, 0.3, leaf.shape), critic
  )
  monkeypatch.setattr(
    actor_critic, "value_bins", lambda cfg: np.linspace(0.0, 1.0, cfg.bins)
  )
  told = []
  made = [_driver(), _driver()]
  for one in made:
    step = one.step
    monkeypatch.setattr(
      one, "step", lambda *a, step=step: told.append(a[2]) or step(*a)
    )
  dual = dual_agent.DualAgent(_agent(*_GOALS), made, [0, 1], False, critic)
  for t in range(12):
    dual.decide(_row(games.row(y=t), games.row()), np.ones(2, bool))
  # Of both games on some rows: a value changes slowly.
  assert [i for i, value in enumerate(told) if value is not None] == [20, 21]
  goals = [goal_specs.Goal("talk"), goal_specs.Goal("map", 2)]
  near = made[1].reach(goals)
  assert len(near) == 2 and all(0 <= value <= 1 for value in near)
  value, _ = goal_values.make(config)
  state = dual._state
  alone = value(
    critic,
    *jax.tree.map(lambda leaf: leaf[1:], (state.model, state.progress)),
    goal_embeddings.embed_goals(goals[1:]),
  )
  np.testing.assert_allclose(near[1], alone[0], rtol=1e-4)
  assert near[0] != near[1]
  with pytest.raises(ValueError, match="reads_goal False"):
    goal_values.make(fakes.config())


def test_a_call_that_hangs_holds_up_no_decision(monkeypatch):
  _Act(monkeypatch)
  planner = games.Told()
  planner.say("talk")
  planner.may_answer.clear()
  dual = dual_agent.DualAgent(_agent(*_GOALS), [_driver(planner=planner)], [0])
  began = time.monotonic()
  for _ in range(50):
    found = dual.decide(_row(games.row()), np.ones(1, bool))
  assert time.monotonic() - began < 20  # it would hang for 30
  assert found.goals[0] == goal_specs.Goal("map", 2)  # the interim one
  planner.may_answer.set()


def test_games_are_played_to_their_ends_on_the_emulator(monkeypatch):
  _Act(monkeypatch)
  rom = roms.resolve(None)
  setting = play_episodes.Setting(rom=rom, seeds=(0, 1), length=5, workers=1)
  dual = dual_agent.DualAgent(_agent(), [], setting.seeds)
  waits = []
  steps = list(dual_agent.play(dual, setting, lambda: waits.append(1)))
  assert [step.t for step in steps] == [0, 1, 2, 3, 4]
  assert len(waits) == 4
  assert steps[0].row["is_first"].all() and steps[-1].row["is_last"].all()
  assert set(progress.FIELDS) <= set(steps[0].row)


def test_values_are_told_by_the_age_of_each_game(monkeypatch):
  _Act(monkeypatch)
  dual = dual_agent.DualAgent(_agent(*_GOALS), [_driver(), _driver()], [0, 1])
  dual._value = lambda *_: np.array([0.5, 0.7])
  both = np.ones(2, bool)
  for _ in range(dual_agent._VALUE_EVERY):
    dual.decide(_row(games.row(), games.row()), both)
  # One of them begins anew: it is too young, and nothing was seen of it.
  dual.renew(1, _driver())
  values = []
  real = dual._values
  monkeypatch.setattr(
    dual, "_values", lambda on: values.append(real(on)) or values[-1]
  )
  dual.decide(_row(games.row(), games.row(is_first=True)), both)
  assert values[0][0] == 0.5 and np.isnan(values[0][1])
