"""The request to a planner: the state, goals to choose from, knowledge, screen.

Everything offered has passed the check that replies have to pass. Without the
switch `walkthrough` nothing of the order that demonstrations had is in it:
`milestones` are this game's own, and ways are those out of maps it visited.
"""

import base64
from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import hashlib
import json

import numpy as np

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import knowledge as knowledge_lib
from pokedreamer_jax.planner import progress as progress_lib
from pokedreamer_jax.planner import replies
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import screens

Goal = goal_specs.Goal
# How near goals seem to the policy, 0 to 1, None where it has no opinion.
Reach = Callable[[Sequence[Goal]], Sequence[float | None]]

HURT_SHARE = 0.5  # of full HP: from here on healing is offered
_CROP = 6  # cells to each side of the player; the screen shows 4 and 5
_MOST_MILESTONES = 6  # the latest ones reached
_MOST_AHEAD = 8
_PLAIN = (
  ("story", "a new story flag"),
  ("win_trainer", "beat a trainer"),
  ("win_leader", "beat a leader"),
  ("talk", "talk to somebody"),
)

STATE_FIELDS = tuple(field.name for field in dataclasses.fields(schema.State))
# Cells that a flag may be set from, apart from where it usually is.
_NEAR = 3


def make(
  progress: progress_lib.Progress,
  knowledge: knowledge_lib.Knowledge,
  trigger: str,
  goal: Goal,
  last_goal: schema.LastGoal,
  switches: schema.Switches,
  reach: Reach | None = None,
) -> schema.Request:
  """The request of this moment, without a screenshot.

  Args:
    progress: of the game; its latest moment is what is asked about.
    knowledge: from records.
    trigger: of `schema.TRIGGERS`.
    goal: what is pursued.
    last_goal: what became of the one before.
    switches: which knowledge goes in.
    reach: tells how near options are.

  Raises:
    ValueError: the game has no row yet.
  """
  moment = progress.moment
  if moment is None:
    raise ValueError("progress: no row yet, expected one")
  ids = sorted({*progress.maps, *_neighbours(progress, knowledge, switches)})
  request = schema.Request(
    version=schema.VERSION,
    last_goal=last_goal,
    trigger=trigger,
    current_goal=None if goal.kind == "none" else str(goal),
    state=moment.state,
    options=(),
    knowledge=_known(progress, moment, knowledge, switches),
    maps=tuple(_map(i, progress, knowledge, switches) for i in ids),
    screenshot=None,
  )
  options = _options(progress, request, knowledge, switches)
  return dataclasses.replace(request, options=_valued(options, reach))


def digest(request: schema.Request) -> str:
  """SHA-256 of a request without its screenshot, hexadecimal."""
  bare = dataclasses.replace(request, screenshot=None).to_json()
  return _sha256(bare)


def state_digest(
  state: schema.State, fields: Sequence[str] = STATE_FIELDS
) -> str:
  """SHA-256 of fields of a state, hexadecimal; of all those of `State`."""
  return _sha256({name: getattr(state, name) for name in fields})


def _sha256(value: object) -> str:
  return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def with_screen(request: schema.Request, frame: np.ndarray) -> schema.Request:
  """A request with its screenshot.

  Args:
    request: without one.
    frame: `[144, 40]` uint8, packed as in records.
  """
  text = base64.b64encode(screens.png(frame)).decode("ascii")
  return dataclasses.replace(request, screenshot=text)


def _neighbours(
  progress: progress_lib.Progress,
  knowledge: knowledge_lib.Knowledge,
  switches: schema.Switches,
) -> set[int]:
  """Maps that one can name: with the graph also those a way leads to."""
  if not switches.map_graph:
    return set()
  return {
    way.end[0] for here in progress.maps for way in knowledge.ways_out(here)
  }


def _options(
  progress: progress_lib.Progress,
  request: schema.Request,
  knowledge: knowledge_lib.Knowledge,
  switches: schema.Switches,
) -> list[schema.Option]:
  """What can be chosen, each once, checked."""
  state = request.state
  found: list[tuple[Goal, str, schema.Way | None]] = []
  if switches.walkthrough and request.knowledge.ahead:
    for words in request.knowledge.ahead[:2]:
      goal = goal_specs.parse(words, free_text=False)
      found.append((goal, "what demonstrations did next", None))
  if progress_lib.is_hurt(state, HURT_SHARE):
    found.append((Goal("heal"), "the first creature is hurt", None))
  if switches.map_graph:
    for way in knowledge.ways_out(state.map_id):
      seen = "visited" if way.end[0] in progress.maps else "not visited yet"
      found.append((Goal("map", way.end[0]), seen, _way(way)))
  found.append((Goal("explore"), "a map not visited in this game", None))
  found += [(Goal(kind), reason, None) for kind, reason in _PLAIN]
  if state.capture_items:
    found.append((Goal("catch"), "items that catch are carried", None))
  elif any(price <= state.money for price in knowledge.shops.values()):
    found.append((Goal("item"), "there is money for what catches", None))
  if state.party_level:
    level = min(state.party_level[0] + 1, 255)
    found.append((Goal("level", number=level), "grow stronger", None))
  options: dict[Goal, schema.Option] = {}
  for goal, reason, way_out in found:
    if goal not in options and not replies.goal_faults(goal, request):
      options[goal] = schema.Option(str(goal), reason, way_out, None)
  return list(options.values())[: schema.MOST_OPTIONS]


def _valued(
  options: list[schema.Option], reach: Reach | None
) -> tuple[schema.Option, ...]:
  if reach is None or not options:
    return tuple(options)
  goals = [goal_specs.parse(option.goal, free_text=False) for option in options]
  values = reach(goals)
  return tuple(
    dataclasses.replace(
      option, value=None if value is None else round(float(value), 3)
    )
    for option, value in zip(options, values, strict=True)
  )


def _known(
  progress: progress_lib.Progress,
  moment: progress_lib.Moment,
  knowledge: knowledge_lib.Knowledge,
  switches: schema.Switches,
) -> schema.Known:
  return schema.Known(
    surroundings=_crop(progress, moment, knowledge, switches)
    if switches.walkability
    else None,
    milestones=tuple(progress.reached[-_MOST_MILESTONES:])
    if switches.milestones
    else None,
    ahead=tuple(
      str(milestone.goal)
      for milestone in undone(knowledge, progress)[:_MOST_AHEAD]
    )
    if switches.walkthrough
    else None,
  )


def undone(
  knowledge: knowledge_lib.Knowledge, progress: progress_lib.Progress
) -> list[knowledge_lib.Milestone]:
  """Milestones that this game has not reached, in the order of records.

  Whether one was reached is seen from the state, and of the story from where
  its flags were set. What comes before a badge that
  is held is done with, whether this game saw it or began after it; items are,
  once something later was reached.
  """
  moment = progress.moment
  if moment is None:
    return list(knowledge.milestones)
  state = moment.state
  level = max(state.party_level[:1], default=0)
  told = _story_done(knowledge, progress)
  found, later, badge_later = [], False, False
  for milestone in reversed(knowledge.milestones):
    goal, number = milestone.goal, milestone.goal.number or 0
    done = {
      "badge": number in state.badges,
      "map": goal.map_id in progress.maps,
      "level": level >= number,
      "own": state.dex_owned >= number,
      "story": milestone in told,
      "win_trainer": state.trainer_wins >= milestone.nth,
      "item": state.capture_items > 0 or later,
    }.get(goal.kind, True)
    done |= badge_later and goal.kind != "badge"
    later |= done
    badge_later |= done and goal.kind == "badge"
    if not done:
      found.append(milestone)
  return found[::-1]


def left_behind(
  knowledge: knowledge_lib.Knowledge, progress: progress_lib.Progress
) -> list[knowledge_lib.Milestone]:
  """The story before a badge that is held, as far as this game did without.

  Demonstrations had it behind them there; what it is good for shows later, as a
  key does. Of a game that began amid the story nobody knows.
  """
  if progress.moment is None or progress.story_before:
    return []
  held = set(progress.moment.state.badges)
  told = _story_done(knowledge, progress)
  found, waiting = [], []
  for milestone in knowledge.milestones:
    goal = milestone.goal
    if goal.kind == "story" and milestone not in told:
      waiting.append(milestone)
    elif goal.kind == "badge" and goal.number in held:
      found += waiting
      waiting = []
  return found


def _story_done(
  knowledge: knowledge_lib.Knowledge, progress: progress_lib.Progress
) -> set[knowledge_lib.Milestone]:
  """Milestones of the story that a game has behind it, as far as can be told.

  As many as it began with; then, of each flag that it has set, the first that
  is left at that place, else on that map: whoever fights is met some cells off.
  A flag that is set elsewhere belongs to none of them.
  """
  story = sorted(
    (m for m in knowledge.milestones if m.goal.kind == "story"),
    key=lambda m: m.nth,
  )
  done = {m for m in story if m.nth <= progress.story_before}
  elsewhere = []
  for cell in progress.story_at:
    near = [m for m in story if m not in done and _is_near(m.at, cell)]
    done.update(near[:1])
    if not near:
      elsewhere.append(cell)
  for cell in elsewhere:
    there = [m for m in story if m not in done and m.at[0] == cell[0]]
    done.update(there[:1])
  return done


def _is_near(one: knowledge_lib.Cell, other: knowledge_lib.Cell) -> bool:
  apart = abs(one[1] - other[1]) + abs(one[2] - other[2])
  return one[0] == other[0] and apart <= _NEAR


def _map(
  map_id: int,
  progress: progress_lib.Progress,
  knowledge: knowledge_lib.Knowledge,
  switches: schema.Switches,
) -> schema.NamedMap:
  """A map as a planner is told of it: where it leads from where one was."""
  cells, to = None, None
  if switches.visited_cells:
    cells = len(progress.cells.get(map_id, ()))
  if switches.map_graph and map_id in progress.maps:
    to = tuple(sorted(way.end[0] for way in knowledge.ways_out(map_id)))
  return schema.NamedMap(map_id, progress.name(map_id), cells, to)


def _way(way: knowledge_lib.Way) -> schema.Way:
  return schema.Way(schema.Place(*way.start), schema.Place(*way.end))


def _crop(
  progress: progress_lib.Progress,
  moment: progress_lib.Moment,
  knowledge: knowledge_lib.Knowledge,
  switches: schema.Switches,
) -> schema.Crop:
  """Known cells near the player, cut to what is known."""
  state = moment.state
  recorded = knowledge.maps.get(state.map_id)
  own = progress.cells.get(state.map_id, set())
  marks: dict[tuple[int, int], str] = {}
  for y in range(max(0, state.y - _CROP), min(255, state.y + _CROP) + 1):
    for x in range(max(0, state.x - _CROP), min(255, state.x + _CROP) + 1):
      mark = recorded.at(y, x) if recorded else knowledge_lib.UNKNOWN
      if switches.visited_cells and (y, x) in own:
        mark = "o"
      if mark != knowledge_lib.UNKNOWN:
        marks[y, x] = mark
  marks[state.y, state.x] = "@"
  top, left = (min(cell[axis] for cell in marks) for axis in (0, 1))
  bottom, right = (max(cell[axis] for cell in marks) for axis in (0, 1))
  return schema.Crop(
    top=top,
    left=left,
    rows=tuple(
      "".join(
        marks.get((y, x), knowledge_lib.UNKNOWN) for x in range(left, right + 1)
      )
      for y in range(top, bottom + 1)
    ),
  )
