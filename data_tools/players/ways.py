"""Ways through a full world: who stands where, and which step leads nearer.

Reads the facts of a cartridge (`cartridge/full_facts.py`). Steps go over
edges, through warps and down ledges; people, shut doors and things on the
floor close cells until the story flags say otherwise.
"""

import collections
from collections.abc import Iterable
import dataclasses
from typing import Any

from pokedreamer_jax import specs

MOVES = {"down": (0, 1), "left": (-1, 0), "right": (1, 0), "up": (0, -1)}
_EDGES = {"north": "up", "south": "down", "west": "left", "east": "right"}
_CACHE = 256  # distance maps kept; one holds some 2,500 cells

Cell = tuple[int, int, int]  # map, x, y


@dataclasses.dataclass(frozen=True)
class Someone:
  """A person, a sign or a thing on the floor, with what the facts say."""

  cell: Cell
  role: str
  flag: int
  facts: dict[str, Any]

  def is_there(self, flags: int) -> bool:
    """Whether it stands on the map, by the story flags as a bit mask."""
    if self.role == "item" and flags >> self.flag & 1:
      return False
    if "until" in self.facts and flags >> self.facts["until"] & 1:
      return False
    return "from" not in self.facts or bool(flags >> self.facts["from"] & 1)


class Ways:
  """The cells of a world and the shortest ways between them."""

  def __init__(self, facts: dict[str, Any]):
    """Takes the facts of a full world."""
    self._maps = {place["id"]: place for place in facts["maps"]}
    self.people = [
      Someone((place["id"], p["x"], p["y"]), p["role"], p["flag"], p)
      for place in facts["maps"]
      for p in place["people"]
    ]
    self.wild = {
      place["id"]: list(_marked(place["id"], place["wild"]))
      for place in facts["maps"]
    }
    self._doors = [
      ((place["id"], door["x"], door["y"]), door["flag"])
      for place in facts["maps"]
      for door in place["doors"]
    ]
    # cell -> (action, cell that must be free, cell where one ends)
    self.exits: dict[Cell, list[tuple[int, Cell, Cell]]] = {}
    self._entries: dict[Cell, list[tuple[Cell, Cell]]] = (
      collections.defaultdict(list)
    )
    for place in facts["maps"]:
      for cell in _marked(place["id"], place["floor"]):
        self._leave(cell)
    self._cache: dict[Any, dict[Cell, int]] = {}

  def closed(self, flags: int) -> frozenset[Cell]:
    """Cells that cannot be entered at this point of the story."""
    shut = {cell for cell, flag in self._doors if not flags >> flag & 1}
    return frozenset(shut | {p.cell for p in self.people if p.is_there(flags)})

  def distances(self, goals: Iterable[Cell], flags: int) -> dict[Cell, int]:
    """Steps from every cell that leads there to the nearest of `goals`."""
    goals = tuple(sorted(goals))
    closed = self.closed(flags)
    key = (goals, closed)
    if key not in self._cache:
      if len(self._cache) >= _CACHE:
        self._cache.clear()
      self._cache[key] = self._search(goals, closed)
    return self._cache[key]

  def steps(self, here: Cell, goals: Iterable[Cell], flags: int) -> list[int]:
    """The first actions of all shortest ways; empty where there is none."""
    distances = self.distances(goals, flags)
    closed = self.closed(flags)
    ways = [
      (distances[to], action)
      for action, entered, to in self.exits.get(here, [])
      if to in distances and entered not in closed
    ]
    shortest = min(ways)[0] if ways else 0
    return [action for distance, action in ways if distance == shortest]

  def beside(self, who: Someone) -> dict[Cell, str]:
    """Cells from which somebody is addressed, with the way to face."""
    number, x, y = who.cell
    place = self._maps[number]
    found = {}
    for name, (dx, dy) in MOVES.items():
      to_x, to_y = x - dx, y - dy
      if _is_set(place["counters"], to_x, to_y):
        to_x, to_y = to_x - dx, to_y - dy
      if (number, to_x, to_y) in self.exits:
        found[number, to_x, to_y] = name
    return found

  def _search(
    self, goals: tuple[Cell, ...], closed: frozenset[Cell]
  ) -> dict[Cell, int]:
    distances = dict.fromkeys(goals, 0)
    queue = collections.deque(goals)
    while queue:
      cell = queue.popleft()
      for before, entered in self._entries[cell]:
        if before not in distances and entered not in closed:
          distances[before] = distances[cell] + 1
          queue.append(before)
    return distances

  def _leave(self, cell: Cell) -> None:
    self.exits[cell] = []
    for name, (dx, dy) in MOVES.items():
      entered = self._entered(cell, name, dx, dy)
      if entered is None:
        continue
      to = entered
      for warp in self._maps[entered[0]]["warps"]:
        if (warp["x"], warp["y"]) == entered[1:]:
          to = (warp["to"], warp["to_x"], warp["to_y"])
      self.exits[cell].append((specs.ACTIONS.index(name), entered, to))
      self._entries[to].append((cell, entered))

  def _entered(self, cell: Cell, name: str, dx: int, dy: int) -> Cell | None:
    number, x, y = cell
    place = self._maps[number]
    x, y = x + dx, y + dy
    if not (0 <= x < place["width"] and 0 <= y < place["height"]):
      return self._over_edge(place, name, x, y)
    for ledge in place["ledges"]:
      if (ledge["x"], ledge["y"], ledge["way"]) == (x, y, name):
        x, y = x + dx, y + dy
    return (number, x, y) if _is_set(place["floor"], x, y) else None

  def _over_edge(
    self, place: dict[str, Any], name: str, x: int, y: int
  ) -> Cell | None:
    for connection in place["connections"]:
      if _EDGES[connection["edge"]] != name:
        continue
      to, offset = self._maps[connection["to"]], connection["offset"]
      if name in ("up", "down"):
        x, y = x + offset, 0 if name == "down" else to["height"] - 1
      else:
        x, y = 0 if name == "right" else to["width"] - 1, y + offset
      return (to["id"], x, y) if _is_set(to["floor"], x, y) else None
    return None


def _is_set(rows: list[str], x: int, y: int) -> bool:
  return 0 <= y < len(rows) and 0 <= x < len(rows[y]) and rows[y][x] == "1"


def _marked(number: int, rows: list[str]) -> Iterable[Cell]:
  for y, row in enumerate(rows):
    for x, mark in enumerate(row):
      if mark == "1":
        yield number, x, y
