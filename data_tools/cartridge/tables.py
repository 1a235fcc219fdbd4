"""The source tables of a full world, as written: for checks and drawings.

`generator` turns tables into C and refuses what the engine cannot hold; this
module only reads, so that a broken world can be looked at too.
"""

from collections.abc import Iterator
import dataclasses
import pathlib
import tomllib
from typing import Any

import numpy as np

from data_tools import cartridge
from data_tools.cartridge import pixel_art

WORLDS = pathlib.Path(__file__).parent / "worlds"
DIRECTIONS = {"down": (0, 1), "left": (-1, 0), "right": (1, 0), "up": (0, -1)}
EDGES = {"north": "up", "south": "down", "west": "left", "east": "right"}
OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}


@dataclasses.dataclass(frozen=True)
class Tileset:
  """The cells that the maps of one kind are drawn with, by letter."""

  flags: dict[str, frozenset[str]]
  images: dict[str, np.ndarray]  # [16, 16] shades


@dataclasses.dataclass
class Place:
  """One map as drawn."""

  id: int
  name: str
  rows: list[str]
  tileset: Tileset
  table: dict[str, Any]  # its file

  @property
  def width(self) -> int:
    """Cells in the longest row."""
    return max(len(row) for row in self.rows)

  @property
  def height(self) -> int:
    """Rows of cells."""
    return len(self.rows)

  def letter(self, x: int, y: int) -> str:
    """The letter at a cell, "" outside the drawing."""
    inside = 0 <= y < self.height and 0 <= x < len(self.rows[y])
    return self.rows[y][x] if inside else ""

  def flags(self, x: int, y: int) -> frozenset[str]:
    """Flags of the cell; none outside and for unknown letters."""
    return self.tileset.flags.get(self.letter(x, y), frozenset())

  def floor(self, x: int, y: int) -> bool:
    """Whether one can stand there, people left aside."""
    return "walkable" in self.flags(x, y)

  def cells(self) -> Iterator[tuple[int, int]]:
    """All (x, y)."""
    for y, row in enumerate(self.rows):
      for x in range(len(row)):
        yield x, y

  def wild_cells(self) -> list[tuple[int, int]]:
    """Cells on which wild creatures come."""
    everywhere = self.table.get("wild_everywhere", False)
    return [
      (x, y)
      for x, y in self.cells()
      if "grass" in self.flags(x, y) or (everywhere and self.floor(x, y))
    ]

  def entries(self, kind: str) -> list[dict[str, Any]]:
    """Its `warps`, `people`, `doors` or `wild`."""
    return self.table.get(kind, [])


@dataclasses.dataclass
class Tables:
  """A world's tables."""

  table: dict[str, Any]  # world.toml
  places: dict[str, Place]  # by name, in the order of their ids

  def entries(self, kind: str) -> list[dict[str, Any]]:
    """Its `species`, `moves`, `items`, `trainers`, `events`, ..."""
    return self.table.get(kind, [])

  def names(self, kind: str) -> list[str]:
    """Names in one of those tables."""
    return [entry["name"] for entry in self.entries(kind)]

  def entry(self, kind: str, name: str) -> dict[str, Any]:
    """The entry called `name`.

    Raises:
      ValueError: there is none.
    """
    for entry in self.entries(kind):
      if entry["name"] == name:
        return entry
    raise ValueError(f"{kind} {name!r}: not in {self.names(kind)}")


def read_tileset(name: str) -> Tileset:
  """Cells of `art/tileset_<name>.txt`; it may take some from other files."""
  flags: dict[str, frozenset[str]] = {}
  images: dict[str, np.ndarray] = {}
  blocks = pixel_art.read_blocks(f"tileset_{name}.txt")
  shared = pixel_art.map_cells()
  for heading, lines in blocks:
    if heading[0] == "from":
      for letter in lines[0]:
        _, marks, images[letter] = shared[letter]
        flags[letter] = frozenset(marks)
      continue
    _, letter, cell_name, *flag_names = heading
    size = 8 if len(lines) == 8 else 16
    image = pixel_art.parse_image(lines, pixel_art.SHADES, size, cell_name)
    images[letter] = np.tile(image, (16 // size, 16 // size))
    flags[letter] = frozenset(flag_names)
  return Tileset(flags, images)


def _all_cells() -> Tileset:
  """Every cell of `art/cells.txt`, as chapter one draws all its maps."""
  cells = pixel_art.map_cells()
  return Tileset(
    {letter: frozenset(marks) for letter, (_, marks, _) in cells.items()},
    {letter: image for letter, (_, _, image) in cells.items()},
  )


def read(folder: pathlib.Path) -> Tables:
  """Reads `world.toml` and `maps/<id>_<name>.toml` of one folder.

  Maps of a world for the small engine share one set of cells.
  """
  table = tomllib.loads((folder / "world.toml").read_text())
  tilesets: dict[str, Tileset] = {}
  if table.get("engine") != "full":
    tilesets["town"] = _all_cells()
  places = []
  for path in folder.glob("maps/*.toml"):
    source = tomllib.loads(path.read_text())
    tileset = source.get("tileset", "town")
    if tileset not in tilesets:
      tilesets[tileset] = read_tileset(tileset)
    places.append(
      Place(
        id=int(path.stem.split("_")[0]),
        name=source["name"],
        rows=source["drawing"].split(),
        tileset=tilesets[tileset],
        table=source,
      )
    )
  places.sort(key=lambda place: place.id)
  return Tables(table, {place.name: place for place in places})


def of_rom(rom_sha1: str) -> Tables | None:
  """The tables that a ROM was built from, None where they are not here.

  They are beside the code of a checkout, and of practice cartridges alone.
  """
  world = cartridge.world(rom_sha1)
  if world is None or not (WORLDS / world.name / "world.toml").exists():
    return None
  return read(WORLDS / world.name)


def figures(tables: Tables) -> list[str]:
  """Names of the figures that a world may use."""
  files = tables.table.get("sprites", ["sprites.txt"])
  blocks = [block for file in files for block in pixel_art.read_blocks(file)]
  return [heading[1] for heading, _ in blocks]


def pictures(tables: Tables) -> dict[str, np.ndarray]:
  """Name -> image `[32, 32]` of the creatures that a world may use."""
  files = tables.table.get("pictures", ["species.txt"])
  blocks = [block for file in files for block in pixel_art.read_blocks(file)]
  return {head[1]: pixel_art.draw_picture(lines) for head, lines in blocks}
