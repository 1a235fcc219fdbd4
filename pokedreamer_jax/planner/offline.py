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
    # How often each milestone led nowhere, and for how many env steps it was
    # pursued; with others to try it rests then.
    self._failures: dict[knowledge_lib.Milestone, int] = {}
    self._spent: dict[knowledge_lib.Milestone, int] = {}
    self._head: knowledge_lib.Milestone | None = None  # named last
    self._pursued: knowledge_lib.Milestone | None = None  # and going on
    self._since = 0  # env step of the last answer
    self._catching = False  # whether a species that it met was named last
    self._turn = 0  # of other ways, since the game went on
    self._asked = False  # whether it ever was

  def answer(
    self, request: schema.Request, progress: progress_lib.Progress
  ) -> schema.Reply:
    """The goal for the moment of a request; there always is one."""
    self._count_time(request.state.env_step)
    went_on = request.trigger in _AHEAD
    # That a battle takes long says nothing of the way, nor does what got away.
    failed = request.trigger in _FAILED and not self._catching
    failed = failed and request.state.in_battle not in _BATTLES
    self._supplies.asked(went_on, failed)
    if went_on:
      self._turn = 0
    if failed:
      self._turn += self._asked
      if self._head is not None:
        self._failures[self._head] = self._failures.get(self._head, 0) + 1
    self._asked = True
    found = schema.Reply(Goal("explore"), "nothing else is known")
    for reply in self._choices(request, progress):
      if not replies.goal_faults(reply.goal, self._all_maps(request)):
        found = reply
        break
    if not self._catching:  # after a battle, what it held up goes on
      self._pursued = self._head
    return found

  def _count_time(self, env_step: int) -> None:
    """Adds the steps since the last answer to what was pursued meanwhile."""
    if self._pursued is not None:
      spent = self._spent.get(self._pursued, 0)
      self._spent[self._pursued] = spent + env_step - self._since
    self._since = env_step

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
  ) -> Iterator[schema.Reply]:
    """What could be said, the best first."""
    state = request.state
    self._head, self._catching = None, False
    ahead = [
      milestone
      for milestone in requests.undone(self._knowledge, progress)
      if self._counts(milestone)
      # Nothing is caught with empty hands, for however long one tries.
      and (milestone.goal.kind != "own" or state.capture_items)
      and milestone.goal.kind not in self._config.in_passing
    ]
    left = requests.left_behind(self._knowledge, progress)
    left = [milestone for milestone in left if self._counts(milestone)]
    hurt = self._supplies.is_hurt(state)
    meant = None if hurt else self._least_tried(ahead, left)
    if request.trigger == "meets" and (
      state.dex_owned < self._config.enough_species
    ):
      self._catching = True
      one_more = Goal("own", number=state.dex_owned + 1)
      yield schema.Reply(one_more, "a new species")
    elif request.trigger in _FAILED and state.in_battle in _BATTLES:
      # In turn with what comes after it: told to win some never end one.
      if request.current_goal != str(Goal("win")):
        yield schema.Reply(Goal("win"), "a battle that goes on")
    elif self._turn and request.trigger != "reached":
      # What was reached instead is a new place to try the milestone from.
      others = self._other_ways(state, progress, meant, bool(hurt or ahead))
      # After some failures another way, and after that the milestone again.
      turn = self._turn % (self._config.tries + len(others))
      if turn >= self._config.tries:
        yield others[turn - self._config.tries]
    yield from self._supplies.heal(state) if hurt else self._supplies.buy(state)
    self._head = self._least_tried(ahead, left)
    if self._head is not None:
      why = f"a milestone of {len(ahead)}"
      yield schema.Reply(self._head.goal, why, self._head.at)
    yield from self._frontier(state, progress)
    for i in range(len(_PLAIN)):
      kind = _PLAIN[(self._turn + i) % len(_PLAIN)]
      yield schema.Reply(Goal(kind), "nothing else is known")

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
    all of them have been tried as often: one of them may need it.
    """
    near, fresh = [], 0
    for milestone in ahead:
      if fresh == self._config.window:
        break
      near.append(milestone)
      fresh += self._rounds(milestone) < self._config.most_rounds
      if milestone.goal.kind == "badge":
        break
    return min((*near, *left), key=self._rounds, default=None)

  def _rounds(self, milestone: knowledge_lib.Milestone) -> int:
    """How often it was tried: led nowhere, or had its time."""
    failures = self._failures.get(milestone, 0) // self._config.tries
    spent = self._spent.get(milestone, 0) // self._config.try_env_steps
    return failures + spent

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
  ) -> list[schema.Reply]:
    """What to try in turn where the milestone that is meant led nowhere.

    Whoever knows what to do goes back to a map that this game has seen: others
    lie beyond what it can do yet. Whoever does not explores.
    """
    found = []
    if self._walks.along(state.cell, self._places(meant), (1,)):
      goal, at = (
        (Goal("heal"), None) if meant is None else (meant.goal, meant.at)
      )
      found.append(schema.Reply(goal, "stuck: what was tried least", at))
    cell = self._unvisited(state, progress)
    if cell is not None:
      why = "stuck: a cell not visited yet"
      found.append(schema.Reply(Goal("tile", state.map_id, *cell), why))
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
      found.append(schema.Reply(there, "stuck: leave this map"))
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
