"""The maps that an atlas believes in, as ground to draw play on.

Cells that no row of training showed are unknown, also where players stood.
Maps of a practice cartridge have the size that its tables say and touch where
they do there; of other games a map reaches as far as its known cells and those
that were walked.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from data_tools.cartridge import atlas as cartridge_atlas
from data_tools.cartridge import tables as cartridge_tables
from data_tools.game import roms
from experiments.reports import atlas_maps
from experiments.reports import visit_pictures
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib

# A map's number -> first row, first column, rows and columns that are drawn.
_Bounds = Mapping[int, tuple[int, int, int, int]]


def groups(
  memory: tuple[atlas_lib.Atlas, tiles.TileTable],
  rom: roms.Rom,
  walked: Sequence[np.ndarray],
) -> list[visit_pictures.Group]:
  """The maps on which anybody stood, as a model remembers them.

  Args:
    memory: atlas and dictionary of the model.
    rom: the game; its tables say sizes and neighbours, where it has any.
    walked: `[T, 3]` map, y and x of each player's rows.
  """
  found = {one.id: one for one in atlas_maps.read(*memory, rom.sha1)}
  cells = np.unique(np.concatenate(walked), axis=0).astype(int)
  seen = np.unique(cells[:, 0]).tolist()
  tables = cartridge_tables.of_rom(rom.sha1)
  placed = _touching(tables, seen)
  alone = [number for number in seen if not any(number in g for g in placed)]
  placed += [{number: (0, 0)} for number in alone]
  bounds = {
    number: _bounds(found.get(number), cells[cells[:, 0] == number, 1:])
    for number in seen
  }
  return [_group(rom, found, bounds, group) for group in placed]


def unknown_cells(groups: Iterable[visit_pictures.Group]) -> int:
  """How many cells of maps that are drawn the model has never seen."""
  return sum(int(g.unknown.sum()) for g in groups if g.unknown is not None)


def _touching(
  tables: cartridge_tables.Tables | None, seen: Sequence[int]
) -> list[dict[int, tuple[int, int]]]:
  """Groups of maps of the tables, with the (x, y) of each in cells."""
  if tables is None:
    return []
  numbered = [
    {tables.places[name].id: at for name, at in group.items()}
    for group in cartridge_atlas.positions(tables)
  ]
  shown = [{k: at for k, at in g.items() if k in seen} for g in numbered]
  return [group for group in shown if group]


def _bounds(
  one: atlas_maps.BelievedMap | None, walked: np.ndarray
) -> tuple[int, int, int, int]:
  """Cells of a map that are drawn: its own where that is known."""
  shown = walked
  if one is not None and one.truth is not None:
    shown = _places(one, one.own)
  elif one is not None:
    known = _places(one, one.kind != atlas_maps.UNKNOWN)
    shown = np.concatenate([known, walked])
  first, last = shown.min(axis=0), shown.max(axis=0)
  rows, columns = last - first + 1
  return int(first[0]), int(first[1]), int(rows), int(columns)


def _places(one: atlas_maps.BelievedMap, where: np.ndarray) -> np.ndarray:
  """Y and x `[N, 2]` of the cells of a map where that holds."""
  return np.argwhere(where) + np.array([one.top, one.left])


def _group(
  rom: roms.Rom,
  found: Mapping[int, atlas_maps.BelievedMap],
  bounds: _Bounds,
  placed: Mapping[int, tuple[int, int]],
) -> visit_pictures.Group:
  """Maps that touch, or one."""
  corners = {
    number: (at[1] + bounds[number][0], at[0] + bounds[number][1])
    for number, at in placed.items()
  }
  top = min(row for row, _ in corners.values())
  left = min(column for _, column in corners.values())
  rows = max(row + bounds[k][2] for k, (row, _) in corners.items()) - top
  columns = max(at + bounds[k][3] for k, (_, at) in corners.items()) - left
  size = atlas_maps.CELL
  shades = np.zeros((rows, columns, size, size), np.uint8)
  own, unknown = np.zeros((2, rows, columns), bool)
  places = {}
  for number, (row, column) in corners.items():
    first_y, first_x, height, width = bounds[number]
    part = np.s_[row - top :, column - left :]
    own[part][:height, :width] = True
    unknown[part][:height, :width] = True
    one = found.get(number)
    if one is not None:
      known = one.kind != atlas_maps.UNKNOWN
      y, x = np.nonzero(known)
      to_y, to_x = (_places(one, known) - (first_y, first_x)).T
      inside = (to_y >= 0) & (to_y < height) & (to_x >= 0) & (to_x < width)
      to = to_y[inside] + row - top, to_x[inside] + column - left
      shades[to] = one.believed[y[inside], x[inside]]
      unknown[to] = False
    places[number] = (row - top, column - left, height, width)
  names = roms.map_names(rom.sha1)
  return visit_pictures.Group(
    shades=shades.swapaxes(1, 2).reshape(rows * size, columns * size),
    own=own,
    places=places,
    names=[names.get(number, f"map {number}") for number in placed],
    first={number: bounds[number][:2] for number in placed},
    unknown=unknown,
  )
