import gymnasium
import numpy as np
import pytest

from data_tools import env as env_lib
from data_tools.envs import vector_env

_N, _LENGTH = 3, 25
_SETTINGS = {"episode_length": _LENGTH, "jitter_frames": 30}


@pytest.fixture(scope="module")
def envs():
  made = gymnasium.make_vec(
    "PokeDreamer/PracticeSmall-v0",
    num_envs=_N,
    reward="capped",
    num_workers=2,
    **_SETTINGS,
  )
  yield made
  made.close()


@pytest.fixture(scope="module")
def singles():
  """Gymnasium's own vector of single environments, in this process."""
  make = lambda: env_lib.PokeDreamerEnv(reward="capped", **_SETTINGS)
  made = gymnasium.vector.SyncVectorEnv([make] * _N)
  yield made
  made.close()


def _same(left, right):
  if isinstance(left, dict):
    assert left.keys() == right.keys()
    for name in left:
      _same(left[name], right[name])
  elif isinstance(left, tuple):
    for ours, theirs in zip(left, right, strict=True):
      _same(ours, theirs)
  elif isinstance(left, np.ndarray) and left.dtype == object:
    assert left.tolist() == right.tolist()
  else:
    np.testing.assert_array_equal(left, right, strict=True)


def test_it_agrees_with_single_environments_step_by_step(envs, singles):
  assert isinstance(envs, vector_env.VectorEnv)
  assert envs.observation_space == singles.observation_space
  assert envs.action_space == singles.action_space
  actions = np.random.default_rng(0).integers(0, 8, (80, _N))
  actions[::2] = 6  # start: the game begins
  for seed in (7, [20, 3, 3]):
    _same(envs.reset(seed=seed), singles.reset(seed=seed))
    ends = 0
    for action in actions:  # over several episodes, by automatic resets
      ours, theirs = envs.step(action), singles.step(action)
      _same(ours, theirs)
      for i, single in enumerate(singles.envs):  # what the caps count
        _same(envs._rewards._earned[i], single._rewards._earned[0])
      ends += ours[3].sum()
    assert ends >= 3 * _N
  assert ours[4]["state"]["game_running"].all()  # a game was played


def test_a_mask_resets_some_and_leaves_the_others(envs, singles):
  envs.reset(seed=1)
  singles.reset(seed=1)
  for _ in range(_LENGTH - 1):  # to the end of all
    _same(envs.step([6, 4, 6]), singles.step([6, 4, 6]))
  mask = np.array([False, True, False])
  ours = envs.reset(seed=[5, 6, 7], options={"reset_mask": mask})
  _same(ours, singles.reset(seed=[5, 6, 7], options={"reset_mask": mask}))
  for _ in range(_LENGTH):  # the others are reset at once, it later
    _same(envs.step([4, 6, 4]), singles.step([4, 6, 4]))


def test_pictures_and_bad_calls(envs):
  assert envs.render() is None
  with pytest.raises(ValueError, match="2 seeds for 3"):
    envs.reset(seed=[1, 2])
  for mask in (np.zeros(_N, bool), np.ones(2, bool), [1, 0, 1]):
    with pytest.raises(ValueError, match="reset_mask"):
      envs.reset(options={"reset_mask": mask})
  with pytest.raises(ValueError, match="'start'"):
    envs.reset(options={"start": b""})
  with pytest.raises(ValueError, match="'human'"):
    vector_env.VectorEnv(2, render_mode="human")
  with pytest.raises(ValueError, match="num_envs 0"):
    vector_env.VectorEnv(0)
  made = vector_env.VectorEnv(2, render_mode="rgb_array", num_workers=1)
  with pytest.raises(ValueError, match="before the first reset"):
    made.render()
  frames, _ = made.reset(seed=0)
  np.testing.assert_array_equal(np.stack(made.render()), frames)
  made.close()
  made.close()
