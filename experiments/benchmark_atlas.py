"""Measures how an atlas is counted: seconds and memory for so many rows.

    python -m experiments.benchmark_atlas --data_dir=DIR [--rows=1000000]

The training rows of the directory are read over and over, each time as if on
other maps, so that no view has been seen before. The dictionary is counted
first, over some of them. Other jobs slow a machine down: processor seconds say
more than those of the clock. Memory is what the process holds at most, above
what it held before it counted.
"""

from collections.abc import Iterator
import os
import pathlib
import time
from typing import Any

import numpy as np

from data_tools.records import generations
from data_tools.records import loader
from data_tools.system import processors
from experiments.machine import provenance
from experiments.runs import cli
from experiments.runs import json_store
from pokedreamer_jax.config import presets

_MAPS = 32  # of one reading; a map is a byte
_MOST = 256 // _MAPS
_TABLE_EPISODES = 40  # at most, for the dictionary

_DATA_DIR = cli.string("data_dir", None, "Directory of recorded experience.")
_ROWS = cli.integer("rows", 1_000_000, "Rows to count.")
_PRESET = cli.string("preset", "vale", "Gives the dictionary's size.")
_CELLS = cli.integer("atlas_cells", 327_680, "Cells that the atlas can hold.")
_JSON = cli.string("json", "", "Also write the results to this file.")


def main() -> None:
  """Counts, and says what it took."""
  cfg = presets.make(
    _PRESET.value or "",
    [
      *("world_model.atlas=counted", f"world_model.atlas_cells={_CELLS.value}"),
      f"world_model.tokens=map:{_MOST * _MAPS} y:256 x:256",
    ],
  ).world_model
  generation = generations.freeze(cli.required("data_dir"))
  index = loader.EpisodeIndex(generation, "train", cache_bytes=0)
  wanted, there = _ROWS.value or 0, int(index.lengths.sum())
  if not 0 < wanted <= _MOST * there:
    raise ValueError(
      f"--rows={wanted}: expected 1 to {_MOST * there}, {_MOST} times the "
      f"{there} training rows of {generation.data_dir}"
    )
  result = {
    "command": cli.command_line(),
    "commit": provenance.commit(),
    "cpu_count": processors.available(),
    "load_average": os.getloadavg(),
    "versions": provenance.versions(),
    **measure(cfg, index, wanted),
  }
  print(line(result))
  if _JSON.value:
    path = pathlib.Path(_JSON.value)
    json_store.write_json(path, result)
    print(f"wrote {path}")


def measure(cfg: Any, index: loader.EpisodeIndex, wanted: int) -> dict:
  """Seconds and MiB of counting `wanted` rows into an atlas."""
  from pokedreamer_jax.frames import tiles
  from pokedreamer_jax.world_model import atlas as atlas_lib
  from pokedreamer_jax.world_model import atlas_counts

  some = np.linspace(0, len(index) - 1, min(_TABLE_EPISODES, len(index)))
  frames = (
    index.read(episode, 0, int(index.lengths[episode]), ("frame",))["frame"]
    for episode in some.astype(int).tolist()
  )
  table = tiles.build(frames, cfg.tile_vocab)
  before_mib = _held_mib("VmRSS")
  began, counting_s = (time.monotonic(), time.process_time()), 0.0
  counter = atlas_counts.Counter(cfg, table)
  for rows in _over_and_over(index, wanted, atlas_counts.FIELDS):
    counting_s -= time.process_time()
    counter.add(rows)
    counting_s += time.process_time()
  counts = counter.counts()
  atlas, left_out = atlas_counts.extend(atlas_lib.empty(cfg), counts)
  return {
    "rows": counts.rows,
    "views": counts.views,
    "blocks_kept": len(counts.place),
    "cells_known": int(atlas_lib.known_cells(atlas, cfg.tile_vocab).sum()),
    "pages_left_out": left_out,
    "wall_s": time.monotonic() - began[0],
    "cpu_s": time.process_time() - began[1],
    "counting_cpu_s": counting_s,
    "peak_mib": _held_mib("VmHWM"),
    "growth_mib": _held_mib("VmHWM") - before_mib,
  }


def line(result: dict[str, Any]) -> str:
  """The result for a person."""
  reading_s = result["cpu_s"] - result["counting_cpu_s"]
  return (
    f"{result['rows']:,} rows in {result['cpu_s']:.1f} s of a core "
    f"({reading_s:.1f} of them reading), {result['wall_s']:.1f} s by the "
    f"clock; {result['views']:,} views, {result['cells_known']:,} cells known; "
    f"memory grows by {result['growth_mib']:.0f} MiB"
  )


def _over_and_over(
  index: loader.EpisodeIndex, wanted: int, fields: tuple[str, ...]
) -> Iterator[dict[str, np.ndarray]]:
  """Rows of the episodes, `wanted` in all; each round is on other maps."""
  for turn in range(_MOST):
    for episode, length in enumerate(index.lengths.tolist()):
      stop = min(length, wanted)
      if not stop:
        return
      rows = index.read(episode, 0, stop, fields)
      own = rows["map_id"] % _MAPS
      yield {**rows, "map_id": own + np.uint8(turn * _MAPS)}
      wanted -= stop


def _held_mib(name: str) -> float:
  """Memory of this process: `VmRSS` now, `VmHWM` at most so far."""
  lines = pathlib.Path("/proc/self/status").read_text().splitlines()
  (kib,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
  return int(kib) / 1024


if __name__ == "__main__":
  cli.run_main(main)
