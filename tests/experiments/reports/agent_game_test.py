"""One game to its page: what is left where it does not end as it should."""

import types

import numpy as np
import pytest

from data_tools.collecting import collector
from data_tools.envs import vector
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from experiments.playing import dual_agent
from experiments.playing import planners
from experiments.playing import play_episodes
from experiments.reports import agent_game
from experiments.runs import run_directory
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.planner import trace
from tests.pokedreamer_jax import fakes
from tests.pokedreamer_jax.planner import games


def _game(planner, length):
  rom = roms.resolve(None)
  player = "policy:abc@1"
  return agent_game.Game(
    choice=planners.choose(planner, "", ""),
    knowledge=games.small_world(),
    setting=play_episodes.Setting(rom=rom, seeds=(3,), length=length),
    about={"greedy": False, "player": player},
    collection=collector.make_collection(rom, 3, length, player, 0),
    realtime=False,
    began_s=0.0,
  )


@pytest.fixture
def agent(monkeypatch):
  act = lambda state, frame, *_: (state, np.full(len(frame), specs.PASS))
  monkeypatch.setattr(acting, "make_act", lambda *_: act)
  config = fakes.config(
    "actor_critic.goal_dim=64", "actor_critic.reads_goal=true"
  )
  return types.SimpleNamespace(
    config=config, world_params=None, actor_params=None
  )


def _play(tmp_path, agent, game):
  shown = []
  with run_directory.open_run(
    tmp_path, "agent_game", {}, graceful=False
  ) as run:
    code = agent_game.play(
      run, agent, None, game, lambda *told: shown.append(told), quiet=True
    )
    return code, run.result, shown


def _steps(tmp_path):
  index = loader.EpisodeIndex(generations.freeze(tmp_path), "all")
  return index.lengths.tolist()


def test_without_a_planner_there_is_no_trace_and_all_else(tmp_path, agent):
  code, result, shown = _play(tmp_path, agent, _game("none", 30))
  assert code == 0 and len(shown) == 30
  assert _steps(tmp_path) == [30]
  assert not (tmp_path / agent_game.TRACE).exists()
  assert (tmp_path / agent_game.PAGE).exists()
  assert result["share_with_goal"] == 0.0
  assert result["ended_by"] == "its last env step"


def test_an_emulator_that_dies_ends_the_game_with_what_there_is(
  tmp_path, agent, monkeypatch
):
  play = dual_agent.play

  def dies(*arguments):
    for step in play(*arguments):
      if step.t == 70:
        raise vector.Died("emulator process 0 was ended by SIGKILL", 1)
      yield step

  monkeypatch.setattr(dual_agent, "play", dies)
  code, result, _ = _play(tmp_path, agent, _game("offline", 100))
  assert code == 1
  assert "SIGKILL" in result["ended_by"] and result["env_steps"] == 70
  assert _steps(tmp_path) == [70]
  assert trace.read(tmp_path / agent_game.TRACE).whole


def test_a_fault_leaves_no_half_record_and_a_whole_trace(
  tmp_path, agent, monkeypatch
):
  def fails(dual, setting, pace):
    yield from ()
    raise OSError("the disk is full")

  monkeypatch.setattr(dual_agent, "play", fails)
  with pytest.raises(OSError, match="disk is full"):
    _play(tmp_path, agent, _game("offline", 100))
  assert list((tmp_path / "shards").iterdir()) == []
  assert trace.read(tmp_path / agent_game.TRACE).whole
  assert not (tmp_path / "result.json").exists()


def test_real_time_is_that_of_the_game_and_what_is_late_stays_late(
  monkeypatch,
):
  now, slept = [100.0], []

  def sleep(seconds):
    slept.append(seconds)
    now[0] += seconds

  clock = types.SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
  monkeypatch.setattr(agent_game, "time", clock)
  wait = agent_game._pace(True)
  each = specs.STEP_FRAMES / 59.7275
  wait()
  now[0] += 0.1  # a decision
  wait()
  assert now[0] == pytest.approx(100.0 + 2 * each)
  now[0] += 5.0
  wait()
  assert slept[-1] == 0.0
  wait()  # no hurry afterwards
  assert slept[-1] == pytest.approx(each)
  agent_game._pace(False)()
  assert len(slept) == 4
