"""What the processes of `benchmark_training` do: one model or one rival each.

An update is timed as training runs it, with a batch that is handed over from
the host. Operations are those of its matrix products and convolutions; matrix
peak is what a large product of the numbers that the model calculates in reaches
on the same device in turns with it.
"""

from collections.abc import Callable
import dataclasses
import statistics
import time
from typing import Any

import numpy as np

from experiments.machine import allocator
from experiments.machine import processes
from experiments.runs import operations
from experiments.speed import data_jobs
from experiments.speed import torch_rival
from pokedreamer_jax import specs
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib

PEAK_SIZE = {"cpu": 3072}  # rows of the product that stands for the peak
_PEAK_SIZE_ELSE = 8192


@dataclasses.dataclass(frozen=True)
class Asked:
  """A model and the size of its batches."""

  preset: str
  overrides: tuple[str, ...]
  batch_size: int  # windows; 0 is the preset's own
  seq_len: int  # rows of a window; 0 is the preset's own


class Update:
  """The jitted training update of one model, on one fixed batch."""

  def __init__(self, asked: Asked | config_lib.Config):
    """Makes the batch.

    Args:
      asked: a preset, or a whole configuration.
    """
    allocator.keep_freed_memory()  # as every entry point does
    import jax

    # A cached program would hide the compile time.
    jax.config.update("jax_enable_compilation_cache", False)
    self._jax = jax
    self._config = _config(asked) if isinstance(asked, Asked) else asked
    train = self._config.train
    self._batch = random_batch(train.batch_size, train.seq_len)
    self._base_mib = processes.peak_mib()
    self._peak: Callable[[], Any] | None = None

  def compile(self) -> dict[str, Any]:
    """Makes the state, compiles the update and runs it twice."""
    from pokedreamer_jax.frames import tiles
    from pokedreamer_jax.training import world_model as training
    from pokedreamer_jax.world_model import model as world_model

    jax, config = self._jax, self._config
    cfg, train = config.world_model, config.train
    table = tiles.build([self._batch["frame"][0]], cfg.tile_vocab)
    params = world_model.init(cfg, jax.random.key(0), table)
    self._state = training.init_state(config.train, params)
    self._key = jax.random.key(config.seed)
    arguments = (self._state, self._batch, self._key)
    update = training.make_update(config)
    flops = operations.count(update, *arguments)
    began = time.perf_counter()
    jitted = jax.jit(update, donate_argnums=0)
    self._update = jitted.lower(*arguments).compile()
    compile_s = time.perf_counter() - began
    self.updates(2)
    memory = self._update.memory_analysis()
    rows = train.batch_size * (train.seq_len - train.burn_in)
    decoded = min(train.decode_rows or rows, rows)
    if cfg.family == "v2":  # always all
      decoded = rows
    weights = {
      name: part
      for name, part in self._state.params.items()
      if name not in training.FROZEN
    }
    device = jax.devices()[0]
    return {
      "device": device.device_kind,
      "platform": device.platform,
      "jax": jax.__version__,
      "dtype": cfg.compute_dtype,
      "batch": [train.batch_size, train.seq_len],
      "decoded_rows": decoded,
      "parameters": sum(leaf.size for leaf in jax.tree.leaves(weights)),
      "compile_s": compile_s,
      "flops": flops,
      "temporary_mib": memory.temp_size_in_bytes / 2**20,
      "state_mib": memory.argument_size_in_bytes / 2**20,
    }

  def updates(self, count: int) -> list[float]:
    """Seconds of each of some updates."""
    seconds = []
    for _ in range(count):
      began = time.perf_counter()
      self._state, metrics = self._update(self._state, self._batch, self._key)
      self._jax.block_until_ready((self._state, metrics))
      seconds.append(time.perf_counter() - began)
    return seconds

  def cpu_s(self, count: int) -> float:
    """CPU seconds of one update, of all threads of this process."""
    began = time.process_time()
    self.updates(count)
    return (time.process_time() - began) / count

  def matrix_peak(self) -> float:
    """Operations per second of one large product in the model's dtype."""
    jax = self._jax
    size = PEAK_SIZE.get(jax.default_backend(), _PEAK_SIZE_ELSE)
    if self._peak is None:
      left = jax.numpy.ones(
        (size, size), self._config.world_model.compute_dtype
      )
      product = jax.jit(lambda a, b: a @ b)
      self._peak = lambda: jax.block_until_ready(product(left, left))
      self._peak()
    began = time.perf_counter()
    self._peak()
    return 2.0 * size**3 / (time.perf_counter() - began)

  def memory(self) -> dict[str, float]:
    """What this process grew by, and the device's own count if it has one."""
    stats = self._jax.devices()[0].memory_stats() or {}
    found = {"growth_mib": processes.peak_mib() - self._base_mib}
    if "peak_bytes_in_use" in stats:
      found["device_peak_mib"] = stats["peak_bytes_in_use"] / 2**20
    return found


class Rival:
  """The same for v2 in PyTorch, eager or compiled."""

  def __init__(
    self, batch_size: int, seq_len: int, threads: int, compiled: bool = False
  ):
    self._step = torch_rival.TrainStep(batch_size, seq_len, threads, compiled)
    self._shape = [batch_size, seq_len]
    self._step.run()  # warms up

  def describe(self) -> dict[str, Any]:
    """What it is."""
    return {
      "torch": self._step.version,
      "parameters": self._step.parameters,
      "batch": self._shape,
    }

  def updates(self, count: int) -> list[float]:
    """Seconds of each of some updates."""
    seconds = []
    for _ in range(count):
      began = time.perf_counter()
      self._step.run()
      seconds.append(time.perf_counter() - began)
    return seconds


def random_batch(batch_size: int, seq_len: int) -> dict[str, np.ndarray]:
  """A batch `[B, T, ...]` of noise: speed does not depend on what is seen."""
  rng = np.random.default_rng(0)
  lead = (batch_size, seq_len)
  batch = {
    field.name: np.zeros((*lead, *field.shape), field.dtype)
    for field in specs.STEP_FIELDS
  }
  batch["frame"] = rng.integers(0, 256, batch["frame"].shape).astype(np.uint8)
  batch["action"] = rng.integers(0, specs.NUM_ACTIONS, lead).astype(np.uint8)
  batch["first_action_tm1"] = np.zeros(batch_size, np.uint8)
  return batch


def summary(seconds: list[float], frames: int) -> dict[str, Any]:
  """Median, quartiles and frames per second of timed updates."""
  low, median, high = np.percentile(seconds, [25, 50, 75])
  return {
    "median_ms": 1e3 * float(median),
    "iqr_ms": 1e3 * float(high - low),
    "updates_per_s": 1.0 / float(median),
    "frames_per_s": frames / float(median),
    "repeats": len(seconds),
  }


def median_ratio(ours: list[list[float]], theirs: list[list[float]]) -> dict:
  """How many times faster ours is: rounds taken in turns, paired."""
  return data_jobs.ratios(
    [
      statistics.median(b) / statistics.median(a)
      for a, b in zip(ours, theirs, strict=True)
    ]
  )


def _config(asked: Asked) -> config_lib.Config:
  sizes = {
    "train.batch_size": asked.batch_size,
    "train.seq_len": asked.seq_len,
  }
  given = [f"{name}={value}" for name, value in sizes.items() if value]
  return presets.make(asked.preset, [*asked.overrides, *given])
