"""Intervals of measured means; numpy only."""

from collections.abc import Callable
import math

import numpy as np

_Z95 = 1.959963984540054  # of the normal distribution, two sides


def bootstrap_mean(
  values: np.ndarray,
  resamples: int = 2000,
  seed: int = 0,
  groups: np.ndarray | None = None,
) -> dict[str, float]:
  """Mean of paired differences `[n]` with its 95 % bootstrap interval.

  Percentile bootstrap over the pairs, or over whole groups of them where
  pairs of one group are alike (cluster bootstrap; Davison and Hinkley 1997,
  section 3.8). Deterministic for a seed.

  Args:
    values: paired differences.
    resamples: bootstrap draws.
    seed: of the draws.
    groups: `[n]`, which values belong together, such as windows of one
      episode; None draws every value by itself.

  Returns:
    `mean`, `low`, `high` and `n`, the number of what is drawn. Below some ten
    the interval is too narrow: with 8 it misses the truth in 15 % of the cases.

  Raises:
    ValueError: fewer than two values or groups, or not a group for each value.
  """
  values = np.asarray(values, np.float64)
  if values.ndim != 1 or len(values) < 2:
    raise ValueError(f"values: shape {values.shape}, expected [n] with n >= 2")
  if groups is None:
    groups = np.arange(len(values))
  if np.shape(groups) != values.shape:
    raise ValueError(
      f"groups: shape {np.shape(groups)}, expected {values.shape}"
    )
  _, member = np.unique(groups, return_inverse=True)
  sums, counts = np.bincount(member, values), np.bincount(member)
  if len(sums) < 2:
    raise ValueError(f"groups: {len(sums)}, expected at least 2")
  rng = np.random.default_rng(seed)
  index = rng.integers(len(sums), size=(resamples, len(sums)))
  means = sums[index].sum(axis=1) / counts[index].sum(axis=1)
  low, high = np.percentile(means, [2.5, 97.5])
  return {
    "mean": float(values.mean()),
    "low": float(low),
    "high": float(high),
    "n": len(sums),
  }


def bootstrap(
  statistic: Callable[[np.ndarray], float | None],
  groups: np.ndarray,
  resamples: int = 2000,
  seed: int = 0,
) -> dict[str, float] | None:
  """Any statistic with its 95 % interval over whole groups.

  Args:
    statistic: of the elements at some places `[m]`; None where it is not
      defined, as in a resample without an event.
    groups: `[n]`, which elements belong together.
    resamples: bootstrap draws.
    seed: of the draws.

  Returns:
    `value`, `low`, `high` and `n`, the number of groups. None where it is not
    defined, or fewer than two groups or draws define it.
  """
  value = statistic(np.arange(len(groups)))
  names, member = np.unique(groups, return_inverse=True)
  if value is None or len(names) < 2:
    return None
  places = [np.flatnonzero(member == number) for number in range(len(names))]
  rng = np.random.default_rng(seed)
  drawn = []
  for _ in range(resamples):
    chosen = rng.integers(len(names), size=len(names))
    again = statistic(np.concatenate([places[number] for number in chosen]))
    if again is not None:
      drawn.append(again)
  if len(drawn) < 2:
    return None
  low, high = np.percentile(drawn, [2.5, 97.5])
  return {
    "value": float(value),
    "low": float(low),
    "high": float(high),
    "n": len(names),
  }


def wilson(right: float, count: int) -> dict[str, float]:
  """A share with its 95 % interval (Wilson 1927), of independent answers.

  Args:
    right: answers that were right; an undecided one counts as half.
    count: all answers, at least 1.

  Returns:
    `value`, `low`, `high` and `n`.

  Raises:
    ValueError: `count` is below 1, or `right` is not in `0..count`.
  """
  if count < 1 or not 0 <= right <= count:
    raise ValueError(f"right: {right} of {count}, expected 0..count, count > 0")
  share, square = right / count, _Z95**2
  middle = (share + square / (2 * count)) / (1 + square / count)
  spread = share * (1 - share) / count + square / (4 * count**2)
  half = _Z95 * math.sqrt(spread) / (1 + square / count)
  return {
    "value": share,
    "low": max(0.0, middle - half),
    "high": min(1.0, middle + half),
    "n": count,
  }
