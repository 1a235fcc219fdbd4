"""Games that are entered once: they pay what games entered anew pay."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from data_tools.envs import vector
from experiments.playing import dream_cases
from experiments.playing import dream_episodes
from experiments.playing import entering
from experiments.playing import goal_cases
from experiments.playing import goal_episodes
from experiments.playing import reentering
from experiments.runs import inputs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.evaluation import honesty
from pokedreamer_jax.networks import actor_critic
from tests.experiments.playing import goal_policies
from tests.experiments.playing import recordings
from tests.pokedreamer_jax import fakes

_LENGTH, _STEPS = 150, 12


@pytest.fixture(scope="module")
def recorded():
  return recordings.record((3, 4), _LENGTH)


def _cases(recorded, count, most_row=110):
  rng = np.random.default_rng(0)
  places = [0, 1]
  return dream_cases.choose(recorded[2], places, count, _STEPS, most_row, rng)


def _counted_steps(monkeypatch):
  """Env steps of all emulators, in a list of one."""
  steps, step = [0], vector.VectorEmulator.step

  def counting(self, actions, *rest):
    steps[0] += self.num_envs
    return step(self, actions, *rest)

  monkeypatch.setattr(vector.VectorEmulator, "step", counting)
  return steps


def test_what_is_entered_once_pays_as_what_is_entered_anew(
  recorded, monkeypatch
):
  rom, made, index = recorded
  chosen = _cases(recorded, 4)
  chosen = sorted(chosen, key=lambda case: case.entry.row)
  config = fakes.config("policy.reward=capped", "actor_critic.goal_dim=64")
  rows = np.array([c.entry.row for c in chosen for _ in range(2)])
  recorded_actions = [
    made[c.entry.place]["action"] for c in chosen for _ in range(2)
  ]

  def act_from(first):
    """Presses what was recorded; the first frame is that of rows `first`."""
    played = iter(range(10_000))

    def act(state, frame, *_):
      t = next(played) + first
      last = _LENGTH - 1
      action = [
        each[min(at, last)]
        for each, at in zip(recorded_actions, t + 0 * rows, strict=True)
      ]
      # What it remembers: how many frames it has seen.
      return dataclasses.replace(state, goal=state.goal + 1), np.array(action)

    return act

  def dream(world, actor, key, state, earned):
    seen.append((np.asarray(state.goal[:, 0]), np.asarray(earned)))
    count = len(earned)
    return np.arange(count), np.full((count, len(honesty.KINDS)), 0.5)

  seen = []
  first = [0]
  monkeypatch.setattr(honesty, "make_dream_fn", lambda *_: dream)
  monkeypatch.setattr(acting, "make_act", lambda *_: act_from(0))
  monkeypatch.setattr(entering, "STREAMS", 8)
  agent = types.SimpleNamespace(
    config=config, world_params=None, actor_params=None
  )
  setting = entering.Setting(rom, index, recordings.JITTER, _STEPS)
  anew = dream_episodes.play(agent, chosen, setting, 2, 5)

  def make_act_step(*_):
    current = [act_from(np.zeros(8, int))]

    def step(world, actor, state, frame, *rest):
      if actor != first[0]:  # another agent, which goes on from the rows
        first[0], current[0] = actor, act_from(rows)
      return current[0](state, frame, *rest)

    return step

  monkeypatch.setattr(acting, "make_act_step", make_act_step)
  again = dream_episodes.make_again(config, _STEPS, 5)
  steps = _counted_steps(monkeypatch)
  found = []
  for number in (0, 1, 2):
    agent.actor_params = number
    if number == 1:
      cost = steps[0]
    if not number:  # enters; what it presses before the rows is the recording
      first[0] = None
      _enter_alone(again, agent, chosen, setting)
      assert again.entered_env_steps == 8 * rows.max()
      first[0] = 0
      continue
    found.append(dream_episodes.play(agent, chosen, setting, 2, 5, again=again))
  # Of both together: what they play, and nothing on the way there.
  assert steps[0] - cost == 2 * 8 * (_STEPS)
  for ends in found:
    np.testing.assert_allclose(ends.real, anew.real, rtol=1e-5)
    np.testing.assert_array_equal(ends.real_events, anew.real_events)
  assert anew.real.any() and anew.real_events.any()
  (rows_seen, earned), *others = seen
  for rows_again, earned_again in others:
    np.testing.assert_array_equal(rows_again, rows_seen)
    np.testing.assert_allclose(earned_again, earned, rtol=1e-5)


def _enter_alone(again, agent, chosen, setting):
  """Only enters the games, as the first measurement does."""
  entries = [case.entry for case in chosen for _ in range(2)]
  act = lambda *rest: again.act(None, agent.actor_params, *rest)
  _, moments = reentering.moments(again, 0, agent, act, entries, setting)
  moments.close()


def _agents(directory, count):
  """Agents of one world model with different actors."""
  goal_policies.write(directory)
  agent = inputs.load_agent(str(directory))
  return [
    dataclasses.replace(
      agent,
      actor_params=actor_critic.init_actor(
        agent.config.actor_critic,
        jax.random.key(number),
        policy_inputs.size(agent.config),
      ),
    )
    for number in range(count)
  ]


def test_who_enters_first_changes_nothing(recorded, monkeypatch, tmp_path):
  rom, _, index = recorded
  agents = _agents(tmp_path, 2)
  monkeypatch.setattr(entering, "STREAMS", 4)
  kinds = {"tile": 1.0, "map": 1.0}
  cases = goal_cases.choose(
    index, [0, 1], kinds, 3, 32, 12, 60, np.random.default_rng(0)
  )
  setting = entering.Setting(rom, index, recordings.JITTER, 8)
  found = []
  for order in ([0, 1], [1, 0]):
    again = goal_episodes.make_again(agents[0].config, 8, 3)
    ends = {
      number: goal_episodes.play(
        *(agents[number], cases, setting),
        dreams=3,
        conditions=("right", "right"),
        again=again,
      )
      for number in order
    }
    found.append(ends)
  for number in (0, 1):
    one, other = found[0][number], found[1][number]
    assert one.reached.shape == (len(cases), 2)
    np.testing.assert_array_equal(one.reached, other.reached)
    np.testing.assert_array_equal(one.dreamt, other.dreamt)
