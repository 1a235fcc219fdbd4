"""The page of all games: what each reached, and its lanes along time."""

import json
import re

import numpy as np

from data_tools.game import roms
from experiments.playing import play_episodes
from experiments.playing import play_traces
from experiments.reports import agent_days
from pokedreamer_jax import specs
from pokedreamer_jax.planner import trace as trace_lib

_BADGES = specs.REWARD_TERMS.index("badges")


def _played(games=2, length=60):
  """Games that stand on map 1, then 2; the first one earns a badge at 40."""
  traces = play_traces.blank(games, length)
  traces.cell[:, :30, 0], traces.cell[:, 30:, 0] = 1, 2
  traces.cell[..., 1:] = 3
  traces.running[:, 5:] = True
  traces.battle[0, 10:20] = True
  terms = np.zeros((games, length, specs.NUM_REWARD_TERMS), np.float32)
  terms[0, 40, _BADGES] = 1
  return play_episodes.Played(
    terms, np.full(games, length), np.zeros(games, bool), traces=traces
  )


def _trace(path, goal):
  """A trace of one goal, from 20 to 35."""
  writer = trace_lib.Writer(path)
  writer.write("start", format=1, planner="offline")
  ended = {"env_step": 35, "env_steps": 15, "outcome": "reached"}
  writer.write("goal", goal=goal, stopped_at=None, **ended)
  writer.close()
  return path


def _page(tmp_path, traces):
  rom = roms.resolve("chapter_one")
  agent_days.write(tmp_path / "p.html", "policy", _played(), traces, rom)
  return (tmp_path / "p.html").read_text("utf-8")


def test_each_game_has_its_lanes_and_what_it_reached(tmp_path):
  goals = ["reach map 2", "<b>heal"]
  traces = [_trace(tmp_path / f"{i}.jsonl", g) for i, g in enumerate(goals)]
  page = _page(tmp_path, traces)
  first, second = page.split("Game 0: ")[1].split("Game 1: ")
  assert first.startswith("1 badges (at 40), 0 species")
  assert second.startswith("0 badges, 0 species")
  titles = [re.findall(r"<title>(.*?)</title>", p) for p in (first, second)]
  names = roms.resolve("chapter_one").map_names
  assert titles[0][:4] == [
    f"5-30 {names[1]}",
    f"30-60 {names[2]}",
    "10-20 battle",
    "20-35 reach map 2: reached",
  ]
  assert any(title.startswith("40 ") for title in titles[0])
  assert not any("battle" in title for title in titles[1])
  assert "<b>heal" not in page  # what a planner says is text


def test_without_a_planner_there_are_no_goals(tmp_path):
  page = _page(tmp_path, [])
  assert "Game 1" in page and "reached</title>" not in page


def test_what_follows_on_itself_is_one_stretch():
  values = np.array([0] * 3 + [7] * 4 + [-1] * 9 + [7] * 5 + [8] * 2)
  assert agent_days._runs(values, blank=-1) == [(3, 7, 7), (16, 21, 7)]
  assert json.dumps(agent_days._runs(values, -1))  # plain numbers
