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
