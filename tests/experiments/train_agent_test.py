"""Turns of an agent: their plan, how they stop and go on, what they brought."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from data_tools.game import roms
from data_tools.records import generations
from experiments import agent_plan
from experiments import train_agent
from experiments.reports import agent_turns
from experiments.runs import adoptions
from experiments.runs import run_directory
from pokedreamer_jax import whole_files
from pokedreamer_jax.config import presets

_SMALL = ("agent.updates=20", "agent.episodes=2")
_HERE = pathlib.Path("runs/agent")


def _plan(*overrides):
  config = presets.make("debug", [*_SMALL, *overrides])
  arguments = ["--preset=debug", "--seed=0"]
  return {
    stage.name: stage
    for stage in agent_plan.make_plan(_HERE, None, arguments, config)
  }


def test_each_turn_plays_with_the_policy_before_and_learns_anew():
  plan = _plan("agent.turns=2")
  assert list(plan) == [
    *("collect 0", "world_model 0", "clone 0", "policy 0"),
    *("play 1", "world_model 1", "clone 1", "policy 1"),
    *("play 2", "world_model 2", "clone 2", "policy 2", "measure 2"),
  ]
  play = plan["play 2"].arguments
  assert f"--add_to={_HERE}/data" in play and "--episodes=2" in play
  policy = f"policy={_HERE}/turns/01/policy"
  assert f"--policy={policy}=0.5,{policy}:eps=0.1=0.5" in play
  seeds = {plan[f"play {turn}"].arguments[-1] for turn in (1, 2)}
  assert len(seeds) == 2 and "--seed=0" not in seeds
  # One world model goes on: further every turn, with what was played since.
  for turn, steps in enumerate((20, 40, 60)):
    stage = plan[f"world_model {turn}"]
    # Its result is that of the latest turn, so the clone says it was there.
    assert stage.done == _HERE / "turns" / f"0{turn}" / "clone" / "config.json"
    assert (f"--set=train.steps={steps}" in stage.arguments) == (turn > 0)
    there = "--set=train.refresh_every=20" in stage.arguments
    assert there == (turn > 0)
  assert f"--clone={_HERE}/turns/02/clone" in plan["policy 2"].arguments
  assert "--set=clone.max_rows=50" in plan["clone 1"].arguments
  players = [a for a in plan["measure 2"].arguments if "player" in a]
  assert len(players) == 7 and "--player=demonstrator" in players


def test_the_first_turns_do_not_depend_on_how_many_follow():
  one, two = _plan("agent.turns=1"), _plan("agent.turns=2")
  for name, stage in one.items():
    if name != "measure 1":
      assert stage == two[name]
  assert list(_plan("agent.turns=0"))[-1] == "measure 0"


def test_from_scratch_nobody_is_cloned():
  plan = _plan("agent.start=scratch")
  assert not any(name.startswith("clone") for name in plan)
  policy = plan["policy 1"]
  assert "--clone=" in policy.arguments
  here = _HERE / "turns" / "01" / "policy"
  assert plan["world_model 1"].done == here / "config.json"
  players = [a for a in plan["measure 1"].arguments if "player" in a]
  assert [p.split("=")[1] for p in players[1:]] == ["policy_0", "policy_1"]
  scratch = ("agent.start=scratch", "collect.policy_mix=random=1")
  alone = presets.make("debug", [*_SMALL, *scratch])
  agent_plan.check(alone, roms.resolve(None))
  with pytest.raises(ValueError, match="start: 'nobody', expected one of"):
    presets.make("debug", ["agent.start=nobody"])


def test_under_goals_the_planner_leads_in_play_and_in_the_measurement():
  plan = _plan(
    *("actor_critic.reads_goal=true", "actor_critic.goal_dim=64"),
    "agent.policy_mix=policy:planner=1",
  )
  led = f"--policy=policy={_HERE}/turns/00/policy:planner=1"
  assert led in plan["play 1"].arguments
  arguments = plan["measure 1"].arguments
  assert {"--what=agent", f"--data_dir={_HERE}/data"} <= set(arguments)
  players = [a.split("=")[1] for a in arguments if "--player" in a]
  assert players == ["clone_0", "policy_0", "clone_1", "policy_1"]


@pytest.mark.parametrize(
  "preset", ["tiny", "debug", "vale", "vale_agent", "vale_gpu"]
)
def test_presets_can_be_trained_in_turns_as_they_are(preset):
  agent_plan.check(presets.make(preset), roms.resolve("great_vale"))


def test_lessons_are_recorded_before_anything_is_trained():
  lessons = ("agent.demonstrations=3", "agent.astray=5")
  plan = _plan(*lessons, "agent.demonstration_length=700", "agent.turns=1")
  assert list(plan)[:4] == [
    *("collect 0", "demonstrations 0", "astray 0", "world_model 0")
  ]
  shown = plan["demonstrations 0"]
  assert shown.done == _HERE / "turns" / "00" / "demonstrations" / "result.json"
  assert {"--episodes=3", "--episode_length=700", "--start_states=power_on"} < {
    *shown.arguments
  }
  for name in ("demonstrations 0", "astray 0"):
    assert f"--add_to={_HERE}/data" in plan[name].arguments
  assert "--episodes=5" in plan["astray 0"].arguments
  assert any("lost=0.35" in a for a in plan["astray 0"].arguments)
  seeds = [
    [a for a in plan[name].arguments if "--seed" in a][-1]
    for name in ("demonstrations 0", "astray 0", "play 1", "collect 0")
  ]
  assert len(set(seeds)) == 4


def test_fresh_play_is_as_long_and_from_where_it_is_asked():
  flags = ("--episode_length=", "--start_states=")
  plain = _plan()["play 1"].arguments
  assert not [a for a in plain if a.startswith(flags)]
  asked = _plan("agent.play_length=40", "agent.play_states=power_on")
  found = [a for a in asked["play 1"].arguments if a.startswith(flags)]
  assert found == ["--episode_length=40", "--start_states=power_on"]


@pytest.mark.parametrize(
  ("override", "words"),
  [
    ("agent.policy_mix=policy:planner", "actor_critic.reads_goal=true alone"),
    ("agent.updates=15", "agent.updates: 15, expected a divisor of train.ste"),
    ("agent.policy_mix=wizard=1", "wizard"),
    ("train.epochs=2", "train.epochs: 2, turns count updates, expected 0"),
    ("collect.policy_mix=random=1", "nobody to clone"),
  ],
)
def test_what_a_late_stage_would_refuse_is_refused_first(override, words):
  config = presets.make("debug", [*_SMALL, override])
  with pytest.raises(ValueError, match=re.escape(words)):
    agent_plan.check(config, roms.resolve(None))
  agent_plan.check(presets.make("debug", _SMALL), roms.resolve(None))


@pytest.mark.parametrize(
  ("override", "words"),
  [
    ("agent.turns=-1", "turns: -1"),
    ("agent.episodes=0", "episodes: 0"),
    ("agent.policy_mix=policy=1,,", "agent.policy_mix: 'policy=1,,', expected"),
  ],
)
def test_bad_settings_are_one_line(override, words):
  with pytest.raises(ValueError, match=words) as caught:
    presets.make("debug", [override])
  assert len(str(caught.value).splitlines()) == 1


def test_turns_tell_what_they_took_and_brought(tmp_path):
  def result(folder, values):
    folder.mkdir(parents=True)
    sealed = whole_files.seal(values)
    (folder / "result.json").write_text(json.dumps(sealed))

  def played(share, step):
    return {
      "milestones": {"badges": {"share": share, "median": step}},
      "return": {"mean": 7.0, "low": 6.0, "high": 8.0},
      "wins": {"mean": 5.0},
      "trainer_wins": {"mean": share},
    }

  result(tmp_path / "data", {"steps": 1000, "episodes": 10})
  folder = agent_turns.turn_directory(tmp_path, 1) / "play"
  result(folder, {"steps": 1500, "episodes": 12})
  result(
    tmp_path / "measured_1",
    {
      "policies": {
        "clone_0": played(0.25, 200.0),
        "policy_0": played(0.5, 300.0),
        "clone_1": played(0.0, None),
        "policy_1": played(1.0, 150.0),
      }
    },
  )
  found = agent_turns.collect(tmp_path, 1)
  assert [turn["emulator_steps"] for turn in found] == [1000, 1500]
  assert found[1]["played"]["policy"] == {
    "badge_share": 1.0,
    "badge_step": 150.0,
    "return": 7.0,
    "return_interval": [6.0, 8.0],
    "wild_wins": 4.0,
  }
  alone = [
    {**turn, "played": {"policy": turn["played"]["policy"]}} for turn in found
  ]
  assert agent_turns.table(alone).rows[1] == [
    *("1", "1,500", "100%", "150", "7.0")
  ]
  table = agent_turns.table(found)
  assert table.rows == [
    ["0", "1,000", "25%", "200", "7.0", "50%", "300", "7.0"],
    ["1", "1,500", "0%", "-", "7.0", "100%", "150", "7.0"],
  ]


def test_turns_tell_what_was_new_and_what_looks_took(tmp_path):
  look = {"honesty/realised": 0.5}
  turn = {
    "turn": 0,
    "emulator_steps": 1000,
    "new_frames": None,
    "honesty": {"last": look, "alarms": [], "emulator_steps": 1200},
    "played": {},
  }
  parted = {"last": {}, "alarms": [20, 40], "emulator_steps": 2400}
  turns = [turn, {**turn, "turn": 1, "new_frames": 0.25, "honesty": parted}]
  table = agent_turns.table(turns)
  assert table.header[2:] == ["new frames", "looks", "realised"]
  assert table.rows == [
    ["0", "1,000", "-", "1,200", "0.50"],
    ["1", "1,000", "25.0%", "2,400", "- (parted at 20, 40)"],
  ]


def test_turns_end_where_play_shows_next_to_nothing_new(tmp_path):
  def played(turn, new):
    folder = agent_turns.turn_directory(tmp_path, turn) / "play"
    folder.mkdir(parents=True)
    values = {"new_frames": {"frames": 200, "new": new, "new_different": 1}}
    text = json.dumps(whole_files.seal(values))
    (folder / "result.json").write_text(text)

  played(1, 30)
  played(2, 9)
  plan = _plan("agent.turns=2")
  ended = train_agent._Ended(tmp_path, 0.05)
  said = {name: ended(stage) for name, stage in plan.items()}
  assert [name for name, ends in said.items() if ends] == ["play 2"]
  assert (ended.turn, ended.share) == (2, 0.045)
  heedless = train_agent._Ended(tmp_path, 0.0)
  assert not any(heedless(stage) for stage in plan.values())
  with pytest.raises(ValueError, match=r"least_new_frames: 1.5, expected 0..1"):
    presets.make("debug", ["agent.least_new_frames=1.5"])


def test_stages_that_look_at_honesty_know_their_game():
  config = presets.make("debug", [*_SMALL, "policy.honesty_every=2"])
  for every, rom in ((config, ["--rom=x.gb"]), (presets.make("debug"), [])):
    plan = agent_plan.make_plan(_HERE, "x.gb", [], every)
    (policy,) = [stage for stage in plan if stage.name == "policy 0"]
    assert [a for a in policy.arguments if a.startswith("--rom")] == rom
    (play,) = [stage for stage in plan if stage.name == "play 1"]
    assert "--count_new" in play.arguments


def test_turns_under_a_planner_tell_the_same(tmp_path):
  def led(share, step, badges):
    earned = [{"goal": "badge 1", "share": share, "median": step}]
    measures = {"badges": {"mean": badges}}
    measures["return"] = {"mean": 7.0, "low": 6.0, "high": 8.0}
    return {"badges": earned if share else [], "measures": measures}

  (tmp_path / "data").mkdir()
  sealed = whole_files.seal({"steps": 1000, "episodes": 10})
  (tmp_path / "data" / "result.json").write_text(json.dumps(sealed))
  (tmp_path / "measured_0").mkdir()
  lines = {"clone_0": led(0, None, 0.0), "policy_0": led(0.5, 300.0, 0.75)}
  for planners, names in (
    ({f"{name}, offline": line for name, line in lines.items()}, [*lines]),
    ({"offline": lines["policy_0"]}, ["policy_0"]),  # from scratch
  ):
    sealed = whole_files.seal({"planners": planners})
    path = tmp_path / "measured_0" / "result.json"
    path.write_text(json.dumps(sealed))
    (turn,) = agent_turns.collect(tmp_path, 0)
    assert turn["played"]["policy"]["badge_step"] == 300.0
    assert turn["played"]["policy"]["badges"] == 0.75
    if len(names) == 2:
      row = ["0", "1,000", "0%", "-", "7.0", "50%", "300", "7.0"]
      assert agent_turns.table([turn]).rows == [row]


def _train(workdir, *flags):
  return subprocess.Popen(
    [
      *(sys.executable, "-m", "experiments.train_agent", "--preset=debug"),
      *(f"--workdir={workdir}", *(f"--set={item}" for item in _SMALL)),
      *("--set=evaluate.episodes=2", *flags),
    ],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
  )


@pytest.mark.slow
def test_a_turn_that_is_stopped_goes_on(tmp_path):
  first = _train(tmp_path / "run")
  turn = agent_turns.turn_directory(tmp_path / "run", 1)
  model = tmp_path / "run" / "world_model"
  # Amid the second turn's updates of the one world model.
  while (
    not (turn / "play" / "result.json").exists()
    or (model / "result.json").exists()
  ):
    assert first.poll() is None, first.communicate()[0][-3000:]
    time.sleep(0.1)
  first.send_signal(signal.SIGINT)
  text, _ = first.communicate(timeout=300)
  assert first.returncode == 130, text[-3000:]
  second = _train(tmp_path / "run")
  text, _ = second.communicate(timeout=900)
  assert second.returncode == 0, text[-3000:]
  (adopted,) = adoptions.read(model).adopted
  assert adopted.update == 20
  assert "Turn 0: record: done already" in text and "Turns" in text
  result = run_directory.read_result(tmp_path / "run")
  before, after = (turn["emulator_steps"] for turn in result["turns"])
  # What was played joined the records: two episodes of at most 96 steps.
  assert before < after <= before + 2 * 96
  assert generations.freeze(tmp_path / "run" / "data").num_steps == after
