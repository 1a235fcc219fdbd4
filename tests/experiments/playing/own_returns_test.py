"""Games weighed by what policies were paid for in training."""

import dataclasses

import numpy as np
import pytest

from data_tools.envs import env_rows
from experiments.playing import own_returns
from experiments.playing import play_episodes
from experiments.playing import play_traces
from pokedreamer_jax import specs
from pokedreamer_jax.config import behaviour

_GAMES, _ROWS = 5, 40


def _played(seed=0):
  rng = np.random.default_rng(seed)
  shape = (_GAMES, _ROWS, specs.NUM_REWARD_TERMS)
  traces = play_traces.blank(_GAMES, _ROWS)
  # Levels begin at none, rise, and fall where another creature leads.
  traces.level[:, 8:] = rng.integers(3, 9, (_GAMES, _ROWS - 8))
  return play_episodes.Played(
    reward_terms=rng.integers(0, 3, shape).astype(np.float32),
    steps=np.full(_GAMES, _ROWS),
    beaten=np.zeros(_GAMES, bool),
    traces=traces,
  )


def _paid_by_environments(objective, played):
  """Row by row, as `PokeDreamer` environments pay."""
  rewards = env_rows.Rewards(objective, _GAMES)
  total = np.zeros(_GAMES)
  for t in range(_ROWS):
    level = np.zeros((_GAMES, 6), np.uint8)
    level[:, 0] = played.traces.level[:, t]
    row = {"reward_terms": played.reward_terms[:, t], "party_level": level}
    total += rewards.weigh(row)
  return total


@pytest.mark.parametrize(
  "policy",
  [
    behaviour.PolicyConfig(reward="published"),
    behaviour.PolicyConfig(reward="capped"),
    behaviour.PolicyConfig(reward="progress"),
    behaviour.PolicyConfig(reward_weights="badges=3,level=0.25,stuck=-1"),
  ],
  ids=lambda policy: policy.objective_name,
)
def test_a_return_is_what_the_environments_pay(policy):
  played = _played()
  np.testing.assert_allclose(
    own_returns.returns(played, policy),
    _paid_by_environments(policy.objective, played),
    rtol=1e-5,
  )


def test_one_term_alone_is_weighed_alone():
  policy = behaviour.PolicyConfig(reward="capped", only_term="wild_wins")
  played = _played()
  wins = played.reward_terms[..., specs.REWARD_TERMS.index("wild_wins")]
  np.testing.assert_allclose(
    own_returns.returns(played, policy), wins.sum(1).clip(max=5.0)
  )
  found = own_returns.report({"a": played}, {"a": policy}, 50)
  assert found["wild_wins"]["weights"] == {"wild_wins": 1.0}
  assert found["wild_wins"]["caps"] == {"wild_wins": 5.0}


def test_everybody_is_weighed_by_every_objective_but_the_published():
  own = behaviour.PolicyConfig(reward_weights="badges=2,xp=0.5")
  trained = {
    "published": behaviour.PolicyConfig(reward="published"),
    "first": behaviour.PolicyConfig(reward="progress"),
    "second": behaviour.PolicyConfig(reward="progress"),
    "third": own,
  }
  played = {name: _played(k) for k, name in enumerate([*trained, "random"])}
  found = own_returns.report(played, trained, 200)
  assert {name: one["of"] for name, one in found.items()} == {
    "progress": ["first", "second"],
    "badges=2,xp=0.5": ["third"],
  }
  for one in found.values():
    assert list(one["returns"]) == list(played)
  mine = found["badges=2,xp=0.5"]
  expected = own_returns.returns(played["random"], own)
  assert mine["per_episode"]["random"] == expected.tolist()
  assert mine["returns"]["random"]["mean"] == pytest.approx(expected.mean())
  pair = next(
    row
    for row in mine["comparisons"]
    if (row["policy"], row["than"]) == ("third", "random")
  )
  difference = own_returns.returns(played["third"], own) - expected
  assert pair["mean"] == pytest.approx(difference.mean())
  assert pair["low"] <= pair["mean"] <= pair["high"]


def test_weights_that_are_the_published_ones_are_no_own_objective():
  weights = zip(
    specs.REWARD_TERMS, specs.REWARD_WEIGHTS["published"], strict=True
  )
  text = ",".join(f"{name}={weight}" for name, weight in weights)
  policy = behaviour.PolicyConfig(reward_weights=text)
  assert own_returns.report({"a": _played()}, {"a": policy}, 50) == {}
  # The same weights under caps are one.
  capped = behaviour.PolicyConfig(reward="capped")
  assert own_returns.report({"a": _played()}, {"a": capped}, 50).keys() == {
    "capped"
  }


def test_levels_that_nobody_kept_are_not_guessed():
  blind = dataclasses.replace(_played(), traces=None)
  policy = behaviour.PolicyConfig(reward="progress")
  assert own_returns.returns(blind, policy) is None
  played = {"policy": _played(), "old": blind}
  found = own_returns.report(played, {"policy": policy}, 50)
  assert list(found["progress"]["returns"]) == ["policy"]
  capped = behaviour.PolicyConfig(reward="capped")  # pays no levels
  assert own_returns.returns(blind, capped) is not None
