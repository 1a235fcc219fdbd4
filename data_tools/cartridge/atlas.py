"""Draws the maps of a world from its tables, and the picture of a full one.

  python -m data_tools.cartridge.atlas great_vale

writes `<world>.png` beside this file: every map in the game's own tiles, with
the people on it. Maps that touch are drawn touching. A black number on a cell
is the map to which a warp there leads. `ground` draws any cells of a map as
the game shows them.
"""

import argparse
import pathlib
import sys

import numpy as np

from data_tools.cartridge import pixel_art
from data_tools.cartridge import tables as source

FOLDER = pathlib.Path(__file__).parent
CELL = 16
WIDTH = 76 * CELL
GAP = 12
LABEL = 12  # pixels above a map for its name
GREYS = np.array([255, 170, 85, 0], np.uint8)  # as on the screen, evened out
_PAPER = 1


def draw_map(
  tables: source.Tables, place: source.Place, images: dict[str, np.ndarray]
) -> np.ndarray:
  """Shades `[16 * height, 16 * width]` of one map."""
  shades = ground(tables, place, range(place.height), range(place.width))
  for x, y, figure in people(place, images):
    put_figure(_cell(shades, x, y), figure)
  for warp in place.entries("warps"):
    cell = _cell(shades, *warp["at"])
    number = text(str(tables.places[warp["to"]].id))
    left = (CELL - number.shape[1]) // 2
    cell[3:13, left - 1 : left + number.shape[1] + 1] = 3
    cell[4:12, left : left + number.shape[1]] = 3 - number
  return shades


def ground(
  tables: source.Tables, place: source.Place, ys: range, xs: range
) -> np.ndarray:
  """Shades `[16 * rows, 16 * columns]` of cells, without people.

  Beyond the map's edge stand its neighbours and its border, as in the game.
  """
  shades = np.zeros((len(ys) * CELL, len(xs) * CELL), np.uint8)
  for row, y in enumerate(ys):
    for column, x in enumerate(xs):
      image = place.tileset.images[letter_at(tables, place, x, y)]
      _cell(shades, column, row)[:] = image
  return shades


def letter_at(
  tables: source.Tables, place: source.Place, x: int, y: int
) -> str:
  """The letter of what a map shows at a cell, which may lie beyond its edge."""
  found = place.letter(x, y)
  if found:
    return found
  found = place.table["border"]
  for edge, (name, offset) in place.table.get("connections", {}).items():
    to = tables.places[name]
    beyond, there = {
      "north": (y < 0, (x + offset, y + to.height)),
      "south": (y >= place.height, (x + offset, y - place.height)),
      "west": (x < 0, (x + to.width, y + offset)),
      "east": (x >= place.width, (x - place.width, y + offset)),
    }[edge]
    if beyond:
      found = to.letter(*there) or found
  return found


def figures(tables: source.Tables) -> dict[str, np.ndarray]:
  """Name -> image `[16, 16]` in sprite colours, of all that a world has."""
  files = tables.table.get("sprites", ["sprites.txt"])
  return {
    heading[1]: pixel_art.parse_image(
      lines, pixel_art.SPRITE_COLOURS, CELL, heading[1]
    )
    for file in files
    for heading, lines in pixel_art.read_blocks(file)
  }


def people(
  place: source.Place, images: dict[str, np.ndarray]
) -> list[tuple[int, int, np.ndarray]]:
  """(x, y, figure) of those who stand on a map, at first or later."""
  return [
    (*person["at"], images[person["sprite"]])
    for person in place.entries("people")
    if "sprite" in person
  ]


def put_figure(shades: np.ndarray, figure: np.ndarray) -> None:
  """Puts a figure onto shades of its size; colour 0 is clear, 1 is white."""
  seen = figure > 0
  shades[seen] = np.array([0, 0, 2, 3], np.uint8)[figure[seen]]


def text(words: str) -> np.ndarray:
  """Shades `[8, 6 * letters]` of a word in the game's letters."""
  glyphs = pixel_art.font_glyphs()
  blank = np.zeros((8, 8), np.uint8)
  return np.hstack([glyphs.get(c, blank)[:, 1:7] for c in words])


def positions(tables: source.Tables) -> list[dict[str, tuple[int, int]]]:
  """Groups of maps that touch, with the (x, y) of each in cells."""
  groups: list[dict[str, tuple[int, int]]] = []
  for name in tables.places:
    if any(name in group for group in groups):
      continue
    group, queue = {name: (0, 0)}, [name]
    while queue:
      here = tables.places[queue.pop()]
      left, top = group[here.name]
      for edge, (to, offset) in here.table.get("connections", {}).items():
        there = tables.places[to]
        corner = {
          "north": (left - offset, top - there.height),
          "south": (left - offset, top + here.height),
          "west": (left - there.width, top - offset),
          "east": (left + here.width, top - offset),
        }[edge]
        if to not in group:
          group[to] = corner
          queue.append(to)
    groups.append(group)
  return groups


def atlas(tables: source.Tables) -> np.ndarray:
  """Shades of the whole picture."""
  images = figures(tables)
  blocks = [_draw_group(tables, group, images) for group in positions(tables)]
  # Shelves: high blocks first, each beside the last while there is room.
  blocks.sort(key=lambda block: -block.shape[0])
  shelves: list[np.ndarray] = []
  while blocks:
    shelf = [blocks.pop(0)]
    used = shelf[0].shape[1]
    for block in list(blocks):
      if used + GAP + block.shape[1] <= WIDTH:
        used += GAP + block.shape[1]
        shelf.append(block)
        blocks = [other for other in blocks if other is not block]
    shelves.append(_beside(shelf))
  return np.vstack([np.pad(s, GAP // 2, constant_values=1) for s in shelves])


def _draw_group(
  tables: source.Tables,
  group: dict[str, tuple[int, int]],
  images: dict[str, np.ndarray],
) -> np.ndarray:
  places = [tables.places[name] for name in group]
  left = min(x for x, _ in group.values())
  top = min(y for _, y in group.values())
  right = max(group[p.name][0] + p.width for p in places)
  bottom = max(group[p.name][1] + p.height for p in places)
  height = (bottom - top) * CELL + LABEL
  # A name may be wider than a small map.
  width = max((right - left) * CELL, 6 * max(len(n) + 3 for n in group))
  shades = np.full((height, width), _PAPER, np.uint8)
  for place in places:
    x = (group[place.name][0] - left) * CELL
    y = (group[place.name][1] - top) * CELL + LABEL
    image = draw_map(tables, place, images)
    shades[y : y + image.shape[0], x : x + image.shape[1]] = image
  for place in places:
    x = (group[place.name][0] - left) * CELL
    y = (group[place.name][1] - top) * CELL
    label = text(f"{place.id} {place.name.upper().replace('_', ' ')}")
    shades[y : y + 10, x : x + label.shape[1] + 2] = 0
    shades[y + 1 : y + 9, x + 1 : x + 1 + label.shape[1]] = label
  return shades


def _cell(shades: np.ndarray, x: int, y: int) -> np.ndarray:
  return shades[y * CELL : (y + 1) * CELL, x * CELL : (x + 1) * CELL]


def _beside(blocks: list[np.ndarray]) -> np.ndarray:
  height = max(block.shape[0] for block in blocks)
  shelf = np.full((height, WIDTH), _PAPER, np.uint8)
  x = 0
  for block in blocks:
    shelf[: block.shape[0], x : x + block.shape[1]] = block
    x += block.shape[1] + GAP
  return shelf


def save(shades: np.ndarray, path: pathlib.Path) -> None:
  """Writes shades as a PNG of two bits a pixel."""
  from PIL import Image

  picture = Image.fromarray(shades, mode="P")
  picture.putpalette([int(grey) for grey in np.repeat(GREYS, 3)])
  picture.save(path, optimize=True, bits=2)


def main() -> int:
  """Command line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("world", help="folder under worlds/")
  name = parser.parse_args().world
  path = FOLDER / f"{name}.png"
  save(atlas(source.read(source.WORLDS / name)), path)
  print(f"{path.name}: {path.stat().st_size} bytes")
  return 0


if __name__ == "__main__":
  sys.exit(main())
