"""Means, intervals and gains by hand."""

import numpy as np

from pokedreamer_jax.evaluation import tables


def test_comparisons_are_positive_where_the_dream_is_better():
  ones = np.ones((10, 1))
  scores = {
    "dream (sampled)": {"pixels": 0.9 * ones, "tiles": 2.0 * ones},
    "frozen frame": {"pixels": 0.5 * ones, "tiles": 5.0 * ones},
    "shuffled actions": {"pixels": 0.95 * ones, "tiles": 1.0 * ones},
  }
  rows = tables.compare(scores, [1], 100, None)
  found = {(r["than"], r["metric"]): round(r["mean"], 6) for r in rows}
  assert found == {
    ("frozen frame", "pixels"): 0.4,
    ("frozen frame", "tiles"): 3.0,
    ("shuffled actions", "pixels"): -0.05,
    ("shuffled actions", "tiles"): -1.0,
  }


def test_values_that_do_not_apply_count_for_nothing():
  values = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, np.nan]])
  groups = np.array([0, 0, 1])
  found = tables.interval(values, groups, 100)
  # 1, 3 and 5 of one episode: a mean, but nothing to draw an interval from.
  assert found == {"count": 3, "n": 1, "mean": 3.0}
  mask = np.array([[True, True], [False, False], [True, True]])
  assert tables.interval(values, groups, 100, mask)["mean"] == 1.0
  nothing = tables.interval(values, groups, 100, np.zeros((3, 2), bool))
  assert nothing == {"count": 0, "n": 0}


def test_intervals_draw_episodes_not_windows():
  # Two episodes of 50 equal windows: drawn by window the interval is narrow,
  # drawn by episode it spans both of them.
  values = np.repeat([0.0, 1.0], 50)
  of_windows = tables.interval(values, None, 500)
  of_episodes = tables.interval(values, np.repeat([0, 1], 50), 500)
  assert of_windows["mean"] == of_episodes["mean"] == 0.5
  assert of_windows["high"] - of_windows["low"] < 0.25
  assert (of_episodes["low"], of_episodes["high"]) == (0.0, 1.0)
  assert (of_windows["n"], of_episodes["n"]) == (100, 2)


def test_tables_hold_each_step_and_only_what_applies():
  scores = {
    "a": {"exact": np.array([[1.0, 0.0], [0.0, 0.0]])},
    "b": {"tiles": np.array([[2.0, np.nan], [4.0, np.nan]])},
  }
  found = tables.table(scores, [1, 5], None, 50)
  assert found["lines"] == {
    "a": {"1": {"exact": 0.5}, "5": {"exact": 0.0}},
    "b": {"1": {"tiles": 3.0}, "5": {}},
  }
  assert found["intervals"]["b"]["1"]["tiles"] == [2.0, 4.0]
  assert "counts" not in found
  mask = np.array([[True, True], [True, False]])
  assert tables.table(scores, [1, 5], None, 50, mask)["counts"] == {
    "1": 2,
    "5": 1,
  }


def test_a_comparison_looks_at_windows_where_both_apply():
  nan = np.nan
  scores = {
    tables.SAMPLED: {"read_tiles": np.array([[1.0], [nan], [2.0], [9.0]])},
    tables.CEILING: {"read_tiles": np.array([[0.0], [0.0], [0.0], [nan]])},
  }
  (row,) = tables.compare(scores, [5], 50, None)
  assert (row["than"], row["step"], row["count"]) == (tables.CEILING, 5, 2)
  assert row["mean"] == -1.5  # the dream is further off: a loss
