"""Scores of changes, against a loop over every value."""

import dataclasses

import jax
import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import relative_tokens
from pokedreamer_jax.world_model import tokens


def _config(names, **more):
  return world_model_config.WorldModelConfig(
    tokens=names, relative_tokens=True, **more
  )


_CFG = _config("map:4 y:9 hp:30 menu:2 enemy_hp:12 figure_clock:62")
_SIZES = _CFG.token_sizes


def test_a_change_adds_its_score_to_where_it_leads():
  rng = np.random.default_rng(0)
  count = sum(relative_tokens.counts(_CFG))
  assert count == 1 + 5 + 21 + 3 + 26 + 25
  total = sum(_SIZES.values())
  last = np.stack([rng.integers(0, n, 50) for n in _SIZES.values()], -1)
  logits = rng.normal(size=(50, total)).astype(np.float32)
  scores = rng.normal(size=(50, count)).astype(np.float32)
  hot = np.array(tokens.one_hot(_SIZES, last))
  hot[0] = 0  # before the first step
  found = jax.jit(lambda *args: relative_tokens.add(_CFG, *args))(
    logits, scores, hot
  )
  expected = logits.copy()
  starts = tokens.slices(_SIZES)
  for n in range(1, 50):
    first = 0
    for m, (name, size) in enumerate(_SIZES.items()):
      low, high = relative_tokens.changes(_CFG)[name]
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
  found = relative_tokens.changes(_config("map:5 x:7 badges:3"))
  assert found == {"map": (0, 0), "x": (-2, 2), "badges": (-1, 1)}


_SET = _config(
  "control:2 tile_look:168 figure_look:62", chain_changes=True, clock_sets=True
)


def test_a_clock_is_set_to_its_last_phase_with_a_score_of_its_own():
  without = dataclasses.replace(_SET, clock_sets=False)
  assert relative_tokens.counts(without) == (3, 29, 29)
  assert relative_tokens.counts(_SET) == (3, 34, 29)
  expected = np.full((168, 168), -1)
  for last in range(168):
    waited = last % 21
    for by in range(-2, 3):
      expected[last, 7 * 21 + (waited + by) % 21] = 29 + by + 2
    for by in range(-2, 27):  # what goes on is not set
      expected[last, (last + by) % 168] = by + 2
  found = relative_tokens.scores_of(_SET)
  np.testing.assert_array_equal(found[2:170], expected)
  # The other clock goes on alone.
  np.testing.assert_array_equal(
    found[170:], relative_tokens.scores_of(without)[170:]
  )


def test_what_sets_a_clock_is_added_and_told():
  scores = np.arange(66.0, dtype=np.float32)
  last, now = np.array([1, 60, 3]), np.array([0, 7 * 21 + 17, 5])
  hot = [np.array(tokens.one_hot(_SET.token_sizes, n)) for n in (last, now)]
  logits = np.zeros(232, np.float32)
  found = relative_tokens.add(_SET, logits, scores, hot[0])
  told = np.array(relative_tokens.hot(_SET, *hot))
  # Of 60, phase 2 and 18 frames, one less: the second of five settings.
  assert found[2 + now[1]] == 3 + 29 + 1
  assert np.flatnonzero(told).tolist() == [0, 3 + 29 + 1, 37 + 4]
