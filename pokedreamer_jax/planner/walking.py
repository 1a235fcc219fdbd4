"""Ways on foot, cell by cell, over what records have walked, and their goals.

Two maps may be joined though one cannot get from this side of the first to the
other: a road with a ledge, a cave in two halves. Over cells that is seen.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import itertools

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import knowledge as knowledge_lib

Cell = knowledge_lib.Cell
Goal = goal_specs.Goal

_NEXT = ((1, 0), (-1, 0), (0, -1), (0, 1))
_DOOR = 2  # cells; ways that begin nearer to each other are one door
_STRIDE = 8  # cells to the right one of two doors that are named at once


class Walks:
  """Shortest ways over the cells that somebody stood on."""

  def __init__(self, knowledge: knowledge_lib.Knowledge):
    """Takes the cells of all maps, and what leads from one to another."""
    self._knowledge = knowledge
    self._cells = {
      (map_id, y, x)
      for map_id, cells in knowledge.maps.items()
      for y, x in cells.walked()
    }
    self._leads: dict[Cell, list[Cell]] = collections.defaultdict(list)
    for way in (*knowledge.ways, *knowledge.jumps):
      self._leads[way.start].append(way.end)

  def path(
    self, start: Cell, is_wanted: Callable[[Cell], bool]
  ) -> list[Cell] | None:
    """The cells of a shortest way after `start`; None where there is none.

    With as few steps as can be that nobody took, and shortest where there are
    none of these.

    Args:
      start: where one stands, known or not.
      is_wanted: of a cell, whether the way may end there.

    Returns:
      The empty list where `start` itself is wanted.
    """
    before: dict[Cell, Cell | None] = {start: None}
    barred: list[tuple[Cell, Cell]] = []  # steps that lead on, but barred
    queue = collections.deque([start])
    while True:
      while queue:
        here: Cell = queue.popleft()
        if is_wanted(here):
          found = [here]
          while (cell := before[found[-1]]) is not None:
            found.append(cell)
          return found[-2::-1]
        for there in self._from(here):
          if there in before:
            continue
          if (here, there) in self._knowledge.barred:
            barred.append((here, there))
          else:
            before[there] = here
            queue.append(there)
      # Nothing more without a barred step: one more, wherever it is taken.
      crossed = [step for step in barred if step[1] not in before]
      barred = []
      for here, there in crossed:
        if there not in before:
          before[there] = here
          queue.append(there)
      if not queue:
        return None

  def _from(self, here: Cell) -> Iterator[Cell]:
    map_id, y, x = here
    for dy, dx in _NEXT:
      there = (map_id, y + dy, x + dx)
      if there in self._cells:
        yield there
    yield from self._leads.get(here, ())

  def onward(self, here: Cell, places: set[Cell]) -> Goal | None:
    """What leads off this map to one of some cells.

    The next map, and where a nearer door than the right one leads there as
    well, cells on the way to the right one: who is asked for the map alone
    goes to and fro through the wrong one.

    Returns:
      None where the way stays on this map, or nobody knows one.
    """
    path = self._way(here, places)
    if path is None:
      route = self._knowledge.route(here[0], {cell[0] for cell in places})
      return Goal("map", route[0].end[0]) if route else None
    on_map = _on_map(here, path)
    if len(on_map) == len(path):
      return None
    onto, door = path[len(on_map)][0], (on_map or [here])[-1]
    nearer = any(
      way.start[0] == here[0]
      and way.end[0] == onto
      and _apart(way.start, door) > _DOOR
      and _apart(way.start, here) <= len(on_map)
      for way in self._knowledge.ways
    )
    if nearer and on_map:
      return Goal("tile", *on_map[:_STRIDE][-1])
    return Goal("map", onto)

  def ahead(self, here: Cell, places: set[Cell], stride: int) -> Goal | None:
    """The cell that is `stride` cells on, on the way to the nearest of some.

    Nearer ones are the last of the way, or of its part on this map.

    Returns:
      None where no cell is left on this map, and where nobody knows a way: then
      what is wanted can be named itself.
    """
    on_map = _on_map(here, self._way(here, places) or [])
    return Goal("tile", *on_map[:stride][-1]) if on_map else None

  def along(
    self, here: Cell, places: set[Cell], strides: Sequence[int]
  ) -> list[Goal]:
    """The cells so many steps on, or the last one of this map before that.

    Returns:
      One for each of `strides`; none where the way is over, goes through a
      door here, or is not known.
    """
    on_map = _on_map(here, self._way(here, places) or [])
    return [Goal("tile", *on_map[:n][-1]) for n in strides if on_map]

  def is_near(self, here: Cell, places: set[Cell], cells: int) -> bool:
    """Whether one of some cells is so many steps away, or fewer."""
    if not places:
      return False
    path = self.path(here, places.__contains__)
    return path is not None and len(path) <= cells

  def _way(self, here: Cell, places: set[Cell]) -> list[Cell] | None:
    """Cells on foot to the nearest of some, else to a map of theirs."""
    path = self.path(here, places.__contains__)
    if path is not None:
      return path
    maps = {cell[0] for cell in places}
    return self.path(here, lambda cell: cell[0] in maps)


def _on_map(here: Cell, path: list[Cell]) -> list[Cell]:
  """The cells of a way up to where it leaves the map of `here`."""
  return list(itertools.takewhile(lambda cell: cell[0] == here[0], path))


def _apart(one: Cell, other: Cell) -> int:
  """Rows and columns between two cells of a map."""
  return abs(one[1] - other[1]) + abs(one[2] - other[2])
