"""Cells, and doors to other maps, that one walks to from where one stands.

Goals to practise: where an episode gets nowhere its own rows offer none, yet
others have walked on from the same cell. Made of steps that records show.
"""

from collections.abc import Mapping

import numpy as np

from data_tools.game import goals
from pokedreamer_jax import goal_specs

Cell = tuple[int, int, int]  # map, row, column

_PLACE = ("map_id", "y", "x")
_JUMP = 2  # cells of one step, over a ledge; who is carried goes further
_DOORS = 0.3
_DOOR_ROWS = 12  # from the last row on one map to the first on the next: a fade


class NearGoals:
  """Single steps from cell to cell, of any number of episodes."""

  def __init__(self) -> None:
    self._steps: dict[Cell, set[Cell]] = {}
    self._around: dict[tuple[Cell, int], list[list[goal_specs.Goal]]] = {}

  def add(self, steps: goals.Rows) -> None:
    """Takes the steps of an episode.

    Args:
      steps: `goals.FIELDS` of consecutive rows `[T, ...]`.
    """
    self._around.clear()
    free = np.asarray(steps["game_running"]) & np.asarray(steps["has_control"])
    at = np.flatnonzero(free)
    # Neither a lost battle nor another game is a step.
    breaks = np.cumsum(
      (np.asarray(steps["in_battle"]) != 0) | np.asarray(steps["is_first"])
    )[at]
    cells = _cells(steps)[at]
    apart = np.abs(np.diff(cells[:, 1:], axis=0))
    walked = (apart.min(axis=1) == 0) & (apart.max(axis=1) <= _JUMP)
    left = np.diff(cells[:, 0]) != 0
    step = np.where(left, np.diff(at) <= _DOOR_ROWS, walked)
    step &= (np.diff(breaks) == 0) & (np.diff(cells, axis=0) != 0).any(axis=1)
    rows = list(map(tuple, cells.tolist()))
    for i in np.flatnonzero(step).tolist():
      self._steps.setdefault(rows[i], set()).add(rows[i + 1])

  def around(self, cell: Cell, most: int) -> list[list[goal_specs.Goal]]:
    """What is 1, 2, ... up to `most` steps away, nearest first.

    Returns:
      A list for each distance at which there is a cell of the same map, or a
      door to another, in a fixed order; each once, where it is nearest.
    """
    key = cell, most
    if key not in self._around:
      self._around[key] = list(self._rings(cell, most))
    return self._around[key]

  def _rings(self, cell: Cell, most: int):
    seen, maps, edge = {cell}, {cell[0]}, [cell]
    for _ in range(most):
      ahead = {t for here in edge for t in self._steps.get(here, ())} - seen
      edge = sorted(there for there in ahead if there[0] == cell[0])
      doors = sorted({there[0] for there in ahead} - maps)
      if not edge and not doors:
        return
      seen |= ahead
      maps.update(doors)
      yield [goal_specs.Goal("tile", *there) for there in edge] + [
        goal_specs.Goal("map", map_id) for map_id in doors
      ]

  def draw(
    self,
    steps: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    most: int,
    count: int,
  ) -> list[list[goal_specs.Goal]]:
    """Goals for rows, up to `most` steps away: doors, or each distance alike.

    A door is one goal among the many cells around it, and the last step of
    every way: `_DOORS` of the goals are doors where there are any.

    Args:
      steps: `goals.FIELDS` of rows `[T, ...]`.
      rng: `3 * count` numbers a row are drawn from it.
      most: steps, at least 1.
      count: goals of each row.

    Returns:
      `T` lists of `count` goals; none, where no game runs and where nobody
      walked on.
    """
    running = np.asarray(steps["game_running"]).tolist()
    cells = _cells(steps).tolist()
    found = []
    for draws, runs, cell in zip(
      rng.random((len(cells), count, 3)).tolist(), running, cells, strict=True
    ):
      near = self.around(tuple(cell), most) if runs else []
      doors = [goal for ring in near for goal in ring if goal.kind == "map"]
      row = []
      for share, distance, place in draws:
        goal = goal_specs.NONE
        if near:
          ring = near[int(distance * len(near))]
          if doors and share < _DOORS:
            ring = doors
          goal = ring[int(place * len(ring))]
        row.append(goal)
      found.append(row)
    return found


def _cells(steps: Mapping[str, np.ndarray]) -> np.ndarray:
  """Cells `[T, 3]` of rows."""
  columns = [np.asarray(steps[name]).astype(np.int64) for name in _PLACE]
  return np.stack(columns, axis=1)
