"""An atlas of the great vale that holds the truth, or almost."""

import functools

import numpy as np

from data_tools.cartridge import atlas as cartridge_atlas
from data_tools.cartridge import tables as cartridge_tables
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib

_MAPS = 30
_PAGES = (5, 6)  # of a map, along y and x


@functools.cache
def tables():
  return cartridge_tables.read(cartridge_tables.WORLDS / "great_vale")


@functools.cache
def true_cells():
  """(map, y, x) -> shades `[16, 16]` of all cells of the vale's maps."""
  figures = cartridge_atlas.figures(tables())
  found = {}
  for place in tables().places.values():
    ys, xs = range(-1, place.height + 1), range(-1, place.width + 1)
    ground = cartridge_atlas.ground(tables(), place, ys, xs)
    for y in ys:
      for x in xs:
        row, column = 16 * (y + 1), 16 * (x + 1)
        found[place.id, y, x] = ground[row : row + 16, column : column + 16]
    for x, y, figure in cartridge_atlas.people(place, figures):
      cartridge_atlas.put_figure(found[place.id, y, x], figure)
  return found


def believed(changed=None, without=()):
  """An atlas that holds the truth but for changed cells, and a dictionary.

  Args:
    changed: (map, y, x) -> other shades.
    without: cells that are not known.
  """
  cells = {**true_cells(), **(changed or {})}
  cells = {at: shades for at, shades in cells.items() if at not in without}
  corners = np.stack(list(cells.values())).reshape(-1, 2, 8, 2, 8)
  corners = corners.transpose(0, 1, 3, 2, 4).reshape(-1, 8, 8)
  shades, number = np.unique(corners, axis=0, return_inverse=True)
  quads = shades.reshape(-1, 4, 4, 4) << np.arange(0, 8, 2, dtype=np.uint8)
  words = np.bitwise_or.reduce(quads, -1).reshape(-1, 16).view(np.uint32)
  numbers = number.reshape(-1, 4).astype(np.int32)
  pages = np.arange(1, 1 + _MAPS * np.prod(_PAGES), dtype=np.int32)
  pages = pages.reshape(_MAPS, *_PAGES)
  held = np.full(((pages.max() + 1) * 64, 4), len(words), np.int32)
  looks = np.arange(len(words) + 1, dtype=np.int32)[:, None]
  atlas = atlas_lib.Atlas(pages, held, looks)
  for at, four in zip(cells, numbers, strict=True):
    held[atlas_lib.cells(atlas, *(np.asarray(n) for n in at))] = four
  return atlas, tiles.TileTable(words=words, hashes=None)
