"""Art tables to Game Boy tiles.

An image is a numpy array `[H, W]` uint8 of shades 0 (white) to 3 (black). A
tile is 16 bytes: for each of 8 rows the low bits, then the high bits, the
leftmost pixel in bit 7.
"""

import math
import pathlib

import numpy as np

ART = pathlib.Path(__file__).parent / "art"
SHADES = {"-": 0, ".": 1, "+": 2, "#": 3}
# Colour 0 of a sprite is clear, so its shades are numbered apart.
SPRITE_COLOURS = {"~": 0, "-": 1, "+": 2, "#": 3}
PICTURE_SIZE = 32
_AXIS = PICTURE_SIZE // 2
_OVERSAMPLE = 4


def read_blocks(name: str) -> list[tuple[list[str], list[str]]]:
  """Blocks of an art file: words of the heading, then the lines below it.

  Blocks are separated by blank lines. Lines that start with "# " are
  comments where no block is open.
  """
  blocks = []
  block: list[str] = []
  for line in [*(ART / name).read_text().splitlines(), ""]:
    if line.strip():
      if block or not line.startswith("# "):
        block.append(line)
    elif block:
      blocks.append((block[0].split(), block[1:]))
      block = []
  return blocks


def parse_image(
  lines: list[str], colours: dict[str, int], size: int, what: str
) -> np.ndarray:
  """A square image `[size, size]` from its drawing.

  Raises:
    ValueError: the drawing has another size or an unknown character.
  """
  if len(lines) != size or any(len(line) != size for line in lines):
    raise ValueError(f"{what}: expected {size} lines of {size} characters")
  unknown = set("".join(lines)) - set(colours)
  if unknown:
    raise ValueError(f"{what}: {sorted(unknown)} not in {sorted(colours)}")
  return np.array([[colours[c] for c in line] for line in lines], np.uint8)


def tile_bytes(image: np.ndarray) -> bytes:
  """The 16 bytes of one `[8, 8]` tile."""
  low = np.packbits(image & 1, axis=1)[:, 0]
  high = np.packbits(image >> 1, axis=1)[:, 0]
  return np.stack([low, high], axis=1).tobytes()


def split_tiles(image: np.ndarray) -> list[bytes]:
  """Tiles of an image `[8 * R, 8 * C]`, row by row."""
  height, width = image.shape
  return [
    tile_bytes(image[y : y + 8, x : x + 8])
    for y in range(0, height, 8)
    for x in range(0, width, 8)
  ]


def font_glyphs() -> dict[str, np.ndarray]:
  """Images `[8, 8]` of the characters in `font.txt`."""
  glyphs = {}
  for heading, lines in read_blocks("font.txt"):
    rows = [line.split() for line in lines]
    for i, character in enumerate(heading[1:]):
      image = np.zeros((8, 8), np.uint8)
      for y, row in enumerate(rows):
        image[y, 1:6] = [3 if c == "#" else 0 for c in row[i]]
      glyphs[character] = image
  return glyphs


def frame_tiles() -> dict[int, np.ndarray]:
  """Images `[8, 8]` of the boxes and the HP bar, by tile id."""
  tiles = {
    int(heading[1], 16): parse_image(lines, SHADES, 8, f"tile {heading[1]}")
    for heading, lines in read_blocks("frame.txt")
  }
  for filled in range(9):
    image = np.zeros((8, 8), np.uint8)
    image[[1, 6]] = 3
    image[[2, 5], :filled] = 2
    image[3:5, :filled] = 2
    tiles[0x63 + filled] = image
  return tiles


def map_cells() -> dict[str, tuple[str, set[str], np.ndarray]]:
  """Letter -> (name, flags, image `[16, 16]`) of the cells in `cells.txt`."""
  cells = {}
  for heading, lines in read_blocks("cells.txt"):
    _, letter, name, *flags = heading
    size = 8 if len(lines) == 8 else 16
    image = parse_image(lines, SHADES, size, f"cell {name}")
    if size == 8:
      image = np.tile(image, (2, 2))
    cells[letter] = (name, set(flags), image)
  return cells


def figures() -> dict[str, np.ndarray]:
  """Name -> image `[16, 16]` in sprite colours, in the order of the file."""
  return {
    heading[1]: parse_image(lines, SPRITE_COLOURS, 16, f"sprite {heading[1]}")
    for heading, lines in read_blocks("sprites.txt")
  }


def _points(words: list[str]) -> np.ndarray:
  return np.array([[float(v) for v in word.split(",")] for word in words])


def _inside_polygon(points: np.ndarray, x: np.ndarray, y: np.ndarray):
  """Even-odd rule."""
  inside = np.zeros(x.shape, bool)
  for (x0, y0), (x1, y1) in zip(
    points, np.roll(points, -1, axis=0), strict=True
  ):
    if y0 == y1:
      continue
    crosses = (y0 > y) != (y1 > y)
    inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
  return inside


def _cover(mask: np.ndarray) -> np.ndarray:
  """Pixels of which at least half is covered in the finer mask."""
  size = mask.shape[0] // _OVERSAMPLE
  blocks = mask.reshape(size, _OVERSAMPLE, size, _OVERSAMPLE)
  return blocks.mean(axis=(1, 3)) >= 0.5


def _dilate(mask: np.ndarray) -> np.ndarray:
  wide = np.pad(mask, 1)
  return (
    wide[1:-1, 1:-1]
    | wide[:-2, 1:-1]
    | wide[2:, 1:-1]
    | wide[1:-1, :-2]
    | wide[1:-1, 2:]
  )


def _shape_mask(kind: str, words: list[str]) -> np.ndarray:
  """Mask `[32, 32]` of a shape and its mirror image."""
  steps = (np.arange(PICTURE_SIZE * _OVERSAMPLE) + 0.5) / _OVERSAMPLE
  x, y = np.meshgrid(steps, steps)
  if kind in ("ellipse", "blot"):
    cx, cy, rx, ry = (float(word) for word in words)
    mask = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
  elif kind == "polygon":
    mask = _inside_polygon(_points(words), x, y)
  else:
    raise ValueError(f"shape {kind!r}: ellipse, blot, polygon or line")
  return _cover(mask | mask[:, ::-1])


def _draw_line(image: np.ndarray, shade: int, words: list[str]) -> None:
  (x0, y0), (x1, y1) = _points(words)
  count = max(1, math.ceil(max(abs(x1 - x0), abs(y1 - y0))))
  for i in range(count + 1):
    x = min(int(x0 + (x1 - x0) * i / count), _AXIS - 1)
    y = min(int(y0 + (y1 - y0) * i / count), PICTURE_SIZE - 1)
    image[y, x] = image[y, PICTURE_SIZE - 1 - x] = shade


def draw_picture(lines: list[str]) -> np.ndarray:
  """A picture `[32, 32]` from its shapes, later ones over earlier ones."""
  image = np.zeros((PICTURE_SIZE, PICTURE_SIZE), np.uint8)
  for line in lines:
    kind, shade, *words = line.split()
    if kind == "line":
      _draw_line(image, int(shade), words)
      continue
    mask = _shape_mask(kind, words)
    if kind in ("ellipse", "polygon"):
      image[_dilate(mask)] = 3
    image[mask] = int(shade)
  return image


def pictures() -> dict[str, np.ndarray]:
  """Name -> image `[32, 32]` of the creatures and the title's lantern."""
  return {
    heading[1]: draw_picture(lines)
    for heading, lines in read_blocks("species.txt")
  }
