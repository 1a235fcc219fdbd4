"""The great vale: its build, and that the screen shows what the tables say."""

import collections
import json

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.cartridge import build
from data_tools.cartridge import rom_banks
from data_tools.game import ram_addresses as ram
from tests.data_tools.cartridge import play as cartridge_play
from tests.data_tools.players import vale_game

FIRST_BLANK_LINE, LAST_BLANK_LINE = 144, 153
SETTLE_FRAMES = 48


class Views:
  """What the screen has to show, from the tables alone."""

  def __init__(self):
    self._tables = vale_game.read_tables()
    self._world = rom_banks.World(self._tables)
    self._places = {p.id: p for p in self._tables.places.values()}
    self._fields = {
      number: self._field(p) for number, p in self._places.items()
    }

  def _cells(self, place):
    letters = "".join(place.tileset.images)
    return np.array([[letters.index(c) for c in row] for row in place.rows])

  def _field(self, place):
    """Cell numbers with a rim of 8 of what lies around."""
    letters = "".join(place.tileset.images)
    border = letters.index(place.table["border"])
    field = np.full((place.height + 16, place.width + 16), border)
    field[8:-8, 8:-8] = self._cells(place)
    for edge, (name, offset) in place.table.get("connections", {}).items():
      other = self._cells(self._tables.places[name])
      for y in range(field.shape[0]):
        for x in range(field.shape[1]):
          to_x, to_y = x - 8, y - 8
          if edge in ("north", "south"):
            beyond = to_y < 0 if edge == "north" else to_y >= place.height
            to_x += offset
            to_y += len(other) if edge == "north" else -place.height
          else:
            beyond = to_x < 0 if edge == "west" else to_x >= place.width
            to_y += offset
            to_x += other.shape[1] if edge == "west" else -place.width
          if not beyond:
            continue
          if 0 <= to_y < len(other) and 0 <= to_x < other.shape[1]:
            field[y, x] = other[to_y, to_x]
    return field

  def tiles(self, map_id, x, y):
    """Tile ids `[18, 20]` with the player at (x, y)."""
    place = self._places[map_id]
    tiles = self._world.cell_tiles[place.table.get("tileset", "town")]
    view = self._fields[map_id][y + 4 : y + 13, x + 4 : x + 14]
    return (
      tiles[view].reshape(9, 10, 2, 2).transpose(0, 2, 1, 3).reshape(18, 20)
    )


def settled_screen(memory):
  """Tile ids on the screen; None in the middle of a cell."""
  if memory[0xFF43] % 16 or memory[0xFF42] % 16:
    return None
  return cartridge_play.shown_screen(memory)


def test_rebuild_gives_the_committed_bytes(tmp_path):
  version = build.sdcc_version()
  if version is None:
    pytest.skip("sdcc is not installed")
  if version != build.SDCC_VERSION:
    pytest.skip(f"sdcc {version}, the ROM was built with {build.SDCC_VERSION}")
  build.build("great_vale", tmp_path)
  for name in ("great_vale.gb", "great_vale.json"):
    committed = cartridge.GREAT_VALE.parent / name
    assert (tmp_path / name).read_bytes() == committed.read_bytes(), name


def test_facts_follow_from_the_tables():
  committed = dict(vale_game.read_facts())
  assert 0xC600 <= committed.pop("vblank_end_line") < 0xCC00
  del committed["rom_sha1"]
  assert committed == json.loads(json.dumps(build.world_facts("great_vale")))


def test_header_names_the_mapper_and_the_size():
  rom = cartridge.GREAT_VALE.read_bytes()
  assert rom[0x147] == 1  # MBC1 without memory of its own
  assert len(rom) == 0x8000 << rom[0x148] <= 128 * 1024
  assert not any(rom[0x104:0x134])
  checksum = 0
  for byte in rom[0x134:0x14D]:
    checksum = (checksum - byte - 1) & 0xFF
  assert rom[0x14D] == checksum


def test_a_bank_holds_16_kilobytes_and_no_more():
  banks = rom_banks.Banks(4)
  assert banks.add(bytes(0x3FFF)) == (2, 0x4000)
  assert banks.add(bytes(2)) == (3, 0x4000)  # the next bank
  assert banks.add(bytes(1)) == (2, 0x7FFF)
  with pytest.raises(ValueError, match="no room"):
    banks.add(bytes(0x3FFF))
  with pytest.raises(ValueError, match="no room"):
    banks.add(bytes(1), 2)
  assert len(banks.image()) == 0x8000


def test_code_that_switches_banks_lies_in_bank_0():
  line = "     0000{:04X}  _far_move                          banks"
  build.check_bank_code(line.format(0x0280))
  with pytest.raises(ValueError, match="bank 0"):
    build.check_bank_code(line.format(0x4280))
  with pytest.raises(ValueError, match="not in"):
    build.check_bank_code("")


def test_a_map_with_its_rim_fits_memory():
  tables = vale_game.read_tables()
  place = next(iter(tables.places.values()))
  place.rows = [place.rows[0] + place.rows[0][-1] * 40] * 40
  with pytest.raises(ValueError, match="around it"):
    rom_banks.World(tables)


def test_screen_memory_agrees_with_the_maps_for_thousands_of_steps():
  # Writes outside the vertical blank are lost while memory looks right.
  views = Views()
  end_line = vale_game.read_facts()["vblank_end_line"]
  seen = collections.Counter()
  maps = set()
  for seed, noise in enumerate((0.05, 0.2, 0.2, 0.5, 1.0)):
    rng = np.random.default_rng(seed)
    game = vale_game.fresh_game(seed)
    for memory in cartridge_play.play(
      game, vale_game.new_player(seed), rng, 900, noise
    ):
      assert FIRST_BLANK_LINE <= memory[end_line] <= LAST_BLANK_LINE
      # What is being drawn is compared when it is done.
      for _ in range(SETTLE_FRAMES):
        shown = settled_screen(memory)
        if shown is not None and not memory[ram.WALK_COUNTER]:
          if np.array_equal(shown, cartridge_play.shadow_screen(memory)):
            break
        game._pyboy.tick(1, False, False)
      np.testing.assert_array_equal(shown, cartridge_play.shadow_screen(memory))
      if not memory[ram.STATUS_FLAGS_6] & 1 or memory[ram.IN_BATTLE]:
        seen["battle"] += memory[ram.IN_BATTLE] != 0
        continue
      rows = 18
      if memory[0xFF40] & 0x20:
        rows = min(18, memory[0xFF4A] // 8)
        seen["box"] += 1
      maps.add(memory[ram.MAP_ID])
      seen["field"] += 1
      expected = views.tiles(*cartridge_play.where(memory))
      np.testing.assert_array_equal(shown[:rows], expected[:rows])
    game.close()
  assert seen["field"] > 1000 and seen["battle"] > 1000 and seen["box"] > 100
  assert len(maps) >= 10
