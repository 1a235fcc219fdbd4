"""The rows of windows that dreams are compared with."""

from collections.abc import Mapping

import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import modes
from pokedreamer_jax.evaluation import scores


class Rows:
  """The dreamed rows of windows, and those of the reported steps."""

  def __init__(
    self,
    cfg: world_model_config.WorldModelConfig,
    windows: Mapping[str, np.ndarray],
    context: int,
  ):
    """Looks at windows `[W, context + H, ...]`; nothing is copied."""
    self._windows = windows
    self._context = context
    horizon = windows["action"].shape[1] - context
    self.steps = dreams.reported_steps(horizon)
    self.mode = modes.modes_of(windows)[:, context:]  # [W, H]
    self.place = scores.recorded_places(windows)[:, context:]  # [W, H, 3]
    # Whether anybody knows the places: in an unknown game they are zeros.
    self.has_places = device.has_places(cfg) or windows["game_running"].any()

  def all(self, name: str) -> np.ndarray:
    """A field of all dreamed rows, `[W, H, ...]`."""
    return self._windows[name][:, self._context :]

  def at(self, name: str) -> np.ndarray:
    """A field at the reported steps, `[W, S, ...]`."""
    return self.of(self.all(name))

  def of(self, values: np.ndarray) -> np.ndarray:
    """The reported steps of values `[W, H, ...]`."""
    return values[:, [step - 1 for step in self.steps]]

  def at_place(self) -> np.ndarray:
    """Places at the reported steps, `[W, S, 3]`."""
    return self.of(self.place)

  def start_place(self) -> np.ndarray:
    """Places `[W, 1, 3]` of the last observed rows."""
    places = scores.recorded_places(self._windows)
    return places[:, self._context - 1 : self._context]

  def moved(self) -> np.ndarray:
    """Where the frame is another than the one before, `[W, S]` bool."""
    before = self._windows["frame"][:, self._context - 1 : -1]
    return scores.exact(self.of(before), self.at("frame")) == 0
