"""A scripted player that goes everywhere in a full world, on no errand.

It walks to a place, or to somebody to talk to, on a map that it has been on
least, and then to the next. So houses are entered that no story asks for, and
maps are seen from all sides: what a world model must know and a demonstrator
never shows. From wild creatures it runs, or wastes lanterns on them
(`wanderer_small.py`); others it fights.
"""

from typing import Any

import numpy as np

from data_tools import cartridge
from data_tools.players import demonstrator_big
from data_tools.players import vale_plan
from data_tools.players import vale_state
from data_tools.players import wanderer_small
from data_tools.players import ways
from pokedreamer_jax import specs

_A = specs.ACTIONS.index("a")
_TRIES = 8  # places drawn before it takes any step
_PATIENCE = 120  # steps after which it goes elsewhere
_THROWERS = 0.2  # share of its wild battles in which it throws lanterns
_TALKS = 0.4  # share of its ways that lead to somebody


class Wanderer(demonstrator_big.Demonstrator):
  """Plays one full world; `reset`, then `act` once a step."""

  def __init__(self, facts: dict[str, Any]):
    """Makes a player for one world; `facts` are those of the cartridge."""
    super().__init__(facts)
    self._cells: dict[int, list[ways.Cell]] = {}
    for cell in sorted(self._ways.exits):
      self._cells.setdefault(cell[0], []).append(cell)

  def reset(self, rng: np.random.Generator) -> None:
    """Starts an episode; all of its taste comes from `rng`."""
    super().reset(rng)
    self._waste = wanderer_small.Waste(rng, _THROWERS)
    self._visits: dict[int, int] = {}  # map -> steps there
    self._goals: dict[ways.Cell, str] = {}  # cell -> way to face, or none
    self._left = 0  # steps of patience

  def _roam(self, state: vale_state.State) -> int:
    self._waste.ends()
    here = state.here
    self._visits[here[0]] = self._visits.get(here[0], 0) + 1
    self._left -= 1
    if here in self._goals and self._left > 0:
      way = self._goals[here]
      self._left = 0  # one word, and on
      if way and state.facing != way:
        self._left = 2
        return specs.ACTIONS.index(way)
      return _A
    if self._left <= 0 or not self._steps(state):
      self._choose(state)
    return self._any(self._steps(state))

  def _steps(self, state: vale_state.State) -> list[int]:
    return self._ways.steps(state.here, self._goals, state.flags)

  def _choose(self, state: vale_state.State) -> None:
    """Draws where to go: seldom seen maps first, of those that are in reach."""
    self._left, self._goals = _PATIENCE, {}
    maps = list(self._cells)
    weight = np.array([1.0 / (1 + self._visits.get(m, 0)) for m in maps])
    for _ in range(_TRIES):
      number = int(self._rng.choice(maps, p=weight / weight.sum()))
      there = [
        person
        for person in self._ways.people
        if person.cell[0] == number and person.is_there(state.flags)
      ]
      if there and self._rng.random() < _TALKS:
        goals = self._ways.beside(there[self._rng.integers(len(there))])
      else:
        cells = self._cells[number]
        goals = {cells[self._rng.integers(len(cells))]: ""}
      if goals and state.here not in goals:
        if self._ways.steps(state.here, goals, state.flags):
          self._goals = goals
          return

  def _wish(
    self,
    state: vale_state.State,
    foe: vale_state.Glim,
    lines: list[str],
    wild: bool,
  ) -> str | int:
    is_first = any(self._texts["menu_run"] in line for line in lines)
    own = state.party[min(state.active, len(state.party) - 1)]
    if wild and own.hp:
      if self._waste.goes_on(state.bag.get(vale_plan.LANTERN, 0)):
        catch = self._texts["menu_catch"]
        return str(catch if is_first else self._items[vale_plan.LANTERN])
      if is_first:
        return str(self._texts["menu_run"])
    return super()._wish(state, foe, lines, wild)


def make(rom_sha1: str) -> Any:
  """The player for a cartridge, with `reset` and `act`; None for others."""
  facts, world = cartridge.facts(rom_sha1), cartridge.world(rom_sha1)
  if facts is None or world is None:
    return None
  return (
    Wanderer(facts) if facts.get("full") else wanderer_small.Wanderer(world)
  )
