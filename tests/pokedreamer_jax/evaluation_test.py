"""Scores against loops, and open loops whose every index is checked."""

import dataclasses
import functools
import json
from unittest import mock

import jax
import numpy as np
import pytest

from data_tools import frame_codec
from pokedreamer_jax import config
from pokedreamer_jax import evaluation
from pokedreamer_jax import specs
from tests.pokedreamer_jax import fakes

_CONFIG = fakes.config()
_CFG = _CONFIG.world_model
_CONTEXT, _HORIZON = _CONFIG.evaluate.context, _CONFIG.evaluate.horizon
_KEY = jax.random.key(0)


def _windows(seed=0):
  return fakes.windows(_CONFIG.evaluate.windows, _CONTEXT + _HORIZON, seed=seed)


def _frames(seed):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (2, 3, 144, 40)).astype(np.uint8)


def test_scores_of_frames_are_those_of_their_pixels():
  truth = _frames(0)
  frame = truth.copy()
  frame[0, 0, 5, 7] ^= 0b01_00_11_10  # three pixels of one byte
  frame[0, 1, 0, 0] ^= 0b11
  frame[1] = _frames(1)[1]
  left, right = (
    frame_codec.unpack_grey(f).astype(float) for f in (frame, truth)
  )
  pixels = evaluation.pixel_accuracy(frame, truth)
  ratio = evaluation.psnr(frame, truth)
  exact = evaluation.exact(frame, truth)
  for index in np.ndindex(2, 3):
    equal = left[index] == right[index]
    np.testing.assert_allclose(pixels[index], equal.mean())
    assert exact[index] == equal.all()
    error = np.mean((left[index] - right[index]) ** 2)
    expected = 60.0 if error == 0 else 10 * np.log10(255**2 / error)
    np.testing.assert_allclose(ratio[index], min(expected, 60.0), rtol=1e-5)
  # By hand: 3 and 1 wrong pixels of 23,040.
  np.testing.assert_allclose(pixels[0], [1 - 3 / 23040, 1 - 1 / 23040, 1.0])
  assert ratio[0, 2] == 60.0


def test_black_against_white_is_zero_decibel():
  black, white = (
    np.full((144, 40), 0xFF, np.uint8),
    np.zeros((144, 40), np.uint8),
  )
  assert evaluation.psnr(black, white) == 0.0
  assert evaluation.pixel_accuracy(black, white) == 0.0


def test_tile_errors_by_hand():
  # (map, y, x) in bytes: differences must not wrap around.
  place = np.array([[1, 5, 5], [1, 0, 9], [2, 5, 5], [1, 0, 40]], np.uint8)
  truth = np.array([[1, 5, 5], [1, 3, 7], [1, 5, 5], [1, 0, 0]], np.uint8)
  assert evaluation.tile_error(place, truth).tolist() == [0, 5, 20, 40]


def test_recorded_places_are_map_row_and_column():
  windows = _windows()
  places = evaluation.recorded_places(windows)
  assert places.shape == (8, 20, 3)
  for i, name in enumerate(("map_id", "y", "x")):
    np.testing.assert_array_equal(places[..., i], windows[name])


def test_places_are_scored_only_where_the_tokens_name_them():
  full = config.WorldModelConfig()
  assert evaluation.has_places(full)
  for tokens in ("battle:4 dialog:2", "map:32 y:64"):
    cfg = dataclasses.replace(full, tokens=tokens)
    assert not evaluation.has_places(cfg)


def test_the_frozen_line_repeats_the_last_context_row():
  windows = _windows()
  frozen = evaluation._frozen(windows, _CONTEXT, range(1, _HORIZON + 1))
  assert frozen.frame.shape == (8, _HORIZON, 144, 40)
  for k in range(_HORIZON):
    np.testing.assert_array_equal(
      frozen.frame[:, k], windows["frame"][:, _CONTEXT - 1]
    )
    np.testing.assert_array_equal(
      frozen.place[:, k, 2], windows["x"][:, _CONTEXT - 1]
    )


def test_the_random_walker_starts_there_and_takes_single_steps():
  places = evaluation.recorded_places(_windows())
  walk = evaluation._random_walk(
    places, _CONTEXT, range(1, _HORIZON + 1), np.random.default_rng(0)
  )
  assert walk.shape == (8, _HORIZON, 3)
  start = places[:, _CONTEXT - 1, None].astype(int)
  taken = np.diff(np.concatenate([start, walk], axis=1), axis=1)
  assert (taken[..., 0] == 0).all()  # no map is left
  assert set(np.abs(taken[..., 1:]).sum(-1).reshape(-1)) == {0, 1}
  # Four of eight buttons walk: 64 of 128 presses, deviation 5.7.
  assert 30 <= np.abs(taken).sum() <= 98


@pytest.fixture(scope="module")
def obedient():
  """A model where `x` is the last action and `map` stays; its windows."""
  return fakes.obedient_params(_CFG), _windows()


def _actions_before(windows):
  """The action that led into each row after the context."""
  return windows["action"][:, _CONTEXT - 1 : -1]


def test_open_loop_step_k_follows_the_action_of_the_row_before(obedient):
  params, windows = obedient
  dream = evaluation.open_loop(
    _CFG, params, _KEY, windows, _CONTEXT, most_likely=True
  )
  assert dream.frame.shape == (8, _HORIZON, 144, 40)
  assert dream.frame.dtype == np.uint8
  np.testing.assert_array_equal(dream.place[..., 2], _actions_before(windows))
  start = windows["map_id"][:, _CONTEXT - 1 : _CONTEXT]
  np.testing.assert_array_equal(
    dream.place[..., 0], np.repeat(start, _HORIZON, axis=1)
  )
  # Other actions lead elsewhere, from the same start; a part of the windows
  # gives a part of the result.
  other = (windows["action"] + 1) % specs.NUM_ACTIONS
  few = {name: value[:3] for name, value in windows.items()}
  part = evaluation.open_loop(
    _CFG, params, _KEY, few, _CONTEXT, other[:3], most_likely=True
  )
  np.testing.assert_array_equal(
    part.place[..., 2], (_actions_before(few) + 1) % specs.NUM_ACTIONS
  )


def test_one_step_ahead_starts_from_each_row(obedient):
  params, windows = obedient
  ahead = evaluation.one_step(_CFG, params, _KEY, windows, _CONTEXT)
  np.testing.assert_array_equal(ahead.place[..., 2], _actions_before(windows))
  np.testing.assert_array_equal(
    ahead.place[..., 0], windows["map_id"][:, _CONTEXT - 1 : -1]
  )


def test_the_floor_holds_the_recorded_tokens(obedient):
  params, windows = obedient
  floor = evaluation.posterior(_CFG, params, _KEY, windows, _CONTEXT)
  np.testing.assert_array_equal(
    floor.place, evaluation.recorded_places(windows)[:, _CONTEXT:]
  )


def test_other_actions_leave_the_context_alone():
  windows = _windows()
  other = (windows["action"] + 1) % specs.NUM_ACTIONS
  with mock.patch.object(evaluation, "_in_batches") as run:
    evaluation.open_loop(_CFG, {}, _KEY, windows, _CONTEXT, other)
  used = run.call_args.args[-1]
  # The last context row's action is the first that the dream obeys.
  split = _CONTEXT - 1
  np.testing.assert_array_equal(used[:, :split], windows["action"][:, :split])
  np.testing.assert_array_equal(used[:, split:], other[:, split:])


def test_batches_cover_every_window_once():
  windows = fakes.windows(5, 2)

  def run(params, key, batch):
    return batch["frame"], batch["action"]

  with mock.patch.object(evaluation, "_BATCH", 2):
    found = evaluation._in_batches(
      run, _CFG, {}, _KEY, windows, windows["action"]
    )
  np.testing.assert_array_equal(found.frame, windows["frame"])
  np.testing.assert_array_equal(found.place, windows["action"])


def test_the_report_has_every_line_and_no_window_meets_its_own_actions():
  windows = _windows()
  with mock.patch.object(
    evaluation, "open_loop", wraps=evaluation.open_loop
  ) as open_loop:
    report = evaluation.report(
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


def test_chosen_steps_are_those_of_the_whole_dream(obedient):
  params, windows = obedient
  run = functools.partial(
    evaluation.open_loop, _CFG, params, _KEY, windows, _CONTEXT
  )
  whole, some = run(), run(steps=(1, 5, 15))
  np.testing.assert_array_equal(some.frame, whole.frame[:, [0, 4, 14]])
  np.testing.assert_array_equal(some.place, whole.place[:, [0, 4, 14]])


def test_comparisons_are_positive_where_the_dream_is_better():
  ones = np.ones((10, 1))
  scores = {
    "dream (sampled)": {"pixels": 0.9 * ones, "tiles": 2.0 * ones},
    "frozen frame": {"pixels": 0.5 * ones, "tiles": 5.0 * ones},
    "shuffled actions": {"pixels": 0.95 * ones, "tiles": 1.0 * ones},
  }
  rows = evaluation._compare(scores, [1], 100, None)
  found = {(r["than"], r["metric"]): round(r["mean"], 6) for r in rows}
  assert found == {
    ("frozen frame", "pixels"): 0.4,
    ("frozen frame", "tiles"): 3.0,
    ("shuffled actions", "pixels"): -0.05,
    ("shuffled actions", "tiles"): -1.0,
  }


def test_one_step_scores_by_hand():
  windows = fakes.windows(2, 3)
  for name in ("frame", "in_battle"):
    windows[name] = np.zeros_like(windows[name])
  # Two context rows, then one row: the first window stands still, the second
  # moves; the model shows a blank screen for both.
  windows["frame"][1, 2, 0, 0] = 1
  ahead = evaluation.Dreams(np.zeros((2, 1, 144, 40), np.uint8), None)
  found = evaluation._one_step_scores(ahead, windows, 2)
  assert found["exact"] == 0.5
  assert found["frozen_exact"] == 0.5
  assert found["moved_share"] == 0.5
  assert found["moved_exact"] == found["moved_overworld_exact"] == 0.0


@pytest.mark.parametrize(
  "sizes", [[1] * 7, [5, 5], [3, 1, 2], [10, 4, 4, 2], [1, 1]]
)
def test_every_window_meets_one_of_another_episode(sizes):
  groups = np.repeat(np.arange(len(sizes)), sizes)
  for seed in range(20):
    partner = evaluation.others(groups, seed)
    assert sorted(partner) == list(range(len(groups)))
    assert (groups[partner] != groups).all()


def test_one_large_episode_meets_itself_but_no_window_does():
  groups = np.array([0] * 9 + [1])
  partner = evaluation.others(groups)
  assert sorted(partner) == list(range(10))
  assert (partner != np.arange(10)).all()
