"""How fast the emulator side is: the measurements of `benchmark_data`.

Machines are shared and noisy, so two things are compared by taking them in
turns within one run, and by the median of the ratios of neighbours. Work that
shall not disturb, or whose memory is measured, runs in a process of its own.
"""

from collections.abc import Callable
import contextlib
import statistics
import time
from typing import Any

import numpy as np

from data_tools.records import generations
from experiments.machine import asked_process
from experiments.speed import data_jobs
from experiments.speed import loader_rivals
from pokedreamer_jax import specs


def collector_against_ticks(settings: data_jobs.Settings) -> dict[str, Any]:
  """Steps per second of one core: the bare tick loop and the collector."""
  with _worker(settings, 0) as worker:
    worker.ask("pin")
    worker.ask("pair", 64)  # warms up
    pairs = [
      worker.ask("pair", settings.episode_length)
      for _ in range(_slices(settings, 0.6))
    ]
  return {
    "unit": "steps/s of CPU time, one core",
    "ticks_per_s": statistics.median(p["ticks"] for p in pairs),
    "collector_per_s": statistics.median(p["collector"] for p in pairs),
    **data_jobs.ratios([p["collector"] / p["ticks"] for p in pairs]),
  }


def scaling(settings: data_jobs.Settings) -> dict[str, Any]:
  """What a second worker brings, beside work without an emulator."""
  kinds = ("collect", "control")
  rates: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
  with contextlib.ExitStack() as stack:
    workers = [stack.enter_context(_worker(settings, i)) for i in (1, 2)]
    for worker in workers:
      worker.ask("collect", 0.2)
    for _ in range(settings.repeats):
      for kind in kinds:
        one = workers[0].ask(kind, settings.seconds)
        for worker in workers:
          worker.send(kind, settings.seconds)
        rates[kind].append((one, sum(worker.answer() for worker in workers)))
    memory = workers[0].ask("memory")
  result: dict[str, Any] = {"unit": "steps/s of wall time, policy mix played"}
  for kind in kinds:
    result[kind] = {
      "one": statistics.median(one for one, _ in rates[kind]),
      "two": statistics.median(two for _, two in rates[kind]),
      **data_jobs.ratios([two / one for one, two in rates[kind]]),
    }
  # The open shard, as it is before compression.
  result["memory"] = {**memory, "bound_mib": settings.shard_bytes / 2**20}
  return result


def vector_against_collector(settings: data_jobs.Settings) -> dict[str, Any]:
  """Steps per second of CPU time: the collector and the vector environment."""
  kinds = ("collect", "vector")
  rates: dict[str, list[float]] = {kind: [] for kind in kinds}
  with _worker(settings, 3) as worker:
    for kind in kinds:
      worker.ask("by_cpu", kind, 0.2)
    for _ in range(_slices(settings, 1.0)):
      for kind in kinds:
        rates[kind].append(worker.ask("by_cpu", kind, 1.0))
  return {
    "unit": f"steps/s of CPU time, {data_jobs.NUM_ENVS} environments",
    "collector_per_s": statistics.median(rates["collect"]),
    "vector_per_s": statistics.median(rates["vector"]),
    **data_jobs.ratios(
      [a / b for a, b in zip(rates["vector"], rates["collect"], strict=True)]
    ),
  }


def loader_against_rivals(settings: data_jobs.Settings) -> dict[str, Any]:
  """Frames per second of the loader, and of float32 RGB from memory."""
  names = loader_rivals.names()
  rates: dict[str, list[float]] = {name: [] for name in names}
  with contextlib.ExitStack() as stack:
    # PyTorch has a process of its own: it starts others.
    ours, theirs = (stack.enter_context(_worker(settings, 0)) for _ in "ab")
    steps = ours.ask("multiply")
    workers = {name: theirs if name == "torch" else ours for name in names}
    for _ in range(settings.repeats):
      for name, worker in workers.items():
        rates[name].append(worker.ask("load", name, settings.seconds))
    batches = {n: worker.ask("load_batch", n) for n, worker in workers.items()}
  with _worker(settings, 0) as worker:
    memory = worker.ask("loader_memory")
  with _worker(settings, 0) as worker:
    rival = worker.ask("rival_memory")

  def ratios(name: str, other: str) -> dict[str, Any]:
    pairs = zip(rates[name], rates[other], strict=True)
    return data_jobs.ratios([a / b for a, b in pairs])

  return {
    "unit": "frames/s",
    "batches": batches,
    "steps_on_disk": steps,
    "memory": memory,
    "rival_peak_mib": rival["peak_mib"],
    **{f"{name}_per_s": statistics.median(rates[name]) for name in rates},
    **ratios("ours", "rival"),
    "against": {
      other: {name: ratios(name, other) for name in ("ours", "cached")}
      for other in names
      if other not in ("ours", "cached")
    },
  }


def disk(settings: data_jobs.Settings) -> dict[str, Any]:
  """Bytes per step of everything recorded so far."""
  generation = generations.freeze(settings.data_dir)
  return {
    "steps": generation.num_steps,
    "shards": len(generation.shards),
    "bytes_per_step": generation.size_bytes / generation.num_steps,
    "raw_bytes_per_step": specs.BYTES_PER_STEP,
  }


def vector_environments(settings: data_jobs.Settings) -> dict[str, Any]:
  """Steps per second of our vector environment and of `AsyncVectorEnv`."""
  import gymnasium

  from data_tools.envs import env as env_lib
  from data_tools.envs import games

  name = games.GAMES["practice_small"]
  made: list[Callable[[], Any]] = [
    lambda: gymnasium.make_vec(name, num_envs=data_jobs.NUM_ENVS),
    lambda: gymnasium.vector.AsyncVectorEnv(
      [lambda: env_lib.PokeDreamerEnv("practice_small")] * data_jobs.NUM_ENVS,
      shared_memory=True,
      context="spawn",
    ),
  ]
  rates: list[list[float]] = [[], []]
  with contextlib.ExitStack() as stack:
    envs = [make() for make in made]
    for vector in envs:
      stack.callback(vector.close)
      vector.reset(seed=0)
      _step_for(vector, 0.2)
    for _ in range(settings.repeats):
      for vector, kept in zip(envs, rates, strict=True):
        kept.append(_step_for(vector, settings.seconds))
  return {
    "unit": f"steps/s of {data_jobs.NUM_ENVS} environments, RGB frames",
    "ours_per_s": statistics.median(rates[0]),
    "async_per_s": statistics.median(rates[1]),
    **data_jobs.ratios([a / b for a, b in zip(*rates, strict=True)]),
  }


def _step_for(vector: Any, seconds: float) -> float:
  rng = np.random.default_rng(0)
  steps, began = 0, time.perf_counter()
  while (spent := time.perf_counter() - began) < seconds:
    vector.step(rng.integers(0, specs.NUM_ACTIONS, data_jobs.NUM_ENVS))
    steps += data_jobs.NUM_ENVS
  return steps / spent


def _slices(settings: data_jobs.Settings, slice_s: float) -> int:
  """How many slices of about `slice_s` fill the time of one measurement."""
  return max(3, round(settings.repeats * settings.seconds / slice_s))


def _worker(
  settings: data_jobs.Settings, number: int
) -> asked_process.AskedProcess:
  return asked_process.AskedProcess(data_jobs.start, settings, number)
