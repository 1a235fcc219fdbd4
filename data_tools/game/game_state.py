"""Memory of the game, decoded to the RAM fields of the step contract.

Workers copy the raw ranges of `ram_addresses` on every step; `decode` turns
`T` copied rows into arrays at once. Battle and dialog signals are the verified
ones: the last text box id and single screen tiles are not signals. While no
game runs (title screen, unknown game) every field is zero.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import itertools
from typing import Any
import zlib

import numpy as np

from data_tools.game import ram_addresses as ram
from pokedreamer_jax import specs

WILD, TRAINER, BLACKOUT = 1, 2, 255  # values of `in_battle`

_SCREEN = slice(
  ram.column(ram.SCREEN_TILES),
  ram.column(ram.SCREEN_TILES) + ram.SCREEN_COLUMNS * ram.SCREEN_ROWS,
)
_PARTY = slice(
  ram.column(ram.PARTY),
  ram.column(ram.PARTY) + ram.PARTY_SLOTS * ram.PARTY_STRIDE,
)


_DEX = slice(
  ram.column(ram.DEX_OWNED), ram.column(ram.DEX_OWNED) + 2 * ram.DEX_BYTES
)
_FLAGS = slice(
  ram.column(ram.EVENT_FLAGS),
  ram.column(ram.EVENT_FLAGS) + ram.EVENT_FLAG_BYTES,
)
# All story flags but those that go on and off.
_PROGRESS_FLAGS = np.full(ram.EVENT_FLAG_BYTES, 0xFF, np.uint8)
for _flag in ram.TOGGLING_EVENT_FLAGS:
  _PROGRESS_FLAGS[_flag // 8] &= 0xFF ^ (1 << _flag % 8)

# Where the corners of the message box stand, and what they are.
_CORNERS = np.array([ram.column(address) for address, _ in ram.MESSAGE_BOX])
_CORNER_TILES = np.array([tile for _, tile in ram.MESSAGE_BOX], np.uint8)

# Single bytes that are looked up: where each is, and the bits that are meant.
_SINGLES = {
  # The player has control where these are 0.
  "in_battle": (ram.IN_BATTLE, 0xFF),
  "walk_counter": (ram.WALK_COUNTER, 0xFF),
  "font_loaded": (ram.FONT_LOADED, 1),
  "joy_ignore": (ram.JOY_IGNORE, 0xFF),
  "scripted": (ram.STATUS_FLAGS_5, ram.SCRIPTED_BITS),
  "map_id": (ram.MAP_ID, 0xFF),
  "x": (ram.PLAYER_X, 0xFF),
  "y": (ram.PLAYER_Y, 0xFF),
  "x_in_block": (ram.PLAYER_X_IN_BLOCK, 1),
  "y_in_block": (ram.PLAYER_Y_IN_BLOCK, 1),
  "facing": (ram.PLAYER_FACING, 12),
  "menu_item": (ram.MENU_ITEM, 0xFF),
  "badges": (ram.BADGE_FLAGS, 0xFF),
  "party_size": (ram.PARTY_SIZE, 0xFF),
  "hall_of_fame": (ram.HALL_OF_FAME, 0xFF),
  "enemy_species": (ram.ENEMY_SPECIES, 0xFF),
  "enemy_level": (ram.ENEMY_LEVEL, 0xFF),
  "active_slot": (ram.ACTIVE_SLOT, 0xFF),
  # A cell is 16 pixels: at rest both are 0.
  "scroll_y": (ram.SCROLL_Y, 15),
  "scroll_x": (ram.SCROLL_X, 15),
  "palette": (ram.PALETTE, 0xFF),
}
_CONTROL = slice(0, 5)
_BITS = np.array([[bits] for _, bits in _SINGLES.values()], np.uint8)
_MEMBERS = np.tri(ram.PARTY_SLOTS + 1, ram.PARTY_SLOTS, -1, bool)  # by size
_U24 = np.uint32(0xFFFFFF)


def _slots(offset: int) -> list[int]:
  """Addresses of a byte of each of the party."""
  first = ram.PARTY + offset
  return [first + ram.PARTY_STRIDE * slot for slot in range(ram.PARTY_SLOTS)]


def _little(addresses: Sequence[int], length: int) -> list[int]:
  """Addresses of numbers of so many bytes, each with its lowest byte first."""
  return [at + k for at in addresses for k in reversed(range(length))]


# Numbers that are looked up after the single bytes.
_NUMBERS = {
  "species": list(
    range(ram.PARTY_SPECIES, ram.PARTY_SPECIES + ram.PARTY_SLOTS)
  ),
  "level": _slots(ram.LEVEL_OFFSET),
  "hp": _little(_slots(ram.HP_OFFSET), 2),
  "max_hp": _little(_slots(ram.MAX_HP_OFFSET), 2),
  "xp": _little(_slots(ram.XP_OFFSET - 1), 4),  # the fourth byte is cut off
  "enemy": _little([ram.ENEMY_HP, ram.ENEMY_MAX_HP], 2),
}
_ENDS = np.cumsum([len(_SINGLES), *map(len, _NUMBERS.values())]).tolist()
_AT = {
  name: slice(start, end)
  for name, (start, end) in zip(
    _NUMBERS, itertools.pairwise(_ENDS), strict=True
  )
}
_TAKEN = np.array(
  [
    ram.column(address)
    for address in (
      *(address for address, _ in _SINGLES.values()),
      *itertools.chain(*_NUMBERS.values()),
    )
  ]
)
_ENEMY_FIELDS = {
  "enemy_species": "uint8",
  "enemy_hp": "uint16",
  "enemy_level": "uint8",
  "enemy_max_hp": "uint16",
  "active_slot": "uint8",
  "move_item": "uint8",
}
_NAMES = tuple(
  field.name
  for field in specs.RAM_FIELDS
  if field.name not in specs.CLOCK_FIELDS
)


def copy_ranges(memory: Any, row: np.ndarray) -> None:
  """Copies the ranges of one step from memory into `row` `[RAM_BYTES]`.

  Args:
    memory: anything that slices like the 64 KiB address space.
    row: uint8, overwritten.
  """
  copied = b"".join([bytes(memory[start:stop]) for start, stop in _SPANS])
  row[:] = np.frombuffer(copied, np.uint8)


_SPANS = tuple((start, start + length) for start, length in ram.RANGES)


def decode(rows: np.ndarray) -> dict[str, np.ndarray]:
  """RAM fields `[T, ...]` of copied rows `[T, RAM_BYTES]` uint8.

  numpy's calls cost as much for one row as for many, so they are few: most
  bytes come by one look-up, and what a battle or a text box alone shows is
  read where there is one.
  """
  running = (_byte(rows, ram.STATUS_FLAGS_6) & 1).astype(bool)
  if not running.all():
    rows = np.where(running[:, None], rows, np.uint8(0))
  taken = np.take(rows, _TAKEN, axis=1)
  singles = np.ascontiguousarray(taken[:, : len(_SINGLES)].T)  # [n, T]
  singles &= _BITS
  byte = dict(zip(_SINGLES, singles, strict=True))
  in_battle, font_loaded = byte["in_battle"], byte["font_loaded"].view(bool)
  message_box = (rows[:, _CORNERS] == _CORNER_TILES).all(axis=1)
  menu_open = (rows[:, _SCREEN] == ram.CURSOR_TILE).any(axis=1)
  size = np.minimum(byte["party_size"], ram.PARTY_SLOTS)
  party = _party(taken, _MEMBERS[size])
  dex = np.bitwise_count(rows[:, _DEX]).reshape(-1, 2, ram.DEX_BYTES)
  dex_owned, dex_seen = dex.sum(axis=2, dtype=np.uint8).T.copy()
  flags = np.bitwise_count(rows[:, _FLAGS] & _PROGRESS_FLAGS)
  capture_items, heal_items = _items(rows)
  arriving = running & _arrives(byte)
  fields = {
    **byte,
    **party,
    **_enemy(rows, byte, taken),
    # 0 down, 4 up, 8 left, 12 right -> index into FACINGS
    "facing": byte["facing"] >> 2,
    "dialog_open": (in_battle == 0) & (font_loaded | message_box),
    "menu_open": menu_open,
    "menu_item": byte["menu_item"] * menu_open,
    "party_size": size,
    "dex_owned": dex_owned,
    "dex_seen": dex_seen,
    "money": _money(rows),
    "capture_items": capture_items,
    "event_flags": flags.sum(axis=1, dtype=np.uint16),
    "has_control": running & ~singles[_CONTROL].any(axis=0) & ~arriving,
    "game_running": running,
    "text": _text(rows, message_box),
    "shade": _SHADES[byte["palette"]] * running,
    "heal_items": heal_items,
    "arriving": arriving,
  }
  return {name: fields[name] for name in _NAMES}


def _arrives(byte: Mapping[str, np.ndarray]) -> np.ndarray:
  """Where a step is walked to its end `[T]` bool, and `x` and `y` lack it.

  In the caves of the great vale the engine waits for a frame in between: the
  walk counter is 0, and the picture stands 15 pixels ahead. Parities of both
  change when a step begins.
  """
  begun = np.zeros(len(byte["x"]), bool)
  for name in ("x", "y"):
    begun |= (byte[name] & 1) != byte[f"{name}_in_block"]
  return begun & (byte["walk_counter"] == 0)


def _party(taken: np.ndarray, member: np.ndarray) -> dict[str, np.ndarray]:
  """What is told of the party, of looked-up bytes and its slots `[T, 6]`."""
  return {
    "party_species": taken[:, _AT["species"]] * member,
    "party_hp": taken[:, _AT["hp"]].view("<u2") * member,
    "party_max_hp": taken[:, _AT["max_hp"]].view("<u2") * member,
    "party_level": taken[:, _AT["level"]] * member,
    "party_xp": (taken[:, _AT["xp"]].view("<u4") & _U24) * member,
  }


def _enemy(
  rows: np.ndarray, byte: Mapping[str, np.ndarray], taken: np.ndarray
) -> dict[str, np.ndarray]:
  """What is told of a battle; zero where there is none."""
  in_battle = byte["in_battle"]
  fighting = (in_battle == WILD) | (in_battle == TRAINER)
  if not fighting.any():
    return {
      name: np.zeros(len(rows), dtype) for name, dtype in _ENEMY_FIELDS.items()
    }
  hp = (taken[:, _AT["enemy"]].view("<u2") * fighting[:, None]).T.copy()
  slot = np.minimum(byte["active_slot"], ram.PARTY_SLOTS - 1)
  return {
    "enemy_species": byte["enemy_species"] * fighting,
    "enemy_hp": hp[0],
    "enemy_level": byte["enemy_level"] * fighting,
    "enemy_max_hp": hp[1],
    "active_slot": slot * fighting,
    "move_item": _move_item(rows, fighting),
  }


def party_structures(rows: np.ndarray) -> np.ndarray:
  """The six party structures `[T, 6, PARTY_STRIDE]`, stale slots included."""
  return rows[:, _PARTY].reshape(-1, ram.PARTY_SLOTS, ram.PARTY_STRIDE)


def enemy_hp(rows: np.ndarray) -> np.ndarray:
  """HP of the enemy `[T]` as it stands in memory, stale outside battle."""
  return _number(rows, ram.ENEMY_HP)


@dataclasses.dataclass(frozen=True)
class GameState:
  """The state of the game at one moment; names beside the numbers."""

  map_id: int
  map_name: str
  x: int
  y: int
  facing: int
  in_battle: int
  dialog_open: bool
  menu_open: bool
  menu_item: int
  badges: int
  party_size: int
  party_species: tuple[int, ...]
  party_hp: tuple[int, ...]
  party_max_hp: tuple[int, ...]
  party_level: tuple[int, ...]
  party_xp: tuple[int, ...]
  dex_owned: int
  dex_seen: int
  money: int
  capture_items: int
  enemy_species: int
  enemy_hp: int
  enemy_level: int
  event_flags: int
  hall_of_fame: int
  has_control: bool
  game_running: bool
  enemy_max_hp: int
  active_slot: int
  move_item: int
  text: int
  walk_counter: int
  scroll_y: int
  scroll_x: int
  shade: int
  heal_items: int
  arriving: bool

  @property
  def badge_count(self) -> int:
    """Badges earned, 0 to 8."""
    return self.badges.bit_count()

  @property
  def facing_name(self) -> str:
    """One of `specs.FACINGS`."""
    return specs.FACINGS[self.facing]

  @property
  def total_hp(self) -> int:
    """HP of the whole party."""
    return sum(self.party_hp)

  @property
  def total_max_hp(self) -> int:
    """HP of the whole party when healed."""
    return sum(self.party_max_hp)


def from_memory(
  memory: Any, map_names: Mapping[int, str] = ram.MAP_NAMES
) -> GameState:
  """Reads the state from anything that slices like the 64 KiB address space."""
  row = np.zeros((1, ram.RAM_BYTES), np.uint8)
  copy_ranges(memory, row[0])
  fields: dict[str, Any] = {}
  for name, array in decode(row).items():
    value = array[0].tolist()
    fields[name] = tuple(value) if isinstance(value, list) else value
  if fields["game_running"]:
    map_id = fields["map_id"]
    map_name = map_names.get(map_id, f"map 0x{map_id:02X}")
  else:
    map_name = "no game running"
  return GameState(map_name=map_name, **fields)


def is_arriving(memory: Any) -> bool:
  """Whether a step is walked and `x` and `y` are those from before it."""
  if memory[ram.WALK_COUNTER]:
    return False
  parity = lambda address: memory[address] & 1
  return parity(ram.PLAYER_X) != parity(ram.PLAYER_X_IN_BLOCK) or parity(
    ram.PLAYER_Y
  ) != parity(ram.PLAYER_Y_IN_BLOCK)


def extract_game_state(pyboy: Any) -> GameState:
  """The state of a running emulator with a `memory`."""
  return from_memory(pyboy.memory)


def screen_capture(pyboy: Any) -> np.ndarray:
  """The screen of a running emulator: a new `[144, 160, 3]` uint8, RGB.

  Raises:
    ValueError: nothing has been drawn yet.
  """
  rgba = pyboy.screen.ndarray
  # Before its first rendered tick the emulator's screen is all zeros, alpha
  # too; any drawn frame is opaque.
  if not rgba[..., 3].any():
    raise ValueError("screen: nothing drawn yet, tick the emulator first")
  return rgba[..., :3].copy()


def _byte(rows: np.ndarray, address: int) -> np.ndarray:
  return rows[:, ram.column(address)]


def _number(rows: np.ndarray, address: int) -> np.ndarray:
  """The two-byte number `[T]` uint16 at an address."""
  high = ram.column(address)
  return rows[:, high].astype(np.uint16) << 8 | rows[:, high + 1]


def _box(rows: np.ndarray) -> np.ndarray:
  """Tiles `[T, 4, 20]` in the rows of the message box."""
  screen = rows[:, _SCREEN].reshape(-1, ram.SCREEN_ROWS, ram.SCREEN_COLUMNS)
  return screen[:, ram.BOX_ROWS]


def _move_item(rows: np.ndarray, fighting: np.ndarray) -> np.ndarray:
  """The move `[T]` at the cursor of the move menu, from 1; 0 without one.

  Read off the screen: in memory the menus of a battle share one cursor. Holds
  in battle alone.
  """
  box = _box(rows)
  at = (box[:, :, ram.MOVE_MENU_COLUMNS] == ram.CURSOR_TILE).any(axis=2)
  at &= box[:, :, ram.ITEM_COUNT_COLUMN] != ram.TIMES_TILE  # the bag
  at &= (_byte(rows, ram.BATTLE_TYPE) != ram.SAFARI_BATTLE)[:, None]
  chosen = (at.argmax(axis=1) + 1).astype(np.uint8)
  return chosen * (at.any(axis=1) & fighting)


def _text(rows: np.ndarray, message_box: np.ndarray) -> np.ndarray:
  """A number `[T]`, 1..65535, of the wording in the box; 0 without one.

  The games keep no number of a text, so this is a hash of the letters that are
  drawn, without cursors, arrow and digits: of a menu's entries too, and, while
  letters appear one by one, of those that are there.
  """
  found = np.zeros(len(rows), np.uint16)
  if not message_box.any():
    return found
  inside = _box(rows)[:, :, ram.BOX_COLUMNS]
  for t in np.flatnonzero(message_box):
    letters = inside[t].tobytes().translate(None, ram.WORDLESS_TILES)
    if letters:
      found[t] = zlib.crc32(letters) % 65535 + 1
  return found


def _money(rows: np.ndarray) -> np.ndarray:
  """Money `[T]` from three bytes of two decimal digits each."""
  first = ram.column(ram.MONEY)
  pairs = _PAIRS[_PLACES, rows[:, first : first + 3]]
  return pairs.sum(axis=1, dtype=np.uint32)


_PLACES = np.arange(3)
# What each byte says at each place: [3, 256].
_PAIRS = np.array([[10_000], [100], [1]], np.uint32) * np.array(
  [10 * (byte >> 4) + (byte & 15) for byte in range(256)], np.uint32
)


def _items(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Items `[T]` in the bag that catch, and that heal, at most 255 each."""
  first = ram.column(ram.BAG_ITEMS)
  bag = rows[:, first : first + 2 * ram.BAG_SLOTS]
  carried = _CARRIED[_byte(rows, ram.BAG_COUNT)]  # [T, 20]
  # Both sums at once: the slots hold 5,100 at most, which 16 bits do.
  both = np.einsum(
    "ts,ts->t", np.take(_KINDS, bag[:, ::2]), bag[:, 1::2] * carried
  )
  catch, heal = both & np.uint32(0xFFFF), both >> np.uint32(16)
  return (
    np.minimum(catch, 255).astype(np.uint8),
    np.minimum(heal, 255).astype(np.uint8),
  )


# Slots in use, of the number of kinds carried: [256, 20].
_CARRIED = np.tri(256, ram.BAG_SLOTS, -1, bool)
# One in the low 16 bits for an item that catches, in the high ones for one that
# heals: [256].
_KINDS = np.zeros(256, np.uint32)
_KINDS[list(ram.CAPTURE_ITEMS)] = 1
_KINDS[list(ram.HEAL_ITEMS)] = 1 << 16


def _shades() -> np.ndarray:
  """Index into `specs.SHADES` `[256]` uint8 of every palette.

  The one of `SHADES` that is nearest in the mean of the four colours: fades go
  through those alone, and what else a palette does to colours is not told.
  """
  colours = np.arange(256)[:, None] >> np.arange(0, 8, 2) & 3
  lit = np.clip(np.arange(4) + np.array(specs.SHADES)[:, None], 0, 3).sum(1)
  apart = np.abs(colours.sum(axis=1)[:, None] - lit)
  return apart.argmin(axis=1).astype(np.uint8)


_SHADES = _shades()
