"""The planner without a network: milestones, a frontier, and recovery.

It follows what demonstrations reached, in their order, over the graph of maps
that records know; where milestones end it goes where this game has not been.
Hurt, it heals first; stuck, it names cells on the way as records walked it, the
next ones first, then tries something else each time. Of the same game and
knowledge it says the same, at once.
"""

from collections.abc import Iterator
import dataclasses

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import knowledge as knowledge_lib
from pokedreamer_jax.planner import progress as progress_lib
from pokedreamer_jax.planner import replies
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import walking

Goal = goal_specs.Goal
NAME = "offline"

# Asked again after these, the last goal has led nowhere.
_FAILED = ("out of time", "stagnant", "still", "stuck")
STRIDE = 8  # cells; what policies that can be led are led by
_STRIDES = (STRIDE, 4)  # cells ahead on the way, named where a goal led nowhere
# The game went on; a higher level alone is no sign of that.
_AHEAD = ("progress", "area")
# What one can always try, in turn, where nothing is known.
_PLAIN = ("explore", "talk", "story", "win")


@dataclasses.dataclass(frozen=True)
class OfflineConfig:
  """How the offline planner chooses."""

  # Kinds of milestones that it follows, of those that records have.
  # Without levels it sends a weak creature to a leader (docs/planner.md).
  kinds: tuple[str, ...] = (
    *("badge", "map", "win_trainer", "own", "item", "level", "story"),
  )
  # Of these, what is not sought but taken where it is met.
  in_passing: tuple[str, ...] = ()
  least_share: float = 0.75  # of the demonstrations: rarer ones were luck
  hurt_share: float = 0.45  # of full HP: from here on it heals first
  healed_share: float = 0.9  # up to here it goes on healing
  # Below so many items that catch it buys some, in a shop that is so near, up
  # to that many; 0: it never does.
  fewest_items: int = 3
  shop_cells: int = 60
  enough_items: int = 6
  tries: int = 1  # times that a milestone is tried before another way
  # Milestones ahead among which the one that failed least is pursued: what one
  # cannot reach must not end a game that could go on without.
  window: int = 4
  # Cells on the way that are named one after the other, so far apart, up to
  # where what is wanted was reached; 0: what is wanted, or the next map.
  stride: int = 0

  def __post_init__(self):
    unknown = [k for k in self.kinds if k not in goal_specs.PREDICATES]
    if unknown:
      raise ValueError(
        f"offline.kinds: {unknown}, expected some of "
        f"{list(goal_specs.PREDICATES)}"
      )
    if not 0 <= self.hurt_share <= self.healed_share <= 1:
      raise ValueError(
        f"offline.hurt_share {self.hurt_share}, healed_share "
        f"{self.healed_share}: expected 0 <= hurt <= healed <= 1"
      )
    if not 0 <= self.least_share <= 1:
      raise ValueError(
        f"offline.least_share: {self.least_share}, expected 0 to 1"
      )
    for name in ("tries", "window"):
      if getattr(self, name) < 1:
        raise ValueError(
          f"offline.{name}: {getattr(self, name)}, expected at least 1"
        )


class OfflinePlanner:
  """Names goals for one game."""

  def __init__(
    self,
    knowledge: knowledge_lib.Knowledge,
    config: OfflineConfig | None = None,
  ):
    self._knowledge = knowledge
    self._walks = walking.Walks(knowledge)
    self._config = config or OfflineConfig()
    self._healing = False
    self._shopping = False
    self._buying = False  # whether a shop is what was named last
    self._in_vain = 0  # times that this led nowhere, since the game went on
    # How often each milestone led nowhere; with others to try it rests then.
    self._failures: dict[knowledge_lib.Milestone, int] = {}
    self._head: knowledge_lib.Milestone | None = None  # pursued last
    self._turn = 0  # of other ways, since the game went on
    self._asked = False  # whether it ever was
    self._on_the_way: set[Goal] = set()  # cells that could be named now
    self._walking = False  # whether one of them was

  def answer(
    self, request: schema.Request, progress: progress_lib.Progress
  ) -> schema.Reply:
    """The goal for the moment of a request; there always is one."""
    if request.trigger in _AHEAD:
      self._turn = self._in_vain = 0
    if request.trigger in _FAILED:
      self._in_vain += self._buying
      self._turn += self._asked
      if self._head is not None:
        self._failures[self._head] = self._failures.get(self._head, 0) + 1
    self._asked = True
    for goal, rationale in self._choices(request, progress):
      if not replies.goal_faults(goal, self._all_maps(request)):
        self._walking = goal in self._on_the_way
        return schema.Reply(goal, rationale)
    self._walking = False
    return schema.Reply(Goal("explore"), "nothing else is known")

  def _all_maps(self, request: schema.Request) -> schema.Request:
    """The request with the maps of records: nothing is hidden from it."""
    known = {named.map_id for named in request.maps}
    more = tuple(
      schema.NamedMap(map_id, f"map {map_id}")
      for map_id in self._knowledge.map_ids
      if map_id not in known
    )
    return dataclasses.replace(request, maps=request.maps + more)

  def _choices(self, request, progress):
    """Goals with reasons, the best first."""
    state = request.state
    self._head, self._buying = None, False
    self._on_the_way.clear()
    ahead = [
      milestone
      for milestone in requests.undone(self._knowledge, progress)
      if milestone.goal.kind in self._config.kinds
      and milestone.share >= self._config.least_share
      # Nothing is caught with empty hands, for however long one tries.
      and (milestone.goal.kind != "own" or state.capture_items)
      and milestone.goal.kind not in self._config.in_passing
    ]
    hurt = self._is_hurt(state)
    meant = None if hurt else self._least_tried(ahead)
    if request.trigger == "reached":
      # A cell on the way leads to the next; what was reached instead is a new
      # place to try the milestone from.
      if self._walking:
        yield from self._along(state, _STRIDES[:1], meant)
    elif request.trigger == "meets":
      yield Goal("own", number=state.dex_owned + 1), "a new species"
    elif self._turn:
      others = self._other_ways(state, progress, meant, bool(hurt or ahead))
      # After some failures another way, and after that the milestone again.
      turn = self._turn % (self._config.tries + len(others))
      if turn >= self._config.tries:
        yield others[turn - self._config.tries]
    if hurt:
      yield from self._heal(state)
    else:
      for choice in self._buy(state):
        self._buying = True
        yield choice
    self._head = self._least_tried(ahead)
    if self._head is not None:
      goal, place = self._head.goal, self._head.at[0]
      yield from self._led(state, {self._head.at}, f"on the way to {goal}")
      onward = self._walks.onward(_here(state), {self._head.at})
      if onward is not None:
        yield onward, f"on the way to map {place} for {goal}"
      yield goal, f"a milestone of {len(ahead)}"
    yield from self._frontier(state, progress)
    for i in range(len(_PLAIN)):
      kind = _PLAIN[(self._turn + i) % len(_PLAIN)]
      yield Goal(kind), "nothing else is known"

  def _least_tried(
    self, ahead: list[knowledge_lib.Milestone]
  ) -> knowledge_lib.Milestone | None:
    """The milestone to pursue: of the next few that which failed least.

    No further than the next badge: what comes after it needs it.
    """
    near = ahead[: self._config.window]
    badges = [i for i, m in enumerate(near) if m.goal.kind == "badge"]
    near = near[: badges[0] + 1] if badges else near
    return min(near, key=self._rounds, default=None)

  def _rounds(self, milestone: knowledge_lib.Milestone) -> int:
    return self._failures.get(milestone, 0) // self._config.tries

  def _is_hurt(self, state: schema.State) -> bool:
    """Whether to heal, until all is well; with hysteresis."""
    share = (
      self._config.healed_share if self._healing else self._config.hurt_share
    )
    self._healing = requests.is_hurt(state, share)
    return self._healing

  def _heal(self, state: schema.State):
    """Heal where it is done."""
    places = self._places(None)
    yield from self._led(state, places, "hurt: on the way to heal")
    onward = self._walks.onward(_here(state), places)
    if onward is not None:
      yield onward, "hurt: on the way to heal"
    elif state.map_id in {cell[0] for cell in places}:
      yield Goal("heal"), "hurt: healing is done on this map"

  def _buy(self, state: schema.State) -> Iterator[tuple[Goal, str]]:
    """Buy what catches, where there is too little of it and a shop is near."""
    prices = self._knowledge.shops
    wanted = (
      self._config.enough_items if self._shopping else self._config.fewest_items
    )
    places = {at for at, price in prices.items() if price <= state.money}
    self._shopping = bool(places) and state.capture_items < wanted
    if not self._shopping or self._in_vain > 1:
      return
    path = self._walks.path(_here(state), places.__contains__)
    if path is None or len(path) > self._config.shop_cells:
      self._shopping = False
      return
    yield from self._led(state, places, "on the way to a shop")
    onward = self._walks.onward(_here(state), places)
    if onward is not None:
      yield onward, "on the way to a shop"
    yield Goal("item"), "what catches is sold here"

  def _led(
    self, state: schema.State, places: set[knowledge_lib.Cell], why: str
  ) -> Iterator[tuple[Goal, str]]:
    """The next cell of a way that is led cell by cell, if it is."""
    stride = self._config.stride
    goal = self._walks.ahead(_here(state), places, stride) if stride else None
    if goal is not None:
      yield goal, why

  def _along(
    self,
    state: schema.State,
    strides: tuple[int, ...],
    meant: knowledge_lib.Milestone | None,
  ) -> list[tuple[Goal, str]]:
    """Cells so many steps on, on the way to what is meant, else to healing."""
    found = self._walks.along(_here(state), self._places(meant), strides)
    self._on_the_way.update(found)
    return [(goal, "stuck: a cell on the way") for goal in found]

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
  ) -> list[tuple[Goal, str]]:
    """What to try in turn where the milestone that is meant led nowhere.

    Whoever knows what to do goes back to a map that this game has seen: others
    lie beyond what it can do yet. Whoever does not explores.
    """
    found = self._along(state, _STRIDES, meant)
    cell = self._unvisited(state, progress)
    if cell is not None:
      why = "stuck: a cell not visited yet"
      found.append((Goal("tile", state.map_id, *cell), why))
    ways = self._knowledge.ways_out(state.map_id)
    if ways:
      tried = self._walks.onward(_here(state), self._places(meant))
      way = min(
        ways,
        key=lambda way: (
          Goal("map", way.end[0]) == tried,
          (way.end[0] in progress.maps) != knows,
        ),
      )
      found.append((Goal("map", way.end[0]), "stuck: leave this map"))
    return found

  def _frontier(self, state: schema.State, progress):
    """The nearest map that this game has not seen, else an unseen cell."""
    unseen = set(self._knowledge.map_ids) - progress.maps.keys()
    route = self._knowledge.route(state.map_id, unseen)
    if route:
      yield (
        Goal("map", route[0].end[0]),
        f"frontier: towards map {route[-1].end[0]}",
      )
    cell = self._unvisited(state, progress)
    if cell is not None:
      yield Goal("tile", state.map_id, *cell), "frontier: a cell not visited"

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


def _here(state: schema.State) -> knowledge_lib.Cell:
  return state.map_id, state.y, state.x
