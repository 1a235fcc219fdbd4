"""What is believed, why it differs from the truth, and where it is drawn."""

import functools
import json

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.cartridge import atlas as cartridge_atlas
from data_tools.game import frame_codec
from data_tools.game import roms
from experiments.reports import atlas_maps
from experiments.reports import atlas_pictures
from experiments.reports import atlas_tables
from experiments.reports import pictures
from experiments.reports import shelves
from pokedreamer_jax.evaluation import cell_errors
from pokedreamer_jax.world_model import atlas as atlas_lib
from tests.experiments.reports import atlases

_VALE = roms.resolve(cartridge.GREAT_VALE).sha1


def _place(name):
  return atlases.tables().places[name]


def _find(name, letter):
  """The first cell (map, y, x) of a letter in a map."""
  place = _place(name)
  x, y = next(at for at in place.cells() if place.letter(*at) == letter)
  return place.id, y, x


@functools.cache
def _case():
  """Cells that are unknown or differ, each for another reason."""
  town, cave = _place("fernby"), _place("cave_up")
  person = next(p for p in town.entries("people") if "sprite" in p)
  x, y = person["at"]
  figure = cartridge_atlas.figures(atlases.tables())[person["sprite"]]
  ground = cartridge_atlas.ground(atlases.tables(), town, [y], [x])
  higher = ground.copy()
  cartridge_atlas.put_figure(higher[:15], figure[1:])
  above = atlases.true_cells()[town.id, y - 1, x].copy()
  above[15] ^= 1  # the hair
  water = _find("fernby", "~")
  cells = atlases.true_cells()
  strange = np.arange(256, dtype=np.uint8).reshape(16, 16) % 3
  changed = {
    water: np.roll(cells[water], 3, axis=1),
    (town.id, y, x): higher,
    (town.id, y - 1, x): above,
    (cave.id, 3, 4): strange,
    (town.id, -1, 0): strange,  # beyond its edge
  }
  without = {(cave.id, 5, 6), *(at for at in cells if at[0] == 28)}
  atlas, table = atlases.believed(changed, without)
  lacking = cave.id, 7, 8
  cell = atlas_lib.cells(atlas, *(np.asarray(n) for n in lacking))
  atlas.tiles[cell, 1] = table.vocab
  return atlas_maps.read(atlas, table, _VALE), {
    water: atlas_maps.WATER,
    (town.id, y, x): atlas_maps.PERSON,
    (town.id, y - 1, x): atlas_maps.PERSON,
    (cave.id, 3, 4): atlas_maps.OTHER,
    (cave.id, 5, 6): atlas_maps.UNKNOWN,
    lacking: atlas_maps.MISSING,
    (town.id, -1, 0): atlas_maps.OTHER,
  }


def test_cells_are_the_same_unless_there_is_a_reason():
  maps, expected = _case()
  assert [one.id for one in maps] == [
    p.id for p in atlases.tables().places.values()
  ]
  for one in maps:
    for row, column in np.ndindex(one.kind.shape):
      at = one.id, one.top + row, one.left + column
      known = at in atlases.true_cells() and one.id != 28
      usual = atlas_maps.SAME if known else atlas_maps.UNKNOWN
      assert one.kind[row, column] == expected.get(at, usual), at


def test_numbers_count_cells_by_reason_inside_and_beyond():
  maps, _ = _case()
  found = atlas_tables.numbers(maps)
  json.dumps(found)
  cave = found["maps"][str(_place("cave_up").id)]
  size = _place("cave_up").width * _place("cave_up").height
  assert (cave["cells"], cave["known"], cave["same"]) == (
    size,
    size - 1,
    size - 3,
  )
  assert (cave["missing"], cave["other"], cave["water"]) == (1, 1, 0)
  town = found["maps"][str(_place("fernby").id)]
  assert (town["water"], town["person"], town["other"]) == (1, 2, 0)
  assert town["beyond_known"] - town["beyond_same"] == 1
  hut = found["maps"]["28"]
  assert (hut["known"], hut["same"]) == (0, 0)
  every = found["all"]
  assert every["cells"] == sum(
    p.width * p.height for p in atlases.tables().places.values()
  )
  assert every["cells"] - every["known"] == 1 + hut["cells"]
  text = atlas_tables.sentence(found)
  assert f"{every['known']:,} of the {every['cells']:,} cells" in text
  (table,) = atlas_tables.tables(found)
  assert len(table.rows) == len(maps) + 1
  assert {len(row) for row in table.rows} == {len(table.header)}


def _colours(image):
  return {colour for _, colour in image.getcolors(1 << 20)}


def _at(image, block):
  """Where an image `[H, W, 3]` stands in a picture: all (y, x)."""
  pixels = np.asarray(image)
  first = (pixels[:, :, None] == block[0, 0]).all(-1)[..., 0]
  height, width = block.shape[:2]
  return [
    (y, x)
    for y, x in np.argwhere(first)
    if np.array_equal(pixels[y : y + height, x : x + width], block)
  ]


def test_what_is_believed_stands_left_of_what_is_true():
  maps, _ = _case()
  (town,) = [one for one in maps if one.name == "fernby"]
  image = atlas_pictures.draw([town])
  truth = np.full((16 * 16, 20 * 16), 0, np.uint8)
  for y, x in np.ndindex(16, 20):
    block = np.s_[16 * y : 16 * y + 16, 16 * x : 16 * x + 16]
    truth[block] = atlases.true_cells()[town.id, y, x]
  grey = frame_codec.GREY_LEVELS[truth][..., None].repeat(3, -1)
  ((top, left),) = _at(image, grey)
  pixels = np.asarray(image)
  before = left - (16 * 22 + 6)  # 20 cells and a rim, and the gap
  believed = pixels[top : top + 16 * 16, before : before + 16 * 20]
  different = (believed != grey).any(-1).reshape(16, 16, 20, 16).any((1, 3))
  inside = town.kind[town.own].reshape(16, 20)
  np.testing.assert_array_equal(different, inside != atlas_maps.SAME)
  frames = atlas_pictures._FRAMES
  for kind in (atlas_maps.WATER, atlas_maps.PERSON):
    y, x = np.argwhere(inside == kind)[0]
    assert tuple(believed[16 * y, 16 * x + 8]) == frames[kind][1]
  assert frames[atlas_maps.MISSING][1] not in _colours(image)


def test_unknown_cells_are_hatched():
  maps, _ = _case()
  (hut,) = [one for one in maps if one.id == 28]
  image = np.asarray(atlas_pictures.draw([hut]))
  hatched = (image[..., None, :] == atlas_pictures._HATCH).all(-1).any(-1)
  cells = (_place("hut").width + 2) * (_place("hut").height + 2)
  legend = shelves._SWATCH**2
  assert hatched.sum() == cells * 256 + legend


def test_of_another_game_nothing_but_the_atlas_is_drawn():
  atlas, table = atlases.believed(
    without={at for at in atlases.true_cells() if at[0] > 2}
  )
  shown = atlas_maps.read(atlas, table, "0" * 40)
  assert [(one.id, one.name) for one in shown] == [(1, "map 1"), (2, "map 2")]
  assert all(one.truth is None for one in shown)
  home = _place("home")
  assert shown[0].kind.shape == (home.height + 2, home.width + 2)
  assert (shown[0].top, shown[0].left) == (-1, -1)
  found = atlas_tables.numbers(shown)
  assert found["all"]["cells"] is None
  assert found["maps"]["1"]["known"] == shown[0].kind.size
  assert "nobody knows" in atlas_tables.sentence(found)
  assert atlas_tables.tables(found)[0].header == ["map", "cells known"]
  grey = frame_codec.GREY_LEVELS[
    shown[0].believed.swapaxes(1, 2).reshape(16 * 7, 16 * 8)
  ]
  image = atlas_pictures.draw(shown[:1])
  assert len(_at(image, grey[..., None].repeat(3, -1))) == 1


def _errors(*cells):
  """Of (map, y, x, wrong pixels, rows)."""
  cells = np.array(cells)
  return cell_errors.CellErrors(
    cells[:, :3], cells[:, 3], cells[:, 4], rows_read=7
  )


def test_heat_lies_on_the_cells_that_were_wrong():
  maps, _ = _case()
  cave = _place("cave_up").id
  errors = _errors(
    *((cave, 0, 0, 0, 4), (cave, 2, 3, 512, 5), (cave, 4, 1, 5, 1)),
    (999, 0, 0, 1, 1),
  )
  large = _errors((cave, 0, 0, 0, 4), (cave, 5, 9, 512, 5))
  image = np.asarray(atlas_pictures.draw_errors(maps, errors, large))
  (one,) = [one for one in maps if one.id == cave]
  scale = {label: colour for _, label, colour in atlas_pictures._SCALE}

  def found(label, y, x):
    """Where a map begins whose cell has the colour of a label."""
    greys = atlas_pictures._mixed(scale[label], 0.7)
    shades = one.believed[y - one.top, x - one.left]
    return [
      (top - 16 * y, left - 16 * x) for top, left in _at(image, greys[shades])
    ]

  begin, right = found("none", 0, 0)
  head = 2 * shelves._LINE + 4  # its name and its share
  assert begin == (shelves._TOP + head + 16, shelves.GAP + 16)
  width = 16 * (_place("cave_up").width + 2) + 6
  assert right == (begin[0], begin[1] + width)
  assert begin in found("more", 2, 3) and right not in found("more", 2, 3)
  assert begin in found("to 3 %", 4, 1)
  assert right in found("more", 5, 9) and begin not in found("more", 5, 9)
  neutral = atlas_pictures._mixed(atlas_pictures._NEUTRAL, 0.7)
  assert (image[:, :, None] == neutral).all(-1).any()


def test_numbers_name_the_worst_cells():
  maps, _ = _case()
  cave = _place("cave_up").id
  errors = _errors(
    (cave, 2, 3, 640, 5),
    (cave, 4, 1, 256, 1),
    (999, 0, 0, 1, 8),
    (cave, 0, 0, 0, 6),
  )
  found = atlas_tables.numbers(maps, errors)["errors"]
  assert (found["rows"], found["cells"]) == (7, 4)
  assert found["wrong"] == pytest.approx(897 / (20 * 256), abs=1e-6)
  assert found["worst"] == [
    {"map": "cave_up", "y": 2, "x": 3, "rows": 5, "wrong": 0.5},
    {"map": "map 999", "y": 0, "x": 0, "rows": 8, "wrong": 0.000488},
  ]
  both = atlas_tables.numbers(maps, errors, _errors((cave, 2, 3, 64, 5)))
  assert both["errors_at_large"]["wrong"] == 0.05
  _, table, by_themselves = atlas_tables.tables(both)
  assert by_themselves.rows == [["cave_up", "2", "3", "0.0500", "5"]]
  assert "5.000% in the 7 of them" in table.note
  assert table.rows[0] == ["cave_up", "2", "3", "0.5000", "5"]


def test_the_whole_vale_stays_small_and_many_maps_are_drawn_smaller():
  maps, _ = _case()
  image = atlas_pictures.draw(maps)
  assert image.width == shelves.WIDTH
  assert len(pictures.to_png(image)) < 300_000
  cells = sum(one.kind.size for one in maps)
  assert atlas_pictures._shrink(cells) == 1
  assert atlas_pictures._shrink(50_000) == 2
  half = atlas_pictures._smaller(np.asarray(image), 2)
  assert half.shape[:2] == (image.height // 2, image.width // 2)


def test_blocks_overlap_nowhere():
  rng = np.random.default_rng(0)
  blocks = [
    shelves.Block(["x"], np.full((h, w, 3), 255, np.uint8))
    for h, w in rng.integers(20, 500, (40, 2))
  ]
  placed, height = shelves._placed(blocks, shelves.WIDTH)
  taken = np.zeros((height, shelves.WIDTH), int)
  for x, y, block in placed:
    assert x + block.width <= shelves.WIDTH and y + block.height <= height
    taken[y : y + block.height, x : x + block.width] += 1
  assert len(placed) == len(blocks) and taken.max() == 1
