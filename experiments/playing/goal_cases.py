"""Cases for playing under goals: a recorded row, and what was reached from it.

A case is a row of a held-out episode that the emulator can be brought back to,
a goal, and another goal, under which a policy that does not listen would do as
well. Goals on the way were reached by the episode itself within some steps;
goals off the way by other episodes from the same cell, and not by this one, so
that somebody who goes on as always misses them.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from data_tools.game import goal_labels
from data_tools.game import goals
from pokedreamer_jax import goal_specs

# Goals that one event may reach: none of them is another goal for the others.
_FAMILIES = {
  **dict.fromkeys(("win", "win_wild", "win_trainer"), "battle"),
  **dict.fromkeys(("badge", "win_leader", "story"), "badge"),
  **dict.fromkeys(("heal", "heal_party"), "heal"),
  **dict.fromkeys(("map", "tile", "explore"), "place"),
  **dict.fromkeys(("catch", "own"), "species"),
}


_MOST_TRIED = 2000  # rows of a kind that are looked at for goals off the way


@dataclasses.dataclass(frozen=True)
class Case:
  """Where a game is entered, and what is asked for there."""

  place: int  # of the episode in its index
  row: int
  goal: goal_specs.Goal
  env_steps: int  # after which the recording reached it
  other: goal_specs.Goal = goal_specs.NONE  # something else, reached elsewhere
  off_way: bool = False  # whether other episodes reached it, from the same cell

  @property
  def label(self) -> str:
    """Its kind, and whether it is off the way."""
    return f"{self.goal.kind}, off the way" if self.off_way else self.goal.kind


def choose(
  index: Any,
  places: Sequence[int],
  kinds: Mapping[str, float],
  count: int,
  horizon: int,
  limit: int,
  most_row: int,
  rng: np.random.Generator,
) -> list[Case]:
  """Draws up to `count` cases of every kind, and as many off the way.

  Goals of a kind are drawn alike, whatever they are reached how often, and
  each case from an episode of its own as long as there are such.

  Args:
    index: a `loader.EpisodeIndex` of held-out episodes.
    places: which of them.
    kinds: which, those of weight 0 left out.
    count: cases of a kind at most.
    horizon: env steps within which the recording reached the goal.
    limit: env steps that a policy will have; goals off the way are not reached
      by the recording within these.
    most_row: last row that a game is entered at, for it is played until there.
    rng: draws.
  """
  found: dict[str, list[Case]] = {kind: [] for kind, w in kinds.items() if w}
  cells: dict[tuple[int, int], tuple[int, ...]] = {}
  episodes: dict[int, Mapping[str, np.ndarray]] = {}
  for place in places:
    steps = index.read(place, 0, int(index.lengths[place]), goals.FIELDS)
    episodes[place] = steps
    running = np.asarray(steps["game_running"])
    where = np.stack(
      [steps[n].astype(int) for n in goals.CELL], axis=1
    ).tolist()
    cells |= {(place, row): tuple(c) for row, c in enumerate(where)}
    for kind, cases in found.items():
      numbering = goal_labels.Numbering()
      labels, known = goal_labels.label_goals(
        steps, rng, horizon, {kind: 1.0}, numbering
      )
      rows = np.flatnonzero((labels.number > 0) & running)
      for row in rows[rows <= most_row].tolist():
        goal = known[labels.number[row]]
        cases.append(Case(place, row, goal, int(labels.env_steps[row])))
  chosen = [
    case for cases in found.values() for case in _spread(cases, count, rng)
  ]
  for cases in found.values():
    off = _off_way(cases, cells, episodes, limit, rng)
    chosen += _spread(off, count, rng)
  return [
    dataclasses.replace(case, other=_other(case.goal, chosen, rng))
    for case in chosen
  ]


def _off_way(
  cases: list[Case],
  cells: Mapping[tuple[int, int], tuple[int, ...]],
  episodes: Mapping[int, Mapping[str, np.ndarray]],
  limit: int,
  rng: np.random.Generator,
) -> list[Case]:
  """Cases with goals that other episodes reached from their cells."""
  there: dict[tuple[int, ...], list[Case]] = {}
  for case in cases:
    there.setdefault(cells[case.place, case.row], []).append(case)
  found = []
  for at in rng.permutation(len(cases)).tolist()[:_MOST_TRIED]:
    case = cases[at]
    beside = [
      other
      for other in there[cells[case.place, case.row]]
      if other.place != case.place and other.goal != case.goal
    ]
    if not beside:
      continue
    borrowed = beside[int(rng.integers(len(beside)))]
    # Nor does this episode reach it by itself, or hold it already.
    stop = case.row + limit + 1
    steps = {n: v[:stop] for n, v in episodes[case.place].items()}
    if not goals.reached(steps, borrowed.goal)[case.row :].any():
      found.append(
        dataclasses.replace(
          case,
          goal=borrowed.goal,
          env_steps=borrowed.env_steps,
          off_way=True,
        )
      )
  return found


def _spread(
  cases: list[Case], count: int, rng: np.random.Generator
) -> list[Case]:
  """Some cases, goals in turns, episodes in turns within a goal."""
  turns: dict[goal_specs.Goal, list[Case]] = {}
  for at in rng.permutation(len(cases)).tolist():
    turns.setdefault(cases[at].goal, []).append(cases[at])
  chosen: list[Case] = []
  taken: dict[int, int] = {}
  while len(chosen) < count and turns:
    for goal in list(turns):
      if len(chosen) == count:
        break
      mine = turns[goal]
      used = [taken.get(case.place, 0) for case in mine]
      case = mine.pop(used.index(min(used)))
      taken[case.place] = taken.get(case.place, 0) + 1
      chosen.append(case)
      if not mine:
        del turns[goal]
  return chosen


def _other(
  goal: goal_specs.Goal, cases: list[Case], rng: np.random.Generator
) -> goal_specs.Goal:
  """A goal of another case that is no way to this one; none if there is none.

  Of places another map's, else another family's.
  """
  mine = _FAMILIES.get(goal.kind, goal.kind)
  others = []
  for case in cases:
    it = case.goal
    family = _FAMILIES.get(it.kind, it.kind)
    # A new map would be the map that is asked for, too often.
    apart = None not in (it.map_id, goal.map_id) and it.map_id != goal.map_id
    if family != mine or (mine == "place" and apart):
      others.append(it)
  return others[int(rng.integers(len(others)))] if others else goal_specs.NONE
