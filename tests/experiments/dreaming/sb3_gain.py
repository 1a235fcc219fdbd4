"""PPO of Stable-Baselines3 in a dream, and what it gains in the game.

    python -m tests.experiments.dreaming.sb3_gain MODEL [STEPS]

prints a JSON object: mean reward of an episode in the emulator before and
after, and the paired gain with its 95 % interval over the same seeds. The
library is used as it is; `AsItsVectors` gives it all dreams of a step at once.
"""

import json
import sys
import time

import gymnasium
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common import vec_env
import torch

from data_tools.envs import vector_env
from pokedreamer_jax.world_model import statistics

ID = "experiments.dream_env:PokeDreamer/Dream-v0"
DREAMS = 16
STEPS = 32_768  # of training
SETTING = {"observation": "grey", "episode_length": 128, "reward": "published"}
PLAYED = 48  # games before and after, of the same seeds
_SHRINK = 4  # pixels to one, so that a laptop learns in minutes


def measure(model, steps):
  """Trains and measures; JSON-ready."""
  torch.set_num_threads(1)
  env = AsItsVectors(dreams(model), seed=1)
  agent = PPO(
    *("CnnPolicy", env),
    n_steps=64,
    batch_size=256,
    n_epochs=4,
    learning_rate=7e-4,
    ent_coef=0.01,
    gamma=0.97,
    seed=0,
  )
  before = played(agent)
  began_s = time.monotonic()
  agent.learn(steps)
  took_s = time.monotonic() - began_s
  after = played(agent)
  env.close()
  many = 6 * DREAMS
  return {
    "steps": steps,
    "train_s": round(took_s, 1),
    "dreamt_rewards": [
      float(np.mean(env.finished[at : at + many]))
      for at in range(0, len(env.finished), many)
    ],
    "before": statistics.bootstrap_mean(before),
    "after": statistics.bootstrap_mean(after),
    "gain": statistics.bootstrap_mean(after - before),
  }


def dreams(model):
  """Many dreams, a step of all in one call."""
  return gymnasium.make_vec(
    *(ID, DREAMS),
    vectorization_mode="vector_entry_point",
    model=model,
    **SETTING,
  )


class AsItsVectors(vec_env.VecEnv):
  """A vector environment of Gymnasium in the library's own form.

  There an episode begins anew in the step that ends it, here in the next one,
  whose action nobody hears. All are as long, so that they begin anew together;
  a dream whose game is over before takes that deaf step by itself.
  """

  def __init__(self, env, seed):
    self._env = env
    self.finished: list[float] = []  # rewards of whole episodes
    self._paid = np.zeros(env.num_envs)
    height, width, _ = env.single_observation_space.shape
    shape = (height // _SHRINK, width // _SHRINK, 1)
    super().__init__(
      env.num_envs,
      gymnasium.spaces.Box(0, 255, shape, np.uint8),
      env.single_action_space,
    )
    self._first = shrunk(env.reset(seed=seed)[0])

  def reset(self):
    return self._first

  def step_async(self, actions):
    self._actions = actions

  def step_wait(self):
    frames, rewards, terminated, truncated, _ = self._env.step(self._actions)
    seen, ended = shrunk(frames), terminated | truncated
    infos = [{} for _ in range(self.num_envs)]
    self._paid += rewards
    if ended.any():
      for i in np.flatnonzero(ended):
        infos[i] = {
          "terminal_observation": seen[i],
          "TimeLimit.truncated": bool(truncated[i]),
        }
        self.finished.append(float(self._paid[i]))
      self._paid[ended] = 0.0
      last = self.finished[-self.num_envs :]
      print(f"dreamt rewards {np.mean(last):.3f}", file=sys.stderr, flush=True)
    if ended.all():
      frames, *_ = self._env.step(self._actions)
      seen = shrunk(frames)
    return seen, rewards.astype(np.float32), ended, infos

  def close(self):
    self._env.close()

  def get_attr(self, name, indices=None):
    return [getattr(self._env, name, None)] * self.num_envs

  def set_attr(self, name, value, indices=None):
    raise NotImplementedError

  def env_method(self, name, *args, indices=None, **kwargs):
    raise NotImplementedError

  def env_is_wrapped(self, wrapper, indices=None):
    return [False] * self.num_envs


def shrunk(frames):
  """Frames `[N, 144, 160, 1]` as the policy sees them, `[N, 36, 40, 1]`."""
  return frames[:, ::_SHRINK, ::_SHRINK]


def played(agent):
  """Rewards `[PLAYED]` of whole games in the emulator."""
  torch.manual_seed(0)
  env = vector_env.VectorEnv(num_envs=PLAYED, **SETTING)
  frames, _ = env.reset(seed=list(range(1_000, 1_000 + PLAYED)))
  total, going = np.zeros(PLAYED), np.ones(PLAYED, bool)
  while going.any():
    action, _ = agent.predict(shrunk(frames))
    frames, rewards, terminated, truncated, _ = env.step(action)
    total += rewards * going
    going &= ~(terminated | truncated)
  env.close()
  return total


if __name__ == "__main__":
  model, *steps = sys.argv[1:]
  print(json.dumps(measure(model, *map(int, steps or [STEPS])), indent=1))
