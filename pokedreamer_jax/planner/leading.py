"""From what a planner named to what is pursued: the way there, unasked.

A planner names an errand: a badge, a map, healing, a cell far off. A policy is
led there over the ways that records took, from one near goal to the next: to a
cell some steps on where it reads how far off that is, else from map to map.
What leads nowhere is tried once more in another way before a planner hears of
it. Nothing here chooses what to do.
"""

import dataclasses

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import knowledge as knowledge_lib
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import walking

Cell = knowledge_lib.Cell
Goal = goal_specs.Goal

STRIDE = 8  # cells; what policies that can be led are led by
_NEARER = 4  # cells, where a cell further on led nowhere
_TRIES = 1  # further ones, until something on the way is reached


@dataclasses.dataclass(frozen=True)
class Errand:
  """What a planner named."""

  goal: Goal
  at: Cell | None = None  # where it is done; None: where records know of


NOTHING = Errand(goal_specs.NONE)


class Guide:
  """Leads one game through one errand after the other."""

  def __init__(
    self,
    knowledge: knowledge_lib.Knowledge,
    walks: walking.Walks,
    stride: int,
    enough_items: int,
  ):
    """Nothing is to be done yet.

    Args:
      knowledge: from records.
      walks: over the same.
      stride: cells between goals; 0 for a policy that cannot be led by cells.
      enough_items: that catch; whoever buys them does so up to here.
    """
    self._knowledge, self._walks = knowledge, walks
    self._stride, self._enough_items = stride, enough_items
    self._errand = NOTHING
    self._map_id = -1  # where the way was looked up
    self._tries = 0
    self._arrivals: dict[int, set[Cell]] = {}

  def begin(self, errand: Errand, state: schema.State) -> Goal:
    """The first goal of an errand."""
    self._errand, self._tries = errand, 0
    return self._next(state)

  def onward(self, state: schema.State, reached: bool = False) -> Goal:
    """The next goal from here.

    Args:
      state: of the game.
      reached: whether the goal before was; else the game has left its way.
    """
    if reached and (self._stride or state.map_id != self._map_id):
      self._tries = 0
    return self._next(state)

  def again(self, state: schema.State, failed: Goal) -> Goal | None:
    """Another goal of the errand than one that led nowhere.

    Returns:
      None where a planner has to hear of it: it was tried before, a battle
      holds the game up, or no cell on the way is left.
    """
    if self._tries >= _TRIES or state.in_battle in ("wild", "trainer"):
      return None
    self._tries += 1
    self._map_id = state.map_id
    ways = self._walks.along(state.cell, self._places(state), (STRIDE, _NEARER))
    return next((goal for goal in ways if goal != failed), None)

  def has_strayed(self, state: schema.State) -> bool:
    """Whether the game is on another map than that of its next goal."""
    return state.has_control and state.map_id != self._map_id

  def goes_on(self, state: schema.State) -> bool:
    """Whether an errand that was reached is one until there is enough."""
    return (
      self._errand == Errand(Goal("item"))
      and state.capture_items < self._enough_items
      and bool(self._shops(state))
    )

  def _next(self, state: schema.State) -> Goal:
    self._map_id = state.map_id
    places = self._places(state)
    if not places:
      return self._errand.goal
    # Without a stride cells are for what led nowhere before.
    stride = self._stride or (STRIDE if self._tries else 0)
    cell = self._walks.ahead(state.cell, places, stride) if stride else None
    return cell or self._walks.onward(state.cell, places) or self._errand.goal

  def _places(self, state: schema.State) -> set[Cell]:
    """Cells where the errand is done, as far as anybody knows."""
    goal, at = self._errand.goal, self._errand.at
    if at is not None:
      return {at}
    if goal.kind == "tile" and goal.map_id is not None:
      return {(goal.map_id, goal.y or 0, goal.x or 0)}
    if goal.kind == "map" and goal.map_id is not None:
      return self._arrivals_of(goal.map_id)
    if goal.kind in ("heal", "heal_party"):
      return set(self._knowledge.healing)
    return self._shops(state) if goal.kind == "item" else set()

  def _shops(self, state: schema.State) -> set[Cell]:
    prices = self._knowledge.shops.items()
    return {at for at, price in prices if price <= state.money}

  def _arrivals_of(self, map_id: int) -> set[Cell]:
    """Cells on which one arrives there from another map."""
    if map_id not in self._arrivals:
      self._arrivals[map_id] = {
        way.end for way in self._knowledge.ways if way.end[0] == map_id
      }
    return self._arrivals[map_id]
