"""Reads what serves play off a world model's states: events and inventory.

Heads are measured on the held-out windows of the report. Probes train on states
of as many windows of the training episodes, of which some rows are kept: rows
that follow each other are alike.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from data_tools.records import loader
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import event_heads
from pokedreamer_jax.evaluation import probes
from pokedreamer_jax.world_model import model as world_model

_EVERY = 5  # rows of a window, of which one is probed


def measure(
  config: config_lib.Config,
  params: world_model.Params,
  index: loader.EpisodeIndex,
  training: loader.EpisodeIndex,
  windows: Mapping[str, np.ndarray],
  places: list[tuple[int, int]],
  groups: np.ndarray,
  fields: Iterable[str],
  infer: bool,
) -> dict[str, Any]:
  """Precision and recall of the heads, and what probes find in the states.

  Args:
    config: of the model.
    params: parameters.
    index: the held-out episodes.
    training: the training episodes.
    windows: held-out windows `[W, T, ...]` of that index.
    places: where they begin.
    groups: `[W]`, the episode of each.
    fields: step fields that the model reads.
    infer: guess the tokens of observed rows from frames.

  Returns:
    JSON-ready: `heads` of `event_heads`, where the family has such heads, and
    `probes`; empty where memory names nothing.
  """
  if not windows["game_running"].any():
    return {}
  cfg, evaluate = config.world_model, config.evaluate
  context, draws = evaluate.context, evaluate.bootstrap
  rows = context + evaluate.horizon
  key, observe_key, probe_key = jax.random.split(jax.random.key(5), 3)
  seen, ahead = dreams.states(
    *(cfg, params, observe_key, windows, context, infer)
  )
  result: dict[str, Any] = {}
  if cfg.family != "v2":  # whose reward is one number
    visited = loader.windows_at(index, places, rows, ("visited_maps",))
    result["heads"] = event_heads.measure(
      *(cfg, params, seen, ahead),
      *(dict(windows) | {"visited_maps": visited["visited_maps"]}, context),
      *(groups, draws),
    )
  try:
    studied = loader.fixed_windows(
      training, rows, evaluate.windows, fields=tuple(fields)
    )
  except ValueError:  # no training episode is so long
    return result
  known, _ = dreams.states(cfg, params, key, studied, context, infer)
  learned, wanted, _ = _sample(known, studied, context)
  shown, truth, of = _sample(seen, windows, context, groups)
  if len(wanted["money"]) and len(truth["money"]):
    result["probes"] = probes.measure(
      *(probe_key, learned, wanted, shown, truth, of, draws)
    )
  return result


def _sample(states, windows, context, groups=None):
  """States, probed variables and groups of some rows `[N, ...]` of windows."""
  running = windows["game_running"][:, context:].astype(bool)
  chosen = np.zeros_like(running)
  chosen[:, ::_EVERY] = True
  at = np.nonzero(running & chosen)
  values = {name: windows[name][:, context:][at] for name in probes.TARGETS}
  picked = jax.tree.map(lambda leaf: np.asarray(leaf)[at], states)
  return picked, values, None if groups is None else groups[at[0]]
