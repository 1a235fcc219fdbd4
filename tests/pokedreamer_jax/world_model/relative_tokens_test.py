"""Scores of changes, against a loop over every value."""

import jax
import numpy as np

from pokedreamer_jax.world_model import relative_tokens
from pokedreamer_jax.world_model import tokens

_SIZES = {"map": 4, "y": 9, "hp": 30, "menu": 2, "enemy_hp": 12}
_SIZES["figure_clock"] = 62


def test_a_change_adds_its_score_to_where_it_leads():
  rng = np.random.default_rng(0)
  count = sum(relative_tokens.counts(_SIZES))
  assert count == 1 + 5 + 21 + 3 + 26 + 25
  total = sum(_SIZES.values())
  last = np.stack([rng.integers(0, n, 50) for n in _SIZES.values()], -1)
  logits = rng.normal(size=(50, total)).astype(np.float32)
  scores = rng.normal(size=(50, count)).astype(np.float32)
  hot = np.array(tokens.one_hot(_SIZES, last))
  hot[0] = 0  # before the first step
  found = jax.jit(lambda *args: relative_tokens.add(_SIZES, *args))(
    logits, scores, hot
  )
  expected = logits.copy()
  starts = tokens.slices(_SIZES)
  for n in range(1, 50):
    first = 0
    for m, (name, size) in enumerate(_SIZES.items()):
      low, high = relative_tokens.changes(_SIZES)[name]
      for change in range(low, high + 1):
        value = last[n, m] + change
        if name == "figure_clock":
          value %= size
        if 0 <= value < size:
          place = starts[name].start + value
          expected[n, place] += scores[n, first + change - low]
      first += high - low + 1
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_has_no_order_has_a_score_for_staying_alone():
  found = relative_tokens.changes({"map": 5, "x": 7, "badges": 3})
  assert found == {"map": (0, 0), "x": (-2, 2), "badges": (-1, 1)}
