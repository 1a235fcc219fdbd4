"""Memory of the game, decoded to the RAM fields of the step contract.

Workers copy the raw ranges of `ram_addresses` on every step; `decode` turns
`T` copied rows into arrays at once. Battle and dialog signals are the verified
ones: the last text box id and single screen tiles are not signals. While no
game runs (title screen, unknown game) every field is zero.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
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


# Where the corners of the message box stand, and what they are.
_CORNERS = np.array([ram.column(address) for address, _ in ram.MESSAGE_BOX])
_CORNER_TILES = np.array([tile for _, tile in ram.MESSAGE_BOX], np.uint8)


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
  """RAM fields `[T, ...]` of copied rows `[T, RAM_BYTES]` uint8."""
  byte = functools.partial(_byte, rows)
  running = (byte(ram.STATUS_FLAGS_6) & 1).astype(bool)
  in_battle = byte(ram.IN_BATTLE)
  fighting = (in_battle == WILD) | (in_battle == TRAINER)
  font_loaded = (byte(ram.FONT_LOADED) & 1).astype(bool)
  message_box = (rows[:, _CORNERS] == _CORNER_TILES).all(axis=1)
  menu_open = (rows[:, _SCREEN] == ram.CURSOR_TILE).any(axis=1)
  size = np.minimum(byte(ram.PARTY_SIZE), ram.PARTY_SLOTS)
  member = np.arange(ram.PARTY_SLOTS) < size[:, None]  # [T, 6]
  first = ram.column(ram.PARTY_SPECIES)
  party = party_structures(rows)
  fields = {
    "map_id": byte(ram.MAP_ID),
    "x": byte(ram.PLAYER_X),
    "y": byte(ram.PLAYER_Y),
    # 0 down, 4 up, 8 left, 12 right -> index into FACINGS
    "facing": (byte(ram.PLAYER_FACING) >> 2) & 3,
    "in_battle": in_battle,
    "dialog_open": (in_battle == 0) & (font_loaded | message_box),
    "menu_open": menu_open,
    "menu_item": np.where(menu_open, byte(ram.MENU_ITEM), 0),
    "badges": byte(ram.BADGE_FLAGS),
    "party_size": size,
    "party_species": rows[:, first : first + ram.PARTY_SLOTS] * member,
    "party_hp": _u16(party, ram.HP_OFFSET) * member,
    "party_max_hp": _u16(party, ram.MAX_HP_OFFSET) * member,
    "party_level": party[:, :, ram.LEVEL_OFFSET] * member,
    "party_xp": _u24(party, ram.XP_OFFSET) * member,
    "dex_owned": _bits(rows, ram.DEX_OWNED, ram.DEX_BYTES),
    "dex_seen": _bits(rows, ram.DEX_SEEN, ram.DEX_BYTES),
    "money": _money(rows),
    "capture_items": _items(rows, ram.CAPTURE_ITEMS),
    "enemy_species": byte(ram.ENEMY_SPECIES) * fighting,
    "enemy_hp": enemy_hp(rows) * fighting,
    "enemy_level": byte(ram.ENEMY_LEVEL) * fighting,
    "event_flags": _event_flags(rows),
    "hall_of_fame": byte(ram.HALL_OF_FAME),
    "has_control": (
      (in_battle == 0)
      & ~font_loaded
      & (byte(ram.JOY_IGNORE) == 0)
      & ((byte(ram.STATUS_FLAGS_5) & ram.SCRIPTED_BITS) == 0)
      & (byte(ram.WALK_COUNTER) == 0)
    ),
    "game_running": running,
    "enemy_max_hp": _number(rows, ram.ENEMY_MAX_HP) * fighting,
    "active_slot": np.minimum(byte(ram.ACTIVE_SLOT), ram.PARTY_SLOTS - 1)
    * fighting,
    "move_item": _move_item(rows, fighting),
    "text": _text(rows, message_box),
    "walk_counter": byte(ram.WALK_COUNTER),
    # A cell is 16 pixels: at rest both are 0.
    "scroll_y": byte(ram.SCROLL_Y) & 15,
    "scroll_x": byte(ram.SCROLL_X) & 15,
    "shade": _SHADES[byte(ram.PALETTE)],
    "heal_items": _items(rows, ram.HEAL_ITEMS),
  }
  always = bool(running.all())
  return {
    field.name: _where_running(fields[field.name], running, always, field.dtype)
    for field in specs.RAM_FIELDS
    if field.name in fields
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
  if not fighting.any():
    return np.zeros(len(rows), np.int64)
  box = _box(rows)
  at = (box[:, :, ram.MOVE_MENU_COLUMNS] == ram.CURSOR_TILE).any(axis=2)
  at &= box[:, :, ram.ITEM_COUNT_COLUMN] != ram.TIMES_TILE  # the bag
  at &= (_byte(rows, ram.BATTLE_TYPE) != ram.SAFARI_BATTLE)[:, None]
  return np.where(at.any(axis=1), at.argmax(axis=1) + 1, 0) * fighting


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


def _u16(party: np.ndarray, offset: int) -> np.ndarray:
  return party[:, :, offset].astype(np.uint16) << 8 | party[:, :, offset + 1]


def _u24(party: np.ndarray, offset: int) -> np.ndarray:
  parts = party[:, :, offset : offset + 3].astype(np.uint32)
  return parts[..., 0] << 16 | parts[..., 1] << 8 | parts[..., 2]


def _bits(rows: np.ndarray, address: int, length: int) -> np.ndarray:
  """Set bits `[T]` in `length` bytes."""
  first = ram.column(address)
  return np.bitwise_count(rows[:, first : first + length]).sum(axis=1)


def _event_flags(rows: np.ndarray) -> np.ndarray:
  """Story flags set, without those that go on and off."""
  first = ram.column(ram.EVENT_FLAGS)
  count = _bits(rows, ram.EVENT_FLAGS, ram.EVENT_FLAG_BYTES)
  for flag in ram.TOGGLING_EVENT_FLAGS:
    count = count - ((rows[:, first + flag // 8] >> (flag % 8)) & 1)
  return count


def _money(rows: np.ndarray) -> np.ndarray:
  """Money `[T]` from three bytes of two decimal digits each."""
  first = ram.column(ram.MONEY)
  digits = rows[:, first : first + 3].astype(np.uint32)
  pairs = 10 * (digits >> 4) + (digits & 15)
  return 10_000 * pairs[:, 0] + 100 * pairs[:, 1] + pairs[:, 2]


def _items(rows: np.ndarray, ids: Sequence[int]) -> np.ndarray:
  """Items `[T]` in the bag that have one of the ids, at most 255."""
  first = ram.column(ram.BAG_ITEMS)
  bag = rows[:, first : first + 2 * ram.BAG_SLOTS].reshape(-1, ram.BAG_SLOTS, 2)
  carried = np.arange(ram.BAG_SLOTS) < _byte(rows, ram.BAG_COUNT)[:, None]
  counted = carried & _is_one_of(tuple(ids))[bag[..., 0]]
  return np.minimum((bag[..., 1] * counted).sum(axis=1, dtype=np.int64), 255)


@functools.cache
def _is_one_of(ids: tuple[int, ...]) -> np.ndarray:
  """Whether a byte is one of the ids, `[256]` bool."""
  return np.isin(np.arange(256), ids)


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


def _where_running(
  array: np.ndarray, running: np.ndarray, always: bool, dtype: str
) -> np.ndarray:
  """Casts to the contract's dtype; zero in rows without a running game."""
  if always:  # most calls, and a fifth of what decoding few rows costs
    return array.astype(dtype)
  mask = running.reshape(running.shape + (1,) * (array.ndim - 1))
  return np.where(mask, array, 0).astype(dtype)
