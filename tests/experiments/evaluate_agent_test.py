"""`evaluate --what=agent`: the same games under none, offline and a server."""

import json
import os
import subprocess
import sys

import pytest

from data_tools.game import roms
from experiments.playing import planner_knowledge
from pokedreamer_jax.planner import server
from pokedreamer_jax.planner import trace
from tests import conftest
from tests.experiments.playing import goal_policies

_KEY = "sk-very-secret-0123456789"


def _evaluate(policy, workdir, *flags):
  return subprocess.run(
    [
      *(sys.executable, "-m", "experiments.evaluate", "--what=agent"),
      *(f"--player=policy={policy}", f"--workdir={workdir}"),
      *("--preset=debug", *flags),
    ],
    cwd=conftest.ROOT,
    capture_output=True,
    text=True,
    env=os.environ | {"PLANNER_API_KEY": _KEY},
  )


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
  path = tmp_path_factory.mktemp("policy")
  goal_policies.write(path)
  return path


@pytest.fixture(scope="module")
def known(tmp_path_factory):
  """A file that knows two maps and where a badge is."""
  shown = {"nth": 1, "share": 1.0, "env_steps": 5.0, "at": [2, 1, 1]}
  maps = [
    {"map_id": i, "rows": 9, "top": 0, "left": 0, "cells": ["..", ".."]}
    for i in (1, 2)
  ]
  values = {
    **{"format": 1, "about": {"rom_sha1": roms.resolve(None).sha1}},
    **{"maps": maps, "healing": []},
    "ways": [{"start": [1, 0, 0], "end": [2, 0, 0], "count": 3}],
    "milestones": [
      {"goal": "reach map 2", **shown},
      {"goal": "earn badge 0", **shown},
    ],
  }
  path = tmp_path_factory.mktemp("known") / planner_knowledge.FILE
  planner_knowledge.keep(values, path)
  return path


def test_three_planners_play_the_same_games(policy, known, tmp_path):
  flags = ("--set=evaluate.episodes=2", "--set=evaluate.play_length=40")
  with server.running(always="echo") as (url, behaviour):
    done = _evaluate(
      policy,
      tmp_path,
      *(*flags, f"--knowledge={known}", f"--planner_url={url}"),
    )
  assert done.returncode == 0, done.stderr
  result = json.loads((tmp_path / "result.json").read_text())
  assert list(result["planners"]) == ["none", "offline", "url"]
  assert list(result["gains"]) == ["offline", "url"]
  assert (result["games"], result["env_steps"]) == (2, 40)
  for name, planner in result["planners"].items():
    assert [m["goal"] for m in planner["milestones"]] == [
      "reach map 2",
      "earn badge 0",
    ]
    assert (planner["share_with_goal"] > 0.9) == (name != "none")
  assert result["planners"]["none"]["calls"] == 0
  calls = result["planners"]["url"]["calls"]
  assert 0 < calls == len(behaviour.seen)
  # Of each game a trace; the key was sent, and came back cut out.
  traces = sorted(p.name for p in (tmp_path / "traces").iterdir())
  assert traces == [
    f"{n}_00{i}.jsonl" for n in ("offline", "url") for i in "01"
  ]
  for name in traces:
    assert trace.read(tmp_path / "traces" / name).whole
  outputs = [done.stdout.encode(), done.stderr.encode()]
  outputs += [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
  assert not [data for data in outputs if _KEY.encode() in data]
  assert "What a planner gained" in (tmp_path / "table.txt").read_text()
  assert "[n" in done.stdout or "[N" in done.stdout or "[y" in done.stdout


def test_policies_play_the_same_games_under_a_planner(policy, known, tmp_path):
  other = tmp_path / "other"
  goal_policies.write(other, "actor_critic.units=24")
  done = _evaluate(
    policy,
    tmp_path / "run",
    *("--set=evaluate.episodes=2", "--set=evaluate.play_length=40"),
    *("--set=evaluate.alone=false", f"--knowledge={known}"),
    *(f"--player=again={policy}", f"--player=other={other}"),
  )
  assert done.returncode == 0, done.stderr
  result = json.loads((tmp_path / "run" / "result.json").read_text())
  lines = [f"{name}, offline" for name in ("policy", "again", "other")]
  assert list(result["planners"]) == lines and not result["gains"]
  assert list(result["over_first"]) == lines[1:]
  # The same policy plays the same games; which ones played is kept.
  games = [result["planners"][line]["by_game"] for line in lines]
  assert games[0] == games[1]
  played = json.loads((tmp_path / "run" / "config.json").read_text())
  kept = played["policies"]
  assert kept["policy"] == kept["again"] != kept["other"]
  assert result["over_first"][lines[1]]["cells"]["mean"] == 0
  table = (tmp_path / "run" / "table.txt").read_text()
  assert "What a policy gained" in table and "over none" not in table


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    ([], "--data_dir: planners that know nothing"),
    (["--player=random"], "--player=random: expected NAME=DIR"),
  ],
)
def test_mistakes_end_in_a_line(policy, tmp_path, flags, words):
  done = _evaluate(policy, tmp_path / "new", *flags)
  assert done.returncode == 2, done.stderr
  assert words in done.stderr and done.stderr.count("\n") == 1
  assert not (tmp_path / "new").exists()
