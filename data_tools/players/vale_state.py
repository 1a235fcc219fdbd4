"""What the scripted player of a full world reads from memory."""

import dataclasses
from typing import Any

from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.players import ways

BAG_COUNT, BAG_ITEMS = 0xD31D, 0xD31E
ACTIVE_SLOT = 0xCC2F
FOE_MAX_HP, FOE_ATTACK, FOE_DEFENSE, FOE_SPEED = 0xCFF4, 0xCFF6, 0xCFF8, 0xCFFA
_BAG_SLOTS = 20
_SPECIES, _MOVES, _ATTACK, _DEFENSE, _SPEED = 0, 8, 0x24, 0x26, 0x28


@dataclasses.dataclass(frozen=True)
class Glim:
  """One member of the party, or the foe."""

  species: int
  level: int
  hp: int
  max_hp: int
  attack: int
  defense: int
  speed: int
  moves: tuple[int, ...] = ()

  @property
  def share(self) -> float:
    """HP of the most it can have."""
    return self.hp / max(1, self.max_hp)


@dataclasses.dataclass(frozen=True)
class State:
  """The game as it stands between two steps."""

  here: tuple[int, int, int]  # map, x, y
  facing: str
  flags: int  # story flags, a bit mask
  badges: int  # how many
  bag: dict[int, int]  # item id -> count
  money: int  # hundreds
  owned: int  # species, a bit mask
  party: tuple[Glim, ...]
  active: int  # slot that fights, or did last

  def has_species(self, number: int) -> bool:
    """Whether a species was ever caught."""
    return bool(self.owned >> (number - 1) & 1)


def read(memory: Any) -> State:
  """Reads the state of a running game.

  Who has walked a step stands at its end, also where memory lacks it yet.
  """
  count = min(memory[ram.PARTY_SIZE], ram.PARTY_SLOTS)
  high, low = memory[ram.MONEY], memory[ram.MONEY + 1]
  facing = ram.FACING_NAMES.get(memory[ram.PLAYER_FACING], "down")
  x, y = memory[ram.PLAYER_X], memory[ram.PLAYER_Y]
  if game_state.is_arriving(memory):
    x, y = x + ways.MOVES[facing][0], y + ways.MOVES[facing][1]
  return State(
    here=(memory[ram.MAP_ID], x, y),
    facing=facing,
    flags=_bits(memory, ram.EVENT_FLAGS, ram.EVENT_FLAG_BYTES),
    badges=memory[ram.BADGE_FLAGS].bit_count(),
    bag=_bag(memory),
    money=100 * _decimal(high) + _decimal(low),
    owned=_bits(memory, ram.DEX_OWNED, ram.DEX_BYTES),
    party=tuple(
      _member(memory, ram.PARTY + ram.PARTY_STRIDE * i) for i in range(count)
    ),
    active=memory[ACTIVE_SLOT],
  )


def foe(memory: Any) -> Glim:
  """The creature on the other side of a battle."""
  return Glim(
    species=memory[ram.ENEMY_SPECIES],
    level=memory[ram.ENEMY_LEVEL],
    hp=_u16(memory, ram.ENEMY_HP),
    max_hp=_u16(memory, FOE_MAX_HP),
    attack=_u16(memory, FOE_ATTACK),
    defense=_u16(memory, FOE_DEFENSE),
    speed=_u16(memory, FOE_SPEED),
  )


def _member(memory: Any, at: int) -> Glim:
  return Glim(
    species=memory[at + _SPECIES],
    level=memory[at + ram.LEVEL_OFFSET],
    hp=_u16(memory, at + ram.HP_OFFSET),
    max_hp=_u16(memory, at + ram.MAX_HP_OFFSET),
    attack=_u16(memory, at + _ATTACK),
    defense=_u16(memory, at + _DEFENSE),
    speed=_u16(memory, at + _SPEED),
    moves=tuple(m for m in memory[at + _MOVES : at + _MOVES + 4] if m),
  )


def _bag(memory: Any) -> dict[int, int]:
  count = min(memory[BAG_COUNT], _BAG_SLOTS)
  # An emulator's memory knows no empty slices.
  pairs = memory[BAG_ITEMS : BAG_ITEMS + 2 * _BAG_SLOTS][: 2 * count]
  return dict(zip(pairs[::2], pairs[1::2], strict=True))


def _bits(memory: Any, address: int, length: int) -> int:
  return int.from_bytes(bytes(memory[address : address + length]), "little")


def _u16(memory: Any, address: int) -> int:
  return memory[address] << 8 | memory[address + 1]


def _decimal(byte: int) -> int:
  return 10 * (byte >> 4) + (byte & 15)
