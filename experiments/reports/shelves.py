"""Images with lines of text over them, packed on shelves under a legend."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.reports import pictures

WIDTH = 1036  # as wide as the page of the report
GAP = 14
_TOP = 54  # pixels above the first shelf
_LINE = 15  # pixels of a line of text
_SWATCH = 14

Colour = tuple[int, int, int]


class Block:
  """Lines of text over an image `[H, W, 3]` uint8."""

  def __init__(self, lines: Sequence[str], image: np.ndarray):
    """Measures the text; nothing is copied."""
    self.lines = lines
    self.image = image
    words = max(pictures.text_width(line) for line in lines)
    self.width = max(image.shape[1], words)
    self.head = _LINE * len(lines) + 4  # pixels above the image
    self.height = self.head + image.shape[0]


def sheet(
  blocks: Sequence[Block], title: str, legend: Sequence[tuple[str, Colour]]
) -> Any:
  """Draws blocks on shelves, the tall ones first; a `PIL.Image`.

  Args:
    blocks: in any order; one that is wider than the page makes it wider.
    title: a line above everything.
    legend: what the colours stand for.
  """
  from PIL import Image
  from PIL import ImageDraw

  width = max([WIDTH, *(block.width + 2 * GAP for block in blocks)])
  placed, height = _placed(blocks, width)
  image = Image.new("RGB", (width, height), pictures.BACKGROUND)
  draw = ImageDraw.Draw(image)
  draw.text((GAP, 6), title, pictures.TEXT, font=pictures.font(15))
  x = GAP
  for label, colour in legend:
    draw.rectangle((x, 31, x + _SWATCH - 1, 30 + _SWATCH), fill=colour)
    x += _SWATCH + 6
    draw.text((x, 30), label, pictures.FAINT, font=pictures.font())
    x += pictures.text_width(label) + 18
  _draw(image, placed)
  return image


def panel(blocks: Sequence[Block], width: int) -> np.ndarray:
  """Blocks alone on shelves, `[H, W, 3]` uint8, to stand in a block."""
  from PIL import Image

  width = max([width, *(block.width for block in blocks)])
  placed, height = _placed(blocks, width + 2 * GAP, 0)
  image = Image.new("RGB", (width, height), pictures.BACKGROUND)
  _draw(image, [(x - GAP, y, block) for x, y, block in placed])
  return np.asarray(image)


def _draw(image: Any, placed: Sequence[tuple[int, int, Block]]) -> None:
  from PIL import Image
  from PIL import ImageDraw

  draw = ImageDraw.Draw(image)
  for x, y, block in placed:
    for number, line in enumerate(block.lines):
      colour = pictures.FAINT if number else pictures.TEXT
      at = (x, y + _LINE * number)
      draw.text(at, line, colour, font=pictures.font())
    image.paste(Image.fromarray(block.image), (x, y + block.head))


def _placed(
  blocks: Sequence[Block], width: int, top: int = _TOP
) -> tuple[list[tuple[int, int, Block]], int]:
  """(x, y, block) of all blocks, and where they end.

  A shelf is as high as its first block; below lower ones there is room for
  others that are no wider.
  """
  left = sorted(blocks, key=lambda block: -block.height)
  placed, y = [], top
  while left:
    x, height = GAP, left[0].height
    while column := _first(left, width - GAP - x, height):
      below = y
      while block := _first(left, column.width, y + height - below):
        placed.append((x, below, block))
        below += block.height + GAP
        left.remove(block)
      x += column.width + GAP
    y += height + GAP
  return placed, y


def _first(blocks: Sequence[Block], width: int, height: int) -> Block | None:
  """The first block that is no larger."""
  fits = (b for b in blocks if b.width <= width and b.height <= height)
  return next(fits, None)
