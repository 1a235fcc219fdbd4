"""What a world model is watched by while it trains, on held-out episodes.

All of it is free of chance and of the first generation's episodes, so that the
numbers of a run can be compared with each other.
"""

from typing import Any

import jax
import numpy as np

from data_tools.records import generations
from data_tools.records import loader
from experiments.reports import world_model_report
from experiments.runs import run_directory
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import model as world_model

SHEET = "dreams.png"
_SHOWN = ("loss/", "posterior/", "image/")  # the losses by token are many


class Validator:
  """Losses and open-loop numbers on fixed windows, and pictures of some."""

  def __init__(
    self, config: config_lib.Config, generation: generations.Generation
  ):
    """Reads the windows.

    Raises:
      ValueError: no held-out episode is as long as an open loop.
    """
    self._evaluator = world_model_report.Evaluator(config, generation)
    self._batches = _batches(self._evaluator.index, config.train)
    self._losses = jax.jit(training.make_validation(config))

  def measure(self, params: world_model.Params) -> dict[str, float]:
    """`val/loss/...` with the most likely latents, and open-loop numbers."""
    each = [jax.device_get(self._losses(params, b)) for b in self._batches]
    losses = {
      f"val/{name}": float(np.mean([metrics[name] for metrics in each]))
      for name in each[0]
      if name.startswith(_SHOWN)
    }
    return losses | self.quick(params)

  def quick(self, params: world_model.Params) -> dict[str, float]:
    """The open-loop numbers alone."""
    return self._evaluator.quick(params)

  def draw(
    self, params: world_model.Params, step: int, run: run_directory.Run
  ) -> None:
    """Real, reconstructed and dreamed frames: a PNG, and in TensorBoard."""
    path = run.path / SHEET
    self._evaluator.contact_sheet(params, path)
    run.image(step, "dreams", path)


def _batches(
  index: loader.EpisodeIndex, train: config_lib.TrainConfig
) -> list[dict[str, Any]]:
  """Windows as in training, in whole batches where there are so many."""
  rows = min(train.seq_len, int(index.lengths.max()))
  windows = loader.fixed_windows(
    index, rows, train.eval_windows, fields=world_model_report.FIELDS
  )
  size = min(train.batch_size, len(windows["action"]))
  whole = len(windows["action"]) // size
  return [
    {name: value[n * size : (n + 1) * size] for name, value in windows.items()}
    for n in range(whole)
  ]
