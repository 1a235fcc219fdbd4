"""The maps that an atlas believes in, beside the true ones of a cartridge.

Known cells are compared pixel by pixel with the cartridge's tables, people at
their places. Where they differ, the tables say why: water that moves, somebody
who breathes or has gone, a tile that the dictionary lacks.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

import jax
import numpy as np

from data_tools.cartridge import atlas as cartridge_atlas
from data_tools.cartridge import rom_banks
from data_tools.cartridge import tables as cartridge_tables
from data_tools.game import roms
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib

CELL = 16  # pixels along each side of a cell
# What a cell is; the last four are known ones that differ from the truth.
KINDS = ("unknown", "same", "water", "person", "missing", "other")
UNKNOWN, SAME, WATER, PERSON, MISSING, OTHER = range(len(KINDS))
DIFFERENT = range(WATER, len(KINDS))
# What is seen beyond a map's edge by who stands on it: rows above and below,
# columns left and right.
_ABOVE, _LEFT = atlas_lib.PLAYER
_BELOW = atlas_lib.ROWS - 1 - _ABOVE
_RIGHT = atlas_lib.COLUMNS - 1 - _LEFT


@dataclasses.dataclass(frozen=True)
class BelievedMap:
  """`R` rows and `C` columns of cells of one map, some beyond its edge."""

  id: int
  name: str
  top: int  # y of the first row
  left: int  # x of the first column
  own: np.ndarray  # [R, C] bool, False beyond the edge; all True if unknown
  believed: np.ndarray  # [R, C, 16, 16] uint8 shades
  truth: np.ndarray | None  # the same; None where the tables are not here
  kind: np.ndarray  # [R, C] numbers of `KINDS`; known is SAME without a truth


def read(
  atlas: atlas_lib.Atlas, table: tiles.TileTable, rom_sha1: str
) -> list[BelievedMap]:
  """All maps of which a cell is known, and those of the tables, by id.

  Args:
    atlas: of a model.
    table: its dictionary.
    rom_sha1: of the game; only a cartridge with tables has true maps.
  """
  atlas = jax.tree.map(np.asarray, atlas)
  shades = tiles.shades_numpy(table)
  names = roms.map_names(rom_sha1)
  tables = cartridge_tables.of_rom(rom_sha1)
  places = {} if tables is None else {p.id: p for p in tables.places.values()}
  figures = {} if tables is None else cartridge_atlas.figures(tables)
  maps = []
  for number in range(max([len(atlas.pages), *(n + 1 for n in places)])):
    place = places.get(number)
    if tables is not None and place is not None:
      ys = range(-_ABOVE, place.height + _BELOW)
      xs = range(-_LEFT, place.width + _RIGHT)
      found = _Sight(atlas, shades, number, ys, xs)
      maps.append(_compared(found, tables, place, figures))
    else:
      name = names.get(number, f"map {number}")
      maps += _believed(atlas, shades, number, name)
  return maps


def numbers(maps: Sequence[BelievedMap]) -> dict[str, Any]:
  """JSON-ready counts: `maps[id]` of each map, and of `all`.

  `cells` of the map (None where nobody knows), how many of them are `known`,
  `same` and different for each reason; `beyond_known` and `beyond_same` are
  those beyond its edge.
  """
  found = {str(one.id): {"name": one.name, **_counts(one)} for one in maps}
  total: dict[str, Any] = {}
  for row in found.values():
    for name, value in row.items():
      if name != "name":
        total[name] = total.get(name, 0) + (value or 0)
  if not any(one.truth is not None for one in maps):
    total["cells"] = None
  return {"maps": found, "all": total}


def _counts(one: BelievedMap) -> dict[str, Any]:
  inside = np.bincount(one.kind[one.own], minlength=len(KINDS)).tolist()
  beyond = one.kind[~one.own]
  counts: dict[str, Any] = {"cells": None, "known": sum(inside[SAME:])}
  if one.truth is not None:
    counts["cells"] = int(one.own.sum())
    counts |= dict(zip(KINDS[SAME:], inside[SAME:], strict=True))
    counts["beyond_known"] = int((beyond != UNKNOWN).sum())
    counts["beyond_same"] = int((beyond == SAME).sum())
  return counts


class _Sight:
  """What an atlas holds at some rows and columns of a map."""

  def __init__(self, atlas, shades, number: int, ys: range, xs: range):
    cell = atlas_lib.cells(
      atlas,
      np.asarray(number),
      np.array(ys)[:, None],
      np.array(xs)[None],
    )
    held = atlas.tiles[cell]
    escape = len(shades) - 1
    self.ys, self.xs = ys, xs
    self.known = (held < escape).any(axis=-1)
    self.lacking = (held >= escape).any(axis=-1)
    corners = shades[held].reshape(*cell.shape, 2, 2, 8, 8)
    corners = corners.transpose(0, 1, 2, 4, 3, 5)
    self.shades = corners.reshape(*cell.shape, CELL, CELL)


def _believed(atlas, shades, number: int, name: str) -> list[BelievedMap]:
  """A map of no tables, as far as a cell is known; none if none is."""
  rows, columns = np.array(atlas.pages.shape[1:]) * atlas_lib.PAGE
  ys = range(-atlas_lib.MARGIN, int(rows) - atlas_lib.MARGIN)
  xs = range(-atlas_lib.MARGIN, int(columns) - atlas_lib.MARGIN)
  known = _Sight(atlas, shades, number, ys, xs).known
  row = np.flatnonzero(known.any(axis=1))
  column = np.flatnonzero(known.any(axis=0))
  if not len(row):
    return []
  ys, xs = ys[row[0] : row[-1] + 1], xs[column[0] : column[-1] + 1]
  seen = _Sight(atlas, shades, number, ys, xs)
  found = BelievedMap(
    *(number, name, ys[0], xs[0]),
    own=np.ones(seen.known.shape, bool),
    believed=seen.shades,
    truth=None,
    kind=np.where(seen.known, SAME, UNKNOWN),
  )
  return [found]


def _compared(
  seen: _Sight,
  tables: cartridge_tables.Tables,
  place: cartridge_tables.Place,
  figures: dict[str, np.ndarray],
) -> BelievedMap:
  """A map beside its true one, and why which cells differ."""
  ground = cartridge_atlas.ground(tables, place, seen.ys, seen.xs)
  ground = ground.reshape(len(seen.ys), CELL, len(seen.xs), CELL)
  ground = ground.transpose(0, 2, 1, 3)
  truth = ground.copy()
  with_people = np.zeros(seen.known.shape, bool)
  for x, y, figure in cartridge_atlas.people(place, figures):
    row, column = y - seen.ys[0], x - seen.xs[0]
    cartridge_atlas.put_figure(truth[row, column], figure)
    with_people[row - 1 : row + 1, column] = True  # who breathes is higher up
  kind = np.where(seen.known, SAME, UNKNOWN)
  different = seen.known & (seen.shades != truth).any(axis=(2, 3))
  for row, column in np.argwhere(different):
    letter = cartridge_atlas.letter_at(
      tables, place, seen.xs[column], seen.ys[row]
    )
    rolled = [np.roll(ground[row, column], k, axis=1) for k in range(8)]
    if seen.lacking[row, column]:
      why = MISSING
    elif letter in rom_banks.FLICKERING and any(
      np.array_equal(seen.shades[row, column], phase) for phase in rolled
    ):
      why = WATER
    else:
      why = PERSON if with_people[row, column] else OTHER
    kind[row, column] = why
  ys, xs = np.array(seen.ys)[:, None], np.array(seen.xs)[None]
  inside = (ys >= 0) & (ys < place.height) & (xs >= 0) & (xs < place.width)
  return BelievedMap(
    *(place.id, place.name, seen.ys[0], seen.xs[0]),
    own=inside,
    believed=seen.shades,
    truth=truth,
    kind=kind,
  )
