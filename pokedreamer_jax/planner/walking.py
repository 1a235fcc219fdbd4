"""Ways on foot, cell by cell, over what records have walked.

Two maps may be joined though one cannot get from this side of the first to the
other: a road with a ledge, a cave in two halves. Over cells that is seen.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator

from pokedreamer_jax.planner import knowledge as knowledge_lib

Cell = knowledge_lib.Cell

_NEXT = ((1, 0), (-1, 0), (0, -1), (0, 1))


class Walks:
  """Shortest ways over the cells that somebody stood on."""

  def __init__(self, knowledge: knowledge_lib.Knowledge):
    """Takes the cells of all maps, and what leads from one to another."""
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

    Args:
      start: where one stands, known or not.
      is_wanted: of a cell, whether the way may end there.

    Returns:
      The empty list where `start` itself is wanted.
    """
    before: dict[Cell, Cell | None] = {start: None}
    queue = collections.deque([start])
    while queue:
      here: Cell = queue.popleft()
      if is_wanted(here):
        found = [here]
        while (cell := before[found[-1]]) is not None:
          found.append(cell)
        return found[-2::-1]
      for there in self._from(here):
        if there not in before:
          before[there] = here
          queue.append(there)
    return None

  def _from(self, here: Cell) -> Iterator[Cell]:
    map_id, y, x = here
    for dy, dx in _NEXT:
      there = (map_id, y + dy, x + dx)
      if there in self._cells:
        yield there
    yield from self._leads.get(here, ())
