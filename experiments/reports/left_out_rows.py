"""Reads what `evaluation.left_out` measures: rows on maps not trained on.

The windows are of held-out episodes and lie side by side, so that each row is
imagined once at most. The atlas is filled from the training side's rows there,
which training itself has never read.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from data_tools.records import left_out as left_out_lib
from data_tools.records import loader
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.evaluation import left_out
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_counts
from pokedreamer_jax.world_model import model as world_model

AHEAD = 8  # rows of a window that count, where they are on the maps
_MOST_WINDOWS = 100  # each is imagined in nine ways
_READ_ROWS = 4096
# How an atlas is filled, and whether of each place one row alone counts.
_FILLED = {"screens seen once": True, "all rows seen": False}


def measure(
  config: config_lib.Config,
  params: world_model.Params,
  index: loader.EpisodeIndex,
  training: loader.EpisodeIndex,
  fields: Iterable[str],
  infer: bool,
) -> dict[str, Any]:
  """One step ahead on the maps of `train.leave_out_maps`.

  Args:
    config: of the model, with the maps that its training left out.
    params: parameters.
    index: the held-out episodes.
    training: the training episodes, with those maps left out.
    fields: step fields that the model reads.
    infer: guess the tokens of observed rows from frames.

  Returns:
    JSON-ready: that of `left_out.measure` where held-out rows are on the maps;
    `maps`, `windows`, `filled[name]`: what an atlas was filled with, and
    `lacking_tiles`, the share of tiles in those rows that the dictionary lacks.
  """
  maps = config.train.left_out_maps
  evaluate, cfg = config.evaluate, config.world_model
  most = min(evaluate.windows, _MOST_WINDOWS)
  places = _places(index, maps, evaluate.context, most)
  result: dict[str, Any] = {"maps": list(maps), "windows": len(places)}
  if not places:
    return result
  windows = loader.windows_at(
    index, places, evaluate.context + AHEAD, tuple(fields)
  )
  atlas, table = world_model.map_memory(params), world_model.tile_table(params)
  filled, told = {}, {}
  if atlas is not None and table is not None:
    for name, once in _FILLED.items():
      rows = training.kept(atlas_counts.FIELDS, _READ_ROWS, instead=True)
      found = atlas_counts.fill(cfg, table, atlas, rows, once)
      filled[name] = found.atlas
      told[name] = {
        "rows": found.rows,
        "views": found.views,
        "cells": found.cells,
        "cells_lacking_tiles": found.lacking,
        "pages_without_room": found.no_room,
        "cells_needed": cfg.atlas_cells + found.no_room * atlas_lib.PAGE_CELLS,
      }
  if table is not None:
    result["lacking_tiles"] = _lacking(table, windows, evaluate.context, maps)
  groups = np.array([episode for episode, _ in places])
  measured = left_out.measure(
    *(cfg, params, jax.random.key(4), windows, evaluate.context, maps, filled),
    *(groups, evaluate.bootstrap, infer),
  )
  return result | {"filled": told} | measured


def _places(
  index: loader.EpisodeIndex, maps: tuple[int, ...], context: int, count: int
) -> list[tuple[int, int]]:
  """Episode and first row of windows with rows on the maps after the context.

  At most `count`, each map with its equal share, spread over its rows.
  """
  rows = [rows for _, rows in index.episodes(left_out_lib.FIELDS)]
  chosen: set[tuple[int, int]] = set()
  for number in maps:
    found = []
    for episode, row in enumerate(rows):
      there = left_out_lib.on_maps(row, [number])
      last = len(there) - context - AHEAD
      found += [
        (episode, start)
        for start in range(0, last + 1, AHEAD)
        if there[start + context : start + context + AHEAD].any()
      ]
    most = min(len(found), max(count // len(maps), 1))
    if most:
      spread = np.linspace(0, len(found) - 1, most).astype(int)
      chosen.update(found[i] for i in spread)
  return sorted(chosen)


def _lacking(
  table: tiles.TileTable,
  windows: Mapping[str, np.ndarray],
  context: int,
  maps: tuple[int, ...],
) -> float | None:
  """Share of the tiles on the maps that the dictionary lacks."""
  there = left_out_lib.on_maps(windows, maps)[:, context:]
  frames = windows["frame"][:, context:][there]
  return tiles.escape_share(table, frames) if len(frames) else None
