"""Where the scripted player of a full world goes next, and why.

Everything follows from the state: errands are people whose wish can be
fulfilled now, the next leader is the weakest that would fight, and the rest is
training, catching, healing and shopping on the way.
"""

from collections.abc import Iterable
from typing import Any

from data_tools.players import vale_fight
from data_tools.players import vale_state
from data_tools.players import ways

LANTERN, SALVE = 4, 20  # item ids
_TIRED = 0.45  # share of HP below which it goes to a healer
_FIT = 0.85  # share of HP with which it dares to meet a leader
_DETOUR = 14  # steps it goes out of its way for a gift
_SHOPPING = 40  # steps to a shop that are worth it
_FEW = 3  # lanterns with which it goes shopping
_STOCK = {LANTERN: 8, SALVE: 3}  # what it buys up to
_WEARY_LEVELS = 1  # wild creatures may be that much above the first creature
_LEVEL_IN_STEPS = 25  # walking that a level more of wild creatures is worth
_NEW_IN_STEPS = 60  # and what a species that it has not got is worth
_AWKWARD, _HANDY = 5, -2  # levels more against types that beat or fear its own


class Plan:
  """Goals of one world, with the taste of one episode."""

  def __init__(
    self, facts: dict[str, Any], way: ways.Ways, tactics: vale_fight.Tactics
  ):
    """Takes the facts of a full world."""
    self._ways, self._tactics = way, tactics
    self._numbers = {name: i for i, name in enumerate(facts["species"], 1)}
    self._items = {item["name"]: item for item in facts["items"]}
    self._habitats = {place["id"]: place["habitats"] for place in facts["maps"]}
    trainers = {trainer["name"]: trainer for trainer in facts["trainers"]}
    self._leaders = sorted(
      (
        (self._top(trainers[p.facts["trainer"]]), p.cell, p)
        for p in way.people
        if p.role == "leader"
      ),
    )
    self._trainers = trainers
    self.reset(1, 11)

  def reset(self, margin: int, target_species: int) -> None:
    """Starts an episode: levels above a leader, species to own."""
    self._margin, self._target = margin, target_species

  def wants(self, state: vale_state.State, species: int) -> bool:
    """Whether it would catch this one."""
    return bool(state.bag.get(LANTERN)) and not state.has_species(species)

  def to_buy(self, state: vale_state.State) -> list[str]:
    """Names of the goods that it can pay for and has too few of."""
    return [
      name
      for name, item in self._items.items()
      if state.bag.get(item["id"], 0) < _STOCK.get(item["id"], 0)
      and 0 < item["price"] <= state.money
    ]

  def people(self, state: vale_state.State) -> list[ways.Someone]:
    """Those it goes to now; empty when it trains."""
    healers = self._with_role("healer")
    lead = state.party[0]
    if lead.share < _TIRED:
      return healers
    gifts = [p for p in self._gifts(state) if self.far(state, p) <= _DETOUR]
    if gifts:
      return gifts
    if self.to_buy(state) and state.bag.get(LANTERN, 0) < _FEW:
      shops = self._with_role("shop")
      shops = [p for p in shops if self.far(state, p) <= _SHOPPING]
      if shops:
        return shops
    errands = [p for p in self._errands(state) if lead.level >= self._needed(p)]
    if errands:
      return [min(errands, key=lambda p: self.far(state, p))]
    leader = self._next_leader(state)
    if leader is None or lead.level < self._required(leader, lead):
      return []
    if self._ends(leader) and self._is_poor(state):
      return []
    return [leader] if lead.share >= _FIT else healers

  def train(self, state: vale_state.State) -> list[int]:
    """Actions that lead to wild creatures, or about among them."""
    here, cells = state.here, self._ground(state)
    if here not in cells:
      return self._ways.steps(here, cells, state.flags)
    closed = self._ways.closed(state.flags)
    # Not over a ledge, nor through a door: the way back may be long.
    beside = [
      (action, to)
      for action, entered, to in self._ways.exits[here]
      if entered not in closed
      and to[0] == here[0]
      and abs(to[1] - here[1]) + abs(to[2] - here[2]) == 1
    ]
    wild = [action for action, to in beside if to in cells]
    return wild or [action for action, _ in beside]

  def far(self, state: vale_state.State, who: ways.Someone) -> float:
    """Steps until it stands beside somebody."""
    goals = self._ways.beside(who)
    return self._ways.distances(goals, state.flags).get(
      state.here, float("inf")
    )

  def _with_role(self, role: str) -> list[ways.Someone]:
    return [p for p in self._ways.people if p.role == role]

  def _gifts(self, state: vale_state.State) -> Iterable[ways.Someone]:
    for person in self._ways.people:
      given = person.facts.get("gives")
      done = state.flags >> person.flag & 1
      if given and not done and "takes" not in person.facts:
        yield person

  def _errands(self, state: vale_state.State) -> Iterable[ways.Someone]:
    """People who bring the story on, and can do so now."""
    for person in self._ways.people:
      facts = person.facts
      if person.role == "leader" or not person.is_there(state.flags):
        continue
      if facts.get("needs_badges", 0) > state.badges:
        continue
      given = self._items.get(facts.get("gives", ""), {})
      taken = self._items.get(facts.get("takes", ""), {})
      is_key = given.get("kind") == "key"
      if not ("sets" in facts and ("until" in facts or taken)) and not is_key:
        continue
      if taken and not state.bag.get(taken["id"]):
        continue
      if "sets" in facts and state.flags >> facts["sets"] & 1:
        continue
      if self.far(state, person) < float("inf"):
        yield person

  def _needed(self, person: ways.Someone) -> int:
    """Level with which it dares to walk where somebody stands."""
    levels = [h["levels"][1] for h in self._habitats[person.cell[0]]]
    return max(levels, default=0) - 1

  def _next_leader(self, state: vale_state.State) -> ways.Someone | None:
    for _, _, person in self._leaders:
      trainer = self._trainers[person.facts["trainer"]]
      beaten = state.flags >> trainer["flag"] & 1
      if beaten or person.facts.get("needs_badges", 0) > state.badges:
        continue
      if self.far(state, person) < float("inf"):
        return person
    return None

  def _top(self, trainer: dict[str, Any]) -> int:
    return max(level for _, level in trainer["team"])

  def _ends(self, leader: ways.Someone) -> bool:
    return self._trainers[leader.facts["trainer"]]["ends_game"]

  def _required(self, leader: ways.Someone, lead: vale_state.Glim) -> int:
    trainer = self._trainers[leader.facts["trainer"]]
    mine = self._tactics.type_of(lead.species)
    theirs = [
      self._tactics.type_of(self._numbers[name]) for name, _ in trainer["team"]
    ]
    level = self._top(trainer) + self._margin
    if any(self._tactics.factor(t, mine) > 1 for t in theirs):
      level += _AWKWARD
    elif all(self._tactics.factor(mine, t) > 1 for t in theirs):
      level += _HANDY
    return level

  def _is_poor(self, state: vale_state.State) -> bool:
    """Too few species, and a way to more of them."""
    if state.owned.bit_count() >= self._target:
      return False
    return bool(state.bag.get(LANTERN) or self.to_buy(state))

  def _ground(self, state: vale_state.State) -> frozenset[ways.Cell]:
    """The wild cells of the map that is best to train on."""
    lead = state.party[0]
    short_of = state.owned.bit_count() < self._target
    worths = {}
    for number, cells in self._ways.wild.items():
      habitats = self._habitats[number]
      high = max((h["levels"][1] for h in habitats), default=99)
      way = self._ways.distances(cells, state.flags).get(state.here)
      if high > lead.level + _WEARY_LEVELS or way is None:
        continue
      new = sum(
        not state.has_species(self._numbers[h["species"]]) for h in habitats
      )
      worths[number] = _LEVEL_IN_STEPS * high - way
      worths[number] += _NEW_IN_STEPS * min(new, 2) * short_of
    if not worths:
      return frozenset()
    best = max(worths, key=lambda number: worths[number])
    return frozenset(self._ways.wild[best])
