"""Precision and recall of heads, by hand."""

import json
from unittest import mock

import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import event_heads
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_CFG = fakes.config().world_model
_CONTEXT, _AHEAD = 2, 4
_BADGES, _XP = (specs.REWARD_TERMS.index(name) for name in ("badges", "xp"))


def _windows():
  windows = fakes.windows(2, _CONTEXT + _AHEAD)
  for name in ("reward_terms", "visited_maps", "is_first", "is_terminal"):
    windows[name] = np.zeros_like(windows[name])
  for name, value in (("badges", 1), ("dex_owned", 2), ("map_id", 3)):
    windows[name][:] = value
  return windows


def _states(windows, **changes):
  """States whose tokens are those of the rows, but for `changes`."""
  rows = {
    name: value[:, _CONTEXT:]
    for name, value in windows.items()
    if value.ndim > 1
  } | changes
  hot = tokens.one_hot(_CFG.token_sizes, tokens.read(_CFG.token_sizes, rows))
  blank = np.zeros((*hot.shape[:2], 0))
  return world_model.State(blank, blank, np.asarray(hot))


def _measure(windows, seen, ahead, judged):
  with mock.patch.object(device, "judge", side_effect=judged):
    found = event_heads.measure(
      *(_CFG, {}, seen, ahead, windows, _CONTEXT, np.arange(2), 50)
    )
  json.dumps(found, allow_nan=False)
  return found


def test_rates_by_hand():
  windows = _windows()
  terms = np.zeros((2, _AHEAD, 8), np.float32)
  cont = np.ones((2, _AHEAD))
  windows["reward_terms"][0, _CONTEXT:, _BADGES] = [1, 0, 1, 0]
  windows["reward_terms"][1, _CONTEXT:, _XP] = [30, 0, 0, 0]
  windows["reward_terms"][1, -1, _BADGES] = 1
  windows["is_first"][1, -1] = True  # nothing arrives there
  windows["is_terminal"][1, _CONTEXT] = True
  said = terms.copy()
  said[0, :, _BADGES] = [0.9, 0.5, 0.49, 0.0]
  said[1, :, _XP] = [0.2, 7.0, 0.0, 9.0]
  ends = cont.copy()
  ends[1, 0] = 0.2
  state = _states(windows)
  found = _measure(windows, state, state, [(said, ends), (terms, cont)])
  assert found["rows"] == 7
  badges = found["terms"]["badges"]
  assert badges["events"] == 2
  assert badges["posterior"]["said"] == 2
  assert badges["posterior"]["precision"]["mean"] == 0.5
  assert badges["posterior"]["recall"]["mean"] == 0.5
  assert badges["one step ahead"]["said"] == 0
  assert "mean" not in badges["one step ahead"]["precision"]
  assert badges["one step ahead"]["recall"]["mean"] == 0.0
  xp = found["terms"]["xp"]
  assert (xp["events"], xp["posterior"]["said"]) == (1, 1)
  assert xp["posterior"]["recall"]["mean"] == 0.0
  end = found["terms"]["end"]
  assert (end["events"], end["posterior"]["said"]) == (1, 1)
  assert end["posterior"]["precision"]["mean"] == 1.0
  assert end["one step ahead"]["recall"]["mean"] == 0.0
  assert set(found["terms"]) == {*specs.REWARD_TERMS, "end"}


def test_what_dreams_pay_is_read_from_tokens():
  windows = _windows()
  # The second row after the context gets a badge and a map never seen, the
  # third one a species; map 5 has been visited and is no news.
  windows["badges"][0, _CONTEXT + 1 :] = 3
  windows["visited_maps"][..., 0] = (1 << 5) | (1 << 3)
  windows["map_id"][1, _CONTEXT + 1] = 5
  windows["map_id"][0, _CONTEXT + 1 :] = 4
  for w, t, term in ((0, 3, "badges"), (0, 3, "new_maps"), (1, 4, "species")):
    windows["reward_terms"][w, t, specs.REWARD_TERMS.index(term)] = 1
  windows["dex_owned"][1, _CONTEXT + 2 :] = 3
  imagined = windows["badges"][:, _CONTEXT:].copy()
  imagined[1, 2] = 7  # and a badge that there was not
  ahead = _states(windows, badges=imagined)
  nothing = (np.zeros((2, _AHEAD, 8)), np.ones((2, _AHEAD)))
  found = _measure(windows, ahead, ahead, [nothing] * 2)["terms"]
  paid = {name: found[name]["as dreams pay"] for name in ("badges", "new_maps")}
  assert paid["badges"]["said"] == 2
  assert paid["badges"]["precision"]["mean"] == 0.5
  assert paid["badges"]["recall"]["mean"] == 1.0
  assert paid["new_maps"]["said"] == paid["new_maps"]["recall"]["mean"] == 1
  assert found["species"]["as dreams pay"]["precision"]["mean"] == 1.0
  assert "as dreams pay" not in found["wild_wins"]


def test_heads_are_asked_about_the_states():
  cfg = _CFG
  windows = fakes.windows(3, 4)
  params = fakes.params(cfg, noise=0.3)
  state = world_model.initial_state(cfg, (3, 4))
  state = state.replace(deter=state.deter + jnp.arange(4.0)[None, :, None])
  terms, cont = device.judge(cfg, params, state)
  assert terms.shape == (*windows["action"].shape, 8) and cont.shape == (3, 4)
  feat = world_model.features(state)
  logit = parts.apply(cfg, params, "continue", feat)
  np.testing.assert_allclose(cont, 1 / (1 + np.exp(-logit)), rtol=1e-5)
  assert np.ptp(terms[0, :, 0]) > 0
