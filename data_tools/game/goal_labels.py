"""Goals for the rows of an episode: what it reached later, in two ways.

`label_goals` draws any goal that comes within a horizon, for cloning under
goals; `milestones` names the next major event, what a demonstrator was about to
do, `errands` what a planner would have named: each map on the way as well. All
give numbers of goals, which a table on the device turns into arrays and vectors
(`pokedreamer_jax/behaviour/goals.py`).
"""

import bisect
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import itertools

import numpy as np

from data_tools.game import goals
from data_tools.game import hindsight
from pokedreamer_jax import goal_specs

Goal = goal_specs.Goal

# What a demonstrator may be about to do; of several on one row the first.
MILESTONES = ("badge", "win_trainer", "map", "level", "item", "catch", "heal")
# The same as a planner names them, who counts species and knows the story.
ERRANDS = (
  *("badge", "win_trainer", "map", "level", "item", "own", "story", "heal"),
)


class Numbering:
  """Numbers of goals, from 0 for none; grows by goals it has not seen."""

  def __init__(self, known: Iterable[Goal] = ()):
    self._numbers = {goal_specs.NONE: 0}
    for goal in known:
      self.number(goal)

  @property
  def goals(self) -> list[Goal]:
    """The goal of each number."""
    return list(self._numbers)

  def number(self, goal: Goal) -> int:
    """Its number, a new one for a new goal."""
    return self._numbers.setdefault(goal, len(self._numbers))


@dataclasses.dataclass(frozen=True)
class Labels:
  """A goal for each of `T` rows."""

  number: np.ndarray  # [T] int32, of a `Numbering`; 0 is none
  env_steps: np.ndarray  # [T] int32, until it is reached; 0 where none is


def label_goals(
  steps: goals.Rows,
  rng: np.random.Generator,
  horizon: int,
  mix: Mapping[str, float],
  numbering: Numbering | None = None,
) -> tuple[Labels, list[Goal]]:
  """A goal for each row that its episode reaches later.

  Args:
    steps: `goals.FIELDS` of consecutive rows `[T, ...]`.
    rng: two numbers a row are drawn from it.
    horizon: env steps within which it is reached, at least 1.
    mix: kind -> weight, of the kinds that a row can have; "none" may be one.
    numbering: of goals, shared by episodes; grows.

  Returns:
    Labels, and the goals of their numbers. A row's goal does not hold on the
    row itself; a row without any such goal has none.

  Raises:
    ValueError: the horizon, a kind or a weight is bad.
  """
  numbering = numbering or Numbering()
  drawn = draw_labels(steps, rng, horizon, mix, numbering, 1)
  return drawn[0], numbering.goals


def draw_labels(
  steps: goals.Rows,
  rng: np.random.Generator,
  horizon: int,
  mix: Mapping[str, float],
  numbering: Numbering,
  count: int,
) -> list[Labels]:
  """`label_goals` several times over, for little more than once.

  Args:
    steps: as there, and as all but the last.
    rng: two numbers a row are drawn from it each time.
    horizon: env steps within which a goal is reached, at least 1.
    mix: kind -> weight.
    numbering: of goals; grows.
    count: how many labels each row gets.
  """
  if horizon < 1:
    raise ValueError(f"horizon: {horizon}, expected at least 1")
  for kind, weight in mix.items():
    if not (np.isfinite(weight) and weight >= 0):
      raise ValueError(f"mix.{kind}: {weight}, expected at least 0")
  begins = list(
    hindsight.begins(steps, [kind for kind in mix if kind != "none"])
  )
  choice = _Choice(steps, begins, mix, horizon)
  found = []
  for _ in range(count):
    draws = rng.random((len(choice.ends), 2)).tolist()
    labels = _no_labels(len(draws))
    for t, (kind_draw, goal_draw) in enumerate(draws):
      goal = choice.draw(t, kind_draw, goal_draw)
      if goal is not None:
        labels.number[t] = numbering.number(goal)
        labels.env_steps[t] = choice.next_row(goal, t) - t
    found.append(labels)
  return found


def milestones(
  steps: goals.Rows, numbering: Numbering | None = None
) -> tuple[Labels, list[Goal]]:
  """The next of `MILESTONES` that each row's episode reaches.

  A map counts when it is visited first, a level when it is the highest of the
  episode so far; a badge is a certain one.

  Args:
    steps: `goals.FIELDS` of consecutive rows `[T, ...]`.
    numbering: of goals, shared by episodes; grows.

  Returns:
    Labels, and the goals of their numbers. After the last one rows have none.
  """
  first_visit = goals.arrivals(steps)["explore"]
  return _next_events(steps, MILESTONES, first_visit, numbering)


def errands(
  steps: goals.Rows, numbering: Numbering | None = None
) -> tuple[Labels, list[Goal]]:
  """The next of `ERRANDS` that each row's episode reaches; else `milestones`.

  A map counts whenever it is entered: a planner leads from map to map, to heal
  and back as well.
  """
  entered = np.ones(len(steps["is_first"]), bool)
  return _next_events(steps, ERRANDS, entered, numbering)


def _next_events(
  steps: goals.Rows,
  kinds: tuple[str, ...],
  map_counts: np.ndarray,
  numbering: Numbering | None,
) -> tuple[Labels, list[Goal]]:
  """The next event of `kinds` of each row, of several on one row the first."""
  numbering = numbering or Numbering()
  higher = _new_levels(steps)
  ends = _ends(steps)
  by_row: dict[int, Goal] = {}
  for row, goal in hindsight.hindsight(steps, kinds):
    if (
      (goal.kind == "badge" and goal.number is None)
      or (goal.kind == "map" and not map_counts[row])
      or (goal.kind == "level" and not higher[row, goal.number])
    ):
      continue
    held = by_row.setdefault(row, goal)
    # Of levels and species on one row the last and highest, else the first.
    counts = held.kind == goal.kind and goal.kind in ("level", "own")
    if counts or kinds.index(goal.kind) < kinds.index(held.kind):
      by_row[row] = goal
  labels = _no_labels(len(ends))
  coming: tuple[int, Goal] | None = None
  for t in reversed(range(len(ends))):
    if coming is not None and coming[0] <= ends[t]:
      labels.number[t] = numbering.number(coming[1])
      labels.env_steps[t] = coming[0] - t
    if t in by_row:
      coming = (t, by_row[t])
  return labels, numbering.goals


def _new_levels(steps: goals.Rows) -> np.ndarray:
  """Whether a level `[T, 256]` is above all of its episode before the row.

  The first creature that there is sets the mark, as a game may begin with it.
  """
  level = np.asarray(steps["party_level"])[:, 0].astype(int)
  first = np.asarray(steps["is_first"])
  above = np.zeros((len(level), 256), bool)
  highest = 0
  for t, now in enumerate(level.tolist()):
    highest = 0 if first[t] else highest
    if highest:
      above[t, highest + 1 :] = True
    highest = max(highest, now)
  return above


def _ends(steps: goals.Rows) -> np.ndarray:
  """The last row `[T]` of the episode of each row."""
  first = np.asarray(steps["is_first"])
  starts = np.flatnonzero(first[1:]) + 1
  bounds = np.concatenate([starts, [len(first)]])
  return bounds[np.searchsorted(starts, np.arange(len(first)), "right")] - 1


def _no_labels(length: int) -> Labels:
  return Labels(np.zeros(length, np.int32), np.zeros(length, np.int32))


class _Choice:
  """Draws among the goals that begin within a horizon of a row."""

  def __init__(self, steps, begins, mix, horizon):
    self.ends = _ends(steps)
    # Judged as if a step had arrived at every row.
    self._states = goals.arrivals(steps)
    self._states["running"] = np.asarray(steps["game_running"])
    self._mix = {kind: w for kind, w in mix.items() if w > 0}
    self._events: dict[str, list[tuple[int, Goal]]] = {k: [] for k in mix}
    rows: dict[Goal, list[int]] = {}
    for row, goal, earned in begins:
      rows.setdefault(goal, []).append(row)
      if earned:
        self._events[goal.kind].append((row, goal))
    # Of each row the events within the horizon, as a span of each kind's.
    first = np.arange(len(self.ends)) + 1
    stop = np.minimum(first + horizon - 1, self.ends) + 1
    self._spans = {}
    for kind in self._mix:
      at = np.array([row for row, _ in self._events[kind]], int)
      low, high = (np.searchsorted(at, rows) for rows in (first, stop))
      self._spans[kind] = list(zip(low.tolist(), high.tolist(), strict=True))
    self._rows = rows
    self._held: dict[Goal, np.ndarray] = {}  # rows on which states hold

  def draw(self, t: int, kind_draw: float, goal_draw: float) -> Goal | None:
    """The goal of row `t`, of two numbers in [0, 1)."""
    spans = {}
    for kind, of_rows in self._spans.items():
      span = of_rows[t]
      if kind == "none" or span[0] < span[1]:
        spans[kind] = span
    while spans:
      kind = self._pick(list(spans), kind_draw)
      if kind == "none":
        return None
      low, high = spans.pop(kind)
      at = int(goal_draw * (high - low))
      # Where one already holds, the next one after it.
      for i in range(high - low):
        goal = self._events[kind][low + (at + i) % (high - low)][1]
        if not self._holds(goal, t):
          return goal
    return None

  def next_row(self, goal: Goal, t: int) -> int:
    """The first row after `t` on which a goal begins."""
    rows = self._rows[goal]
    return rows[bisect.bisect_right(rows, t)]

  def _pick(self, kinds: list[str], draw: float) -> str:
    total = list(itertools.accumulate(self._mix[kind] for kind in kinds))
    at = bisect.bisect_right(total, draw * total[-1])
    return kinds[min(at, len(kinds) - 1)]

  def _holds(self, goal: Goal, t: int) -> bool:
    """Whether a state holds on row `t`; events hold on none."""
    if not goal.is_state:
      return False
    if goal not in self._held:
      self._held[goal] = goals.judge(self._states, goal.to_array())
    return bool(self._held[goal][t])
