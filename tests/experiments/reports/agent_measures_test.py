"""What planners gained: hand-made games, their numbers, tables and words."""

import numpy as np
import pytest

from data_tools.game import roms
from experiments.playing import agent_tally
from experiments.playing import dual_agent
from experiments.playing import play_episodes
from experiments.playing import play_traces
from experiments.reports import agent_measures
from experiments.reports import agent_page
from experiments.reports import agent_tables
from experiments.reports import agent_timeline
from experiments.reports import text_tables
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.planner import knowledge
from pokedreamer_jax.planner import trace as trace_lib
from tests.pokedreamer_jax.planner import games

_LENGTH = 20
_BADGES = specs.REWARD_TERMS.index("badges")


def _played(*badges):
  """Games with badges on these steps."""
  terms = np.zeros((len(badges), _LENGTH, specs.NUM_REWARD_TERMS), np.float32)
  for game, steps in enumerate(badges):
    terms[game, list(steps), _BADGES] = 1.0
  traces = play_traces.blank(len(badges), _LENGTH)
  traces.running[:] = True
  return play_episodes.Played(
    terms,
    np.full(len(badges), _LENGTH),
    np.zeros(len(badges), bool),
    np.zeros((len(badges), 32), np.uint8),
    traces,
  )


def test_steps_to_the_kth_badge_of_games_without_it_are_all_there_are():
  played = _played([4, 9], [6], [])
  assert agent_measures.badge_steps(played, 1).tolist() == [4, 6, _LENGTH]
  assert agent_measures.badge_steps(played, 2).tolist() == [9, 20, 20]
  first, second = agent_measures.badges(played)
  assert first["at"] == [4, 6, None] and first["median"] == 5.0
  assert second["at"] == [9, None, None]
  assert second["share"] == pytest.approx(1 / 3)


def test_gains_are_paired_and_their_ratio_is_of_means():
  ours, none = _played([2], [4], [6]), _played([10], [12], [])
  gains = agent_measures.gains(ours, none, 500)
  (row,) = gains["to_badges"]
  # Differences -8, -8 and -14; 12 steps of 42.
  assert row["steps"]["mean"] == pytest.approx(-10)
  assert row["steps"]["low"] >= -14 and row["steps"]["high"] <= -8
  assert row["ratio"]["mean"] == pytest.approx(12 / 42)
  assert row["ratio"]["low"] <= 12 / 42 <= row["ratio"]["high"]
  assert (row["games"], row["games_none"]) == (3, 2)
  assert gains["badges"]["mean"] == pytest.approx(1 / 3)
  # The other way round it is worse, not better.
  back = agent_measures.gains(none, ours, 500)["to_badges"][0]
  assert back["steps"]["mean"] == pytest.approx(10)


def _step(t, rows, goals, playing=None):
  row = {n: np.stack([r[n] for r in rows]) for n in rows[0]}
  decision = dual_agent.Decision(
    actions=np.full(len(rows), 3, np.uint8),
    reached=np.zeros(len(rows), bool),
    goals=tuple(goals),
    planner_s=0.001,
    planner_cpu_s=0.001,
    policy_s=0.004,
  )
  on = np.ones(len(rows), bool) if playing is None else np.array(playing)
  return dual_agent.Step(t, row, on, decision)


def _milestone(words, nth=1):
  goal = goal_specs.parse(words, free_text=False)
  return knowledge.Milestone(goal, nth, 1.0, 5.0, (1, 1, 1))


def test_a_tally_finds_milestones_and_what_was_pursued():
  looked_for = [
    _milestone("earn badge 1"),
    _milestone("reach map 2"),
    _milestone("win trainer battle", 2),
    _milestone("reach level 7"),
  ]
  tally = agent_tally.Tally(2, 4, looked_for)
  some, none = goal_specs.Goal("talk"), goal_specs.NONE
  title = games.row(game_running=False, badges=2)
  tally.add(_step(0, [title, games.row(map_id=2)], [none, some]))
  tally.add(
    _step(1, [games.row(trainer_wins=1), games.row(badges=2)], [some, none])
  )
  last = games.row(trainer_wins=1, badges=2, is_last=True)
  tally.add(_step(2, [last, games.row(party_level=7)], [some, some]))
  tally.add(
    _step(3, [games.row(map_id=2), games.row()], [none, some], [False, True])
  )
  assert tally.reached_at.tolist() == [[2, 1], [-1, 0], [2, -1], [-1, 2]]
  assert tally.running.tolist() == [2, 4]
  assert tally.with_goal.tolist() == [2, 3]
  played = tally.played()
  assert played.steps.tolist() == [3, 4]
  assert played.traces.action[0].tolist() == [3, 3, specs.PASS, specs.PASS]


def _result():
  """A result as `agent_evaluation.measure` gives it."""
  planners, played = {}, {}
  played["none"], played["offline"] = _played([10], []), _played([2, 8], [4])
  for name, games_of in played.items():
    tally = agent_tally.Tally(2, _LENGTH, [_milestone("reach map 2")])
    tally.running[:], tally.with_goal[:] = 500, 450
    summary = {
      "asked": {"start": 1, "stuck": 2},
      "done": {"applied": 3},
      "outcomes": {"map": {"reached": 3, "replaced": 1}},
      "errands": {"badge": {"reached": 1, "stagnant": 1}},
      "led": {"reached": 3, "strayed": 1},
      **{"calls": 0, "cost_usd": 0.0, "tokens_in": 0, "tokens_out": 0},
    }
    summaries = [] if name == "none" else [summary, summary]
    planners[name] = agent_measures.of_planner(tally, summaries, games_of, 200)
  gains = agent_measures.gains(played["offline"], played["none"], 200)
  return {
    "games": 2,
    "env_steps": _LENGTH,
    "planners": planners,
    "gains": {"offline": gains},
  }


def test_what_was_asked_is_told_in_500_env_steps():
  found = _result()["planners"]["offline"]
  assert found["asks_per_500"] == pytest.approx(3.0)
  assert found["asks_beyond_events_per_500"] == pytest.approx(2.0)
  assert found["share_with_goal"] == pytest.approx(0.9)
  assert found["kinds"] == {"map": {"reached": 6, "replaced": 2}}
  assert found["errands"] == {"badge": {"reached": 2, "stagnant": 2}}
  assert found["led"] == {"reached": 6, "strayed": 2}
  assert found["led_per_500"] == pytest.approx(4.0)


def test_tables_and_verdicts_say_it():
  result = _result()
  lines = "\n".join(
    text_tables.plain_tables(
      [*agent_tables.tables(result), *agent_tables.details(result)]
    )
  )
  for words in (
    "100% at 3",  # the first badge under the planner
    "-12 [-16, -8]",  # steps to it: 2 for 10, 4 for 20
    "75% of 8",  # goals of kind map
    "50% of 4",  # errands of kind badge
    "reach map 2",
  ):
    assert words in lines, lines
  said = agent_tables.verdicts(result)
  assert [verdict.holds for verdict in said] == [True, True, False]
  assert "badge 2 in 1 of 2 games, none in 0" in said[1].text


def test_a_page_shows_the_game_and_runs_nothing_of_a_reply(tmp_path):
  script = "<script>alert(1)</script>"
  call = {
    **{"kind": "call", "asked_step": 1, "done_step": 4, "applied_step": 4},
    **{"trigger": "start", "latency_s": 0.4, "answered_by": "url"},
    **{"done": "applied", "fault": ""},
    "reply": {"goal": "talk", "rationale": script},
  }
  ended = {
    **{"kind": "goal", "env_step": 9, "goal": "talk", "outcome": "reached"},
    "env_steps": 5,
  }
  note = {"kind": "note", "env_step": 2, "text": script}
  lead = {"kind": "lead", "env_step": 9, "reason": "reached"}
  lead |= {"goal": "reach map 2", "errand": "heal"}
  led = {"env_step": 11, "env_steps": 2, "goal": "reach map 2"}
  led |= {"kind": "goal", "outcome": "replaced"}
  lines = (call, ended, lead, led, note)
  trace = trace_lib.Trace({}, lines, "", True)
  result = {
    "planner": {
      **{"name": "url", "cost_usd": None, "tokens_in": 1, "tokens_out": 1},
      **{"asks": 1, "calls": 1, "reached": 1, "ended": 1},
    },
    "game": {
      **{"badges": 1.0, "first_badge": 4, "maps": 1.0, "cells": 1.0},
      "trainer_wins": 0.0,
    },
    "share_with_goal": 1.0,
    "times": {"p50_ms": 1.0, "p99_ms": 2.0},
    "ended_by": "SIGTERM",
  }
  path = tmp_path / "game.html"
  agent_page.write(path, result, _played([4]), trace, roms.resolve(None), None)
  text = path.read_text()
  assert "<script" not in text and "&lt;script&gt;" in text
  assert "4-9 talk: reached" in text  # the bar's title
  assert "heal: the next on the way" in text
  assert "badge" in text


def test_along_the_line_marks_stand_where_they_belong():
  line = {"goal": "talk", "env_step": 100, "env_steps": 50}
  drawn = agent_timeline.draw(
    100,
    [{**line, "outcome": "reached"}],
    [],
    [agent_timeline.Event(0, "badges", "badge")],
  )
  span = agent_timeline._WIDTH - agent_timeline._LEFT - agent_timeline._RIGHT
  middle = agent_timeline._LEFT + span / 2
  assert f'x="{middle:.1f}" width="{span / 2:.1f}"' in drawn
  assert f'x="{agent_timeline._LEFT - 1:.1f}"' in drawn
  assert agent_timeline._ticks(100) == [0, 20, 40, 60, 80, 100]
