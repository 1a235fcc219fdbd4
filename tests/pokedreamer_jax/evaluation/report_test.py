"""Reports of whole models: random, perfect and broken ones."""

import dataclasses
import functools
import json
from unittest import mock

import jax
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import place_reader
from pokedreamer_jax.evaluation import report as report_lib
from pokedreamer_jax.evaluation import scores
from pokedreamer_jax.evaluation import tables
from pokedreamer_jax.world_model import tokens
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


def test_scores_of_several_draws_are_averaged():
  windows, params = _windows(), fakes.params(_CFG, noise=0.3)

  def exact(draws):
    with mock.patch.object(
      dreams, "open_loop", wraps=dreams.open_loop
    ) as open_loop:
      found = report_lib.report(
        *(_CFG, params, _KEY, windows),
        dataclasses.replace(_CONFIG.evaluate, draws=draws),
      )
    asked = [
      call.kwargs.get("key", call.args[2] if len(call.args) > 2 else None)
      for call in open_loop.call_args_list
    ]
    keys = {tuple(np.array(jax.random.key_data(key))) for key in asked}
    assert len(keys) == len(asked) == 2 + draws
    return found["lines"][tables.SAMPLED], asked[3:]

  one, _ = exact(1)
  three, keys = exact(3)
  truth = windows["frame"][:, [_CONTEXT + k - 1 for k in (1, 5, 15)]]
  drawn = [
    scores.pixel_accuracy(
      dreams.open_loop(
        *(_CFG, params, key, windows, _CONTEXT), steps=[1, 5, 15]
      ).frame,
      truth,
    ).mean(axis=0)
    for key in keys
  ]
  for i, step in enumerate(("1", "5", "15")):
    mean = (one[step]["pixels"] + sum(d[i] for d in drawn)) / 3
    np.testing.assert_allclose(three[step]["pixels"], mean, rtol=1e-5)
    assert abs(three[step]["pixels"] - one[step]["pixels"]) > 1e-6


def test_what_is_imagined_one_step_ahead_is_shown_and_made_once():
  windows = _windows()
  shown = []
  with mock.patch.object(dreams, "one_step", wraps=dreams.one_step) as ahead:
    found = report_lib.report(
      *(_CFG, fakes.params(_CFG, noise=0.3), _KEY, windows, _CONFIG.evaluate),
      watch=lambda *given: shown.append(given),
    )
  assert ahead.call_count == len(shown) == 1
  ((few, made),) = shown
  assert made.frame.shape[:2] == (len(few["action"]), _HORIZON)
  right = scores.exact(made.frame, few["frame"][:, _CONTEXT:])
  assert found["one_step"]["exact"] == right.mean()


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


def _decoder(shift=0):
  """Stands in for the decoder: the picture of the place in the tokens."""

  def decode(cfg):
    def run(params, state):
      del params
      place = np.asarray(device.places_of(cfg, state.tokens))
      x = (place[..., 2] + shift) % specs.NUM_ACTIONS
      return fakes.obedient_picture(place[..., 0] % 4, place[..., 1] % 3, x)

    return run

  return mock.patch.object(device, "_decode_fn", decode)


@functools.cache
def _obedient_report(
  params_shift=0, decoder_shift=0, ceiling=False, chances=False
):
  """The report of the obedient model on its own world."""
  windows = fakes.obedient_windows(12, _CONTEXT + _HORIZON)
  training = place_reader.TrainingFrames()
  training.add({name: value[0] for name, value in windows.items()})
  for at in range(1, len(windows["action"])):
    training.add({name: value[at] for name, value in windows.items()})
  params = fakes.obedient_params(_CFG)
  if params_shift:  # the head says the wrong column
    start = tokens.slices(_CFG.token_sizes)["x"].start
    x = slice(start, start + specs.NUM_ACTIONS)
    kernel = params["rssm"]["token_net"]["Dense_1"]["kernel"]
    kernel = kernel.at[:, x].set(np.roll(kernel[:, x], params_shift, axis=1))
    net = params["rssm"]["token_net"] | {
      "Dense_1": params["rssm"]["token_net"]["Dense_1"] | {"kernel": kernel}
    }
    params = params | {"rssm": params["rssm"] | {"token_net": net}}
  steps = dreams.reported_steps(_HORIZON)
  rows = [_CONTEXT + k - 1 for k in steps]
  same = dreams.Dreams(
    windows["frame"][:, rows], scores.recorded_places(windows)[:, rows]
  )
  half = same.frame.copy()
  half[:6, :, 0, 0] ^= 1  # a pixel is wrong
  calm = np.ones((12, len(steps)), bool)
  calm[:5, -1] = False
  with _decoder(decoder_shift):
    return report_lib.report(
      *(_CFG, params, _KEY, windows, _CONFIG.evaluate),
      ceiling=same if ceiling else None,
      groups=np.arange(12) // 3,
      training=training,
      calm=calm,
      chances=[same, dataclasses.replace(same, frame=half)] if chances else (),
    )


def test_games_with_other_chance_are_one_line_of_their_mean():
  found = _obedient_report(chances=True)
  name = "emulator, other chance"
  for part in (found, found["calm"], found["breakdown"]["map"]["0"]):
    assert name in part["lines"]
  for step in ("1", "5", "15"):
    row = found["lines"][name][step]
    assert row["exact"] == 0.75 and row["tiles"] == 0.0 and row["map"] == 1.0
  gains = [row for row in found["comparisons"] if row["than"] == name]
  assert {row["step"] for row in gains} == {1, 5, 15}
  assert {row["mean"] for row in gains if row["metric"] == "exact"} == {0.25}
  assert name not in _obedient_report()["lines"]


def test_a_perfect_model_scores_perfectly_everywhere():
  found = _obedient_report(ceiling=True)
  json.dumps(found, allow_nan=False)
  parts = [found, found["moved"], found["calm"], found["unseen"]["seen"]]
  parts += [found["breakdown"]["mode"]["overworld"]]
  parts += list(found["breakdown"]["map"].values())
  for part in parts:
    for line in ("dream (sampled)", "dream (most likely)", "floor (posterior)"):
      for step in ("1", "5", "15"):
        row = part["lines"][line][step]
        perfect = {"pixels": 1.0, "exact": 1.0, "psnr": 60.0, "tiles": 0.0}
        perfect |= {"map": 1.0, "read_tiles": 0.0, "read_agrees": 1.0}
        assert {name: row[name] for name in perfect} == perfect
        assert part["intervals"][line][step]["exact"] == [1.0, 1.0]
  assert found["one_step"]["exact"] == 1.0
  assert found["reader"]["right"]["mean"] == 1.0
  assert found["unseen"]["never"]["counts"] == {"1": 0, "5": 0, "15": 0}
  assert found["calm"]["counts"] == {"1": 12, "5": 12, "15": 7}
  calm_modes = found["calm"]["mode"]
  assert calm_modes["overworld"]["counts"] == found["calm"]["counts"]
  assert calm_modes["overworld"]["lines"]["dream (sampled)"]["15"]["exact"] == 1
  assert set(found["breakdown"]["map"]) == {"0", "1", "2", "3"}
  curves = found["curves"]["tiles"]
  assert curves["dream (sampled)"]["values"] == [0.0] * _HORIZON
  assert min(curves["shuffled actions"]["values"]) > 0
  for row in found["comparisons"]:
    if row["than"] == "emulator, other luck":
      assert (row["mean"], row["low"], row["high"]) == (0.0, 0.0, 0.0)
    else:
      assert row["low"] > 0, row
  for row in found["place_comparisons"]:
    assert row["low"] > 0, row


def test_a_model_that_walks_wrongly_fails_where_it_dreams():
  found = _obedient_report(params_shift=1)
  for step in ("1", "5", "15"):
    dream = found["lines"]["dream (sampled)"][step]
    assert (dream["exact"], dream["read_agrees"]) == (0.0, 1.0)
    # Some dreamed places are none of training: they count as wrong maps.
    known = dream["read_share"]
    assert dream["tiles"] > 0 and 0.5 < known <= 1.0
    expected = known * dream["tiles"] + (1 - known) * 20
    np.testing.assert_allclose(dream["read_tiles"], expected)
    assert found["lines"]["floor (posterior)"][step]["exact"] == 1.0
  assert found["one_step"]["exact"] == 0.0
  beats = {row["metric"]: row["low"] > 0 for row in found["place_comparisons"]}
  assert beats["map"]  # the map it knows


def test_the_reader_finds_pictures_out_that_belie_the_tokens():
  found = _obedient_report(decoder_shift=1)
  for step in ("1", "5", "15"):
    dream = found["lines"]["dream (sampled)"][step]
    assert dream["tiles"] == 0.0  # the model's own word
    assert dream["exact"] == 0.0
    assert dream["read_agrees"] == 0.0
    assert dream["read_tiles"] >= 1.0


def test_without_tokens_the_reader_gives_the_drift():
  config = fakes.config("world_model.ram=off")
  windows = fakes.obedient_windows(12, _CONTEXT + _HORIZON)
  training = place_reader.TrainingFrames()
  for at in range(12):
    training.add({name: value[at] for name, value in windows.items()})
  here = windows["frame"][:, _CONTEXT - 1]

  def decode(cfg):
    return lambda params, state: here[: len(state.deter)]

  with (
    mock.patch.object(device, "_decode_fn", decode),
    mock.patch.object(device, "_BATCH", 12),
  ):
    cfg = config.world_model
    found = report_lib.report(
      *(cfg, fakes.params(cfg), _KEY, windows, config.evaluate),
      training=training,
    )
  for step, row in found["lines"]["dream (sampled)"].items():
    assert "tiles" not in row
    frozen = found["lines"]["frozen frame"][step]
    assert row["read_tiles"] == frozen["read_tiles"] == frozen["tiles"]
    assert row["read_share"] == 1.0
  assert found["curves"]["tiles"]["dream (sampled), read"]["steps"] == [
    1,
    5,
    15,
  ]


def test_of_an_unknown_game_nothing_is_said_about_places():
  config = fakes.config("world_model.ram=off")
  windows = _windows()
  training = place_reader.TrainingFrames()
  training.add({name: value[0] for name, value in windows.items()})
  cfg = config.world_model
  found = report_lib.report(
    *(cfg, fakes.params(cfg), _KEY, windows, config.evaluate),
    training=training,
  )
  for line in found["lines"].values():
    for row in line.values():
      assert set(row) == {"pixels", "exact", "psnr"}
  assert not {"reader", "curves", "map_majority"} & set(found)
  assert set(found["breakdown"]) == {"mode"}
  counts = found["unseen"]
  assert counts["never"]["one_step_rows"] + counts["seen"]["one_step_rows"] == (
    8 * _HORIZON
  )
