"""Maps as an atlas has them, under paths: what is known, unknown and wrong."""

import dataclasses

import numpy as np

from data_tools import cartridge
from data_tools.game import roms
from experiments.reports import atlas_pictures
from experiments.reports import believed_ground
from experiments.reports import path_pictures
from tests.experiments.reports import atlases

_VALE = roms.resolve(cartridge.GREAT_VALE)
_OTHER = dataclasses.replace(_VALE, sha1="0" * 40)  # a game without tables


def _id(name):
  return atlases.tables().places[name].id


def _cell(group, number, y, x):
  """Shades of a cell of a map in a picture of several."""
  top, left, _, _ = group.places[number]
  first_y, first_x = group.first[number]
  row, column = top + y - first_y, left + x - first_x
  return group.shades[16 * row :, 16 * column :][:16, :16], (row, column)


def _walked(*cells):
  return [np.array(cells, np.uint8)]


def test_what_is_believed_is_drawn_and_what_no_row_showed_is_unknown():
  town = _id("fernby")
  wrong, lost = (town, 5, 5), (town, 6, 7)
  other = np.full((16, 16), 3, np.uint8)
  memory = atlases.believed({wrong: other}, without={lost})
  (group,) = believed_ground.groups(memory, _VALE, _walked((town, 8, 8)))
  shades, _ = _cell(group, *wrong)
  np.testing.assert_array_equal(shades, other)  # not what the tables say
  shades, _ = _cell(group, town, 9, 9)
  np.testing.assert_array_equal(shades, atlases.true_cells()[town, 9, 9])
  _, at = _cell(group, *lost)
  assert np.argwhere(group.unknown).tolist() == [list(at)]
  assert believed_ground.unknown_cells([group]) == 1
  # The picture hatches that cell and no other, and says what it means.
  paths = {"policy": path_pictures.Path(np.array([(town, 8, 8)]), None)}
  image = np.asarray(path_pictures.draw([group], paths, "title"))
  hatched = (image[54:] == atlas_pictures.HATCHED).all(-1)
  rows, columns = np.nonzero(hatched)
  assert 0 < np.ptp(rows) < 32 and 0 < np.ptp(columns) < 32
  assert (image[:54] == atlas_pictures.HATCHED).all(-1).any()


def test_maps_that_touch_are_drawn_touching_as_on_the_true_maps():
  tables = atlases.tables()
  walked = [(place.id, 1, 1) for place in tables.places.values()]
  groups = believed_ground.groups(atlases.believed(), _VALE, _walked(*walked))
  paths = {"policy": path_pictures.Path(np.array(walked), None)}
  true = path_pictures.true_groups(_VALE, paths)
  assert [g.places for g in groups] == [g.places for g in true]
  for ours, theirs in zip(groups, true, strict=True):
    np.testing.assert_array_equal(ours.own, theirs.own)
    assert not ours.unknown.any()
    np.testing.assert_array_equal(ours.shades, theirs.shades)


def test_of_a_game_without_tables_maps_reach_as_far_as_known_and_walked():
  town = _id("fernby")
  known = [(town, 4, 5), (town, 6, 9)]
  memory = atlases.believed(without=set(atlases.true_cells()) - set(known))
  walked = _walked((town, 7, 2), (28, 40, 40))
  one, never = believed_ground.groups(memory, _OTHER, walked)
  assert one.places == {town: (0, 0, 4, 8)} and one.first == {town: (4, 2)}
  assert believed_ground.unknown_cells([one]) == 4 * 8 - 2
  for at in known:
    shades, (row, column) = _cell(one, *at)
    np.testing.assert_array_equal(shades, atlases.true_cells()[at])
    assert not one.unknown[row, column]
  assert one.names == [f"map {town}"]
  # A map that training never saw is what was walked of it, all unknown.
  assert never.places == {28: (0, 0, 1, 1)} and never.unknown.all()
  # A path begins where its cell is, though the map begins at (4, 2).
  path = {"random": path_pictures.Path(np.array([(town, 7, 2)]), None)}
  image = np.asarray(path_pictures.draw([one, never], path, "title"))[54:]
  drawn = (image == path_pictures.COLOURS["random"]).all(-1)
  rows, columns = np.nonzero(drawn)
  assert columns.max() < 14 + 32 + 20 and rows.size
