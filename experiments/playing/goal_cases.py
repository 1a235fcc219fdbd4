"""Cases for playing under goals: a recorded row, and what was reached from it.

A case is a row of a held-out episode that the emulator can be brought back to,
a goal that its episode reached within some steps, and another goal, which a
policy that does not listen would do as well under.
"""

from collections.abc import Mapping
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


@dataclasses.dataclass(frozen=True)
class Case:
  """Where a game is entered, and what is asked for there."""

  place: int  # of the episode in its index
  row: int
  goal: goal_specs.Goal
  env_steps: int  # after which the recording reached it
  other: goal_specs.Goal = goal_specs.NONE  # something else, reached elsewhere


def choose(
  index: Any,
  kinds: Mapping[str, float],
  count: int,
  horizon: int,
  most_row: int,
  rng: np.random.Generator,
) -> list[Case]:
  """Draws up to `count` cases of every kind that the episodes reached.

  Goals of a kind are drawn alike, whatever they are reached how often, and
  each case from an episode of its own as long as there are such.

  Args:
    index: a `loader.EpisodeIndex` of held-out episodes.
    kinds: which, those of weight 0 left out.
    count: cases of a kind at most.
    horizon: env steps within which the recording reached the goal.
    most_row: last row that a game is entered at, for it is played until there.
    rng: draws.
  """
  found: dict[str, list[Case]] = {kind: [] for kind, w in kinds.items() if w}
  for place, length in enumerate(index.lengths.tolist()):
    steps = index.read(place, 0, length, goals.FIELDS)
    running = np.asarray(steps["game_running"])
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
  return [
    dataclasses.replace(case, other=_other(case.goal, chosen, rng))
    for case in chosen
  ]


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
