"""Whether dreams and game part while a policy learns in dreams alone.

What a policy gains in dreams over the one that it began as is held against what
it gains in the game from the same starts. That dreams promise somewhat more is
no news; that they promise a gain, and beyond doubt the game pays less than half
of it, is.
"""

import dataclasses
from typing import Any

import numpy as np

from pokedreamer_jax.world_model import statistics

ENOUGH_REALISED = 0.5  # share of a gain in dreams that the game has to pay


@dataclasses.dataclass(frozen=True)
class Gains:
  """Of a policy over the one that it began as; each `mean`, `low`, `high`."""

  imagined: dict[str, float]
  real: dict[str, float]
  # The real gain less `ENOUGH_REALISED` of the imagined one, start by start.
  over_half: dict[str, float]

  @property
  def parted(self) -> bool:
    """Whether dreams have parted from the game.

    They have where both hold: the 95 % interval of what they promise lies above
    zero, and that of `over_half`, paired over the same starts, below zero.
    """
    return self.imagined["low"] > 0.0 and self.over_half["high"] < 0.0


def gains(
  dreamt: np.ndarray, real: np.ndarray, groups: np.ndarray, draws: int
) -> Gains:
  """Means and 95 % intervals over whole groups.

  Args:
    dreamt: `[C]`, a policy's return in dreams less that of the one it began
      as, from each start.
    real: `[C]`, the same in the game.
    groups: `[C]`, the episode of each.
    draws: bootstrap resamples.

  Raises:
    ValueError: fewer than two groups.
  """

  def interval(values: np.ndarray) -> dict[str, Any]:
    return statistics.bootstrap_mean(values, draws, groups=groups)

  return Gains(
    interval(dreamt), interval(real), interval(real - ENOUGH_REALISED * dreamt)
  )
