"""Dreams stand where the emulator's environments stood."""

import functools
import importlib.util
import json

import gymnasium
from gymnasium.utils import env_checker
import numpy as np
import pytest

from data_tools.envs import env as emulator_env
from data_tools.envs import env_rows
from experiments import dream_env as door
from experiments.dreaming import envs
from experiments.dreaming import fields
from experiments.runs import shipped
from pokedreamer_jax import specs
from tests.experiments.dreaming import made

_ID = "experiments.dream_env:PokeDreamer/Dream-v0"


@pytest.fixture(scope="module")
def one():
  env = gymnasium.make(
    _ID, model=made.model(), render_mode="rgb_array", episode_length=7
  ).unwrapped
  yield env
  env.close()


@pytest.fixture(scope="module")
def many():
  env = gymnasium.make_vec(
    _ID,
    num_envs=3,
    vectorization_mode="vector_entry_point",
    model=made.model(),
    episode_length=4,
    observation="packed",
  )
  yield env
  env.close()


def test_check_env_has_nothing_to_say(one):
  env_checker.check_env(one)


def test_spaces_and_infos_are_the_emulators(one):
  real = emulator_env.PokeDreamerEnv(episode_length=7)
  assert one.observation_space == real.observation_space
  assert one.action_space == real.action_space
  assert one.metadata == real.metadata
  infos = [env.reset(seed=1)[1] for env in (one, real)]
  infos += [env.step(4)[-1] for env in (one, real)]
  real.close()
  for a, b in zip(infos[::2], infos[1::2], strict=True):
    assert a.keys() == b.keys()
    for part in a:
      assert a[part].keys() == b[part].keys()
      for key, value in a[part].items():
        assert type(value) is type(b[part][key]), key


def test_dreams_begin_in_the_game_and_pay_ones_own_reward(many):
  _, infos = many.reset(seed=0)
  assert infos["state"]["game_running"].all()
  _, infos = many.reset(seed=0, options={"save_state": "power_on"})
  assert not infos["state"]["game_running"].any()
  env = gymnasium.make(
    _ID,
    model=made.model(),
    episode_length=5,
    reward=lambda before, info: info["state"]["x"] + 0.5,
  )
  env.reset(seed=0)
  for _ in range(2):
    _, reward, _, _, info = env.step(4)
    assert reward == info["state"]["x"] + 0.5
  env.close()


def test_the_same_seed_dreams_the_same_and_time_is_up_once(one):
  def play(seed):
    frames, rewards = [one.reset(seed=seed)[0]], []
    for action in (0, 1, 2, 3, 4, 5):
      frame, reward, terminated, truncated, _ = one.step(action)
      frames.append(frame)
      rewards.append(reward)
      if terminated or truncated:
        break
    with pytest.raises(ValueError, match="call reset"):
      one.step(0)
    return np.stack(frames), rewards, terminated, truncated

  first, again, other = play(1), play(1), play(2)
  np.testing.assert_array_equal(first[0], again[0])
  assert first[1:] == again[1:]
  assert first[2] != first[3]
  same = first[0].shape == other[0].shape
  assert not (same and np.array_equal(first[0], other[0]))


def test_a_batch_is_each_of_them(one, many):
  seeds = [5, 9, 13]
  frames, _ = many.reset(seed=seeds)
  steps = [frames]
  actions = np.array([[0, 4, 2], [1, 4, 3], [5, 4, 3]])
  paid = []
  for action in actions:
    frames, rewards, *_ = many.step(action)
    steps.append(frames)
    paid.append(rewards)
  small = envs.DreamEnv(made.model(), episode_length=4, observation="packed")
  for i, seed in enumerate(seeds):
    frame, _ = small.reset(seed=seed)
    np.testing.assert_array_equal(frame, steps[0][i])
    for t, action in enumerate(actions[:, i]):
      frame, reward, terminated, truncated, _ = small.step(int(action))
      np.testing.assert_array_equal(frame, steps[t + 1][i])
      assert reward == pytest.approx(paid[t][i], abs=1e-4)
      if terminated or truncated:
        break
  small.close()


def test_the_step_after_an_end_begins_anew(many):
  many.reset(seed=0)
  ended = np.zeros(3, bool)
  for _ in range(8):
    _, rewards, terminated, truncated, infos = many.step(np.full(3, 7))
    assert not rewards[ended].any()
    assert not (terminated | truncated)[ended].any()
    ended = terminated | truncated
    assert infos["_state"].all()
  with pytest.raises(ValueError, match="actions"):
    many.step(np.full(3, 8))


def test_tokens_tell_fields_and_the_others_are_named():
  sizes = {"battle": 4, "badges": 9, "level": 20, "hp": 64, "active_slot": 6}
  sizes |= {"active_hp": 64, "party_size": 7, "money": 9}
  numbers = np.array([[3, 2, 5, 20, 1, 30, 2, 4], [0] * 8])
  row = fields.read(sizes, numbers)
  specs.check_steps(row)
  assert row["in_battle"].tolist() == [255, 0]
  assert row["badges"].tolist() == [3, 0]
  assert row["party_hp"][0].tolist() == [20, 30, 0, 0, 0, 0]
  assert row["party_level"][0, 0] == 5 and row["money"][0] == 400
  assert row["game_running"].tolist() == [True, False]
  missing = fields.unknown(sizes)
  assert {"map_id", "party_xp", "party_hp"} <= set(missing)
  assert not {"in_battle", "badges", "money", "party_size"} & set(missing)
  assert env_rows.info(row, {})["state"]["badge_count"] == 2


def test_a_bad_argument_is_a_line():
  make = functools.partial(envs.DreamEnv, made.model())
  for arguments, message in (
    ({"observation": "ram"}, "observation: 'ram'"),
    ({"reward": "much"}, "reward: 'much'"),
    ({"episode_length": 1}, "episode_length: 1"),
    ({"render_mode": "human"}, "render_mode: 'human'"),
  ):
    with pytest.raises(ValueError, match=message):
      make(**arguments)
  with pytest.raises(ValueError, match="nowhere: not a run directory"):
    envs.DreamEnv("nowhere")


def test_starts_serve_the_functional_form():
  for where, running in (("power_on", False), ("default", True)):
    begun = door.starts(made.model(), made.rom(), [1, 2], where)
    assert begun.time.shape == (2,)
    assert (np.asarray(begun.running) == running).all()


@pytest.mark.slow
@pytest.mark.skipif(
  importlib.util.find_spec("stable_baselines3") is None,
  reason="stable-baselines3 is not installed: requirements-test-sb3.txt",
)
def test_ppo_of_another_library_learns_in_it_unchanged():
  from stable_baselines3 import PPO

  env = gymnasium.make(
    _ID, model=made.model(), observation="grey", episode_length=32
  )
  agent = PPO("CnnPolicy", env, n_steps=32, batch_size=16, n_epochs=1, seed=0)
  before = [p.detach().clone() for p in agent.policy.parameters()]
  agent.learn(64)
  after = list(agent.policy.parameters())
  assert any((a != b).any() for a, b in zip(before, after, strict=True))
  env.close()


@pytest.mark.slow
@pytest.mark.skipif(
  importlib.util.find_spec("stable_baselines3") is None,
  reason="stable-baselines3 is not installed: requirements-test-sb3.txt",
)
@pytest.mark.skipif(
  shipped.DEFAULT not in shipped.names(),
  reason="no model comes with the package to dream with",
)
def test_what_ppo_of_another_library_gains_in_it_shows_in_the_emulator():
  from tests.experiments.dreaming import sb3_gain

  found = sb3_gain.measure(shipped.DEFAULT, sb3_gain.STEPS)
  print(json.dumps(found))  # what docs/play_dream.md tells; pytest -rP shows it
  assert found["gain"]["low"] > 0, found
