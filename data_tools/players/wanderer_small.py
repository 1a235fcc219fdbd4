"""A scripted player that goes everywhere in a small world, on no errand.

As `wanderer.py` does in full worlds: it walks to cells of maps that it has been
on least. So rooms are seen from all sides: what a demonstrator, who takes the
shortest way, never shows, and where a policy may come all the same. From wild
creatures it runs, or it throws lanterns at them, also when none is left: a
policy that never saw that nothing comes of it would try for ever. Others it
fights.
"""

from typing import Any

import numpy as np

from data_tools import cartridge
from data_tools.game import ram_addresses as ram
from data_tools.players import demonstrator_small

_PATIENCE = 60  # steps after which it goes elsewhere
_THROWERS = 0.7  # share of its wild battles in which it throws lanterns
# Chance to go on after a step in the menu with none left; a throw takes two.
_STUBBORN = 0.93


class Waste:
  """Whether to throw lanterns in a wild battle, whatever is left of them.

  Dreams of a model that saw it fail 13 times in 48,000 steps said that one
  throw of six with none left would catch, and a policy threw for ever.
  """

  def __init__(self, rng: np.random.Generator, share: float = _THROWERS):
    self._rng, self._share = rng, share
    self._throws: bool | None = None  # in this battle; None outside

  def ends(self) -> None:
    """There is no battle now."""
    self._throws = None

  def goes_on(self, lanterns: int) -> bool:
    """Whether the next step in the menu is spent on a throw.

    Args:
      lanterns: how many there are.
    """
    if self._throws is None:
      self._throws = self._rng.random() < self._share
    if not lanterns:
      self._throws &= self._rng.random() < _STUBBORN
    return self._throws


class Wanderer(demonstrator_small.Demonstrator):
  """Plays one world; `reset`, then `act` once a step."""

  def __init__(self, world: cartridge.World):
    """Makes a player for one world."""
    # Strong enough for everything from the start: it runs, and never trains.
    super().__init__(world, target_levels=(0,), runs=True)
    self._cells: dict[int, list[demonstrator_small.Cell]] = {}
    for cell in sorted(self._exits):
      self._cells.setdefault(cell[0], []).append(cell)

  def reset(self, rng: np.random.Generator) -> None:
    """Starts an episode; all of its taste comes from `rng`."""
    super().reset(rng)
    self._waste = Waste(rng)
    self._visits: dict[int, int] = {}  # map -> steps there
    self._goal: demonstrator_small.Cell | None = None
    self._left = 0  # steps of patience

  def _wild_choice(self, memory: Any) -> int:
    catch, run = demonstrator_small.CATCH, demonstrator_small.RUN
    return catch if self._waste.goes_on(self._lanterns(memory)) else run

  def _roam(self, memory: Any) -> int:
    self._waste.ends()
    here = (memory[ram.MAP_ID], memory[ram.PLAYER_X], memory[ram.PLAYER_Y])
    self._visits[here[0]] = self._visits.get(here[0], 0) + 1
    self._left -= 1
    if self._goal is None or here == self._goal or self._left <= 0:
      self._goal, self._left = self._choose(), _PATIENCE
    return self._towards(here, (self._goal,))

  def _choose(self) -> demonstrator_small.Cell:
    """Draws where to go: seldom seen maps first."""
    maps = list(self._cells)
    weight = np.array([1.0 / (1 + self._visits.get(m, 0)) for m in maps])
    number = maps[int(self._rng.choice(len(maps), p=weight / weight.sum()))]
    cells = self._cells[number]
    return cells[int(self._rng.integers(len(cells)))]
