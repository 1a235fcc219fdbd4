"""Intervals of measured means; numpy only."""

import numpy as np


def bootstrap_mean(
  values: np.ndarray, resamples: int = 2000, seed: int = 0
) -> dict[str, float]:
  """Mean of paired differences `[n]` with its 95 % bootstrap interval.

  Percentile bootstrap over the pairs; deterministic for a seed.

  Returns:
    `mean`, `low`, `high` and `n`.

  Raises:
    ValueError: fewer than two values.
  """
  values = np.asarray(values, np.float64)
  if values.ndim != 1 or len(values) < 2:
    raise ValueError(f"values: shape {values.shape}, expected [n] with n >= 2")
  rng = np.random.default_rng(seed)
  index = rng.integers(len(values), size=(resamples, len(values)))
  means = values[index].mean(axis=1)
  low, high = np.percentile(means, [2.5, 97.5])
  return {
    "mean": float(values.mean()),
    "low": float(low),
    "high": float(high),
    "n": len(values),
  }
