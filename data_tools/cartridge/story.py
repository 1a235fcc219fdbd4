"""Whether a world can be finished: where one gets to, and in which order.

A pure reading of the tables, without the engine. The state of a story is the
set of events that are set, the badges and the items; nothing of it is ever
lost but items that somebody takes, and the cells that can be reached grow with
it.
"""

import collections
from collections.abc import Iterator
import dataclasses
from typing import Any

from data_tools.cartridge import tables as source

Cell = tuple[str, int, int]  # map, x, y


@dataclasses.dataclass
class Story:
  """How far a game is."""

  events: set[str] = dataclasses.field(default_factory=set)
  badges: set[int] = dataclasses.field(default_factory=set)
  items: set[str] = dataclasses.field(default_factory=set)
  met: set[tuple[str, int]] = dataclasses.field(default_factory=set)
  ended: bool = False


@dataclasses.dataclass(frozen=True)
class Stage:
  """One thing done: who, where, and what came of it."""

  place: str
  person: str
  outcome: str
  cells: int  # that could be reached before


def is_there(person: dict[str, Any], story: Story) -> bool:
  """Whether somebody stands on the map at this point of the story."""
  if person.get("until") in story.events:
    return False
  return "from" not in person or person["from"] in story.events


def steps(
  tables: source.Tables, story: Story, cell: Cell
) -> Iterator[tuple[str, Cell]]:
  """(direction, cell) of each step from a cell."""
  place = tables.places[cell[0]]
  for direction in source.DIRECTIONS:
    to = _step(tables, story, place, cell[1], cell[2], direction)
    if to:
      yield direction, to


def reached(tables: source.Tables, story: Story, start: Cell) -> set[Cell]:
  """All cells that can be walked to."""
  seen = {start}
  queue = collections.deque(seen)
  while queue:
    for _, to in steps(tables, story, queue.popleft()):
      if to not in seen:
        seen.add(to)
        queue.append(to)
  return seen


def addressed_from(place: source.Place, x: int, y: int) -> Iterator[Cell]:
  """Cells from which somebody at (x, y) can be talked to."""
  for dx, dy in source.DIRECTIONS.values():
    to_x, to_y = x - dx, y - dy
    if "counter" in place.flags(to_x, to_y):
      to_x, to_y = to_x - dx, to_y - dy
    yield place.name, to_x, to_y


def start_cell(tables: source.Tables) -> Cell:
  """Where a game begins."""
  start = tables.table["start"]
  return start["map"], start["x"], start["y"]


def tell(tables: source.Tables) -> tuple[Story, list[Stage]]:
  """Plays the story through: does what can be done, until nothing is left."""
  story = Story()
  stages: list[Stage] = []
  while True:
    cells = reached(tables, story, start_cell(tables))
    done = next(_possible(tables, story, cells), None)
    if done is None:
      return story, stages
    stages.append(done)


def dead_ends(tables: source.Tables, story: Story) -> list[Cell]:
  """Cells that can be reached but from which the start cannot."""
  start = start_cell(tables)
  cells = reached(tables, story, start)
  before = collections.defaultdict(list)
  for cell in cells:
    for _, to in steps(tables, story, cell):
      before[to].append(cell)
  safe, queue = {start}, collections.deque([start])
  while queue:
    for cell in before[queue.popleft()]:
      if cell not in safe:
        safe.add(cell)
        queue.append(cell)
  return sorted(cells - safe)


def _step(
  tables: source.Tables,
  story: Story,
  place: source.Place,
  x: int,
  y: int,
  direction: str,
) -> Cell | None:
  dx, dy = source.DIRECTIONS[direction]
  x, y = x + dx, y + dy
  if not place.letter(x, y):
    return _over_edge(tables, story, place, x, y, direction)
  if f"ledge_{direction}" in place.flags(x, y):
    x, y = x + dx, y + dy
  if not _free(place, story, x, y):
    return None
  for warp in place.entries("warps"):
    if warp["at"] == [x, y]:
      to = tables.places.get(warp["to"])
      return (to.name, *warp["arrive"]) if to else None
  return place.name, x, y


def _over_edge(
  tables: source.Tables,
  story: Story,
  place: source.Place,
  x: int,
  y: int,
  direction: str,
) -> Cell | None:
  for edge, (name, offset) in place.table.get("connections", {}).items():
    to = tables.places.get(name)
    if source.EDGES[edge] != direction or to is None:
      continue
    if direction in ("up", "down"):
      x, y = x + offset, 0 if direction == "down" else to.height - 1
    else:
      x, y = 0 if direction == "right" else to.width - 1, y + offset
    return (name, x, y) if _free(to, story, x, y) else None
  return None


def _free(place: source.Place, story: Story, x: int, y: int) -> bool:
  if not place.floor(x, y):
    return False
  for door in place.entries("doors"):
    if door["at"] == [x, y] and door["needs"] not in story.events:
      return False
  for i, person in enumerate(place.entries("people")):
    if person["at"] == [x, y] and is_there(person, story):
      # What lies on the floor is gone once it was taken.
      taken = person.get("role") == "item" and (place.name, i) in story.met
      return taken
  return True


def _possible(
  tables: source.Tables, story: Story, cells: set[Cell]
) -> Iterator[Stage]:
  """Does the first thing that can be done and was not, if there is one."""
  for place in tables.places.values():
    for i, person in enumerate(place.entries("people")):
      if (place.name, i) in story.met or not is_there(person, story):
        continue
      if cells.isdisjoint(addressed_from(place, *person["at"])):
        continue
      outcome = _meet(tables, story, person)
      if outcome is not None:
        story.met.add((place.name, i))
        yield Stage(place.name, person["name"], outcome, len(cells))
        return


def _meet(
  tables: source.Tables, story: Story, person: dict[str, Any]
) -> str | None:
  """What comes of talking to somebody; None where he wants something first."""
  if len(story.badges) < person.get("needs_badges", 0):
    return None
  if "takes" in person:
    if person["takes"] not in story.items:
      return None
    story.items.remove(person["takes"])
  outcome = []
  if "trainer" in person:
    trainer = tables.entry("trainers", person["trainer"])
    outcome.append(f"beats {trainer['name']}")
    if "badge" in trainer:
      story.badges.add(trainer["badge"])
      outcome.append(f"badge {len(story.badges)}")
    if trainer.get("ends_game", False):
      story.ended = True
      outcome.append("the end")
  if "gives" in person:
    given = person["gives"]
    story.items.add(given if isinstance(given, str) else given[0])
    outcome.append(f"gets {given}")
  if "sets" in person:
    story.events.add(person["sets"])
    outcome.append(f"event {person['sets']}")
  return ", ".join(outcome) or "talks"
