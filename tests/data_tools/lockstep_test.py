import numpy as np
import pytest

from data_tools import cartridge
from data_tools import emulator as emulator_lib
from data_tools import episodes
from data_tools import generations
from data_tools import loader
from data_tools import lockstep
from data_tools import roms
from data_tools import sb3_policy
from pokedreamer_jax import specs
from tests.data_tools import torch_fakes


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.CHAPTER_ONE)


@pytest.fixture(scope="module")
def make_policy(tmp_path_factory):
  path = tmp_path_factory.mktemp("policy") / "policy.zip"
  arrays = torch_fakes.policy_arrays(num_actions=6)
  weights = sb3_policy.read(torch_fakes.policy_file(path, arrays))
  return lambda count: sb3_policy.Player(weights, count)


def _collect(directory, rom, make_policy, num_envs=2, **settings):
  collection = lockstep.Collection(
    "sb3:test", seed=3, rom=rom, episode_length=40, eps=0.25, **settings
  )
  return lockstep.collect(directory, collection, make_policy, 3, num_envs)


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
    assert header.behaviour == "sb3:test:eps=0.25"
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
        steps["frame"][t : t + 1], steps["is_first"][t : t + 1], uniform
      )
      if steps["behaviour"][t] == chosen:
        assert steps["action"][t] == action[0]
  assert 0.1 < np.mean(shares) < 0.4  # 0.25, deviation 0.04


def test_what_is_there_is_not_played_again(tmp_path, rom, make_policy):
  collection = lockstep.Collection("sb3:test", 3, rom, episode_length=10)
  calls = []

  def stop():
    calls.append(1)
    return len(calls) > 15  # within the second episode

  first = lockstep.collect(
    tmp_path, collection, make_policy, 3, 1, 1, stop=stop
  )
  assert _numbers(first) == (1, 10, True)
  (tmp_path / "shards" / "v0-00000.arrayrecord.tmp").write_bytes(b"killed")
  seen = []
  rest = lockstep.collect(
    tmp_path, collection, make_policy, 3, 4, progress=seen.append
  )
  assert _numbers(rest) == (2, 20, False)
  assert rest.unfinished == ("v0-00000.arrayrecord.tmp",)
  assert (seen[0].episodes, seen[-1].episodes, seen[-1].steps) == (1, 3, 20)
  again = lockstep.collect(tmp_path, collection, make_policy, 3, 4)
  assert _numbers(again) == (0, 0, False)
  assert generations.freeze(tmp_path).num_episodes == 3


def test_bad_settings_are_refused(rom):
  with pytest.raises(ValueError, match="eps: 2"):
    lockstep.Collection("sb3:test", 0, rom, eps=2)
  with pytest.raises(ValueError, match="episode_length 1"):
    lockstep.Collection("sb3:test", 0, rom, episode_length=1)
