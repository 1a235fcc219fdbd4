"""Carried states are those of one long look, and are compared row by row."""

import json
from unittest import mock

import jax
import numpy as np
import pytest

from pokedreamer_jax.evaluation import carried
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_CFG = fakes.config().world_model
_CARRIED, _CONTEXT = 70, 4


def _episodes(count=2):
  length = carried.rows_needed(_CARRIED)
  rows = fakes.windows(count, length)
  rows["is_first"][:] = False
  rows["is_first"][:, 0] = True
  return {n: value for n, value in rows.items() if n != "first_action_tm1"}


def test_rows_needed_hold_every_look_and_its_dream():
  for rows in (0, 1, 15, 16, 40, 70, 1000):
    needed = carried.rows_needed(rows)
    last = rows + 7 * 16
    assert needed > last + carried.AHEAD
    assert needed >= 64 * (last // 64 + 1)  # chunks are whole
  assert carried.rows_needed(1000) == 1152


def test_most_carried_fits_and_one_more_does_not():
  for rows in (100, 150, 192, 193, 500, 512, 1152):
    most = carried.most_carried(rows)
    if most:
      assert carried.rows_needed(most) <= rows
      assert carried.rows_needed(most + 1) > rows


def test_a_carried_state_is_that_of_one_look_at_the_whole_episode():
  episodes = _episodes()
  looks = _CARRIED + 16 * np.arange(8)
  params = fakes.params(_CFG, noise=0.3)
  device._observe_fn.cache_clear()
  with mock.patch.object(
    sampling,
    "inverse_cdf",
    lambda _, weights: jax.numpy.argmax(weights, -1),
  ):
    seen, guess = carried._carry(
      *(_CFG, params, jax.random.key(0), episodes, looks, False)
    )
    whole = dreams.observed(
      *(_CFG, params, jax.random.key(1)),
      carried._cut(episodes, slice(0, int(looks[-1]) + 1)),
      looks.tolist(),
    )
    again = carried._anew(
      *(_CFG, params, jax.random.key(2), episodes, looks, _CONTEXT, False)
    )
  device._observe_fn.cache_clear()
  assert guess.shape == (2, 192, len(_CFG.token_sizes))  # of every row
  np.testing.assert_array_equal(guess[:, looks].reshape(16, 1, -1), seen.guess)
  flat = whole.state.deter.reshape(16, 1, -1)
  np.testing.assert_allclose(seen.state.deter, flat, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(
    seen.state.tokens, whole.state.tokens.reshape(16, 1, -1)
  )
  # Starting anew is another state with the same tokens.
  np.testing.assert_array_equal(seen.state.tokens, again.state.tokens)
  assert not np.allclose(seen.state.deter, again.state.deter, atol=1e-3)


def test_windows_that_start_anew_end_at_the_look():
  episodes = _episodes()
  with mock.patch.object(dreams, "observed") as observed:
    carried._anew(
      _CFG, {}, jax.random.key(0), episodes, np.array([70, 86]), 4, True
    )
  windows = observed.call_args.args[3]
  assert windows["frame"].shape == (4, 4, 144, 40)
  np.testing.assert_array_equal(
    windows["frame"][3], episodes["frame"][1, 83:87]
  )
  # The action before the first row leads into it.
  np.testing.assert_array_equal(
    windows["first_action_tm1"], episodes["action"][:, [66, 82]].reshape(-1)
  )
  assert observed.call_args.args[4] == [-1]


def test_a_model_that_forgets_nothing_loses_nothing_by_carrying():
  length = carried.rows_needed(_CARRIED)
  rows = fakes.obedient_windows(3, length)
  rows["is_first"][:, 0] = True

  def decode(cfg):
    def run(params, state):
      place = np.asarray(device.places_of(cfg, state.tokens))
      return fakes.obedient_picture(*np.moveaxis(place, -1, 0))

    return run

  with mock.patch.object(device, "_decode_fn", decode):
    found = carried.compare(
      *(_CFG, fakes.obedient_params(_CFG), jax.random.key(0)),
      *({n: v for n, v in rows.items() if n != "first_action_tm1"}, _CARRIED),
      *(_CONTEXT, 100),
    )
  json.dumps(found, allow_nan=False)
  assert (found["episodes"], found["looks"]) == (3, 24)
  for metric in ("exact", "exact_1", "exact_15", "pixels_15"):
    assert found[metric]["carried"]["mean"] == 1.0, metric
    assert found[metric]["anew"]["mean"] == 1.0
    assert found[metric]["loss"]["mean"] == 0.0
  assert found["tiles_15"]["carried"]["mean"] == 0.0
  assert 0.0 <= found["guess"]["carried"]["mean"] < 1.0  # nobody taught it


def test_places_after_so_many_rows_are_shares_of_rows_in_which_a_game_runs():
  episodes = _episodes()
  episodes["game_running"][:] = True
  names = list(_CFG.token_sizes)
  truth = np.asarray(tokens.read(_CFG.token_sizes, episodes))
  guess = np.array(truth[:, :192])
  guess[0, 20:24, names.index("x")] += 1  # 4 of its 16 rows from 16 on
  guess[1, 3, names.index("battle")] += 1  # no place
  episodes["game_running"][1, 16:28] = False
  found = carried._place_after(_CFG, episodes, guess, 50)
  assert list(found) == ["1", "16"]  # 192 rows are none after 200
  assert found["1"]["mean"] == 1.0
  assert found["16"]["count"] == 16 + 4
  assert found["16"]["mean"] == pytest.approx(16 / 20)


def test_short_episodes_are_refused():
  episodes = {n: v[:, :180] for n, v in _episodes().items()}
  with pytest.raises(ValueError, match="episodes of 180 rows for 70 carried"):
    carried.compare(
      *(_CFG, {}, jax.random.key(0), episodes, _CARRIED, _CONTEXT, 10)
    )
