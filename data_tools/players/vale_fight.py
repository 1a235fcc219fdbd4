"""Battles of the scripted player of a full world: what it chooses, and why."""

from typing import Any

from data_tools.players import vale_state

_LUCK = 2  # most that chance adds to a blow
_WEAK = 0.55  # share of HP below which a lantern is worth throwing
_HURT = 0.35  # share of HP below which a salve is worth a turn
_FAILING = 0.25


class Tactics:
  """The rules of battle, from the facts of a full world."""

  def __init__(self, facts: dict[str, Any]):
    """Takes the facts of a full world."""
    self._species = facts["species_numbers"]
    self._moves = facts["moves"]
    self._factors = {(a, d): f for a, d, f in facts["effective"]}

  def type_of(self, species: int) -> str:
    """Type of a species by its number."""
    return self._species[species - 1]["type"]

  def factor(self, attacker: str, defender: str) -> float:
    """What a type does to another: 2, 1 or 0.5."""
    return self._factors.get((attacker, defender), 1)

  def damage(
    self, move: int, own: vale_state.Glim, foe: vale_state.Glim
  ) -> float:
    """Expected damage of a move, misses included."""
    entry = self._moves[move - 1]
    factor = self.factor(entry["type"], self.type_of(foe.species))
    power = max(1, entry["power"] + own.attack - foe.defense + _LUCK / 2)
    return factor * power * entry["accuracy"] / 256

  def best_move(self, own: vale_state.Glim, foe: vale_state.Glim) -> int:
    """Number of the known move that does the most; 0 where none is known."""
    moves = [m for m in own.moves if m <= len(self._moves)]
    return max(moves, key=lambda m: self.damage(m, own, foe), default=0)

  def move_name(self, move: int) -> str:
    """Name of a move by its number."""
    return self._moves[move - 1]["name"]

  def known_moves(self, species: int, level: int) -> tuple[int, ...]:
    """What a creature of that level knows: the last four."""
    names = [m["name"] for m in self._moves]
    learned = [
      m for m, at in self._species[species - 1]["moves"] if at <= level
    ]
    return tuple(names.index(m) + 1 for m in learned[-4:])

  def duel(self, own: vale_state.Glim, foe: vale_state.Glim) -> float:
    """Share of the foe's HP taken for each share of the own that is lost."""
    if not own.hp:
      return 0.0
    given = self.damage(self.best_move(own, foe), own, foe) / max(1, foe.hp)
    foe_moves = self.known_moves(foe.species, foe.level)
    taken = max(self.damage(m, foe, own) for m in foe_moves) / own.hp
    return given / taken

  def choose_slot(self, state: vale_state.State, foe: vale_state.Glim) -> int:
    """The member that does best against the foe."""
    duels = [self.duel(member, foe) for member in state.party]
    return max(range(len(duels)), key=lambda slot: duels[slot])

  def better_slot(
    self, state: vale_state.State, foe: vale_state.Glim
  ) -> int | None:
    """A member worth the turn that a switch costs, or None."""
    if state.active >= len(state.party):
      return None
    best = self.choose_slot(state, foe)
    now = self.duel(state.party[state.active], foe)
    if best == state.active or self.duel(state.party[best], foe) < 1.3:
      return None
    return best if self.duel(state.party[best], foe) > 2 * now else None

  def should_throw(self, own: vale_state.Glim, foe: vale_state.Glim) -> bool:
    """Whether a lantern is better now than another blow."""
    blow = self.damage(self.best_move(own, foe), own, foe) + _LUCK
    return foe.share <= _WEAK or foe.hp <= blow

  def should_heal(self, own: vale_state.Glim, foe: vale_state.Glim) -> bool:
    """Whether a salve is better now than a blow."""
    blow = self.damage(self.best_move(own, foe), own, foe)
    return own.share < _HURT and foe.hp > blow

  def should_run(self, own: vale_state.Glim, foe: vale_state.Glim) -> bool:
    """Whether a wild battle is about to be lost."""
    return own.share < _FAILING and self.duel(own, foe) < 1
