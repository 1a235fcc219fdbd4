import hashlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import time

import gymnasium
from gymnasium.utils import env_checker
import numpy as np
import pytest

from data_tools import cartridge
from data_tools import env as env_lib
from data_tools.envs import starts
from data_tools.game import emulator as emulator_lib
from data_tools.game import frame_codec
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.game import save_states
from data_tools.players import policies
from data_tools.records import episodes
from pokedreamer_jax import specs

_SMALL = "PokeDreamer/PracticeSmall-v0"
_START, _A = (specs.ACTIONS.index(name) for name in ("start", "a"))


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.CHAPTER_ONE)


@pytest.fixture(scope="module")
def env():
  made = gymnasium.make(_SMALL, render_mode="rgb_array").unwrapped
  yield made
  made.close()


def _fresh(code, **environment):
  clean = {k: v for k, v in os.environ.items() if k != "POKEDREAMER_ROM"}
  return subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    env=clean | environment,
  )


@pytest.mark.parametrize("observation", ["rgb", "grey"])
def test_check_env_has_nothing_to_say(observation):
  # Warnings are errors in this test run.
  env = gymnasium.make(_SMALL, observation=observation)
  env_checker.check_env(env.unwrapped)


def test_importing_the_package_wakes_no_gymnasium_and_the_module_no_jax():
  seen = "print(sorted({'gymnasium', 'jax', 'pyboy'} & set(sys.modules)))"
  for module, expected in (
    ("data_tools", "[]"),
    ("data_tools.envs.env_rows", "[]"),
    ("data_tools.env", "['gymnasium']"),
  ):
    done = _fresh(f"import sys, {module}; {seen}")
    assert done.stdout.strip() == expected, (module, done.stderr)


def test_an_id_with_its_module_needs_no_import():
  done = _fresh(
    "import gymnasium; print(gymnasium.make('data_tools.env:"
    "PokeDreamer/PracticeSmall-v0').unwrapped.settings.rom.path.name)"
  )
  assert done.stdout.split() == ["chapter_one.gb"], done.stderr


@pytest.mark.parametrize("reward", specs.REWARD_WEIGHTS)
def test_an_episode_is_the_recorded_one(rom, reward):
  policy = policies.make_policy("demonstrator", rom)
  with emulator_lib.Emulator(rom) as game:
    game.reset(11, None, 60)
    chunks = list(episodes.play(game, policy, 11, 900))
  steps = {k: np.concatenate([c[k] for c in chunks]) for k in chunks[0]}
  assert steps["is_terminal"][-1]  # it wins, and so must the replay
  terms = steps["reward_terms"]
  env = env_lib.PokeDreamerEnv(
    reward=reward,
    observation="packed",
    episode_length=len(terms),
    save_state=None,
  )
  weights = specs.REWARD_WEIGHTS[reward]
  expected = specs.cap_terms(terms, np.zeros(8, np.float32), reward) @ weights
  level = np.maximum.accumulate(steps["party_level"][:, 0].astype(int))
  rises = np.where(level[:-1] > 0, np.diff(level), 0)
  expected[1:] += specs.LEVEL_WEIGHTS[reward] * rises
  frame, info = env.reset(seed=11)
  for t, action in enumerate(steps["action"]):
    np.testing.assert_array_equal(frame, steps["frame"][t])
    for field in specs.RAM_FIELDS:
      assert info["state"][field.name] == steps[field.name][t].tolist()
    assert list(info["reward_terms"].values()) == terms[t].tolist()
    if t == len(terms) - 1:
      break
    frame, got, terminated, truncated, info = env.step(action)
    assert got == pytest.approx(expected[t + 1], abs=1e-4)
    assert terminated == (t + 1 == len(terms) - 1) and not truncated
  # The time was over too, but an episode ends for one reason.
  with pytest.raises(ValueError, match="call reset"):
    env.step(0)
  env.close()


def test_the_caps_lower_what_grinding_pays():
  env = env_lib.PokeDreamerEnv(reward="capped", episode_length=5)
  env.reset(seed=0)
  row = {
    "reward_terms": np.zeros((1, 8), np.float32),
    "party_level": np.zeros((1, 6), np.uint8),
  }
  row["reward_terms"][0, specs.REWARD_TERMS.index("wild_wins")] = 1
  paid = [float(env._rewards.weigh(row)[0]) for _ in range(8)]
  assert paid == [1.0] * 5 + [0.0] * 3  # 5 wild wins count
  env.reset(seed=0)
  assert float(env._rewards.weigh(row)[0]) == 1.0
  env.close()


def test_time_is_truncation_and_the_state_is_json(rom):
  env = env_lib.PokeDreamerEnv(episode_length=40)
  env.reset(seed=1)
  for t in range(1, 40):
    _, _, terminated, truncated, info = env.step([_START, _A][t % 2])
    assert not terminated and truncated == (t == 39)
  state = json.loads(json.dumps(info))["state"]
  assert state["game_running"] and state["party_size"] == 1
  assert state["total_hp"] == sum(state["party_hp"]) > 0
  assert state["map_name"] == rom.map_names[state["map_id"]]
  assert state["facing_name"] in specs.FACINGS and state["badge_count"] == 0
  env.close()


def test_the_picture_is_the_screen_whatever_is_observed(env):
  frame, _ = env.reset(seed=3)
  np.testing.assert_array_equal(env.render(), frame)
  for observation in ("grey", "packed"):
    other = env_lib.PokeDreamerEnv(
      observation=observation, render_mode="rgb_array"
    )
    seen, _ = other.reset(seed=3)
    np.testing.assert_array_equal(other.render(), frame)
    assert other.observation_space.contains(seen)
    if observation == "packed":
      seen = frame_codec.unpack_grey(seen)[..., None]
    np.testing.assert_array_equal(seen[..., 0], frame[..., 0])
    other.close()
  assert len(np.unique(frame)) > 1


def test_without_a_seed_the_episodes_follow_the_first_seed(env):
  def starts(seed):
    first, _ = env.reset(seed=seed)
    frames = [first]
    for _ in range(3):
      env.reset()
      for _ in range(20):
        frame, *_ = env.step(_START)
      frames.append(frame)
    return np.stack(frames)

  once, again = starts(5), starts(5)
  np.testing.assert_array_equal(once, again)


def test_a_start_state_is_where_episodes_begin(env, rom, tmp_path):
  env.reset(seed=0)
  for _ in range(3):
    env.step(0)
  state = env._emulator.save_state()
  stamp = save_states.Stamp(
    "there", rom.sha1, emulator_lib.pyboy_version(), save_states.sha1(state), {}
  )
  path = save_states.write(tmp_path, stamp, state)
  _, info = env.reset(seed=0, options={"save_state": path})
  there = {name: info["state"][name] for name in ("map_id", "x", "y")}
  _, info = env.reset(seed=0)  # the option was for one episode
  assert there != {name: info["state"][name] for name in there}
  other = env_lib.PokeDreamerEnv(save_state=str(path))
  _, info = other.reset(seed=0)
  assert there == {name: info["state"][name] for name in there}
  other.close()
  with pytest.raises(ValueError, match=r"\['start'\]: expected"):
    env.reset(options={"start": 1})
  with pytest.raises(ValueError, match="does not fit"):
    env.reset(options={"save_state": b"no state"})


def _place(info):
  return [info["state"][name] for name in ("map_name", "x", "y")]


@pytest.mark.parametrize("game", ["practice_small", "practice"])
def test_episodes_begin_in_the_game_and_by_word_on_the_title_screen(game):
  env = env_lib.PokeDreamerEnv(game=game)
  running = lambda info: info["state"]["game_running"]
  for seed in range(3):
    _, info = env.reset(seed=seed)
    assert running(info) and info["state"]["has_control"]
  begun = _place(info)
  assert begun[0] == "home"
  # The first row of a game that is running is nobody's achievement.
  assert not any(info["reward_terms"].values())
  for word in (None, "power_on"):
    _, info = env.reset(seed=0, options={"save_state": word})
    assert not running(info)
  _, info = env.reset(seed=0, options={"save_state": "game"})
  assert _place(info) == begun
  env.close()


def test_of_an_unknown_game_nobody_knows_where_it_begins(tmp_path, monkeypatch):
  data = bytearray(cartridge.CHAPTER_ONE.read_bytes())
  data[0x7FF0] ^= 1
  data[0x14E:0x150] = roms.global_checksum(data)
  path = tmp_path / "mine.gb"
  path.write_bytes(data)
  unknown = roms.resolve(path)
  assert starts.read(starts.DEFAULT, unknown) is None
  with pytest.raises(ValueError, match=r"save_state: 'game', of .*'power_on'"):
    starts.read(starts.GAME, unknown)
  monkeypatch.setattr(roms, "POKEMON_RED_SHA1S", {unknown.sha1: "stand-in"})
  red = roms.resolve(path)
  assert starts.read(starts.DEFAULT, red) is None
  with pytest.raises(ValueError, match=r"'game': script pokemon_red_intro.*li"):
    starts.read(starts.GAME, red)


def test_weights_of_ones_own_are_paid_without_caps():
  weights = {"wild_wins": 2.0, "level": 0.5}
  env = env_lib.PokeDreamerEnv(reward=weights, episode_length=5)
  env.reset(seed=0)
  row = {
    "reward_terms": np.ones((1, 8), np.float32),
    "party_level": np.array([[9, 0, 0, 0, 0, 0]], np.uint8),
  }
  level = int(env._rewards._level[0])
  paid = [float(env._rewards.weigh(row)[0]) for _ in range(9)]
  assert paid == [2.0 + 0.5 * (9 - level if level else 0)] + [2.0] * 8
  env.close()


def test_a_function_of_two_infos_is_paid():
  seen = []

  def steps_walked(before, info):
    seen.append((before, info))
    a, b = before["state"], info["state"]
    return abs(a["x"] - b["x"]) + abs(a["y"] - b["y"])

  env = env_lib.PokeDreamerEnv(reward=steps_walked)
  _, before = env.reset(seed=0)
  assert not seen
  paid = []
  for action in (0, 0, 2, 7):
    _, reward, _, _, info = env.step(action)
    assert seen[-1] == (before, info)
    paid.append(reward)
    before = info
  assert sum(paid) > 0 and paid[-1] == 0
  env.reset(seed=1)
  env.step(7)
  assert len(seen) == 5  # none over the end of an episode
  bad = env_lib.PokeDreamerEnv(reward=lambda before, info: "much")
  bad.reset(seed=0)
  with pytest.raises(ValueError, match="reward: returned 'much', expected a n"):
    bad.step(7)
  env.close()
  bad.close()


def test_who_does_not_close_leaves_cleanly():
  for make in (
    "env_lib.PokeDreamerEnv()",
    "env_lib.VectorEnv(2, num_workers=1)",
    "emulator.Emulator(roms.resolve('chapter_one'))",
  ):
    done = _fresh(
      "import numpy as np\n"
      "from data_tools import env as env_lib\n"
      "from data_tools.game import emulator, roms\n"
      f"env = {make}\n"
      "env.reset(seed=0)\n"
      "env.step(np.array([7, 7]) if hasattr(env, 'num_envs') else 7)\n"
      "from data_tools.system import children\n"
      "print('done', *(child.pid for child in children.living()))"
    )
    assert (done.returncode, done.stderr) == (0, "")
    said, *left = done.stdout.split()
    assert said == "done" and bool(left) == ("Vector" in make)
    for pid in map(int, left):  # they have ended with it, or are about to
      deadline = time.monotonic() + 30
      while pathlib.Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"{make}: {pid} is still there"
        time.sleep(0.05)


def test_what_gymnasiums_wrappers_need_is_named_where_they_are_looked_for():
  named = '`pip install "gymnasium[other]"`'
  assert named in env_lib.__doc__.replace("\n", " ")
  brought = [
    line
    for line in importlib.metadata.requires("gymnasium")
    if 'extra == "other"' in line
  ]
  for package in ("opencv-python", "moviepy"):
    assert any(line.startswith(package) for line in brought)


def test_bad_arguments_name_what_is_allowed(env):
  for arguments, words in (
    ({"game": "practise"}, "'practise'.*practice_small"),
    ({"observation": "rgba"}, "'rgba'.*packed"),
    ({"reward": "mine"}, "'mine'.*capped"),
    ({"reward": "progres"}, "'progres'.*did you mean 'progress'"),
    ({"reward": {"badge": 1}}, "weight of 'badge'.*did you mean 'badges'"),
    ({"reward": {"xp": "a lot"}}, "weight of 'xp': 'a lot', expected a fin"),
    ({"reward": 3}, "reward: 3, expected one of"),
    ({"episode_length": 1}, "episode_length: 1"),
    ({"jitter_frames": -1}, "jitter_frames: -1"),
    ({"render_mode": "human"}, "'human'.*rgb_array"),
    ({"rom": "my.gb"}, r"my\.gb.*chapter_one\.gb"),
    ({"save_state": "/absent.state"}, "absent.*No such file"),
  ):
    with pytest.raises(ValueError, match=words):
      env_lib.PokeDreamerEnv(**arguments)
  env.reset(seed=0)
  for action in (8, -1, 0.5, "a"):
    with pytest.raises(ValueError, match="expected 0 to 7"):
      env.step(action)


def test_the_commercial_game_needs_its_own_rom(monkeypatch):
  monkeypatch.delenv("POKEDREAMER_ROM", raising=False)
  name = "PokeDreamer/PokemonRed-v0"
  with pytest.raises(ValueError, match=r"PokemonRed-v0: give rom="):
    gymnasium.make(name)
  with pytest.raises(ValueError, match=r"Pokemon Red or Blue, practice cart"):
    gymnasium.make(name, rom=str(cartridge.CHAPTER_ONE))


@pytest.mark.parametrize("by_variable", [False, True])
def test_the_commercial_game_is_played_with_its_own_names(
  monkeypatch, tmp_path, by_variable
):
  # No such ROM here: a copy of ours, one byte changed, is declared to be it.
  data = bytearray(cartridge.CHAPTER_ONE.read_bytes())
  data[0x7FF0] ^= 1
  data[0x14E:0x150] = roms.global_checksum(data)
  path = tmp_path / "mine.gb"
  path.write_bytes(data)
  sha1 = hashlib.sha1(data).hexdigest()
  monkeypatch.setattr(roms, "POKEMON_RED_SHA1S", {sha1: "stand-in"})
  if by_variable:
    monkeypatch.setenv("POKEDREAMER_ROM", str(path))
  env = gymnasium.make(
    "PokeDreamer/PokemonRed-v0", rom=None if by_variable else path
  )
  env.reset(seed=0)
  for t in range(30):
    *_, info = env.step([_START, _A][t % 2])
  state = info["state"]
  assert state["game_running"] and state["map_id"] in ram.MAP_NAMES
  assert state["map_name"] == ram.MAP_NAMES[state["map_id"]]
  env.close()


def test_the_larger_cartridge_is_found():
  env = gymnasium.make("PokeDreamer/Practice-v0")
  assert env.unwrapped.settings.rom.path == cartridge.GREAT_VALE
  env.close()


def test_a_closed_environment_says_so():
  env = env_lib.PokeDreamerEnv(render_mode="rgb_array")
  with pytest.raises(ValueError, match="before the first reset"):
    env.render()
  env.close()
  env.close()
  with pytest.raises(ValueError, match="closed"):
    env.reset()
