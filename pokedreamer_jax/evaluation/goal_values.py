"""Values of goals against what held-out episodes went on to reach; numpy only.

A value knows no horizon, an episode that was cut has one: only rows with
`horizon` further ones in their episode count, and what counts as reached is
what they reach within it. Rows on which a state holds already are left out:
nobody need predict them. What is told is how well rows and goals are ordered
(area under the ROC curve), and what values say beside what came.

Values are of a player who wants the goal, episodes are of players who wanted
others: what is near is often not gone to, so values lie above what came.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pokedreamer_jax import goal_specs

# Edges of the bins of predicted steps; the last bin has no end.
EDGES = (1, 6, 16, 31, 51, 101, 201)
FAR_STEPS = 150.0  # a goal that no row is nearer to is said to be out of reach


def steps_until(reached: np.ndarray, is_first: np.ndarray) -> np.ndarray:
  """Steps from each row to the first that reaches a goal, `[M, K]` float32.

  Args:
    reached: whether the step that arrives at a row reaches goals, `[M, K]`.
    is_first: `[M]`, where episodes begin.

  Returns:
    1 where the next step does; inf where none does before the episode ends.
  """
  found = np.full(reached.shape, np.inf, np.float32)
  for row in range(len(reached) - 2, -1, -1):
    if not is_first[row + 1]:
      found[row] = np.where(reached[row + 1], 1.0, found[row + 1] + 1.0)
  return found


def steps_left(is_first: np.ndarray) -> np.ndarray:
  """How many rows of its episode are behind each row, `[M]`."""
  ends = np.append(np.flatnonzero(is_first)[1:], len(is_first))
  episode = np.cumsum(is_first) - 1
  return np.asarray(ends[episode] - 1 - np.arange(len(is_first)))


def base_rates(
  reached: np.ndarray, is_first: np.ndarray, horizon: int
) -> np.ndarray:
  """Share of rows `[K]` that reach a goal within `horizon` steps."""
  counts = steps_left(is_first) >= horizon
  soon = steps_until(reached, is_first)[counts] <= horizon
  return np.asarray(soon.mean(axis=0) if len(soon) else np.zeros(soon.shape[1]))


def auc(score: np.ndarray, truth: np.ndarray) -> float | None:
  """How often a true one of `[R]` scores above another; ties count half.

  Returns:
    None where all are true, or none is.
  """
  positive = int(truth.sum())
  if positive in (0, len(truth)):
    return None
  _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
  rank = np.cumsum(counts) - (counts - 1) / 2.0  # from 1, the mean of equals
  above = rank[place][truth].sum() - positive * (positive + 1) / 2.0
  return float(above / (positive * (len(truth) - positive)))


def measure(
  value: np.ndarray,
  reached: np.ndarray,
  is_first: np.ndarray,
  goals: Sequence[goal_specs.Goal],
  base: np.ndarray,
  gamma: float,
  horizon: int,
) -> dict[str, Any]:
  """Compares values of rows `[M]` of whole episodes with what these reached.

  Args:
    value: `[M, K]`.
    reached: `[M, K]` bool, as of `steps_until`.
    is_first: `[M]` bool.
    goals: `K` of them.
    base: `[K]`, `base_rates` of the training rows.
    gamma: discount of a step.
    horizon: steps.

  Returns:
    JSON-ready: `kinds[kind]`, `all` as one of these, `bins` by predicted steps,
    and `rows`, `episodes` that counted.
  """
  until = steps_until(reached, is_first)
  counts = np.repeat(
    (steps_left(is_first) >= horizon)[:, None], len(goals), axis=1
  )
  holds = np.array([goal.is_state for goal in goals]) & reached
  counts &= ~holds
  soon = until <= horizon
  line = np.broadcast_to(base, value.shape)
  of = lambda columns: _kind(
    *(x[:, columns] for x in (value, line, soon, counts))
  )
  kinds = np.array([goal.kind for goal in goals])
  return {
    "rows": int(counts.any(axis=1).sum()),
    "episodes": int(is_first.sum()),
    "horizon": horizon,
    "kinds": {
      kind: of(kinds == kind)
      for kind in goal_specs.KINDS
      if (kinds == kind).any()
    },
    "all": of(np.full(len(goals), True)),
    "bins": _bins(value[counts], until[counts], gamma, horizon),
  }


def _kind(
  value: np.ndarray, base: np.ndarray, soon: np.ndarray, counts: np.ndarray
) -> dict[str, Any]:
  """Of some goals: `auc` over rows and goals, and of each goal by itself."""
  each = [
    auc(value[rows, k], soon[rows, k])
    for k, rows in enumerate(counts.T)
    if rows.any()
  ]
  known = [a for a in each if a is not None]
  return {
    "goals": value.shape[1],
    "share": float(soon[counts].mean()) if counts.any() else None,
    "reached": int(soon[counts].sum()),
    "auc": auc(value[counts], soon[counts]),
    "auc_base": auc(base[counts], soon[counts]),
    # A constant has 0.5 here.
    "auc_each": float(np.mean(known)) if known else None,
    "goals_judged": len(known),
  }


def _bins(
  value: np.ndarray, until: np.ndarray, gamma: float, horizon: int
) -> list[dict[str, Any]]:
  """What came where values `[R]` said so many steps."""
  with np.errstate(divide="ignore"):
    said = np.maximum(1.0, 1.0 + np.log(value) / np.log(gamma))
  came = gamma ** (until - 1.0)  # 0 where nothing did
  found = []
  for low, high in zip(EDGES, (*EDGES[1:], np.inf), strict=True):
    inside = (said >= low) & ((said < high) | (high == np.inf))
    within = inside & (until <= horizon)
    row: dict[str, Any] = {
      "from": low,
      "to": None if high == np.inf else int(high) - 1,
      "rows": int(inside.sum()),
      "reached": int(within.sum()),
    }
    if inside.any():
      row["value"] = float(value[inside].mean())
      row["came"] = float(came[inside].mean())
      row["share"] = row["reached"] / row["rows"]
    if within.any():
      row["value_reached"] = float(value[within].mean())
      row["came_reached"] = float(came[within].mean())
      row["said_steps"] = float(np.median(said[within]))
      row["came_steps"] = float(np.median(until[within]))
    found.append(row)
  return found


def reach(
  value: np.ndarray,
  trained: np.ndarray,
  held_out: np.ndarray,
  goals: Sequence[goal_specs.Goal],
  gamma: float,
) -> dict[str, dict[str, Any]]:
  """What is said and known of each goal, by its words.

  Args:
    value: `[M, K]` of held-out rows.
    trained: `[K]`, rows of the training episodes that reach it.
    held_out: the same of held-out ones.
    goals: `K` of them.
    gamma: discount of a step.
  """
  nearest = 1.0 + np.log(np.maximum(value.max(axis=0), 1e-9)) / np.log(gamma)
  return {
    str(goal): {
      "nearest_steps": round(float(nearest[k]), 1),
      "out_of_reach": bool(nearest[k] > FAR_STEPS),
      "reached_in_training": int(trained[k]),
      "reached_held_out": int(held_out[k]),
    }
    for k, goal in enumerate(goals)
  }
