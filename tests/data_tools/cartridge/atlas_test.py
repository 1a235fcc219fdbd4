"""The map picture is drawn from the tables, and is up to date."""

import numpy as np

from data_tools import cartridge
from data_tools.cartridge import atlas
from data_tools.cartridge import rom_banks
from data_tools.cartridge import tables as source
from data_tools.game import emulator
from data_tools.game import frame_codec
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.game import start_states

MOST_BYTES = 300_000


def test_the_picture_shows_the_tables_as_they_are():
  from PIL import Image

  path = atlas.FOLDER / "great_vale.png"
  assert path.stat().st_size < MOST_BYTES
  drawn = atlas.atlas(source.read(source.WORLDS / "great_vale"))
  with Image.open(path) as picture:
    greys = np.asarray(picture.convert("L"))
  np.testing.assert_array_equal(greys, atlas.GREYS[drawn])


def test_maps_that_touch_are_drawn_touching():
  tables = source.read(source.WORLDS / "great_vale")
  groups = atlas.positions(tables)
  (group,) = [g for g in groups if "fernby" in g]
  assert set(group) == {"fernby", "route_1", "route_4", "cairn"}
  fernby, east = group["fernby"], group["route_4"]
  assert east[0] - fernby[0] == tables.places["fernby"].width
  assert east[1] - fernby[1] == -6
  assert sum(len(g) for g in groups) == len(tables.places)


def _still_blocks(frame, tables, memory):
  """Blocks `[9, 10]` that equal the ground, and those that stand still.

  Still are those without water, and without anybody on them or below: people
  may have gone, and who breathes is a pixel higher.
  """
  number, x, y = (memory[a] for a in (ram.MAP_ID, ram.PLAYER_X, ram.PLAYER_Y))
  (place,) = [p for p in tables.places.values() if p.id == number]
  ys, xs = range(y - 4, y + 5), range(x - 4, x + 6)
  drawn = atlas.ground(tables, place, ys, xs)
  seen = frame_codec.unpack(frame)
  blocks = (drawn == seen).reshape(9, 16, 10, 16).all(axis=(1, 3))
  still = np.ones((9, 10), bool)
  taken = {(x, y), *(tuple(p["at"]) for p in place.entries("people"))}
  for row, column in np.ndindex(9, 10):
    at = xs[column], ys[row]
    letter = atlas.letter_at(tables, place, *at)
    alone = not taken & {at, (at[0], at[1] + 1)}
    still[row, column] = alone and letter not in rom_banks.FLICKERING
  outside = np.array([[place.letter(x, y) == "" for x in xs] for y in ys])
  return blocks, still, outside


def test_the_ground_is_what_the_game_shows_beyond_edges_too():
  tables = source.read(source.WORLDS / "great_vale")
  rom = roms.resolve(cartridge.GREAT_VALE)
  beyond = seen = 0
  with emulator.Emulator(rom) as game:
    for name in start_states.names(rom.sha1):
      game.reset(0, emulator.read_save_state(name, rom))
      blocks, still, outside = _still_blocks(game.frame(), tables, game.memory)
      wrong = np.argwhere(still & ~blocks).tolist()
      assert not wrong, (name, wrong)
      beyond += int((still & outside).sum())
      seen += int(still.sum())
  assert seen > 800 and beyond > 100


def test_the_neighbour_is_seen_beyond_an_edge_and_the_border_beside_it():
  tables = source.read(source.WORLDS / "great_vale")
  fernby, north = tables.places["fernby"], tables.places["route_1"]
  for x in range(-4, fernby.width):  # beyond that the east is seen
    expected = north.letter(x - 2, north.height - 1)
    assert atlas.letter_at(tables, fernby, x, -1) == (expected or "T")
  assert atlas.letter_at(tables, fernby, 0, fernby.height) == "T"
  east = tables.places["route_4"]
  found = atlas.letter_at(tables, fernby, fernby.width, 0)
  assert found == east.letter(0, 6)


def test_the_small_world_is_drawn_with_the_cells_that_its_maps_share():
  tables = source.read(source.WORLDS / "chapter_one")
  hall = tables.places["hall"]
  assert {hall.letter(x, y) for x, y in hall.cells()} > set("Xg")
  shades = atlas.ground(tables, hall, range(-1, hall.height), range(hall.width))
  cells = source.pixel_art.map_cells()
  for x, y in hall.cells():
    cell = shades[16 * (y + 1) : 16 * (y + 2), 16 * x : 16 * (x + 1)]
    np.testing.assert_array_equal(cell, cells[hall.letter(x, y)][2])
  assert (shades[:16] == 3).all()  # its border is black
