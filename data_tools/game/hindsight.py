"""Which goals an episode reached, and when.

A goal begins to be reached on the row where it happens, or where a state holds
that did not hold on the row before. What already holds when a game begins to
run was earned by nobody and is no hindsight, though `goals.reached` says that
it is reached.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_tools.game import goals
from pokedreamer_jax import goal_specs

Goal = goal_specs.Goal


def hindsight(
  steps: goals.Rows,
  kinds: Sequence[str] = goal_specs.PREDICATES,
  every: int = 1,
) -> list[tuple[int, Goal]]:
  """The goals that begin to be reached, with their rows.

  Args:
    steps: `goals.FIELDS` of consecutive rows `[T, ...]`.
    kinds: which of `goal_specs.PREDICATES` are asked for.
    every: rows at least between two tiles; walking reaches one at each step.

  Returns:
    `(row, goal)` by row, on one row in the order of `goal_specs.KINDS`.

  Raises:
    ValueError: a kind that cannot be reached, `every` below 1, or fields are
      missing.
  """
  if every < 1:
    raise ValueError(f"every: {every}, expected at least 1")
  found, next_tile = [], 0
  for row, goal, earned in begins(steps, kinds):
    if not earned or (goal.kind == "tile" and row < next_tile):
      continue
    if goal.kind == "tile":
      next_tile = row + every
    found.append((row, goal))
  return found


def begins(
  steps: goals.Rows, kinds: Sequence[str]
) -> Iterator[tuple[int, Goal, bool]]:
  """As `hindsight`, and what a game held when it began to run.

  Yields:
    `(row, goal, earned)`; earned is whether a game ran on the row before.
  """
  unknown = [kind for kind in kinds if kind not in goal_specs.PREDICATES]
  if unknown:
    raise ValueError(
      f"kinds: {unknown}, expected some of {list(goal_specs.PREDICATES)}"
    )
  arrived = goals.arrivals(steps)
  running = np.asarray(steps["game_running"])
  was = np.concatenate([[False], running[:-1]])
  old = {
    name: np.concatenate([values[:1], values[:-1]])
    for name, values in arrived.items()
  }
  control = arrived["control"] & running
  moved = np.zeros(len(was), bool)  # to another tile, or into control
  for name in ("map", "y", "x"):
    moved |= arrived[name] != old[name]
  new_tile = control & (moved | ~np.roll(control, 1) | ~was)
  happens: dict[str, np.ndarray] = {
    "map": (arrived["map"] != old["map"]) | ~was,
    "tile": new_tile,
    "badge": arrived["badge"] | (arrived["badge_bits"] != 0),
    "own": (arrived["owned"] > old["owned"]) | ~was,
    "level": (arrived["level"] > old["level"]) | ~was,
  }
  wanted = [kind for kind in goal_specs.PREDICATES if kind in set(kinds)]
  events = [k for k in wanted if k not in happens]
  judged = {
    kind: goals.judge(arrived, Goal(kind).to_array()) for kind in events
  }
  happens = {k: v & arrived["running"] for k, v in happens.items()} | judged
  rows = np.logical_or.reduce(
    [happens[kind] for kind in wanted] or [np.zeros(len(was), bool)]
  )
  for t in np.flatnonzero(rows).tolist():
    now = {name: values[t].item() for name, values in arrived.items()}
    before = {name: values[t].item() for name, values in old.items()}
    for kind in wanted:
      if happens[kind][t]:
        for goal in _goals(kind, now, before, bool(was[t])):
          yield t, goal, bool(was[t])


def _goals(
  kind: str, now: dict[str, Any], before: dict[str, Any], was: bool
) -> list[Goal]:
  """The goals of one kind that begin on a row."""
  if kind == "map":
    return [Goal("map", now["map"])]
  if kind == "tile":
    return [Goal("tile", now["map"], now["y"], now["x"])]
  if kind == "badge":
    bits = [b for b in range(8) if now["badge_bits"] >> b & 1]
    any_badge = [Goal("badge")] if now["badge"] else []
    return any_badge + [Goal("badge", number=b) for b in bits]
  if kind in ("own", "level"):
    name = "owned" if kind == "own" else "level"
    low = before[name] if was else 0
    return [Goal(kind, number=n) for n in range(low + 1, now[name] + 1)]
  return [Goal(kind)]
