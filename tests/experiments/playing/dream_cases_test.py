"""Dreams against games: starts, what is paid from them, and what is dreamt of.

The agent does what the recording did, so that each game pays what the recording
was paid; dreams are a stand-in that keeps what they were given.
"""

import dataclasses
import types

import numpy as np
import pytest

from data_tools.envs import env_rows
from experiments.playing import dream_cases
from experiments.playing import dream_episodes
from experiments.playing import entering
from experiments.reports import honesty_evaluation
from experiments.reports import honesty_tables
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.evaluation import honesty
from tests.experiments.playing import recordings
from tests.pokedreamer_jax import fakes

_LENGTH, _STEPS, _MOST_ROW = 190, 12, 140


@pytest.fixture(scope="module")
def recorded():
  return recordings.record((3, 4), _LENGTH)


@pytest.fixture(scope="module")
def cases(recorded):
  rng = np.random.default_rng(0)
  return dream_cases.choose(recorded[2], [0, 1], 12, _STEPS, _MOST_ROW, rng)


def _events(steps):
  return honesty.real_events(
    steps["reward_terms"], dream_cases.level_rises(steps)
  )


def test_half_of_the_starts_lie_before_events_and_none_is_taken_twice(
  recorded, cases
):
  assert len({case.entry for case in cases}) == len(cases) == 12
  anywhere = [c for c in cases if c.before == dream_cases.ANYWHERE]
  assert len(anywhere) == 6
  assert len({case.before for case in cases}) >= 4
  assert {case.entry.place for case in anywhere} == {0, 1}
  for case in cases:
    steps, row = recorded[1][case.entry.place], case.entry.row
    assert row <= _MOST_ROW and steps["game_running"][row]
    if case.before != dream_cases.ANYWHERE:
      kind = honesty.KINDS.index(case.before)
      assert _events(steps)[row + 1 : row + 1 + _STEPS, kind].any()


def _paid(steps, reward):
  """Rewards, one row after the other."""
  rewards, fields = env_rows.Rewards(reward, 1), ("reward_terms", "party_level")
  return [
    rewards.weigh({name: steps[name][t : t + 1] for name in fields})
    for t in range(len(steps["action"]))
  ]


def test_games_pay_what_the_recording_was_paid_and_dreams_start_there(
  recorded, cases, monkeypatch
):
  rom, made, index = recorded
  chosen = sorted(cases, key=lambda case: case.entry.row)[:3]
  seen = []

  def make_act(*_):
    played = iter(range(10_000))

    def act(state, frame, *_):
      t = next(played)
      action = [
        made[case.entry.place]["action"][min(t, _LENGTH - 1)]
        for case in chosen
        for _ in range(2)
      ]
      goal = np.full((len(frame), 64), t, np.float32)  # which row it has seen
      return dataclasses.replace(state, goal=goal), np.array(action)

    return act

  def make_dream_fn(config, length, samples, greedy):
    assert (length, samples) == (_STEPS, 5)

    def dream(world, actor, key, state, earned):
      seen.append((np.asarray(state.goal[:, 0]), np.asarray(earned)))
      count = len(earned)
      return np.arange(count), np.full((count, len(honesty.KINDS)), 0.25)

    return dream

  monkeypatch.setattr(acting, "make_act", make_act)
  monkeypatch.setattr(honesty, "make_dream_fn", make_dream_fn)
  monkeypatch.setattr(entering, "STREAMS", 6)
  agent = types.SimpleNamespace(
    config=fakes.config("policy.reward=capped", "actor_critic.goal_dim=64"),
    world_params=None,
    actor_params=None,
  )
  setting = entering.Setting(rom, index, recordings.JITTER, _STEPS)
  ends = dream_episodes.play(agent, chosen, setting, 2, 5)
  (rows, earned), = seen  # fmt: skip
  np.testing.assert_array_equal(
    rows, np.repeat([case.entry.row for case in chosen], 2)
  )
  np.testing.assert_array_equal(ends.dreamt, np.arange(6).reshape(3, 2))
  assert (ends.dreamt_events == 0.25).all() and ends.real_events.any()
  for number, case in enumerate(chosen):
    steps, row = made[case.entry.place], case.entry.row
    paid = sum(_paid(steps, "capped")[row + 1 : row + 1 + _STEPS])
    np.testing.assert_allclose(ends.real[number], paid[0], rtol=1e-4)
    events = _events(steps)[row + 1 : row + 1 + _STEPS].any(axis=0)
    np.testing.assert_array_equal(ends.real_events[number], [events] * 2)
    terms = steps["reward_terms"][: row + 1].sum(axis=0)
    np.testing.assert_allclose(earned[2 * number], terms, rtol=1e-5)


def test_the_whole_measurement_has_a_table_for_each_part(recorded, monkeypatch):
  from data_tools.records import loader

  rom, _, index = recorded
  monkeypatch.setattr(loader, "EpisodeIndex", lambda *_: index)
  rng = np.random.default_rng(0)

  def play(agent, cases, setting, plays, *_):
    shape = (len(cases), plays)
    real = rng.normal(size=shape) + 2 * np.arange(len(cases))[:, None]
    events = rng.random((*shape, len(honesty.KINDS))) < 0.3
    gain = agent.gain
    return dream_episodes.Ends(real + 3 * gain, real + gain, events / 2, events)

  monkeypatch.setattr(dream_episodes, "play", play)
  config = fakes.config("evaluate.dream_starts=8", "evaluate.bootstrap=200")
  agents = {
    name: types.SimpleNamespace(config=config, gain=gain)
    for name, gain in (("clone", 0.0), ("policy", 5.0))
  }
  found = honesty_evaluation.measure(config, rom, None, agents)
  assert found["gains"]["policy - clone"]["ratio"]["value"] == pytest.approx(
    1 / 3, abs=0.1
  )
  titles = [table.title for table in honesty_tables.tables(found)]
  assert len(titles) == 4 and titles[-1].startswith("Gains")
  verdicts = {v.text: v.holds for v in honesty_tables.verdicts(found)}
  assert [holds for text, holds in verdicts.items() if "rank" in text] == [
    True
  ] * 2
  assert [holds for text, holds in verdicts.items() if "gains" in text] == [
    False
  ]
