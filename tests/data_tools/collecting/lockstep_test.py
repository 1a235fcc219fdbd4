import os
import shutil
import signal

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.collecting import collector
from data_tools.collecting import lockstep
from data_tools.collecting import progress as collect_progress
from data_tools.collecting import worker as collect_worker
from data_tools.envs import vector
from data_tools.foreign import sb3_policy
from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from data_tools.records import episodes
from data_tools.records import generations
from data_tools.records import loader
from data_tools.system import children
from experiments.playing import learned_players
from pokedreamer_jax import specs
from tests.data_tools.foreign import torch_fakes


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.CHAPTER_ONE)


@pytest.fixture(scope="module")
def make_policy(tmp_path_factory):
  path = tmp_path_factory.mktemp("policy") / "policy.zip"
  arrays = torch_fakes.policy_arrays(num_actions=6)
  weights = sb3_policy.read(torch_fakes.policy_file(path, arrays))
  return lambda count: learned_players.FramePlayer(
    sb3_policy.Player(weights, count)
  )


_BEHAVIOUR = "sb3:00112233aabb:eps=0.25"


def _collect(
  directory, rom, make_policy, num_envs=2, length=40, numbers=(0, 1, 2),
  behaviour=_BEHAVIOUR, progress=lambda _: None, stop=lambda: False,
  num_workers=1,
):  # fmt: skip
  """Plays some episodes; the counts, and whether it was stopped."""
  collection = collector.make_collection(rom, 3, length, behaviour, 60)
  shards = directory / "shards"
  shards.mkdir(exist_ok=True)
  tally = collect_progress.Tally(shards, 3, len(numbers), length)
  task = collect_worker.Task(
    rom, {"": None}, collection, shards, "v", 1 << 26, 60.0
  )
  stopped = lockstep.play(
    task, numbers, make_policy, num_envs, num_workers, tally, progress, stop
  )
  return tally.result(stopped, ())


def _numbers(result):
  return result.new_episodes, result.new_steps, result.stopped


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, rom, make_policy):
  directory = tmp_path_factory.mktemp("data")
  result = _collect(directory, rom, make_policy)
  assert _numbers(result) == (3, 120, False)
  return directory


def _read(directory):
  index = loader.EpisodeIndex(generations.freeze(directory), "all")
  return list(index.episodes())


def test_episodes_do_not_depend_on_who_plays_beside_them(
  tmp_path, rom, make_policy, recorded
):
  _collect(tmp_path, rom, make_policy, num_envs=1)
  digests = [
    generations.freeze(path).content_digest for path in (tmp_path, recorded)
  ]
  assert digests[0] == digests[1]


def test_playing_the_actions_again_gives_the_same_rows(rom, recorded):
  header, steps = _read(recorded)[2]  # it began while another was playing
  with emulator_lib.Emulator(rom) as game:
    game.replay_reset(header.jitter_frames)
    reader = episodes.RowReader(rom)
    for t in range(40):
      row = reader.read(game.frame()[None], game.ram().copy()[None])
      for name in specs.STEP_FIELD_NAMES:
        if name not in ("action", "behaviour", "is_last"):
          np.testing.assert_array_equal(row[name][0], steps[name][t], name)
      game.step(int(steps["action"][t]))


def test_actions_are_the_policys_or_noise_and_the_last_is_nobodys(
  recorded, make_policy
):
  noise = specs.BEHAVIOURS.index("random")
  chosen = specs.BEHAVIOURS.index("policy")
  shares = []
  for header, steps in _read(recorded):
    assert header.behaviour == "sb3:00112233aabb:eps=0.25"
    assert specs.BEHAVIOURS[steps["behaviour"][-1]] == "none"
    assert steps["action"][-1] == specs.PASS
    assert steps["is_last"].tolist() == [False] * 39 + [True]
    assert set(steps["behaviour"][:-1]) == {noise, chosen}
    shares.append((steps["behaviour"][:-1] == noise).mean())
    # The policy alone, on the same frames with the same chance.
    rng, player = episodes.policy_rng(header.seed), make_policy(1)
    for t in range(39):
      uniform = rng.random(1)
      rng.random(), rng.integers(8)
      action = player.act(
        {name: steps[name][t : t + 1] for name in ("frame", "is_first")},
        np.zeros(1, np.uint8),
        uniform,
      )
      if steps["behaviour"][t] == chosen:
        assert steps["action"][t] == action[0]
  assert 0.1 < np.mean(shares) < 0.4  # 0.25, deviation 0.04


def test_a_stop_keeps_what_is_complete(tmp_path, rom, make_policy):
  calls, seen = [], []

  def stop():
    calls.append(1)
    return len(calls) > 15  # within the second episode

  first = _collect(
    tmp_path, rom, make_policy, 1, 10, progress=seen.append, stop=stop
  )
  assert _numbers(first) == (1, 10, True)
  assert (seen[0].episodes, seen[-1].episodes) == (0, 1)
  assert seen[-1].steps >= 12 and seen[-1].maps >= 1
  assert generations.freeze(tmp_path).num_episodes == 1
  assert list(tmp_path.rglob("*.tmp")) == []


# With both environments in an episode, and with one episode left for two.
_LOST_AFTER_STEPS = pytest.mark.parametrize("after_steps", [60, 85])


@_LOST_AFTER_STEPS
def test_a_killed_emulator_process_is_replaced_and_counted(
  tmp_path, rom, make_policy, recorded, after_steps
):
  killed = []

  def kill(progress):
    if not killed and progress.steps > after_steps:
      killed.append(children.living()[0])
      os.kill(killed[0].pid, signal.SIGKILL)

  result = _collect(tmp_path, rom, make_policy, progress=kill)
  assert killed and result.workers_replaced == 1
  assert _numbers(result) == (3, 120, False)
  digests = [
    generations.freeze(path).content_digest for path in (tmp_path, recorded)
  ]
  assert digests[0] == digests[1]


def test_processes_that_keep_dying_end_the_collection(
  tmp_path, rom, make_policy
):
  def kill_all(progress):
    for process in children.living():
      os.kill(process.pid, signal.SIGKILL)

  with pytest.raises(RuntimeError, match="3 times in a row"):
    _collect(tmp_path, rom, make_policy, progress=kill_all)


def test_processes_that_keep_dying_in_the_last_episode_cost_only_that(
  tmp_path, rom, make_policy
):
  def kill_all(progress):
    if progress.steps > 80:
      for process in children.living():
        os.kill(process.pid, signal.SIGKILL)

  with pytest.raises(RuntimeError, match="3 times in a row"):
    _collect(tmp_path, rom, make_policy, progress=kill_all)
  assert [header.episode for header, _ in _read(tmp_path)] == [0, 1]


@_LOST_AFTER_STEPS
@pytest.mark.parametrize("hung", [1, 2])
def test_processes_that_hang_are_replaced_and_counted(
  tmp_path, rom, make_policy, recorded, monkeypatch, hung, after_steps
):
  monkeypatch.setattr(vector, "HANG_S", 8.0)
  stopped = []

  def stop_some(progress):
    if not stopped and progress.steps > after_steps:
      stopped.extend(children.living()[:hung])
      for process in stopped:
        os.kill(process.pid, signal.SIGSTOP)

  result = _collect(
    tmp_path, rom, make_policy, num_workers=2, progress=stop_some
  )
  assert len(stopped) == result.workers_replaced == hung
  assert _numbers(result) == (3, 120, False)
  digests = [
    generations.freeze(path).content_digest for path in (tmp_path, recorded)
  ]
  assert digests[0] == digests[1]
  assert not any(process.is_alive() for process in stopped)


def test_a_disk_that_fills_up_stops_and_keeps_what_is_complete(
  tmp_path, rom, make_policy, monkeypatch
):
  real = shutil.disk_usage(tmp_path)
  state = {"free": 1 << 40}
  monkeypatch.setattr(
    shutil, "disk_usage", lambda path: real._replace(free=state["free"])
  )
  monkeypatch.setattr(lockstep, "_SPACE_EVERY_STEPS", 1)

  def fill(progress):
    if progress.episodes >= 2:
      state["free"] = 1 << 20

  with pytest.raises(OSError, match=r"disk almost full \(1 MiB free"):
    _collect(tmp_path, rom, make_policy, 1, 10, progress=fill)
  numbers = [header.episode for header, _ in _read(tmp_path)]
  assert numbers == [0, 1]
  assert list(tmp_path.rglob("*.tmp")) == []


def test_several_learned_players_and_a_scripted_one_are_counted_together(
  tmp_path, rom, make_policy
):
  names = ("sb3:00112233aabb", "sb3:ffeeddccbbaa:eps=0.5")
  mix = f"{names[0]}=0.4,{names[1]}=0.4,random=0.2"
  collection = collector.make_collection(rom, 3, 20, mix, 60)
  planned = [episodes.plan(collection, n).behaviour for n in range(8)]
  assert set(planned) == {*names, "random"}
  seen = []
  result = collector.collect(
    tmp_path, rom, collection, 8, 1, progress=seen.append,
    players=dict.fromkeys(names, make_policy),
  )  # fmt: skip
  assert _numbers(result) == (8, 160, False)
  for name in ("episodes", "steps", "maps", "tiles"):
    values = [getattr(progress, name) for progress in seen]
    assert values == sorted(values), name
  assert {p.total_episodes for p in seen} == {8}
  assert (seen[-1].episodes, seen[-1].steps) == (8, 160)
  behaviours = [header.behaviour for header, _ in _read(tmp_path)]
  assert behaviours == planned
