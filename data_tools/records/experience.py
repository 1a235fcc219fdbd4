"""What records teach a planner of a cartridge: maps, ways, milestones, healing.

Made of recorded rows alone: no table of the cartridge is looked into. What
`Experience.to_dict` gives is the JSON that
`pokedreamer_jax/planner/knowledge.py`
reads; there it is said what its parts mean.
"""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Mapping
import statistics
from typing import Any

import numpy as np

from data_tools.game import goals
from data_tools.game import hindsight
from data_tools.records import milestones
from pokedreamer_jax import specs

FORMAT = 1
# Rows from the last on one map to the first on the next: a fade takes a few.
_WARP_ROWS = 12
# Bumps into a cell before it counts as blocked: people stand in the way too.
_BUMPS = 3
_HEALED = 2  # times at least
_SOLD = 2  # times at least: once may be a trade that is over
_STEPS = {"down": (1, 0), "up": (-1, 0), "left": (0, -1), "right": (0, 1)}

Cell = milestones.Cell

FIELDS = (*goals.FIELDS, "action", "facing", "money")


class Experience:
  """Takes whole episodes, one after the other."""

  def __init__(self) -> None:
    self._rows: Counter[int] = Counter()
    self._cells: dict[int, set[tuple[int, int]]] = {}
    self._bumps: Counter[Cell] = Counter()
    self._ways: Counter[tuple[Cell, Cell]] = Counter()
    self._jumps: Counter[tuple[Cell, Cell]] = Counter()
    self._steps: set[tuple[Cell, Cell]] = set()  # from cell to next cell
    self._healing: Counter[Cell] = Counter()
    # Cell -> what was paid there, one by one, for what catches.
    self._bought: dict[Cell, list[int]] = {}
    self._shown: list[milestones.Shown] = []  # one of each demonstration
    self._episodes = 0

  def add(self, steps: Mapping[str, np.ndarray], demonstrates: bool) -> None:
    """Takes an episode.

    Args:
      steps: `FIELDS` of all its rows `[T, ...]`.
      demonstrates: whether its order of milestones is worth following: it
        began at power-on and knew the way.

    Raises:
      ValueError: fields are missing.
    """
    missing = sorted(set(FIELDS) - set(steps))
    if missing:
      raise ValueError(f"step fields: missing {missing}, expected {FIELDS}")
    self._episodes += 1
    running = np.asarray(steps["game_running"])
    for map_id, rows in zip(
      *np.unique(steps["map_id"][running], return_counts=True), strict=True
    ):
      self._rows[int(map_id)] += int(rows)
    # The rows on which the player stands somewhere and could walk.
    at = np.flatnonzero(running & np.asarray(steps["has_control"]))
    places = [
      tuple(row)
      for row in np.stack(
        [np.asarray(steps[name])[at].astype(int) for name in milestones.CELL],
        axis=1,
      ).tolist()
    ]
    for map_id, y, x in places:
      self._cells.setdefault(map_id, set()).add((y, x))
    self._add_moves(steps, at, places)
    reached = hindsight.hindsight(steps, (*milestones.KINDS, "heal"))
    for row, goal in reached:
      if goal.kind == "heal":
        self._healing[milestones.cell_of(steps, row)] += 1
      if goal.kind == "item":
        self._add_item(steps, row)
    if demonstrates:
      self._shown.append(milestones.shown(steps, reached))

  def _add_item(self, steps, row: int) -> None:
    """What catches was bought, or found, or given."""
    money, items = (
      np.asarray(steps[name])[row - 1 : row + 1].astype(int)
      for name in ("money", "capture_items")
    )
    if money[1] < money[0]:
      price = (money[0] - money[1]) // (items[1] - items[0])
      if price > 0:  # else what was paid was paid for something else
        self._bought.setdefault(milestones.cell_of(steps, row), []).append(
          int(price)
        )

  def _add_moves(self, steps, at: np.ndarray, places: list[Cell]) -> None:
    """Ways between maps, jumps, and cells that one bumped into."""
    fights = np.cumsum(np.asarray(steps["in_battle"]) != 0)
    actions = np.asarray(steps["action"])
    facing = np.asarray(steps["facing"])
    for i in range(len(at) - 1):
      before, after = int(at[i]), int(at[i + 1])
      here, there = places[i], places[i + 1]
      if fights[after] != fights[before]:
        continue  # a blackout carries one away
      if here[0] != there[0]:
        if after - before <= _WARP_ROWS:
          self._ways[here, there] += 1
        continue
      if _is_jump(here, there) and after - before <= _WARP_ROWS:
        self._jumps[here, there] += 1
      if _are_next(here, there):
        self._steps.add((here, there))
      pressed = specs.ACTIONS[int(actions[before])]
      faced = specs.FACINGS[int(facing[before]) % len(specs.FACINGS)]
      if (
        after == before + 1
        and here == there
        and pressed == faced
        and facing[before] == facing[after]
      ):
        dy, dx = _STEPS[pressed]
        self._bumps[here[0], here[1] + dy, here[2] + dx] += 1

  def to_dict(self, rom_sha1: str) -> dict[str, Any]:
    """JSON-ready, in a fixed order.

    Args:
      rom_sha1: of the cartridge that the episodes are of.
    """
    return {
      "format": FORMAT,
      "about": {
        "rom_sha1": rom_sha1,
        "episodes": self._episodes,
        "demonstrations": len(self._shown),
        "rows": self._rows.total(),
      },
      "maps": [self._map(map_id) for map_id in sorted(self._cells)],
      "ways": _ways(self._ways),
      # Whoever walks two cells stands between them at some time.
      "jumps": _ways(
        {
          (start, end): count
          for (start, end), count in self._jumps.items()
          if _between(start, end) not in self._cells[start[0]]
        }
      ),
      "barred": [[list(a), list(b)] for a, b in sorted(self._barred())],
      "milestones": milestones.agreed(self._shown),
      "healing": [
        {"at": list(cell), "count": count}
        for cell, count in sorted(
          self._healing.items(), key=lambda item: (-item[1], item[0])
        )
        if count >= _HEALED
      ],
      "shops": [
        {
          "at": list(cell),
          "count": len(prices),
          "price": int(statistics.median(prices)),
        }
        for cell, prices in sorted(
          self._bought.items(), key=lambda item: (-len(item[1]), item[0])
        )
        if len(prices) >= _SOLD
      ],
    }

  def _barred(self) -> Iterator[tuple[Cell, Cell]]:
    """Pairs of cells next to each other that nobody walked in this order."""
    walked = set(self._steps)
    for start, end in self._jumps:
      middle = (start[0], *_between(start, end))
      if middle[1:] in self._cells[start[0]]:  # no ledge: two steps
        walked |= {(start, middle), (middle, end)}
    for map_id, cells in self._cells.items():
      for y, x in cells:
        for dy, dx in _STEPS.values():
          pair = (map_id, y, x), (map_id, y + dy, x + dx)
          if pair[1][1:] in cells and pair not in walked:
            yield pair

  def _map(self, map_id: int) -> dict[str, Any]:
    walked = self._cells[map_id]
    blocked = {
      (y, x)
      for (bumped, y, x), count in self._bumps.items()
      if bumped == map_id and count >= _BUMPS and y >= 0 and x >= 0
    } - walked
    known = walked | blocked
    top, left = (min(cell[axis] for cell in known) for axis in (0, 1))
    bottom, right = (max(cell[axis] for cell in known) for axis in (0, 1))
    lines = [
      "".join(
        "." if (y, x) in walked else "#" if (y, x) in blocked else "?"
        for x in range(left, right + 1)
      ).rstrip("?")
      for y in range(top, bottom + 1)
    ]
    rows = self._rows[map_id]
    return {
      "map_id": map_id,
      "rows": rows,
      "top": top,
      "left": left,
      "cells": lines,
    }


def _ways(counted: Mapping[tuple[Cell, Cell], int]) -> list[dict[str, Any]]:
  """JSON-ready, the most usual first."""
  return [
    {"start": list(start), "end": list(end), "count": count}
    for (start, end), count in sorted(
      counted.items(), key=lambda item: (-item[1], item[0])
    )
  ]


def _is_jump(here: Cell, there: Cell) -> bool:
  """Whether a cell lies between two of a map, in a line."""
  return {abs(a - b) for a, b in zip(here[1:], there[1:], strict=True)} == {
    0,
    2,
  }


def _are_next(here: Cell, there: Cell) -> bool:
  """Whether two cells of a map are next to each other."""
  return abs(here[1] - there[1]) + abs(here[2] - there[2]) == 1


def _between(here: Cell, there: Cell) -> tuple[int, int]:
  """Row and column of the cell between two."""
  return (here[1] + there[1]) // 2, (here[2] + there[2]) // 2
