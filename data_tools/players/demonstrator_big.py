"""A scripted player that wins a full world of the practice cartridge.

Like `demonstrator`, it reads memory and the world's facts and decides anew on
every step. What it does next follows from the story flags: the nearest thing
that brings the story on, once its first creature is strong enough for it;
until then it trains where wild creatures are about as strong as it is. It
heals, buys lanterns and salves, and catches what it has not got.
"""

from typing import Any

import numpy as np

from data_tools.game import ram_addresses as ram
from data_tools.players import screen_text
from data_tools.players import vale_fight
from data_tools.players import vale_plan
from data_tools.players import vale_state
from data_tools.players import ways
from pokedreamer_jax import specs

_A, _B = specs.ACTIONS.index("a"), specs.ACTIONS.index("b")
_START, _PASS = specs.ACTIONS.index("start"), specs.PASS
_PARTY_PITCH, _PARTY_CURSOR = 2, 1  # rows of a member, column of the cursor
_STALL = 40  # steps without any change after which it tries anything
# Of one in haste: levels above a leader's strongest, species to own.
_HASTY_MARGINS, _HASTY_SPECIES = (-8, -6, -4, -2), (2, 5, 8)


def make(facts: dict[str, Any], hasty: bool = False) -> "Demonstrator":
  """The player for a full world; one in haste meets leaders too early."""
  if hasty:
    return Demonstrator(facts, _HASTY_MARGINS, _HASTY_SPECIES)
  return Demonstrator(facts)


class Demonstrator:
  """Plays one full world; `reset`, then `act` once a step."""

  def __init__(
    self,
    facts: dict[str, Any],
    margins: tuple[int, ...] = (1, 2),
    target_species: tuple[int, ...] = (10, 11),
  ):
    """Makes a player for one world.

    Args:
      facts: those of the cartridge, from its JSON file.
      margins: levels that its first creature should have above a leader's
        strongest, drawn for each episode.
      target_species: how many species it tries to own, drawn as well.
    """
    self._ways = ways.Ways(facts)
    self._tactics = vale_fight.Tactics(facts)
    self._plan = vale_plan.Plan(facts, self._ways, self._tactics)
    self._texts = facts["texts"]
    self._species = facts["species"]
    self._items = {item["id"]: item["name"] for item in facts["items"]}
    self._margins, self._targets = margins, target_species
    self.reset(np.random.default_rng(0))

  def reset(self, rng: np.random.Generator) -> None:
    """Starts an episode; all of its taste comes from `rng`."""
    self._rng = rng
    self._plan.reset(
      int(rng.choice(self._margins)), int(rng.choice(self._targets))
    )
    self._last: Any = None
    self._stalled = 0

  def act(self, memory: Any) -> int:
    """The next action.

    Args:
      memory: the address space, `memory[address]` and slices of it.

    Returns:
      Index into `specs.ACTIONS`.
    """
    if not memory[ram.STATUS_FLAGS_6] & 1:
      return _START
    state = vale_state.read(memory)
    lines = screen_text.read(memory)
    if self._is_stuck((state, lines)):
      return int(self._rng.integers(specs.NUM_ACTIONS))
    battle = memory[ram.IN_BATTLE]
    if battle in (1, 2):
      return self._fight(state, vale_state.foe(memory), lines, battle == 1)
    if battle or memory[ram.FONT_LOADED] & 1:
      return self._talk(state, lines)
    if memory[ram.JOY_IGNORE] or memory[ram.WALK_COUNTER]:
      return _PASS
    return self._roam(state)

  def _is_stuck(self, seen: Any) -> bool:
    self._stalled = self._stalled + 1 if seen == self._last else 0
    self._last = seen
    return self._stalled > _STALL and self._rng.random() < 0.5

  def _fight(
    self,
    state: vale_state.State,
    foe: vale_state.Glim,
    lines: list[str],
    wild: bool,
  ) -> int:
    if screen_text.cursor(lines) is None:
      return _A
    wish = self._wish(state, foe, lines, wild)
    if isinstance(wish, int):
      return self._choose_member(state, lines, wish)
    action = screen_text.steer(lines, wish)
    return _B if action is None else action

  def _choose_member(
    self, state: vale_state.State, lines: list[str], slot: int
  ) -> int:
    """Marks a member in the list of the party; B in any other menu."""
    name = self._species[state.party[slot].species - 1]
    row = _PARTY_PITCH * slot
    if not lines[row][_PARTY_CURSOR + 1 :].startswith(name):
      return _B
    action = screen_text.go_to(lines, (row, _PARTY_CURSOR))
    return _B if action is None else action

  def _wish(
    self,
    state: vale_state.State,
    foe: vale_state.Glim,
    lines: list[str],
    wild: bool,
  ) -> str | int:
    """The entry of the open menu that is wanted, or a slot of the party."""
    own = state.party[min(state.active, len(state.party) - 1)]
    tactics, texts = self._tactics, self._texts
    # First menu; then what the second offers.
    is_first = any(texts["menu_run"] in line for line in lines)
    # In the wild the first creature is to learn: it fights, or all run.
    slot = None if wild else tactics.better_slot(state, foe)
    throws = wild and self._plan.wants(state, foe.species)
    if not own.hp:
      return tactics.choose_slot(state, foe)
    if throws and tactics.should_throw(own, foe):
      return texts["menu_catch"] if is_first else self._items[vale_plan.LANTERN]
    if state.bag.get(vale_plan.SALVE) and tactics.should_heal(own, foe):
      return texts["menu_catch"] if is_first else self._items[vale_plan.SALVE]
    if wild and tactics.should_run(own, foe):
      return texts["menu_run"]
    if slot is not None:
      return texts["menu_switch"] if is_first else slot
    best = tactics.best_move(own, foe)
    return texts["menu_attack"] if is_first else tactics.move_name(best)

  def _talk(self, state: vale_state.State, lines: list[str]) -> int:
    if screen_text.cursor(lines) is None:
      return _A
    for name in self._plan.to_buy(state):
      action = screen_text.steer(lines, name)
      if action is not None:
        return action
    return _B

  def _roam(self, state: vale_state.State) -> int:
    people = self._plan.people(state)
    if not people:
      return self._any(self._plan.train(state))
    beside: dict[ways.Cell, str] = {}
    for person in people:
      beside |= self._ways.beside(person)
    if state.here in beside:
      way = beside[state.here]
      return _A if state.facing == way else specs.ACTIONS.index(way)
    return self._any(self._ways.steps(state.here, beside, state.flags))

  def _any(self, actions: list[int]) -> int:
    if not actions:
      return int(self._rng.integers(len(ways.MOVES)))
    return int(actions[self._rng.integers(len(actions))])
