"""Finds the update at which a loss stopped being a number."""

import math
from typing import Any

import jax

from experiments.runs import run_directory


class LossGuard:
  """Metrics of the updates since the last look, left on the device.

  Fetching those of every update would make the host wait for it. A NaN spreads
  to everything within an update, so it is the first bad one that names its
  cause: this one is looked for where the latest is bad.
  """

  def __init__(self, run: run_directory.Run):
    self._run = run
    self._unseen: list[tuple[int, Any]] = []

  def add(self, step: int, metrics: Any) -> None:
    """Takes the scalars of an update, numbered `step`; does not wait."""
    self._unseen.append((step, metrics))

  def look(self) -> dict[str, float]:
    """Fetches the metrics that were added last, and forgets all.

    Raises:
      run_directory.Failed: an update since the last look was not finite.
    """
    values = _fetch(self._unseen[-1][1])
    if not all(map(math.isfinite, values.values())):
      for step, metrics in self._unseen:
        self._run.check_finite(step, _fetch(metrics))
    self._unseen.clear()
    return values


def _fetch(metrics: Any) -> dict[str, float]:
  return {name: float(v) for name, v in jax.device_get(metrics).items()}
