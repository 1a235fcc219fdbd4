"""Scores of windows as means with intervals, and what beats what.

Scores are `line -> metric -> [W, S]`, one column per open-loop step; NaN where
a metric does not apply. Windows of one episode are alike, so intervals come
from drawing whole episodes.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from pokedreamer_jax.world_model import statistics

Scores = Mapping[str, Mapping[str, np.ndarray]]

SAMPLED = "dream (sampled)"
MOST_LIKELY = "dream (most likely)"
SHUFFLED = "shuffled actions"
FLOOR = "floor (posterior)"
GUESSED = "floor (guessed)"
FROZEN = "frozen frame"
WALK = "random walk"
MAJORITY = "most frequent map"
CEILING = "emulator, other luck"
CHANCE = "emulator, other chance"
REAL = "real frames"

LOWER_IS_BETTER = ("tiles", "read_tiles")
_COMPARED = ("pixels", "exact", "tiles", "read_tiles")


def interval(
  values: np.ndarray,
  groups: np.ndarray | None,
  resamples: int,
  mask: np.ndarray | None = None,
) -> dict[str, Any]:
  """Mean of the values that apply, with its 95 % interval.

  Args:
    values: `[W, ...]`; NaN does not apply.
    groups: `[W]`, the episode of each window; None: every window by itself.
    resamples: bootstrap draws.
    mask: bool as `values`: what to look at; None for all.

  Returns:
    `count` values of `n` episodes, and, where there are any, `mean`; `low` and
    `high` as well where two episodes or more are left.
  """
  if groups is None:
    groups = np.arange(len(values))
  applies = ~np.isnan(values)
  if mask is not None:
    applies &= mask
  lead = groups.reshape(-1, *[1] * (values.ndim - 1))
  kept = values[applies]
  of = np.broadcast_to(lead, values.shape)[applies]
  result: dict[str, Any] = {"count": int(kept.size), "n": len(np.unique(of))}
  if result["n"] > 1:
    result |= statistics.bootstrap_mean(kept, resamples, groups=of)
  elif kept.size:
    result["mean"] = float(kept.mean())
  return result


def pool(
  scores: Mapping[str, np.ndarray],
  groups: np.ndarray | None,
  resamples: int,
  mask: np.ndarray | None = None,
) -> dict[str, Any]:
  """`interval` of each metric `[W, ...]`, without those that never apply."""
  found = {
    metric: interval(values, groups, resamples, mask)
    for metric, values in scores.items()
  }
  return {metric: row for metric, row in found.items() if "mean" in row}


def table(
  scores: Scores,
  steps: Sequence[int],
  groups: np.ndarray | None,
  resamples: int,
  mask: np.ndarray | None = None,
) -> dict[str, Any]:
  """Every line at every step.

  Args:
    scores: of each line.
    steps: open-loop step of each column.
    groups: `[W]`, the episode of each window, or None.
    resamples: bootstrap draws.
    mask: `[W, S]` bool, what to look at; None for all.

  Returns:
    JSON-ready: `lines[name][step][metric]` means, `intervals` of the same
    shape with `[low, high]`, and with a mask `counts[step]` of windows.
  """
  lines: dict[str, Any] = {}
  intervals: dict[str, Any] = {}
  for name, score in scores.items():
    lines[name], intervals[name] = {}, {}
    for i, k in enumerate(steps):
      column = None if mask is None else mask[:, i]
      at = {metric: values[:, i] for metric, values in score.items()}
      found = pool(at, groups, resamples, column)
      lines[name][str(k)] = {m: row["mean"] for m, row in found.items()}
      intervals[name][str(k)] = {
        m: [row["low"], row["high"]] for m, row in found.items() if "low" in row
      }
  result: dict[str, Any] = {"lines": lines, "intervals": intervals}
  if mask is not None:
    result["counts"] = {
      str(k): int(mask[:, i].sum()) for i, k in enumerate(steps)
    }
  return result


def compare(
  scores: Scores,
  steps: Sequence[int],
  resamples: int,
  groups: np.ndarray | None,
  mask: np.ndarray | None = None,
) -> list[dict[str, Any]]:
  """Dream against frozen frame, other actions and the emulator, by window."""
  rows = []
  for other in (FROZEN, SHUFFLED, CEILING, CHANCE):
    for metric in _COMPARED:
      rows += _gains(scores, other, metric, steps, resamples, groups, mask)
  return rows


def compare_places(
  scores: Scores,
  steps: Sequence[int],
  resamples: int,
  groups: np.ndarray | None,
) -> list[dict[str, Any]]:
  """Dream against what knows no frame: a walker, the most frequent map."""
  return [
    *_gains(scores, WALK, "tiles", steps, resamples, groups),
    *_gains(scores, MAJORITY, "map", steps, resamples, groups),
  ]


def _gains(scores, other, metric, steps, resamples, groups, mask=None):
  dream = scores[SAMPLED]
  if metric not in dream or metric not in scores.get(other, {}):
    return []
  # Positive means that the dream is better.
  sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
  gain = sign * (dream[metric] - scores[other][metric])
  rows = []
  for i, k in enumerate(steps):
    column = None if mask is None else mask[:, i]
    found = interval(gain[:, i], groups, resamples, column)
    if "low" in found:
      rows.append({"metric": metric, "step": k, "than": other, **found})
  return rows
