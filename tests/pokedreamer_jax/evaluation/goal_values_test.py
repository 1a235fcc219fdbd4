"""Values against what was reached: steps by loop, ranks by pairs."""

import numpy as np
import pytest

from pokedreamer_jax.evaluation import goal_values
from pokedreamer_jax.goal_specs import Goal

_FIRST = np.isin(np.arange(40), (0, 12, 30))  # episodes of 12, 18 and 10 rows


def _reached(seed=0, share=0.15):
  found = np.random.default_rng(seed).random((40, 3)) < share
  return found & ~_FIRST[:, None]


def test_steps_are_those_to_the_next_row_that_reaches_in_the_episode():
  reached = _reached()
  found = goal_values.steps_until(reached, _FIRST)
  ends = [12] * 12 + [30] * 18 + [40] * 10
  for t in range(40):
    assert goal_values.steps_left(_FIRST)[t] == ends[t] - 1 - t
    for k in range(3):
      later = [u for u in range(t + 1, ends[t]) if reached[u, k]]
      expected = later[0] - t if later else np.inf
      assert found[t, k] == expected
  assert np.isinf(found).any() and (found == 1).any()


def test_the_area_is_the_share_of_pairs_in_order():
  rng = np.random.default_rng(1)
  score, truth = rng.integers(0, 6, 50), rng.random(50) < 0.3
  pairs = [
    1.0 if a > b else 0.5 if a == b else 0.0
    for a in score[truth]
    for b in score[~truth]
  ]
  assert goal_values.auc(score, truth) == pytest.approx(np.mean(pairs))
  assert goal_values.auc(score, truth | True) is None
  assert goal_values.auc(score, truth & False) is None


def test_values_that_know_the_future_are_perfect_and_base_rates_are_not():
  reached = _reached()
  goals = [Goal("map", 1), Goal("map", 2), Goal("talk")]
  until = goal_values.steps_until(reached, _FIRST)
  base = goal_values.base_rates(reached, _FIRST, 4)
  whole = goal_values.steps_left(_FIRST) >= 4
  np.testing.assert_allclose(base, (until[whole] <= 4).mean(axis=0))
  found = goal_values.measure(
    *(0.9 ** (until - 1), reached, _FIRST, goals, base, 0.9, 4)
  )
  assert found["rows"] <= whole.sum() and found["episodes"] == 3
  # A state that holds is no news, an event is.
  holds = reached & [True, True, False]
  counts = whole[:, None] & ~holds
  for kind, columns in (("map", [0, 1]), ("talk", [2]), ("all", [0, 1, 2])):
    row = found["kinds"][kind] if kind != "all" else found["all"]
    assert row["auc"] == row["auc_each"] == 1.0, kind
    soon = (until <= 4)[:, columns][counts[:, columns]]
    assert row["reached"] == soon.sum() and row["share"] == soon.mean()
    assert row["goals"] == row["goals_judged"] == len(columns)
  assert found["kinds"]["talk"]["auc_base"] == 0.5
  assert sum(row["rows"] for row in found["bins"]) == counts.sum()
  first = found["bins"][0]
  assert first["to"] == 5 and first["came_steps"] == 2
  assert first["said_steps"] == pytest.approx(2)
  assert first["value"] == pytest.approx(first["came"])
  assert found["bins"][-1]["reached"] == 0


def test_what_no_row_is_near_to_is_out_of_reach():
  goals = [Goal("talk"), Goal("item"), Goal("badge")]
  value = np.array([[0.5, 1e-4, 0.0], [0.97, 1e-3, 0.0]])
  found = goal_values.reach(
    value, np.array([3, 1, 0]), np.array([2, 0, 0]), goals, 0.97
  )
  assert found["talk"] == {
    "nearest_steps": 2.0,
    "out_of_reach": False,
    "reached_in_training": 3,
    "reached_held_out": 2,
  }
  far = {name for name, row in found.items() if row["out_of_reach"]}
  assert far == {"get capture item", "earn badge"}
