"""What records taught of a cartridge: maps, ways between them, milestones.

A small JSON file, sealed, made from recorded rows by
`data_tools/records/experience.py` and read here; nothing in it comes from the
cartridge's own tables. A cell is `[map_id, y, x]`.

  maps        [{map_id, rows, top, left, cells}]: env steps spent there, and
              lines of `.` stood on, `#` found blocked, `?` not known
  ways        [{start, end, count}]: cells on two maps, walked so often
  jumps       the same of two cells of a map with one between them that nobody
              stood on, a ledge; absent in older files
  barred      [[from, to]]: cells of a map that are next to each other, and
              nobody walked from the first to the second; absent in older files
  milestones  [{goal, nth, share, env_steps, at}]: what demonstrations reached,
              in their order: words of a goal, the how-manieth time (of the
              story: its number in that order), share of the demonstrations,
              median env step, usual cell
  healing     [{at, count}]: where the first creature was healed
  shops       [{at, count, price}]: where what catches was bought, and for how
              much each; absent in older files
"""

import collections
from collections.abc import Iterable
import dataclasses
import functools
import hashlib
import json
import os
from typing import Any

from pokedreamer_jax import goal_specs
from pokedreamer_jax import json_files
from pokedreamer_jax import whole_files

FORMAT = 1
WALKED, BLOCKED, UNKNOWN = ".", "#", "?"
_MOST_BYTES = 8 << 20

Cell = tuple[int, int, int]  # map, row, column


@dataclasses.dataclass(frozen=True)
class Way:
  """A way between two maps, or over a ledge, with both ends."""

  start: Cell
  end: Cell
  count: int


@dataclasses.dataclass(frozen=True)
class Milestone:
  """A goal that demonstrations reached."""

  goal: goal_specs.Goal
  nth: int
  share: float
  env_steps: float
  at: Cell


@dataclasses.dataclass(frozen=True)
class MapCells:
  """Cells of one map."""

  map_id: int
  rows: int  # env steps spent there
  top: int
  left: int
  cells: tuple[str, ...]

  def at(self, y: int, x: int) -> str:
    """`WALKED`, `BLOCKED` or `UNKNOWN`."""
    line, column = y - self.top, x - self.left
    if not 0 <= line < len(self.cells) or column < 0:
      return UNKNOWN
    return self.cells[line][column : column + 1] or UNKNOWN

  def walked(self) -> list[tuple[int, int]]:
    """Cells `(y, x)` that were stood on, in order."""
    return [
      (self.top + y, self.left + x)
      for y, line in enumerate(self.cells)
      for x, cell in enumerate(line)
      if cell == WALKED
    ]


@dataclasses.dataclass(frozen=True)
class Knowledge:
  """All of it; empty where nothing was recorded."""

  maps: dict[int, MapCells] = dataclasses.field(default_factory=dict)
  ways: tuple[Way, ...] = ()
  jumps: tuple[Way, ...] = ()  # within a map
  barred: frozenset[tuple[Cell, Cell]] = frozenset()
  milestones: tuple[Milestone, ...] = ()
  healing: tuple[Cell, ...] = ()  # the most usual first
  shops: dict[Cell, int] = dataclasses.field(default_factory=dict)  # -> price
  about: dict[str, Any] = dataclasses.field(default_factory=dict)
  sha256: str = ""

  @functools.cached_property
  def map_ids(self) -> tuple[int, ...]:
    """Numbers of all maps that records know."""
    ends = {cell[0] for way in self.ways for cell in (way.start, way.end)}
    return tuple(sorted(ends | self.maps.keys()))

  def ways_out(self, map_id: int) -> list[Way]:
    """The most used way to each map that one leads to, the most used first."""
    best: dict[int, Way] = {}
    for way in self.ways:
      if way.start[0] == map_id:
        held = best.get(way.end[0])
        if held is None or way.count > held.count:
          best[way.end[0]] = way
    return sorted(best.values(), key=lambda way: (-way.count, way.end[0]))

  def route(self, start: int, targets: Iterable[int]) -> list[Way] | None:
    """Fewest ways from a map to the nearest of some; None if there are none.

    The empty list where `start` is one of them.
    """
    wanted = set(targets)
    before: dict[int, Way | None] = {start: None}
    queue = collections.deque([start])
    while queue:
      here = queue.popleft()
      if here in wanted:
        found: list[Way] = []
        way = before[here]
        while way is not None:
          found.append(way)
          way = before[way.start[0]]
        return found[::-1]
      for way in self.ways_out(here):
        if way.end[0] not in before:
          before[way.end[0]] = way
          queue.append(way.end[0])
    return None


def load(path: str | os.PathLike) -> Knowledge:
  """Reads a knowledge file.

  Raises:
    FileNotFoundError: there is none.
    ValueError: damaged, or of another format; one line with the path.
  """
  values = json_files.read_object(path, _MOST_BYTES)
  if whole_files.SEAL not in values:
    raise ValueError(f"{path}: damaged (it has no {whole_files.SEAL})")
  return from_json(whole_files.unseal(values, path), str(path))


def from_json(values: dict[str, Any], name: str = "knowledge") -> Knowledge:
  """Knowledge of what `experience.Experience.to_dict` gives.

  Raises:
    ValueError: it is something else; one line that begins with `name`.
  """
  if values.get("format") != FORMAT:
    raise ValueError(
      f"{name}: format {values.get('format')!r:.40}, expected {FORMAT}"
    )
  text = json.dumps(values, sort_keys=True)
  try:
    return Knowledge(
      maps={
        row["map_id"]: MapCells(
          map_id=_whole(row["map_id"]),
          rows=_whole(row["rows"]),
          top=_whole(row["top"]),
          left=_whole(row["left"]),
          cells=tuple(str(line) for line in row["cells"]),
        )
        for row in values["maps"]
      },
      ways=_ways(values["ways"]),
      jumps=_ways(values.get("jumps", ())),
      barred=frozenset(
        (_cell(start), _cell(end)) for start, end in values.get("barred", ())
      ),
      milestones=tuple(
        Milestone(
          goal=goal_specs.parse(row["goal"], free_text=False),
          nth=_whole(row["nth"]),
          share=float(row["share"]),
          env_steps=float(row["env_steps"]),
          at=_cell(row["at"]),
        )
        for row in values["milestones"]
      ),
      healing=tuple(_cell(row["at"]) for row in values["healing"]),
      shops={
        _cell(row["at"]): _whole(row["price"])
        for row in values.get("shops", ())
      },
      about=values["about"],
      sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise ValueError(
      f"{name}: damaged ({type(error).__name__}: {error!s:.120})"
    ) from None


def _ways(rows: Any) -> tuple[Way, ...]:
  return tuple(
    Way(_cell(row["start"]), _cell(row["end"]), _whole(row["count"]))
    for row in rows
  )


def _cell(value: Any) -> Cell:
  map_id, y, x = (_whole(number) for number in value)
  return map_id, y, x


def _whole(value: Any) -> int:
  if type(value) is not int or value < 0:
    raise ValueError(f"{value!r:.40}, expected a whole number")
  return value
