"""The map picture is drawn from the tables, and is up to date."""

import numpy as np

from data_tools.cartridge import atlas
from data_tools.cartridge import tables as source

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
