"""Cells that one walks to from another, as some record has walked.

Goals to practise: where an episode gets nowhere its own rows offer none, yet
others have walked on from the same cell.
"""

from collections.abc import Mapping

import numpy as np

from data_tools.game import goals
from pokedreamer_jax import goal_specs

Cell = tuple[int, int, int]  # map, row, column

_PLACE = ("map_id", "y", "x")
_JUMP = 2  # cells of one step, over a ledge; who is carried goes further


class NearCells:
  """Single steps from cell to cell, of any number of episodes."""

  def __init__(self) -> None:
    self._steps: dict[Cell, set[Cell]] = {}
    self._around: dict[tuple[Cell, int], list[list[Cell]]] = {}

  def add(self, steps: goals.Rows) -> None:
    """Takes the steps of an episode.

    Args:
      steps: `goals.FIELDS` of consecutive rows `[T, ...]`.
    """
    self._around.clear()
    fights = np.cumsum(np.asarray(steps["in_battle"]) != 0)
    free = np.asarray(steps["game_running"]) & np.asarray(steps["has_control"])
    at = np.flatnonzero(free)
    cells, fights = _cells(steps)[at], fights[at].tolist()
    first = np.cumsum(np.asarray(steps["is_first"]))[at].tolist()
    rows = list(map(tuple, cells.tolist()))
    for i in range(len(rows) - 1):
      here, there = rows[i], rows[i + 1]
      if (
        here != there
        and here[0] == there[0]
        and abs(here[1] - there[1]) + abs(here[2] - there[2]) <= _JUMP
        and (here[1] == there[1] or here[2] == there[2])
        and fights[i] == fights[i + 1]
        and first[i] == first[i + 1]
      ):
        self._steps.setdefault(here, set()).add(there)

  def around(self, cell: Cell, most: int) -> list[list[Cell]]:
    """Cells that are 1, 2, ... up to `most` steps away, nearest first.

    Returns:
      A list for each distance at which there is one, in a fixed order.
    """
    key = cell, most
    if key not in self._around:
      seen, found, edge = {cell}, [], [cell]
      for _ in range(most):
        ahead = {t for here in edge for t in self._steps.get(here, ())} - seen
        if not ahead:
          break
        edge = sorted(ahead)
        seen |= ahead
        found.append(edge)
      self._around[key] = found
    return self._around[key]

  def draw(
    self,
    steps: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    most: int,
    count: int,
  ) -> list[list[goal_specs.Goal]]:
    """Goals for rows: cells up to `most` steps away, each distance alike.

    Args:
      steps: `goals.FIELDS` of rows `[T, ...]`.
      rng: `2 * count` numbers a row are drawn from it.
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
      rng.random((len(cells), count, 2)).tolist(), running, cells, strict=True
    ):
      near = self.around(tuple(cell), most) if runs else []
      row = []
      for distance, place in draws:
        goal = goal_specs.NONE
        if near:
          ring = near[int(distance * len(near))]
          goal = goal_specs.Goal("tile", *ring[int(place * len(ring))])
        row.append(goal)
      found.append(row)
    return found


def _cells(steps: Mapping[str, np.ndarray]) -> np.ndarray:
  """Cells `[T, 3]` of rows."""
  columns = [np.asarray(steps[name]).astype(np.int64) for name in _PLACE]
  return np.stack(columns, axis=1)
