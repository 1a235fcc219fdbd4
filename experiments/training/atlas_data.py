"""The atlas of a run, counted over its training episodes."""

from collections.abc import Iterator
import time

import jax.numpy as jnp
import numpy as np

from data_tools.records import loader
from experiments.runs import run_directory
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_clocks
from pokedreamer_jax.world_model import atlas_counts

_SPEAK_S = 5.0
_READ_ROWS = 4096  # rows of an episode in memory at a time


def count(
  cfg: world_model_config.WorldModelConfig,
  table: tiles.TileTable,
  index: loader.EpisodeIndex,
  run: run_directory.Run,
) -> atlas_lib.Atlas:
  """Counts the atlas over all rows of an index, one piece after the other.

  Args:
    cfg: sizes.
    table: the dictionary.
    index: the training episodes.
    run: for lines of text, every few seconds and at the end.
  """
  began_s = spoke_s = time.monotonic()
  total = int(index.lengths.sum())
  counter = atlas_counts.Counter(cfg, table)
  done = 0
  for rows in _pieces(index):
    counter.add(rows)
    done += len(rows["frame"])
    if time.monotonic() - spoke_s > _SPEAK_S:
      spoke_s = time.monotonic()
      run.log(f"atlas: counted {done:,} of {total:,} rows")
  counts = counter.counts()
  atlas, left_out = atlas_counts.extend(atlas_lib.empty(cfg), counts)
  looks = atlas_clocks.count(cfg, table, atlas, _pieces(index))
  atlas = atlas.replace(looks=jnp.asarray(looks))
  run.log(
    f"{_told(cfg, atlas, counts)} in {time.monotonic() - began_s:.1f} s"
    + (f"; {_no_room(cfg, left_out)}" if left_out else "")
  )
  return atlas


def _pieces(index: loader.EpisodeIndex) -> Iterator[dict[str, np.ndarray]]:
  for episode, length in enumerate(index.lengths.tolist()):
    for start in range(0, length, _READ_ROWS):
      stop = min(start + _READ_ROWS, length)
      yield index.read(episode, start, stop, atlas_counts.FIELDS)


def _told(cfg, atlas, counts) -> str:
  known = int(atlas_lib.known_cells(atlas, cfg.tile_vocab).sum())
  maps = int((np.asarray(atlas.pages) > 0).any(axis=(1, 2)).sum())
  return (
    f"atlas: {known:,} cells of {maps} maps known from {counts.views:,} "
    f"different views in {counts.rows:,} rows"
  )


def _no_room(cfg, left_out: int) -> str:
  more = cfg.atlas_cells + left_out * atlas_lib.PAGE_CELLS
  return (
    f"{left_out} pages of cells found no room, and stay unknown: "
    f"world_model.atlas_cells={more} would hold them"
  )
