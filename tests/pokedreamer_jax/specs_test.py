import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.config import behaviour as behaviour_config

_WINS = specs.REWARD_TERMS.index("wild_wins")
_XP = specs.REWARD_TERMS.index("xp")
_BADGES = specs.REWARD_TERMS.index("badges")


def _terms(**columns):
  length = len(next(iter(columns.values())))
  terms = np.zeros((length, specs.NUM_REWARD_TERMS), np.float32)
  for name, values in columns.items():
    terms[:, specs.REWARD_TERMS.index(name)] = values
  return terms


def test_every_reward_has_weights_caps_and_a_name_in_the_configuration():
  assert set(specs.REWARD_WEIGHTS) == set(specs.REWARD_CAPS)
  assert set(specs.REWARD_WEIGHTS) == set(behaviour_config.REWARDS)
  for weights in specs.REWARD_WEIGHTS.values():
    assert len(weights) == specs.NUM_REWARD_TERMS
  for caps in specs.REWARD_CAPS.values():
    assert set(caps) <= set(specs.REWARD_TERMS)


@pytest.mark.parametrize("xp", [np, jnp])
def test_a_cap_is_on_the_sum_of_the_episode(xp):
  terms = _terms(
    wild_wins=[1] * 7, xp=[200, 200, 200, 0, 9, 0, 0], badges=[1] * 7
  )
  nothing = np.zeros(specs.NUM_REWARD_TERMS, np.float32)
  counted = np.asarray(
    specs.cap_terms(xp.asarray(terms), xp.asarray(nothing), "capped")
  )
  assert counted[:, _WINS].tolist() == [1, 1, 1, 1, 1, 0, 0]
  assert counted[:, _XP].tolist() == [200, 200, 50, 0, 0, 0, 0]
  assert counted[:, _BADGES].tolist() == [1] * 7  # not capped
  np.testing.assert_array_equal(
    specs.cap_terms(terms, nothing, "published"), terms
  )


def test_what_was_earned_before_counts_towards_the_cap():
  terms = _terms(wild_wins=[1, 1, 1], xp=[30, 30, 30])
  earned = _terms(wild_wins=[4], xp=[410])[0]
  counted = specs.cap_terms(terms, earned, "capped")
  assert counted[:, _WINS].tolist() == [1, 0, 0]
  assert counted[:, _XP].tolist() == [30, 10, 0]
  # Two halves of an episode count as the whole.
  late = specs.cap_terms(terms[1:], earned + terms[0], "capped")
  np.testing.assert_array_equal(late, counted[1:])


def test_progress_pays_nothing_that_can_be_had_again():
  weights = dict(
    zip(specs.REWARD_TERMS, specs.REWARD_WEIGHTS["progress"], strict=True)
  )
  assert not any(weights[name] for name in specs.WILD_BATTLE_TERMS)
  assert weights["stuck"] < 0 and weights["hp_lost"] <= 0
  once = {"badges", "species", "new_maps", "trainer_wins"}
  assert {name for name, weight in weights.items() if weight > 0} == once
