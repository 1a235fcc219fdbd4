"""How cost grows with the sizes of a model.

Everything that is as wide as one likes is scaled together: recurrent units,
hidden layers, embeddings of tiles and blocks, actor and critic. Latents,
tokens, dictionary and map memory stay, so that small models are mostly what
these need, and the number of parameters grows less than the square of a width.
"""

from collections.abc import Sequence
import dataclasses
import pathlib
import statistics
import tempfile
import time
from typing import Any

from experiments.machine import allocator
from experiments.machine import asked_process
from experiments.machine import processes
from experiments.speed import acting_parts
from experiments.speed import dream_jobs
from experiments.speed import training_speed
from pokedreamer_jax.config import run as config_lib

_MULTIPLE = 8  # of every width
_DECISIONS = 300
_WORLD_MODEL = ("deter", "hidden", "tile_units", "block_units")


def measure(
  config: config_lib.Config, factors: Sequence[float], repeats: int
) -> dict[int, dict[str, float]]:
  """Costs of a model, by its parameters.

  Args:
    config: of the model with factor 1.
    factors: of all its widths.
    repeats: timed updates and batches of dreams, whose median counts.

  Returns:
    CPU seconds of an update of the world model, a batch of `policy.starts`
    dreams, a decision of one player, saving and restoring a checkpoint, bytes
    of that, and MiB that the process of the updates grew by.
  """
  rows = {}
  for factor in factors:
    scaled = scale(config, factor)
    row: dict[str, float] = {}
    with asked_process.AskedProcess(training_speed.Update, scaled) as process:
      size = process.ask("compile")["parameters"]
      taken = [process.ask("cpu_s", 1) for _ in range(repeats)]
      row["update_s"] = statistics.median(taken)
      row["update_mib"] = process.ask("memory")["growth_mib"]
    with asked_process.AskedProcess(dream_jobs.Dreams, scaled) as process:
      dreams = scaled.policy.starts
      process.ask("prepare", "rows", dreams)
      taken = [process.ask("run", "rows", dreams).cpu_s for _ in range(repeats)]
      row["dream_s"] = statistics.median(taken)
    with (
      tempfile.TemporaryDirectory(prefix="benchmark_growth") as folder,
      asked_process.AskedProcess(Kept, scaled) as process,
    ):
      row["decision_s"] = process.ask("decide", _DECISIONS)
      row |= process.ask("keep", folder)
    rows[size] = row
    print(f"{size:,} parameters, widths x {factor:g}: {row}", flush=True)
  return rows


def scale(config: config_lib.Config, factor: float) -> config_lib.Config:
  """A configuration whose widths are so many times as large."""
  wide = lambda units: max(
    _MULTIPLE, round(units * factor / _MULTIPLE) * _MULTIPLE
  )
  world_model = {
    name: wide(getattr(config.world_model, name)) for name in _WORLD_MODEL
  }
  return dataclasses.replace(
    config,
    world_model=dataclasses.replace(config.world_model, **world_model),
    actor_critic=dataclasses.replace(
      config.actor_critic, units=wide(config.actor_critic.units)
    ),
  )


class Kept:
  """A model that decides, and is written to a disk and read back."""

  def __init__(self, config: config_lib.Config):
    """Makes the parameters."""
    allocator.keep_freed_memory()
    self._config = config
    self._agent = acting_parts.fresh(config)

  def decide(self, decisions: int) -> float:
    """CPU seconds of a decision of one player, on average."""
    return acting_parts.measure(self._agent, 1, decisions)["cpu_ms"] / 1e3

  def keep(self, directory: str) -> dict[str, float]:
    """What a checkpoint of its training takes, in `keep`'s words."""
    from pokedreamer_jax.training import world_model as training

    state = training.init_state(self._config.train, self._agent.world_params)
    opt = {"opt_state": state.opt_state, "step": state.step}
    return keep({"params": state.params, "opt": opt}, pathlib.Path(directory))


def keep(items: dict[str, Any], directory: pathlib.Path) -> dict[str, float]:
  """CPU seconds of a whole checkpoint, there and back, and its bytes.

  Args:
    items: of the checkpoint, such as `params`.
    directory: an empty one.
  """
  import jax

  from pokedreamer_jax import checkpoints

  store = checkpoints.Store(directory)
  began = time.process_time()
  store.save(1, items, {"step": 1})
  store.wait()
  save_s = time.process_time() - began
  store.close()
  store = checkpoints.Store(directory)
  shapes = jax.eval_shape(lambda tree: tree, items)
  began = time.process_time()
  restored, _ = store.restore(shapes)
  jax.block_until_ready(restored)
  restore_s = time.process_time() - began
  store.close()
  return {
    "save_s": save_s,
    "restore_s": restore_s,
    "checkpoint_bytes": processes.disk_bytes(directory),
  }
