"""The planner without a network: milestones, a frontier, and recovery.

It follows what demonstrations reached, in their order, over the graph of maps
that records know; where milestones end it goes where this game has not been.
Hurt, it heals first; where an errand led nowhere it names another one each
time. The way to each is the driver's affair (`leading.py`). Of the same game
and knowledge it says the same, at once.
"""

from collections.abc import Iterator
import dataclasses

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import knowledge as knowledge_lib
from pokedreamer_jax.planner import offline_config
from pokedreamer_jax.planner import progress as progress_lib
from pokedreamer_jax.planner import replies
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import supplies
from pokedreamer_jax.planner import tries
from pokedreamer_jax.planner import walking

Goal = goal_specs.Goal
NAME = "offline"

# Asked again after these, the last goal has led nowhere.
_FAILED = ("out of time", "stagnant", "still", "stuck")
_BATTLES = ("wild", "trainer")
# The game went on; a higher level alone is no sign of that.
_AHEAD = ("progress", "area")
# What one can always try, in turn, where nothing is known.
_PLAIN = ("explore", "talk", "story", "win")
_LEFT, _NOTHING_ELSE = "a story left behind", "nothing else is known"


@dataclasses.dataclass(frozen=True)
class _Choice:
  """What could be said."""

  reply: schema.Reply
  milestone: knowledge_lib.Milestone | None = None  # that it pursues
  of_battle: bool = False  # what it holds up goes on after the battle


class OfflinePlanner:
  """Names goals for one game."""

  def __init__(
    self,
    knowledge: knowledge_lib.Knowledge,
    config: offline_config.OfflineConfig | None = None,
    walks: walking.Walks | None = None,
  ):
    """Nothing is named yet; `walks` are over that knowledge, if made before."""
    self._knowledge = knowledge
    self._walks = walks or walking.Walks(knowledge)
    self._config = config or offline_config.OfflineConfig()
    self._supplies = supplies.Supplies(knowledge, self._walks, self._config)
    self._tries = tries.Tries(self._config)  # with others to try one rests
    self._level = 0  # when it answered last
    self._catching = False  # whether a species that it met was named last
    self._turn = 0  # of other ways, since the game went on
    self._asked = False  # whether it ever was

  def answer(
    self, request: schema.Request, progress: progress_lib.Progress
  ) -> schema.Reply:
    """The goal for the moment of a request; there always is one."""
    state = request.state
    went_on = request.trigger in _AHEAD
    # That a battle takes long says nothing of the way, nor does what got away.
    failed = request.trigger in _FAILED and not self._catching
    failed = failed and state.in_battle not in _BATTLES
    self._supplies.asked(went_on, failed)
    self._count_try(state, went_on, failed)
    if went_on:
      self._turn = 0
    if failed:
      self._turn += self._asked
    self._asked = True
    known = self._all_maps(request)
    choice = next(
      choice
      for choice in self._choices(request, progress)
      if not replies.goal_faults(choice.reply.goal, known)
    )
    self._catching = choice.of_battle and choice.reply.goal.kind == "own"
    if not choice.of_battle:
      self._tries.pursue(choice.milestone)
    return choice.reply

  def passed_over(self) -> None:
    """Somebody else has named what is done from here on."""
    self._tries.pursue(None)

  def _count_try(
    self, state: schema.State, went_on: bool, failed: bool
  ) -> None:
    """What became of the milestone that was pursued."""
    level = max(state.party_level[:1], default=0)
    grew, self._level = level > self._level, level
    if failed:
      self._tries.failed(state.env_step)
    elif went_on or (grew and self._tries.of_levels):
      self._tries.went_on(state.env_step)
    else:
      self._tries.at(state.env_step)

  def _all_maps(self, request: schema.Request) -> schema.Request:
    """The request with the maps of records: nothing is hidden from it."""
    known = {named.map_id for named in request.maps}
    more = tuple(
      schema.NamedMap(map_id, f"map {map_id}")
      for map_id in self._knowledge.map_ids
      if map_id not in known
    )
    return dataclasses.replace(request, maps=request.maps + more)

  def _choices(
    self, request: schema.Request, progress: progress_lib.Progress
  ) -> Iterator[_Choice]:
    """What could be said, the best first; the last one always can."""
    state = request.state
    ahead = [
      milestone
      for milestone in requests.undone(self._knowledge, progress)
      if self._counts(milestone)
      # Nothing is caught with empty hands, for however long one tries.
      and (milestone.goal.kind != "own" or state.capture_items)
      and milestone.goal.kind not in self._config.in_passing
    ]
    left = requests.left_behind(self._knowledge, progress)
    left = [
      milestone
      for milestone in left
      if self._counts(milestone) and not self._tries.is_given_up(milestone)
    ]
    hurt = self._supplies.is_hurt(state)
    head = self._least_tried(ahead, left)
    meant = None if hurt else head
    if request.trigger == "meets" and (
      state.dex_owned < self._config.enough_species
    ):
      one_more = Goal("own", number=state.dex_owned + 1)
      reply = schema.Reply(one_more, "a new species")
      yield _Choice(reply, of_battle=True)
    elif request.trigger in _FAILED and state.in_battle in _BATTLES:
      # In turn with what comes after it: told to win some never end one.
      if request.current_goal != str(Goal("win")):
        reply = schema.Reply(Goal("win"), "a battle that goes on")
        yield _Choice(reply, of_battle=True)
    elif self._turn and request.trigger != "reached":
      # What was reached instead is a new place to try the milestone from.
      knows = bool(hurt or ahead or left)
      others = self._other_ways(state, progress, meant, knows)
      # After some failures another way, and after that the milestone again.
      turn = self._turn % (self._config.tries + len(others))
      if turn >= self._config.tries:
        yield others[turn - self._config.tries]
    supply = self._supplies.heal if hurt else self._supplies.buy
    yield from map(_Choice, supply(state))
    if head is not None:
      why = f"a milestone of {len(ahead)}" if head in ahead else _LEFT
      yield _Choice(schema.Reply(head.goal, why, head.at), head)
    yield from map(_Choice, self._frontier(state, progress))
    for i in range(len(_PLAIN)):
      kind = _PLAIN[(self._turn + i) % len(_PLAIN)]
      yield _Choice(schema.Reply(Goal(kind), _NOTHING_ELSE))
    yield _Choice(schema.Reply(Goal("explore"), _NOTHING_ELSE))

  def _counts(self, milestone: knowledge_lib.Milestone) -> bool:
    """Whether it is of a kind to pursue, and was no luck."""
    usual = milestone.share >= self._config.least_share
    return usual and milestone.goal.kind in self._config.kinds

  def _least_tried(
    self,
    ahead: list[knowledge_lib.Milestone],
    left: list[knowledge_lib.Milestone],
  ) -> knowledge_lib.Milestone | None:
    """The milestone to pursue: of the next few that which was tried least.

    No further than the next badge: what comes after it needs it. Those that
    were given up take no place among the few. What was left behind comes when
    all of them have been tried more often: one of them may need it.
    """
    near, fresh = [], 0
    for milestone in ahead:
      if fresh == self._config.window:
        break
      near.append(milestone)
      fresh += not self._tries.is_given_up(milestone)
      if milestone.goal.kind == "badge":
        break
    return min((*near, *left), key=self._tries.of, default=None)

  def _places(
    self, meant: knowledge_lib.Milestone | None
  ) -> set[knowledge_lib.Cell]:
    """Where a milestone was reached, or where one heals."""
    return set(self._knowledge.healing) if meant is None else {meant.at}

  def _other_ways(
    self,
    state: schema.State,
    progress: progress_lib.Progress,
    meant: knowledge_lib.Milestone | None,
    knows: bool,
  ) -> list[_Choice]:
    """What to try in turn where the milestone that is meant led nowhere.

    Whoever knows what to do goes back to a map that this game has seen: others
    lie beyond what it can do yet. Whoever does not explores.
    """
    found = []
    if self._walks.along(state.cell, self._places(meant), (1,)):
      goal, at = (
        (Goal("heal"), None) if meant is None else (meant.goal, meant.at)
      )
      reply = schema.Reply(goal, "stuck: what was tried least", at)
      found.append(_Choice(reply, meant))
    cell = self._unvisited(state, progress)
    if cell is not None:
      why = "stuck: a cell not visited yet"
      there = Goal("tile", state.map_id, *cell)
      found.append(_Choice(schema.Reply(there, why)))
    ways = self._knowledge.ways_out(state.map_id)
    if ways:
      tried = self._walks.onward(state.cell, self._places(meant))
      way = min(
        ways,
        key=lambda way: (
          Goal("map", way.end[0]) == tried,
          (way.end[0] in progress.maps) != knows,
        ),
      )
      there = Goal("map", way.end[0])
      found.append(_Choice(schema.Reply(there, "stuck: leave this map")))
    return found

  def _frontier(
    self, state: schema.State, progress: progress_lib.Progress
  ) -> Iterator[schema.Reply]:
    """The nearest map that this game has not seen, else an unseen cell."""
    unseen = set(self._knowledge.map_ids) - progress.maps.keys()
    route = self._knowledge.route(state.map_id, unseen)
    if route:
      map_id = route[-1].end[0]
      yield schema.Reply(Goal("map", map_id), f"frontier: map {map_id}")
    cell = self._unvisited(state, progress)
    if cell is not None:
      there = Goal("tile", state.map_id, *cell)
      yield schema.Reply(there, "frontier: a cell not visited")

  def _unvisited(
    self, state: schema.State, progress: progress_lib.Progress
  ) -> tuple[int, int] | None:
    """The nearest recorded cell `(y, x)` that this game has not stood on."""
    recorded = self._knowledge.maps.get(state.map_id)
    if recorded is None:
      return None
    own = progress.cells.get(state.map_id, set())
    left = [cell for cell in recorded.walked() if cell not in own]
    return min(
      left,
      key=lambda cell: (abs(cell[0] - state.y) + abs(cell[1] - state.x), cell),
      default=None,
    )
