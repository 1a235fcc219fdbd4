"""A game of both systems, as a user starts it: what it leaves, and what not.

The policy has learned nothing; the planner is a server over real HTTP.
"""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from experiments import run_agent
from experiments.playing import planner_knowledge
from pokedreamer_jax import specs
from pokedreamer_jax.planner import knowledge
from pokedreamer_jax.planner import server
from pokedreamer_jax.planner import trace
from tests import conftest
from tests.experiments.playing import goal_policies

_KEY = "sk-very-secret-0123456789"


def _command(policy, workdir, *flags):
  return [
    *(sys.executable, "-m", "experiments.run_agent", f"--policy={policy}"),
    *(f"--workdir={workdir}", *flags),
  ]


def _run(policy, workdir, *flags, key=""):
  return subprocess.run(
    _command(policy, workdir, *flags),
    cwd=conftest.ROOT,
    capture_output=True,
    text=True,
    env=os.environ | ({"PLANNER_API_KEY": key} if key else {}),
  )


def _record(workdir):
  """Header and rows of the game that a directory holds."""
  index = loader.EpisodeIndex(generations.freeze(workdir), "all")
  assert len(index.headers) == 1
  rows = index.read(0, 0, int(index.lengths[0]), specs.STEP_FIELD_NAMES)
  return index.headers[0], rows


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
  path = tmp_path_factory.mktemp("policy")
  goal_policies.write(path)
  return path


@pytest.fixture(scope="module")
def played(policy, tmp_path_factory):
  """A game under a server that sends back what it was sent, key included."""
  workdir = tmp_path_factory.mktemp("game")
  with server.running(always="echo") as (url, behaviour):
    done = _run(
      policy,
      workdir,
      *("--steps=300", "--stuck_env_steps=40", "--seed=3"),
      *(f"--planner_url={url}", "--calls_a_minute=100"),
      key=_KEY,
    )
  assert done.returncode == 0, done.stderr
  return workdir, done, behaviour


def test_a_game_leaves_a_record_a_trace_a_page_and_a_film(played):
  workdir, done, behaviour = played
  header, rows = _record(workdir)
  assert header.behaviour.startswith("policy:")
  assert len(rows["action"]) == 300 and rows["is_last"].sum() == 1
  found = trace.read(workdir / "trace.jsonl")
  assert found.whole
  done_with = [call["done"] for call in found.calls]
  assert done_with[0] == "interim"
  assert "applied" in done_with and len(behaviour.seen) > 1
  result = json.loads((workdir / "result.json").read_text())
  assert result["planner"]["calls"] == len(behaviour.seen)
  tokens = sum(call["tokens_in"] for call in found.calls)
  assert result["planner"]["tokens_in"] >= tokens > 1000
  costs = result["planner"]["at_prices_of"]
  assert costs["claude-haiku-4-5"] > costs["gpt-5-mini"] > 0
  assert result["share_with_goal"] > 0.9
  page = (workdir / "game.html").read_text()
  assert "Along the game" in page and "data:video/mp4" in page
  assert "http" not in page.replace("http-equiv", "")  # nothing from elsewhere
  assert "first decision after" in done.stdout


def test_the_key_was_sent_and_is_nowhere(played):
  workdir, done, _ = played
  text = (workdir / "trace.jsonl").read_text()
  assert "Bearer [key]" in text  # the server sent it back
  outputs = [done.stdout.encode(), done.stderr.encode()]
  outputs += [p.read_bytes() for p in workdir.rglob("*") if p.is_file()]
  _, rows = _record(workdir)
  outputs += [array.tobytes() for array in rows.values()]
  assert len(outputs) > 40
  assert not [data for data in outputs if _KEY.encode() in data]


def test_its_trace_plays_the_same_game_bit_for_bit(played, policy, tmp_path):
  workdir, _, _ = played
  again = tmp_path / "again"
  replay = f"--planner=replay={workdir / 'trace.jsonl'}"
  done = _run(policy, again, "--steps=300", "--seed=3", replay)
  assert done.returncode == 0, done.stderr
  (header, rows), (other, same) = _record(workdir), _record(again)
  assert header == other and header.episode_id == other.episode_id
  for name, array in rows.items():
    np.testing.assert_array_equal(array, same[name], name)
  assert len(np.unique(rows["action"])) > 3
  lines = [trace.read(d / "trace.jsonl").lines for d in (workdir, again)]
  game, game_again = (
    [line for line in one if line["kind"] in ("call", "goal")] for one in lines
  )
  assert game == game_again
  # Another game than that of the trace is refused.
  done = _run(policy, tmp_path / "other", "--steps=300", "--seed=4", replay)
  assert done.returncode == 2 and done.stderr.count("\n") == 1
  assert "another game: seed 3, now 4" in done.stderr
  assert not (tmp_path / "other").exists()


def test_a_signal_ends_it_with_all_there_is_and_it_is_not_continued(
  policy, tmp_path
):
  flags = ("--steps=100000", "--speed=realtime", "--planner=offline")
  with subprocess.Popen(
    _command(policy, tmp_path, *flags),
    cwd=conftest.ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  ) as process:
    said = []
    for line in process.stdout:
      said.append(line)
      if "first decision" in line:
        process.send_signal(signal.SIGTERM)
  assert process.returncode == 143, said
  _, rows = _record(tmp_path)
  assert rows["is_last"].tolist()[-1] and rows["is_last"].sum() == 1
  assert rows["action"][-1] == specs.PASS
  assert trace.read(tmp_path / "trace.jsonl").whole
  result = json.loads((tmp_path / "result.json").read_text())
  assert result["ended_by"] == "SIGTERM"
  assert result["env_steps"] == len(rows["action"]) < 1000
  assert (tmp_path / "game.html").exists()
  with pytest.raises(ValueError, match="ended by SIGTERM; expected another"):
    run_agent._check_new(tmp_path)


def test_a_kill_leaves_its_trace_which_is_named(policy, tmp_path):
  flags = ("--steps=100000", "--planner=offline")
  with subprocess.Popen(
    _command(policy, tmp_path, *flags),
    cwd=conftest.ROOT,
    stdout=subprocess.PIPE,
    text=True,
  ) as process:
    for line in process.stdout:
      if "first decision" in line:
        process.kill()
  found = trace.read(tmp_path / "trace.jsonl")
  assert not found.whole
  assert not list((tmp_path / "shards").glob("*.json"))  # no half shard
  with pytest.raises(ValueError, match=r"broken off .*replay=.*trace.jsonl"):
    run_agent._check_new(tmp_path)


def test_a_planner_knows_what_came_with_the_policy(tmp_path):
  policy = tmp_path / "policy"
  goal_policies.write(policy)
  kept = policy / planner_knowledge.FILE
  values = {
    **{"format": 1, "about": {"rom_sha1": roms.resolve(None).sha1}},
    **{"maps": [], "ways": [], "milestones": [], "healing": []},
  }
  planner_knowledge.keep(values, kept)
  done = _run(policy, tmp_path / "game", "--steps=30")
  assert done.returncode == 0, done.stderr
  told = trace.read(tmp_path / "game" / "trace.jsonl").start
  assert told["knowledge_sha256"] == knowledge.load(kept).sha256
  # Of another game it is refused, unless something else is named.
  kept.unlink()
  planner_knowledge.keep(values | {"about": {"rom_sha1": "0" * 40}}, kept)
  done = _run(policy, tmp_path / "new", "--steps=30")
  assert done.returncode == 2 and "of the ROM with SHA-1 0000" in done.stderr


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    (["--planner=fly"], "--planner=fly: expected one of offline"),
    (["--steps=1"], "--steps=1: expected 2"),
    (["--planner=none", "--knowledge=a", "--data_dir=b"], "expected one of"),
  ],
)
def test_mistakes_end_in_a_line_and_leave_nothing(
  policy, tmp_path, flags, words
):
  done = _run(policy, tmp_path / "new", *flags)
  assert done.returncode == 2
  assert done.stderr.count("\n") == 1 and words in done.stderr
  assert not (tmp_path / "new").exists()
