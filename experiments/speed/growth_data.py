"""How cost grows with the records.

Records are synthetic: pictures of tiles that come and go; a step takes 2.5
times the bytes of a played one, and every episode differs. Times are of
the processor, of all threads.
"""

from collections.abc import Sequence
import contextlib
import os
import pathlib
import tempfile
import time
from typing import Any

import numpy as np

from data_tools.records import chunk_reader
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import shards
from experiments.machine import allocator
from experiments.machine import asked_process
from experiments.machine import processes
from pokedreamer_jax import specs

EPISODE_STEPS = 1024
BATCH, LENGTH = 8, 16  # windows and rows, as preset tiny takes them
_PICTURES = 64
_MOVES = 0.05  # chance of another picture in a step
_BATCHES = 100


def measure(steps: Sequence[int]) -> dict[int, dict[str, float]]:
  """What writing and reading so many steps costs, by their number.

  Records lie in the directory for temporary files until they are read.
  """
  rows = {}
  for size in steps:
    with (
      tempfile.TemporaryDirectory(prefix="benchmark_growth") as folder,
      contextlib.ExitStack() as stack,
    ):
      start = lambda folder=folder, stack=stack: stack.enter_context(
        asked_process.AskedProcess(Records, folder)
      )
      written = start().ask("write", size)
      # Its memory is measured apart from the writer's.
      read = start().ask("read")
      if read.pop("steps") != size:
        raise RuntimeError(f"{size} steps written, fewer read")
      read.pop("cache_default_mib")
      rows[size] = written | read
      print(f"{size:,} steps: {rows[size]}", flush=True)
  return rows


class Records:
  """Synthetic records in a directory, and what reading them costs."""

  def __init__(self, directory: str):
    """Nothing is written yet."""
    allocator.keep_freed_memory()
    self._directory = pathlib.Path(directory)

  def write(self, steps: int) -> dict[str, float]:
    """Writes so many steps; CPU seconds and bytes of it."""
    folder = self._directory / generations.SHARDS_DIR
    folder.mkdir(parents=True, exist_ok=True)
    rng, began = np.random.default_rng(0), time.process_time()
    pictures = _pictures(rng)
    with shards.ShardWriter(folder, "synthetic", shard_s=1e9) as writer:
      for episode, first in enumerate(range(0, steps, EPISODE_STEPS)):
        writer.begin(_header(episode))
        left = min(EPISODE_STEPS, steps - first)
        for start in range(0, left, shards.CHUNK_STEPS):
          count = min(shards.CHUNK_STEPS, left - start)
          writer.write(_rows(rng, pictures, start, count, left))
        writer.end({})
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"write_s": time.process_time() - began, "bytes": size}

  def read(self) -> dict[str, float]:
    """CPU seconds of each thing that a learner does first, and memory."""
    found: dict[str, float] = {}

    def timed(name: str, make: Any) -> Any:
      began = time.process_time()
      made = make()
      found[f"{name}_s"] = time.process_time() - began
      return made

    base_mib = processes.peak_mib()
    system = os.times().system
    first = timed("freeze", lambda: generations.freeze(self._directory))
    # Of it, what the kernel took: records that its cache lost are read anew.
    found["freeze_kernel_s"] = os.times().system - system
    generation = timed(
      "freeze_known", lambda: generations.freeze(self._directory, first)
    )
    timed("load", lambda: generations.load(generation.path))
    index = timed(
      "index", lambda: loader.EpisodeIndex(generation, cache_bytes=0)
    )
    source = timed(
      "source", lambda: loader.BatchSource(index, BATCH, LENGTH, seed=0)
    )
    timed("first_batch", lambda: source[0])
    # A shard is compared with its list when it is first used: that is no
    # batch's time, and by the end of the first ones almost all have been.
    for name, first_one in (("early_batch", 1), ("batch", 1 + _BATCHES)):
      began = time.process_time()
      for number in range(first_one, first_one + _BATCHES):
        source[number]
      found[f"{name}_s"] = (time.process_time() - began) / _BATCHES
    found["growth_mib"] = processes.peak_mib() - base_mib
    found["steps"] = generation.num_steps
    found["cache_default_mib"] = chunk_reader.CACHE_BYTES / 2**20
    return found


def _pictures(rng: np.random.Generator) -> np.ndarray:
  """Packed frames `[P, 144, 40]` of 32 kinds of tiles."""
  tiles = rng.integers(0, 256, (32, 8, 2)).astype(np.uint8)
  chosen = rng.integers(0, len(tiles), (_PICTURES, 18, 20))
  laid = tiles[chosen]  # [P, 18, 20, 8, 2]
  return laid.transpose(0, 1, 3, 2, 4).reshape(_PICTURES, 144, 40)


def _rows(
  rng: np.random.Generator,
  pictures: np.ndarray,
  start: int,
  count: int,
  episode_steps: int,
) -> dict[str, np.ndarray]:
  """A chunk of an episode; every value is one that a game may have."""
  rows = specs.empty_steps(count)
  # Each stands for a while, as pictures of a game do.
  shown = np.cumsum(rng.random(count) < _MOVES) + rng.integers(len(pictures))
  rows["frame"][:] = pictures[shown % len(pictures)]
  rows["action"][:] = rng.integers(0, specs.NUM_ACTIONS, count)
  rows["game_running"][:] = True
  rows["y"], rows["x"] = rng.integers(0, 64, (2, count)).astype(np.uint8)
  at = start + np.arange(count)
  rows["is_first"][:] = at == 0
  rows["is_last"][:] = at == episode_steps - 1
  return rows


def _header(episode: int) -> shards.EpisodeHeader:
  return shards.EpisodeHeader(
    collection="synthetic",
    episode=episode,
    seed=episode,
    behaviour="random",
    rom_sha1="0" * 40,
    rom_kind="practice",
    start_state_sha1="",
    jitter_frames=0,
    pyboy_version="none",
  )
