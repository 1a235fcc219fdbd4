"""Maps left out: which rows count, and that only the atlas is exchanged."""

import json
from unittest import mock

import jax
import numpy as np

from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import left_out
from pokedreamer_jax.world_model import atlas as atlas_lib
from tests.pokedreamer_jax import fakes

_CFG = fakes.config().world_model
_CONTEXT, _AHEAD = 3, 4


def _decode(cfg):
  """The right picture with a filled atlas; else it only knows map 2."""

  def run(params, state):
    place = np.asarray(device.places_of(cfg, state.tokens))
    picture = fakes.obedient_picture(*np.moveaxis(place, -1, 0))
    knows = (place[..., 0] == 2) | ("atlas" in params)
    return np.where(knows[..., None, None], picture, 0)

  return run


def test_a_filled_atlas_is_measured_on_the_rows_of_those_maps_alone():
  windows = fakes.obedient_windows(8, _CONTEXT + _AHEAD)
  # Windows of maps 0 to 3 by turns; those of map 1 come from elsewhere, and
  # one of them goes to a title screen. Map 3 is left out and never seen.
  inside = windows["map_id"] == 1
  windows["in_battle"][5, -1] = 1
  windows["game_running"][1, -1] = False
  blank = atlas_lib.Atlas(
    *(np.zeros(shape, np.int32) for shape in ((1, 1, 1), (64, 4), (25, 1)))
  )
  with mock.patch.object(device, "_decode_fn", _decode):
    found = left_out.measure(
      *(_CFG, fakes.obedient_params(_CFG), jax.random.key(0), windows),
      *(_CONTEXT, (1, 2), {"seen once": blank}, np.arange(8) // 4, 50),
    )
  json.dumps(found, allow_nan=False)
  assert inside[:, _CONTEXT:].sum() == 8
  assert (found["map"]["1"]["rows"], found["map"]["2"]["rows"]) == (7, 8)
  assert found["pooled"]["rows"] == 15
  assert found["pooled"]["overworld_rows"] == 14
  assert found["rows_walked_in"] == 0
  for how in ("sampled", "most likely", "tokens told"):
    for name, number, exact in (
      ("atlas as trained", "1", 0.0),
      ("atlas as trained", "2", 1.0),
      ("seen once", "1", 1.0),
      ("seen once", "2", 1.0),
    ):
      line = found["map"][number]["lines"][f"{name}, {how}"]
      for where in ("all", "overworld"):
        assert line[where]["exact"]["mean"] == exact, (name, number)
        assert line[where]["place"]["mean"] == 1.0
    gain = found["gains"][f"seen once, {how}"]["exact"]
    np.testing.assert_allclose(gain["mean"], 7 / 15)
  frozen = found["pooled"]["lines"]["frozen frame"]["all"]
  frame = windows["frame"]
  same = (frame[:, 1:] == frame[:, :-1]).all(axis=(-2, -1))
  counts = np.isin(windows["map_id"], (1, 2)) & windows["game_running"]
  at = counts[:, _CONTEXT:]
  np.testing.assert_allclose(
    frozen["exact"]["mean"], same[:, _CONTEXT - 1 :][at].mean()
  )


def test_rows_count_where_a_window_walks_in():
  windows = fakes.obedient_windows(4, _CONTEXT + _AHEAD)
  windows["map_id"][:] = 0
  windows["map_id"][0, _CONTEXT + 1 :] = 1
  windows["map_id"][2] = 1
  windows["map_id"][3, : _CONTEXT + 1] = 1
  with mock.patch.object(device, "_decode_fn", _decode):
    found = left_out.measure(
      *(_CFG, fakes.obedient_params(_CFG), jax.random.key(0), windows),
      *(_CONTEXT, (1,), {}, np.arange(4), 50),
    )
  assert found["pooled"]["rows"] == 3 + 4 + 1
  assert found["rows_walked_in"] == 3
  assert found["gains"] == {}


def test_a_model_that_walks_wrongly_shows_the_right_frames_where_it_is_told():
  windows = fakes.obedient_windows(4, _CONTEXT + _AHEAD)
  windows["map_id"][:] = 2
  windows["frame"] = fakes.obedient_picture(
    windows["map_id"], windows["y"], windows["x"]
  )
  windows["action"] = (windows["action"] + 1) % 8  # not what was recorded
  with mock.patch.object(device, "_decode_fn", _decode):
    found = left_out.measure(
      *(_CFG, fakes.obedient_params(_CFG), jax.random.key(0), windows),
      *(_CONTEXT, (2,), {}, np.arange(4), 50),
    )
  lines = found["pooled"]["lines"]
  for how, right in (
    ("sampled", 0.0),
    ("most likely", 0.0),
    ("tokens told", 1),
  ):
    line = lines[f"atlas as trained, {how}"]["all"]
    assert line["place"]["mean"] == line["exact"]["mean"] == right, how
