"""Reports of whole models: random, perfect and broken ones."""

import json
from unittest import mock

import jax
import numpy as np

from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import report as report_lib
from tests.pokedreamer_jax import fakes

_CONFIG = fakes.config()
_CFG = _CONFIG.world_model
_CONTEXT, _HORIZON = _CONFIG.evaluate.context, _CONFIG.evaluate.horizon
_KEY = jax.random.key(0)


def _windows(seed=0):
  return fakes.windows(_CONFIG.evaluate.windows, _CONTEXT + _HORIZON, seed=seed)


def test_the_report_has_every_line_and_no_window_meets_its_own_actions():
  windows = _windows()
  with mock.patch.object(
    dreams, "open_loop", wraps=dreams.open_loop
  ) as open_loop:
    report = report_lib.report(
      _CFG, fakes.params(_CFG, noise=0.3), _KEY, windows, _CONFIG.evaluate
    )
  calls = [call.kwargs for call in open_loop.call_args_list]
  shuffled = [call["action"] for call in calls if "action" in call]
  assert len(shuffled) == 1
  for i, action in enumerate(shuffled[0]):
    same = (windows["action"] == action).all(axis=1)
    assert same.any()
    assert not same[i]
  json.dumps(report, allow_nan=False)
  assert report["windows"] == 8
  steps = {"1", "5", "15"}
  metrics = {"pixels", "exact", "psnr", "tiles", "map"}
  for name in (
    "dream (sampled)",
    "dream (most likely)",
    "shuffled actions",
    "floor (posterior)",
    "frozen frame",
  ):
    assert set(report["lines"][name]) == steps, name
    for row in report["lines"][name].values():
      assert set(row) == metrics, name
  assert set(report["lines"]["random walk"]["5"]) == {"tiles"}
  assert report["lines"]["floor (posterior)"]["15"]["tiles"] == 0.0
  compared = {
    (r["than"], r["metric"], r["step"]) for r in report["comparisons"]
  }
  assert len(compared) == len(report["comparisons"]) == 2 * 3 * 3
  assert report["one_step"]["moved_share"] > 0.5
  maps = windows["map_id"][:, _CONTEXT:].reshape(-1)
  most = max(np.mean(maps == m) for m in range(8))
  np.testing.assert_allclose(report["map_majority"], most)


def test_one_step_scores_by_hand():
  windows = fakes.windows(2, 3)
  for name in ("frame", "in_battle"):
    windows[name] = np.zeros_like(windows[name])
  # Two context rows, then one row: the first window stands still, the second
  # moves; the model shows a blank screen for both.
  windows["frame"][1, 2, 0, 0] = 1
  ahead = dreams.Dreams(np.zeros((2, 1, 144, 40), np.uint8), None)
  found = report_lib.one_step_scores(ahead, windows, 2)
  assert found["exact"] == 0.5
  assert found["frozen_exact"] == 0.5
  assert found["moved_share"] == 0.5
  assert found["moved_exact"] == found["moved_overworld_exact"] == 0.0
