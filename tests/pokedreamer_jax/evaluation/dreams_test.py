"""Open loops whose every index is checked."""

import dataclasses
import functools
from unittest import mock

import jax
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import scores
from tests.pokedreamer_jax import fakes

_CONFIG = fakes.config()
_CFG = _CONFIG.world_model
_CONTEXT, _HORIZON = _CONFIG.evaluate.context, _CONFIG.evaluate.horizon
_KEY = jax.random.key(0)


def _windows(seed=0):
  return fakes.windows(_CONFIG.evaluate.windows, _CONTEXT + _HORIZON, seed=seed)


def test_places_are_scored_only_where_the_tokens_name_them():
  full = world_model_config.WorldModelConfig()
  assert device.has_places(full)
  for tokens in ("battle:4 dialog:2", "map:32 y:64"):
    cfg = dataclasses.replace(full, tokens=tokens)
    assert not device.has_places(cfg)


@pytest.fixture(scope="module")
def obedient():
  """A model where `x` is the last action and `map` stays; its windows."""
  return fakes.obedient_params(_CFG), _windows()


def _actions_before(windows):
  """The action that led into each row after the context."""
  return windows["action"][:, _CONTEXT - 1 : -1]


def test_open_loop_step_k_follows_the_action_of_the_row_before(obedient):
  params, windows = obedient
  dream = dreams.open_loop(
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
  part = dreams.open_loop(
    _CFG, params, _KEY, few, _CONTEXT, other[:3], most_likely=True
  )
  np.testing.assert_array_equal(
    part.place[..., 2], (_actions_before(few) + 1) % specs.NUM_ACTIONS
  )


def test_one_step_ahead_starts_from_each_row(obedient):
  params, windows = obedient
  ahead = dreams.one_step(_CFG, params, _KEY, windows, _CONTEXT)
  np.testing.assert_array_equal(ahead.place[..., 2], _actions_before(windows))
  np.testing.assert_array_equal(
    ahead.place[..., 0], windows["map_id"][:, _CONTEXT - 1 : -1]
  )


def test_the_floor_holds_the_recorded_tokens(obedient):
  params, windows = obedient
  floor = dreams.posterior(_CFG, params, _KEY, windows, _CONTEXT)
  np.testing.assert_array_equal(
    floor.place, scores.recorded_places(windows)[:, _CONTEXT:]
  )


def test_other_actions_leave_the_context_alone():
  windows = _windows()
  other = (windows["action"] + 1) % specs.NUM_ACTIONS
  with mock.patch.object(dreams, "_in_batches") as run:
    dreams.open_loop(_CFG, {}, _KEY, windows, _CONTEXT, other)
  used = run.call_args.args[-1]
  # The last context row's action is the first that the dream obeys.
  split = _CONTEXT - 1
  np.testing.assert_array_equal(used[:, :split], windows["action"][:, :split])
  np.testing.assert_array_equal(used[:, split:], other[:, split:])


def test_batches_cover_every_window_once():
  windows = fakes.windows(5, 2)

  def run(params, key, batch):
    return batch["frame"], batch["action"]

  with mock.patch.object(device, "_BATCH", 2):
    found = dreams._in_batches(run, _CFG, {}, _KEY, windows, windows["action"])
  np.testing.assert_array_equal(found.frame, windows["frame"])
  np.testing.assert_array_equal(found.place, windows["action"])


def test_chosen_steps_are_those_of_the_whole_dream(obedient):
  params, windows = obedient
  run = functools.partial(
    dreams.open_loop, _CFG, params, _KEY, windows, _CONTEXT
  )
  whole, some = run(), run(steps=(1, 5, 15))
  np.testing.assert_array_equal(some.frame, whole.frame[:, [0, 4, 14]])
  np.testing.assert_array_equal(some.place, whole.place[:, [0, 4, 14]])


def test_guessed_places_are_those_tokens_of_the_head():
  numbers = np.arange(2 * 3 * len(_CFG.token_sizes)).reshape(2, 3, -1)
  seen = dreams.Observed(state=None, guess=numbers, kl=None)
  found = dreams.guessed_places(_CFG, seen)
  order = list(_CFG.token_sizes)
  for i, name in enumerate(("map", "y", "x")):
    np.testing.assert_array_equal(
      found[..., i], numbers[..., order.index(name)]
    )


def test_observed_rows_are_those_asked_for(obedient):
  params, windows = obedient
  seen = dreams.observed(_CFG, params, _KEY, windows, [3, 10, -1])
  places = np.asarray(device.places_of(_CFG, seen.state.tokens))
  np.testing.assert_array_equal(
    places, scores.recorded_places(windows)[:, [3, 10, -1]]
  )
  assert seen.kl.shape == (8, 3)
  assert (seen.kl >= -1e-4).all()


def test_a_dream_from_given_states_follows_its_actions(obedient):
  params, windows = obedient
  seen = dreams.observed(_CFG, params, _KEY, windows, [_CONTEXT - 1])
  start = jax.tree.map(lambda leaf: leaf[:, 0], seen.state)
  action = np.random.default_rng(0).integers(0, 8, (8, 6)).astype(np.uint8)
  made = dreams.dream_from(_CFG, params, _KEY, start, action, [1, 6])
  assert made.frame.shape == (8, 2, 144, 40)
  np.testing.assert_array_equal(made.path[..., 2], action)
  np.testing.assert_array_equal(made.place, made.path[:, [0, 5]])
