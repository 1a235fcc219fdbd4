"""What demonstrations reached, in the order in which most of them did.

A map counts at its first visit, a level and species against the most so far, a
badge by its number. The story goes on by flags that have no names: they are
told apart by where they were set, since whoever can do two errands does them in
either order.
"""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import statistics
from typing import Any

import numpy as np

from data_tools.game import goals

KINDS = ("badge", "map", "level", "own", "win_trainer", "item", "story")
# Where several demonstrations agree: this share of the best of them.
_MOST_SHARE = 0.5
_STORY = "advance story"
# Flags that are set so few cells apart are set at one place: whom one talks to
# can be reached from several sides.
SAME_PLACE = 3

CELL = ("map_id", "y", "x")
Cell = tuple[int, int, int]  # map, row, column
# Words of a goal, or a place; the how-manieth time -> step and cell.
Reached = dict[tuple[Any, int], tuple[int, Cell]]
Story = list[tuple[int, Cell]]  # step and cell of each flag


@dataclasses.dataclass(frozen=True)
class Shown:
  """What one demonstration reached."""

  badges: int
  reached: Reached
  story: Story


def shown(
  steps: Mapping[str, np.ndarray], reached: list[tuple[int, Any]]
) -> Shown:
  """What a demonstration reached.

  Args:
    steps: `experience.FIELDS` of all its rows `[T, ...]`.
    reached: rows and goals, of `hindsight.hindsight`.
  """
  badges = int(np.asarray(steps["badges"])[-1]).bit_count()
  return Shown(badges, _milestones(steps, reached), _story(steps, reached))


def agreed(demonstrations: Sequence[Shown]) -> list[dict[str, Any]]:
  """What the best demonstrations reached, by the median of their steps.

  The best are those with the most badges; of others the end of the order would
  be missing, or come from worse ones. JSON-ready, see `planner/knowledge.py`.
  """
  most = max((one.badges for one in demonstrations), default=0)
  best = [one for one in demonstrations if one.badges == most]
  found = _where_most_agree([one.reached for one in best])
  story = _where_most_agree(_by_place([one.story for one in best]))
  story.sort(key=_order)
  for nth, milestone in enumerate(story, 1):
    at = list(milestone["goal"])  # the place
    found.append({**milestone, "goal": _STORY, "nth": nth, "at": at})
  return sorted(found, key=_order)


def cell_of(steps: Mapping[str, np.ndarray], row: int) -> Cell:
  """Where the player stands on a row."""
  map_id, y, x = (int(np.asarray(steps[name])[row]) for name in CELL)
  return map_id, y, x


def _where_most_agree(best: list[Reached]) -> list[dict[str, Any]]:
  """Milestones that most of some demonstrations reached, JSON-ready."""
  found = []
  for words, nth in {name for one in best for name in one}:
    of_name = [one[words, nth] for one in best if (words, nth) in one]
    share = len(of_name) / len(best)
    if share >= _MOST_SHARE:
      cells = Counter(cell for _, cell in of_name)
      # Of equally usual cells the first by number.
      cell = min(cells, key=lambda c: (-cells[c], c))
      steps = float(statistics.median(step for step, _ in of_name))
      found.append(
        {
          "goal": words,
          "nth": nth,
          "share": round(share, 4),
          "env_steps": steps,
          "at": list(cell),
        }
      )
  return found


def _order(milestone: Mapping[str, Any]) -> tuple[Any, ...]:
  """What milestones are sorted by: when, and then by name."""
  return milestone["env_steps"], milestone["goal"], milestone["nth"]


def _by_place(stories: list[Story]) -> list[Reached]:
  """Flags of the story by their place, and the how-manieth there."""
  usual = Counter(cell for story in stories for _, cell in story)
  places: list[Cell] = []
  for cell in sorted(usual, key=lambda c: (-usual[c], c)):
    if _place(cell, places) is None:
      places.append(cell)
  found: list[Reached] = []
  for story in stories:
    times: Counter[Any] = Counter()
    reached: Reached = {}
    for row, cell in story:
      place = _place(cell, places)
      times[place] += 1
      reached[place, times[place]] = row, cell
    found.append(reached)
  return found


def _place(cell: Cell, places: list[Cell]) -> Cell | None:
  """The first place that a cell is at."""
  for place in places:
    apart = abs(cell[1] - place[1]) + abs(cell[2] - place[2])
    if cell[0] == place[0] and apart <= SAME_PLACE:
      return place
  return None


def _story(
  steps: Mapping[str, np.ndarray], reached: list[tuple[int, Any]]
) -> Story:
  """Step and cell of each flag of the story, of one demonstration."""
  flags = np.asarray(steps["event_flags"]).astype(int)
  return [
    (row, cell_of(steps, row))
    for row, goal in reached
    if goal.kind == "story"
    for _ in range(max(1, flags[row] - flags[row - 1]))
  ]


def _milestones(
  steps: Mapping[str, np.ndarray], reached: list[tuple[int, Any]]
) -> Reached:
  """Words and how-manieth -> step and cell, of one demonstration."""
  explored = goals.arrivals(steps)["explore"]
  found: Reached = {}
  times: Counter[str] = Counter()
  for row, goal in reached:
    if goal.kind in ("heal", "story"):
      continue
    if goal.kind == "badge" and goal.number is None:
      continue
    if goal.kind == "map" and not explored[row]:
      continue
    nth = 1
    if goal.kind in ("win_trainer", "item"):
      times[goal.kind] += 1
      nth = times[goal.kind]
      if goal.kind == "item" and nth > 1:
        continue  # one carries some, or does not
    found.setdefault((str(goal), nth), (row, cell_of(steps, row)))
  return found
