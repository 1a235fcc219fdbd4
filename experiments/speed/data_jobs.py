"""What the processes of `benchmark_data` do: one of them, one question."""

from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterator
import contextlib
import dataclasses
import os
import pathlib
import statistics
import time
from typing import Any

import numpy as np

from data_tools.game import emulator as emulator_lib
from data_tools.game import frame_codec
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import chunk_reader
from data_tools.records import episodes
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import shards as shards_lib
from experiments.machine import allocator
from experiments.machine import processes
from experiments.speed import loader_rivals
from pokedreamer_jax import specs

# Smaller than the data, so that the loader's memory shows its bound.
_MEASURED_CACHE_BYTES = 128 << 20
_CALLS = 32  # between two looks at the clock
NUM_ENVS = 4  # of the vector environments
_POLICY = "sticky_random"  # it costs nothing, and gets somewhere


@dataclasses.dataclass(frozen=True)
class Settings:
  """What is measured, and for how long."""

  rom: roms.Rom
  data_dir: pathlib.Path  # the collectors' records go here
  policy_mix: str
  seconds: float  # of one timed slice
  repeats: int  # slices of each kind
  episode_length: int = 512
  jitter_frames: int = 60
  shard_bytes: int = 64 << 20
  # The loader reads at least so many steps: of few, one batch draws the same
  # chunk several times and unpacks it once.
  loader_steps: int = 1 << 16


def ratios(values: list[float]) -> dict[str, Any]:
  """Median, range and number of ratios."""
  return {
    "ratio": statistics.median(values),
    "ratio_low": min(values),
    "ratio_high": max(values),
    "slices": len(values),
  }


def start(settings: Settings, number: int) -> "Job":
  """The job of a process of its own.

  Args:
    settings: what is measured.
    number: of the process: names its records.
  """
  allocator.keep_freed_memory()  # as every entry point does
  return Job(settings, number)


class Job:
  """What a worker can be asked; an emulator is started when it is needed."""

  def __init__(self, settings: Settings, number: int):
    self._settings = settings
    self._number = number
    self._stack = contextlib.ExitStack()
    self._emulator: emulator_lib.Emulator | None = None
    self._episode = 0
    self._steps: Generator[int, None, None] | None = None
    self._vector: Any = None
    self._ended = 0  # episodes of `collect`
    self._base_mib = 0.0
    self._copies = settings.data_dir / "copies"
    self._loaders: dict[str, loader_rivals.Loader] = {}

  def close(self) -> None:
    if self._steps is not None:
      while not self._ended:  # whole episodes alone are recorded
        next(self._steps)
      self._steps.close()
    self._stack.close()  # commits the open shard

  def pin(self) -> None:
    """Keeps to one core, helper threads included, where that can be asked."""
    if hasattr(os, "sched_setaffinity"):
      os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

  def pair(self, length: int) -> dict[str, float]:
    """The same steps by the bare tick loop and by the collector."""
    self._start()
    seed = self._episode
    actions = policies.make_policy(_POLICY, self._settings.rom)
    actions.reset(episodes.policy_rng(seed))
    chosen = [actions.act(None) for _ in range(length)]
    self._game.reset(seed, None, self._settings.jitter_frames)
    began = time.process_time()
    for action in chosen:
      self._game.step(action)
    ticks_s = time.process_time() - began
    policy = policies.make_policy(_POLICY, self._settings.rom)
    plan = episodes.Plan(self._episode, _POLICY, seed)
    collection = self._collection(_POLICY)
    self._episode += 1
    jitter = self._game.reset(seed, None, self._settings.jitter_frames)
    self._writer.begin(episodes.header(collection, plan, jitter))
    steps = 0
    began = time.process_time()
    for chunk in episodes.play(self._game, policy, seed, length):
      self._writer.write(chunk)
      steps += len(chunk["frame"])
    collector_s = time.process_time() - began
    self._writer.end({})
    return {"ticks": length / ticks_s, "collector": steps / collector_s}

  def collect(self, seconds: float) -> float:
    """Steps per second of recording the policy mix."""
    self._start()
    if self._steps is None:
      self._steps = self._play()
    return _rate(self._steps, seconds)

  def by_cpu(self, kind: str, seconds: float) -> float:
    """Steps per second of CPU time, of all processes that work for them.

    Args:
      kind: "collect" records the policy mix; "vector" steps the vector
        environment, RGB frames and infos, under random buttons.
      seconds: of CPU time, at least.
    """
    if kind == "collect":
      self._start()
      self._steps = self._steps or self._play()
      return _rate(self._steps, seconds, time.process_time)
    if self._vector is None:
      from data_tools.envs import vector_env

      self._vector = vector_env.VectorEnv(NUM_ENVS, "practice_small")
      self._stack.callback(self._vector.close)
      self._vector.reset(seed=0)
    clock = lambda: time.process_time() + processes.children_cpu_s()
    return _rate(_vector_steps(self._vector), seconds, clock)

  def control(self, seconds: float) -> float:
    """Rounds per second of work in small arrays, without an emulator."""
    return _rate(_rounds(), seconds)

  def memory(self) -> dict[str, float]:
    """Growth of this process since its emulator and writer stood ready."""
    return {"growth_mib": processes.peak_mib() - self._base_mib}

  def multiply(self) -> int:
    """Copies what is recorded under further names until it is enough.

    The copies are records of their own, so reading one costs what reading a
    recording of its own costs. Returns the number of steps.
    """
    source = loader.EpisodeIndex(
      generations.freeze(self._settings.data_dir), "all"
    )
    shards = self._copies / generations.SHARDS_DIR
    shards.mkdir(parents=True, exist_ok=True)
    steps = copies = 0
    with shards_lib.ShardWriter(shards, "copy") as writer:
      while steps < self._settings.loader_steps or not steps:
        copies += 1
        for header, rows in source.episodes():
          writer.begin(dataclasses.replace(header, collection=f"copy {copies}"))
          for start in range(0, len(rows["frame"]), shards_lib.CHUNK_STEPS):
            part = slice(start, start + shards_lib.CHUNK_STEPS)
            writer.write({name: array[part] for name, array in rows.items()})
          writer.end({})
          steps += len(rows["frame"])
    return steps

  def loader_memory(self) -> dict[str, float]:
    """What our loader grows by, beside what it is configured to hold."""
    # One frame: what is imported and opened, and nothing that is then reused.
    small = loader.BatchSource(self._index(cache_bytes=0), 1, 1, seed=0)
    next(loader.batches(small, num_threads=1, prefetch=1, stop=1))
    base = processes.peak_mib()
    frames = loader_rivals.ours(self._index(cache_bytes=_MEASURED_CACHE_BYTES))
    loader_rivals.drain(frames)
    _rate(frames, self._settings.seconds)
    bound = loader_rivals.OURS_HELD_BYTES + _MEASURED_CACHE_BYTES
    return {
      "growth_mib": processes.peak_mib() - base,
      "bound_mib": bound / 2**20,
      "peak_mib": processes.peak_mib(),
    }

  def load(self, name: str, seconds: float) -> float:
    """Frames per second of one of `loader_rivals.NAMES`, in its turn."""
    if name not in self._loaders:
      index = self._index(0 if name == "ours" else chunk_reader.CACHE_BYTES)
      rival = loader_rivals.make(name, index)
      self._loaders[name] = self._stack.enter_context(rival)
      if name == "cached":
        for _ in index.episodes(("action",)):
          pass  # unpacks every chunk
    frames = self._loaders[name].frames()
    loader_rivals.drain(frames)
    rate = _rate(frames, seconds)
    self._loaders[name].settle()
    return rate

  def load_batch(self, name: str) -> tuple[int, int]:
    """Windows and rows of the batches of a loader that has been started."""
    return self._loaders[name].batch_size, loader_rivals.SEQ_LEN

  def rival_memory(self) -> dict[str, float]:
    """Peak of a process that does nothing but load float32 RGB."""
    with loader_rivals.make("rival", self._index()) as rival:
      frames = rival.frames()
      for _ in range(2):
        next(frames)
    return {"peak_mib": processes.peak_mib()}

  def _start(self) -> None:
    if self._emulator is not None:
      return
    settings = self._settings
    shards = settings.data_dir / generations.SHARDS_DIR
    shards.mkdir(parents=True, exist_ok=True)
    self._game = self._stack.enter_context(emulator_lib.Emulator(settings.rom))
    self._emulator = self._game
    self._writer = self._stack.enter_context(
      shards_lib.ShardWriter(
        shards, f"b{self._number}", settings.shard_bytes, 3600.0
      )
    )
    self._base_mib = processes.peak_mib()

  def _collection(self, policy_mix: str) -> episodes.Collection:
    settings = self._settings
    return episodes.Collection(
      rom_sha1=settings.rom.sha1,
      rom_kind=settings.rom.kind,
      start_state_sha1="",
      seed=self._number,
      episode_length=settings.episode_length,
      policy_mix=policy_mix,
      jitter_frames=settings.jitter_frames,
      pyboy_version=emulator_lib.pyboy_version(),
    )

  def _play(self) -> Generator[int, None, None]:
    """Records one episode after the other; yields steps as they come."""
    settings = self._settings
    collection = self._collection(settings.policy_mix)
    while True:
      plan = episodes.plan(collection, self._episode)
      self._episode += 1
      policy = policies.make_policy(plan.behaviour, settings.rom)
      jitter = self._game.reset(plan.seed, None, settings.jitter_frames)
      self._writer.begin(episodes.header(collection, plan, jitter))
      for chunk in episodes.play(
        self._game, policy, plan.seed, settings.episode_length
      ):
        self._writer.write(chunk)
        yield len(chunk["frame"])
      self._writer.end({})
      self._ended += 1

  def _index(
    self, cache_bytes: int = chunk_reader.CACHE_BYTES
  ) -> loader.EpisodeIndex:
    generation = generations.freeze(self._copies)
    return loader.EpisodeIndex(generation, "all", cache_bytes=cache_bytes)


def _rate(
  counts: Iterator[int],
  seconds: float,
  clock: Callable[[], float] = time.perf_counter,
) -> float:
  """Counted things per second of a clock, over at least `seconds`."""
  total, began = 0, clock()
  while (spent := clock() - began) < seconds or not total:
    total += next(counts)
  return total / spent


def _vector_steps(made: Any) -> Iterator[int]:
  """Steps of a vector environment under random buttons, without end."""
  rng = np.random.default_rng(0)
  while True:
    for _ in range(_CALLS):
      made.step(rng.integers(0, specs.NUM_ACTIONS, NUM_ENVS))
    yield _CALLS * NUM_ENVS


def _rounds() -> Iterator[int]:
  """Interpreter and small-array work as a collector does, without end."""
  rng = np.random.default_rng(0)
  frame = rng.integers(0, 256, (144, 40)).astype(np.uint8)
  while True:
    for _ in range(64):
      frame = frame_codec.pack_shades(frame_codec.unpack(frame))
      sum(range(2000))
    yield 64
