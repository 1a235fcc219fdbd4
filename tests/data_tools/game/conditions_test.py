import pytest

from data_tools import cartridge
from data_tools.game import conditions
from data_tools.game import ram_addresses as ram
from data_tools.game import roms


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.CHAPTER_ONE)


def _memory(**bytes_at):
  memory = bytearray(1 << 16)
  memory[ram.STATUS_FLAGS_6] = 1
  memory[ram.MAP_ID] = 2
  memory[ram.PLAYER_X] = 7
  memory[ram.PLAYER_X_IN_BLOCK] = 1
  memory[ram.BADGE_FLAGS] = 0b101
  memory[ram.PLAYER_FACING] = 8
  for name, value in bytes_at.items():
    memory[getattr(ram, name)] = value
  return memory


@pytest.mark.parametrize(
  "text, holds",
  [
    ("x == 7", True),
    ("x==7", True),
    ("x != 7", False),
    ("x < 7", False),
    ("x <= 7", True),
    ("x>6 and x >= 7", True),
    ("x == 7 and badge_count == 3", False),
    ("badge_count == 2 and badges == 0x5", True),
    ("has_control", True),
    ("not has_control", False),
    ("has_control == false", False),
    ("dialog_open", False),
    ("not dialog_open and game_running", True),
    ("facing_name == left", True),
    ('facing_name == "up"', False),
    ("0xD362 == 7", True),
    ("0xd362 == 0x8", False),
    ("cursor_shown", False),
  ],
)
def test_terms(rom, text, holds):
  assert conditions.parse(text, rom).holds(_memory()) is holds


def test_map_names_may_hold_spaces(rom):
  name = rom.map_names[2]
  asked = conditions.parse(f'map_name == "{name}"', rom)
  assert asked.holds(_memory())
  assert not asked.holds(_memory(MAP_ID=1))
  red = roms.Rom(rom.path, "0" * 40, roms.POKEMON_RED, "Red")
  gym = conditions.parse('map_name == "Pewter Gym" and x == 7', red)
  assert gym.holds(_memory(MAP_ID=0x36)) and not gym.holds(_memory())


def test_the_cursor_is_seen_before_a_game_runs(rom):
  asked = conditions.parse("cursor_shown", rom)
  memory = _memory(STATUS_FLAGS_6=0)
  assert not asked.holds(memory)
  memory[ram.SCREEN_TILES + 41] = ram.CURSOR_TILE
  assert asked.holds(memory)
  assert not conditions.parse("menu_open", rom).holds(memory)


@pytest.mark.parametrize(
  "text, words",
  [
    ("", "is no NAME"),
    ("x == 7 and", "is no NAME"),
    ("x 7", "'x 7' is no NAME"),
    ("x = 7", "is no NAME"),
    ("or x", "is no NAME"),
    ("party_hp > 0", "unknown name 'party_hp'; valid are .*total_hp"),
    ("__class__", "unknown name"),
    ("x == seven", "'seven' is no number"),
    ("map_name", "map_name needs"),
    ("map_name < b", "map_name needs"),
    ('map_name == "Leaf', "No closing quotation"),
    ("0x12345 == 1", "unknown name"),
  ],
)
def test_malformed_conditions_are_named(rom, text, words):
  with pytest.raises(ValueError, match=words) as caught:
    conditions.parse(text, rom)
  assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_game_has_bytes_only(rom):
  other = roms.Rom(rom.path, "0" * 40, roms.UNKNOWN, "OTHER")
  assert conditions.parse("0xD362 == 7", other).holds(_memory())
  for text in ("x == 7", "cursor_shown"):
    with pytest.raises(ValueError, match="is not known of OTHER"):
      conditions.parse(text, other)
