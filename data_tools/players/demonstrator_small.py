"""A scripted player that wins the practice cartridge.

It reads memory and the world's facts, and decides anew on every step, so it
can be displaced by other players' actions at any moment. Per episode it draws
its own taste: where to look for wild creatures, how strong to grow, how many
species to catch.
"""

import collections
from typing import Any

import numpy as np

from data_tools import cartridge
from data_tools.game import ram_addresses as ram
from pokedreamer_jax import specs

# (dx, dy) of the four directions, which are the first actions.
_MOVES = {"down": (0, 1), "left": (-1, 0), "right": (1, 0), "up": (0, -1)}
_FACINGS = {0: "down", 4: "up", 8: "left", 12: "right"}
_A = specs.ACTIONS.index("a")
_START = specs.ACTIONS.index("start")
_UP = specs.ACTIONS.index("up")
_DOWN = specs.ACTIONS.index("down")

ATTACK, CATCH, RUN = 0, 1, 2  # entries of the battle menu
_BAG_COUNT, _LANTERNS = 0xD31D, 0xD31F
_OWN_ATTACK, _OWN_DEFENSE = 0xD026, 0xD028  # low bytes
_FOE_ATTACK, _FOE_DEFENSE = 0xCFF7, 0xCFF9
_OWN_HP, _OWN_MAX_HP = 0xD016, 0xD024
_FOE_HP = 0xCFE7

_LUCK = 2  # most that chance adds to a hit
_TIRED = 0.45  # share of HP below which it goes to the healer
_FIT = 0.9  # share of HP with which it dares to meet the leader

# Of one in haste: it meets the leader with the creature that it was given, or
# a level later, catches nothing on purpose and then runs from what is wild.
_HASTY_LEVELS, _HASTY_SPECIES = (5, 6, 6), (1,)

Cell = tuple[int, int, int]  # map, x, y


def make(rom_sha1: str, hasty: bool = False) -> Any:
  """The player for a cartridge, with `reset` and `act`; None for others.

  Args:
    rom_sha1: of the cartridge.
    hasty: whether it challenges leaders before it is strong enough.
  """
  facts, world = cartridge.facts(rom_sha1), cartridge.world(rom_sha1)
  if facts is None or world is None:
    return None
  if facts.get("full"):
    from data_tools.players import demonstrator_big

    return demonstrator_big.make(facts, hasty)
  if hasty:
    return Demonstrator(world, _HASTY_LEVELS, _HASTY_SPECIES, runs=True)
  return Demonstrator(world)


class Demonstrator:
  """Plays one world; `reset`, then `act` once a step."""

  def __init__(
    self,
    world: cartridge.World,
    target_levels: tuple[int, ...] = (7, 8),
    target_species: tuple[int, ...] = (2, 3),
    runs: bool = False,
  ):
    """Makes a player for one world.

    Args:
      world: facts of the cartridge.
      target_levels: before it meets the leader, its first creature has one
        of these levels, drawn for each episode.
      target_species: how many species it tries to own by then, drawn as well.
      runs: from wild creatures, once it has the level.
    """
    self._world = world
    self._target_levels = target_levels
    self._species_targets = target_species
    self._runs = runs
    self._exits: dict[Cell, list[tuple[int, Cell]]] = {}
    self._entries: dict[Cell, list[Cell]] = collections.defaultdict(list)
    self._connect()
    self._distances: dict[tuple[Cell, ...], dict[Cell, int]] = {}
    self._grass = [
      (number, int(x), int(y))
      for number, place in world.maps.items()
      for y, x in zip(*np.nonzero(place.grass), strict=True)
    ]
    self._healers = self._people("healer")
    self._leaders = self._people("leader")
    self.reset(np.random.default_rng(0))

  def reset(self, rng: np.random.Generator) -> None:
    """Starts an episode; all of its taste comes from `rng`."""
    self._rng = rng
    self._target_level = int(rng.choice(self._target_levels))
    self._target_species = int(rng.choice(self._species_targets))
    self._meadow = self._any_grass()

  def act(self, memory: Any) -> int:
    """The next action.

    Args:
      memory: the address space, `memory[address]` and slices of it.

    Returns:
      Index into `specs.ACTIONS`.
    """
    if not memory[ram.STATUS_FLAGS_6] & 1:
      return _START
    battle = memory[ram.IN_BATTLE]
    if battle in (1, 2):
      return self._fight(memory, wild=battle == 1)
    if battle or memory[ram.FONT_LOADED] & 1:
      return _A
    return self._roam(memory)

  def _connect(self) -> None:
    """Cells and where each direction leads, through warps."""
    for number, place in self._world.maps.items():
      warps = {(w.x, w.y): (w.to, w.to_x, w.to_y) for w in place.warps}
      for y, x in zip(*np.nonzero(place.walkable), strict=True):
        cell = (number, int(x), int(y))
        self._exits[cell] = []
        for name, (dx, dy) in _MOVES.items():
          to_x, to_y = cell[1] + dx, cell[2] + dy
          if not (0 <= to_x < place.width and 0 <= to_y < place.height):
            continue
          if not place.walkable[to_y, to_x]:
            continue
          to = warps.get((to_x, to_y), (number, to_x, to_y))
          self._exits[cell].append((specs.ACTIONS.index(name), to))
          self._entries[to].append(cell)

  def _people(self, role: str) -> list[Cell]:
    return [
      (number, person.x, person.y)
      for number, place in self._world.maps.items()
      for person in place.people
      if person.role == role
    ]

  def _any_grass(self) -> Cell:
    return self._grass[self._rng.integers(len(self._grass))]

  def _fight(self, memory: Any, wild: bool) -> int:
    screen = memory[
      ram.SCREEN_TILES : ram.SCREEN_TILES + ram.SCREEN_COLUMNS * ram.SCREEN_ROWS
    ]
    if ram.CURSOR_TILE not in screen:
      return _A
    wanted = self._wild_choice(memory) if wild else ATTACK
    marked = memory[ram.MENU_ITEM]
    if marked == wanted:
      return _A
    return _DOWN if marked < wanted else _UP

  def _is_strong(self, memory: Any) -> bool:
    return bool(memory[ram.PARTY + ram.LEVEL_OFFSET] >= self._target_level)

  def _wild_choice(self, memory: Any) -> int:
    if self._runs and self._is_strong(memory):
      return RUN
    best_hit = self._hit(memory[_OWN_ATTACK], memory[_FOE_DEFENSE]) + _LUCK
    worst_blow = self._hit(memory[_FOE_ATTACK], memory[_OWN_DEFENSE]) + _LUCK
    would_end = memory[_FOE_HP] <= best_hit
    wants = self._wants(memory, memory[ram.ENEMY_SPECIES])
    if self._lanterns(memory) and would_end and wants:
      return CATCH
    if memory[_OWN_HP] <= worst_blow and not would_end:
      return RUN
    return ATTACK

  def _lanterns(self, memory: Any) -> int:
    return memory[_LANTERNS] if memory[_BAG_COUNT] else 0

  def _hit(self, attack: int, defense: int) -> int:
    return max(1, self._world.base_damage + attack - defense)

  def _owned(self, memory: Any) -> int:
    """Bitmask of the species owned."""
    dex = memory[ram.DEX_OWNED : ram.DEX_OWNED + ram.DEX_BYTES]
    return int.from_bytes(bytes(dex), "little")

  def _wants(self, memory: Any, species: int) -> bool:
    owned = self._owned(memory)
    is_new = not owned >> (species - 1) & 1
    return is_new and owned.bit_count() < self._target_species

  def _roam(self, memory: Any) -> int:
    here = (
      memory[ram.MAP_ID],
      memory[ram.PLAYER_X],
      memory[ram.PLAYER_Y],
    )
    facing = _FACINGS.get(memory[ram.PLAYER_FACING], "down")
    hp, max_hp = (
      memory[ram.PARTY + 2],
      memory[ram.PARTY + ram.MAX_HP_OFFSET + 1],
    )
    share = hp / max(1, max_hp)
    rich = self._owned(memory).bit_count() >= self._target_species
    ready = self._is_strong(memory) and (rich or not self._lanterns(memory))
    if share < (_FIT if ready else _TIRED):
      return self._visit(here, facing, self._healers)
    if ready:
      return self._visit(here, facing, self._leaders)
    if here == self._meadow:
      # From one grass cell to another nearby: wild creatures come.
      near = [c for c in self._grass if c[0] == here[0] and c != here]
      near.sort(key=lambda c: abs(c[1] - here[1]) + abs(c[2] - here[2]))
      self._meadow = near[self._rng.integers(min(4, len(near)))]
    return self._towards(here, (self._meadow,))

  def _visit(self, here: Cell, facing: str, people: list[Cell]) -> int:
    """Walks up to the nearest of `people`, faces and addresses it."""
    beside = {}
    for number, x, y in people:
      for name, (dx, dy) in _MOVES.items():
        cell = (number, x - dx, y - dy)
        if cell in self._exits:
          beside[cell] = name
    if here in beside:
      name = beside[here]
      return _A if facing == name else specs.ACTIONS.index(name)
    return self._towards(here, tuple(beside))

  def _towards(self, here: Cell, goals: tuple[Cell, ...]) -> int:
    """First step of a shortest way; any direction where there is none."""
    if goals not in self._distances:
      self._distances[goals] = self._distances_to(goals)
    distances = self._distances[goals]
    ways = [
      (distances[to], action)
      for action, to in self._exits.get(here, [])
      if to in distances
    ]
    if not ways:
      return int(self._rng.integers(len(_MOVES)))
    shortest = min(ways)[0]
    choices = [action for distance, action in ways if distance == shortest]
    return int(choices[self._rng.integers(len(choices))])

  def _distances_to(self, goals: tuple[Cell, ...]) -> dict[Cell, int]:
    distances = dict.fromkeys(goals, 0)
    queue = collections.deque(goals)
    while queue:
      cell = queue.popleft()
      for before in self._entries[cell]:
        if before not in distances:
          distances[before] = distances[cell] + 1
          queue.append(before)
    return distances
