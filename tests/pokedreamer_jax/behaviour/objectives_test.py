"""Objectives: levels pay once, dreams pay what the emulator pays."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from data_tools.envs import env_rows
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import objectives
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import progress as progress_lib
from pokedreamer_jax.world_model import tokens

_CFG = world_model_config.WorldModelConfig(
  deter=3, stoch=2, classes=2, tokens="map:4 level:16 hp:8"
)


def _config(reward):
  """Of an objective's name, or of the text of weights."""
  own = "=" in reward
  policy = behaviour_config.PolicyConfig(
    **({"reward_weights": reward} if own else {"reward": reward})
  )
  return dataclasses.replace(
    presets.make("debug"), world_model=_CFG, policy=policy
  )


_OWN = "badges=3,xp=0.25,hp_lost=-1,level=2"


@dataclasses.dataclass
class _Steps:
  reward_terms: jnp.ndarray
  earned: jnp.ndarray
  level: jnp.ndarray


def _highest(level):
  """The highest so far of levels `[T, N]`, as dreams carry it."""
  sizes, zeros = _CFG.token_sizes, np.zeros_like(level)
  numbers = jnp.asarray(np.stack([zeros, level, zeros + 3], -1))
  hot = tokens.one_hot(sizes, numbers)
  reached, found = progress_lib.nothing(level.shape[1:]), []
  for row in hot:
    reached = progress_lib.advance(sizes, row, reached)
    found.append(reached.level)
  return jnp.stack(found)


def test_only_a_new_highest_level_counts():
  level = np.array([[5, 9, 5, 6, 6, 8], [0, 4, 5, 4, 5, 6]]).T
  rises = objectives.level_rises(_highest(level))
  np.testing.assert_array_equal(
    rises, np.array([[4, 0, 0, 0, 0], [0, 1, 0, 0, 1]]).T
  )


@pytest.mark.parametrize("reward", [*specs.REWARD_WEIGHTS, _OWN])
def test_dreams_pay_what_the_environment_pays(reward):
  rng = np.random.default_rng(0)
  rows, dreams = 30, 4
  terms = rng.uniform(0, 2, (rows, dreams, 8)).astype(np.float32)
  level = rng.integers(5, 12, (rows, dreams))
  objective = _config(reward).policy.objective
  assert (reward != _OWN) == isinstance(objective, str)
  paid = env_rows.Rewards(objective, dreams)
  found = []
  for t in range(rows):
    party = np.zeros((dreams, 6), np.uint8)
    party[:, 0] = level[t]
    row = {
      "reward_terms": terms[t],
      "party_level": party,
    }
    found.append(paid.weigh(row))
  # A dream begins with the first row; what it was paid is no part of it.
  steps = _Steps(jnp.asarray(terms[1:]), jnp.asarray(terms[0]), _highest(level))
  dreamt = objectives.rewards(_config(reward), steps)
  np.testing.assert_allclose(dreamt, np.stack(found[1:]), rtol=1e-4, atol=1e-4)


def test_one_term_alone_is_paid_as_among_all():
  rng = np.random.default_rng(1)
  terms = jnp.asarray(rng.uniform(0, 2, (6, 3, 8)), jnp.float32)
  level = _highest(rng.integers(5, 12, (7, 3)))
  steps = _Steps(terms, jnp.zeros((3, 8)), level)
  parts = 0.0
  for name in specs.paid_terms("progress"):
    cfg = _config("progress")
    only = dataclasses.replace(cfg.policy, only_term=name)
    paid = objectives.rewards(dataclasses.replace(cfg, policy=only), steps)
    assert np.abs(paid).max() > 0
    parts += paid
  whole = objectives.rewards(_config("progress"), steps)
  np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)
  with pytest.raises(ValueError, match="only_term: 'xp', expected one of"):
    behaviour_config.PolicyConfig(reward="progress", only_term="xp")


def test_a_level_that_a_game_began_with_pays_nothing():
  paid = env_rows.Rewards("progress", 1)

  def row(level):
    return {
      "reward_terms": np.zeros((1, 8), np.float32),
      "party_level": np.array([[level, 0, 0, 0, 0, 0]]),
    }

  rewards = [float(paid.weigh(row(level))[0]) for level in (0, 20, 21, 0, 21)]
  assert rewards == [0.0, 0.0, specs.LEVEL_WEIGHTS["progress"], 0.0, 0.0]
  paid.restart(np.array([True]))
  assert float(paid.weigh(row(30))[0]) == 0.0


def test_weights_of_ones_own_are_given_in_words():
  policy = presets.make("tiny", [f"policy.reward_weights={_OWN}"]).policy
  weights = {n: w for n, w in policy.term_weights.items() if w}
  assert weights == {"badges": 3, "xp": 0.25, "hp_lost": -1, "level": 2}
  only = dataclasses.replace(policy, only_term="xp")
  assert {n: w for n, w in only.term_weights.items() if w} == {"xp": 0.25}
  for text, message in (
    ("badge=1", "weight of 'badge' .did you mean 'badges'"),
    ("badges", "'badges' of 'badges', expected NAME=NUMBER"),
    ("badges=many", "expected NAME=NUMBER"),
    ("badges=inf", "weight of 'badges': inf, expected a finite number"),
    ("badges=0", "'badges=0' pays nothing"),
  ):
    with pytest.raises(
      ValueError, match=rf"^policy\.reward_weights: .*{message}"
    ):
      presets.make("tiny", [f"policy.reward_weights={text}"])
  with pytest.raises(ValueError, match=f"only_term: 'badges', .*{'xp=1'}"):
    presets.make(
      "tiny", ["policy.reward_weights=xp=1", "policy.only_term=badges"]
    )


def test_levels_need_their_token():
  cfg = dataclasses.replace(
    _config("progress"),
    world_model=dataclasses.replace(_CFG, tokens="map:4 hp:8"),
  )
  with pytest.raises(
    ValueError, match=r"reward: 'progress' pays levels.*'capp"
  ):
    objectives.check(cfg)
  objectives.check(_config("progress"))


def test_battles_need_their_token():
  held = ("policy.kl_battle=2", "policy.reward=capped")
  cfg = presets.make("debug", [*held, "world_model.ram=off"])
  with pytest.raises(ValueError, match=r"kl_battle: 2.0, .*no token 'battle'"):
    objectives.check(cfg)
  objectives.check(presets.make("debug", ["policy.kl_battle=2"]))
