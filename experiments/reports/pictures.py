"""Contact sheets: rows of Game Boy frames under each other, with labels."""

import base64
from collections.abc import Sequence
import dataclasses
import functools
import io
import pathlib
from typing import Any

import numpy as np

from data_tools.game import frame_codec
from pokedreamer_jax import specs

BACKGROUND = (24, 26, 30)
TEXT = (226, 228, 232)
FAINT = (140, 146, 156)
# What is right, and what is not: told apart by who sees no red or green, too.
RIGHT, OFF = (64, 176, 116), (232, 144, 48)
EXACT = (74, 190, 120)  # border of a frame that is right in every pixel
INEXACT = (214, 120, 74)
_GAP = 6  # pixels between frames
_BORDER = 2
# Of a frame that is right, in a row of differences: share of its grey, and what
# is added to it.
_FAINT_SHARE, _FAINT_OVER = 0.25, 24


@dataclasses.dataclass(frozen=True)
class Row:
  """One strip of a sheet.

  Attributes:
    label: shown left of the strip.
    frames: packed `[T, 144, 40]` uint8.
    truth: packed `[T, 144, 40]` to compare with, or None. Compared frames get
      a green border where every pixel is right, an orange one elsewhere.
    difference: shows `truth` faintly, and what is wrong in colour.
  """

  label: str
  frames: np.ndarray
  truth: np.ndarray | None = None
  difference: bool = False


def contact_sheet(
  blocks: Sequence[Sequence[Row]],
  columns: Sequence[str],
  scale: float = 0.5,
  title: str = "",
) -> Any:
  """Draws blocks of rows, such as one block per window.

  Args:
    blocks: rows of equal length; a wider gap stands between blocks.
    columns: one label per column, shown on top.
    scale: size of a frame beside 160x144 pixels.
    title: a line above everything.

  Returns:
    A `PIL.Image`.

  Raises:
    ValueError: a row has another number of frames than there are columns.
  """
  from PIL import Image
  from PIL import ImageDraw

  for row in (row for block in blocks for row in block):
    if len(row.frames) != len(columns):
      raise ValueError(
        f"row {row.label!r}: {len(row.frames)} frames, {len(columns)} columns"
      )
  width = round(specs.FRAME_WIDTH * scale)
  height = round(specs.FRAME_HEIGHT * scale)
  left = 16 + max(
    (text_width(row.label) for block in blocks for row in block), default=0
  )
  top = 30 + (24 if title else 0)
  rows = sum(len(block) for block in blocks)
  size = (
    left + len(columns) * (width + _GAP) + _GAP,
    top + rows * (height + _GAP) + max(len(blocks) - 1, 0) * 2 * _GAP + _GAP,
  )
  sheet = Image.new("RGB", size, BACKGROUND)
  draw = ImageDraw.Draw(sheet)
  if title:
    draw.text((8, 6), title, TEXT, font=font(15))
  for index, label in enumerate(columns):
    x = left + index * (width + _GAP) + (width - text_width(label)) // 2
    draw.text((x, top - 20), label, FAINT, font=font())
  y = top
  for block in blocks:
    for row in block:
      draw.text((8, y + height // 2 - 8), row.label, TEXT, font=font())
      for index, frame in enumerate(row.frames):
        x = left + index * (width + _GAP)
        if row.truth is not None:
          exact = np.array_equal(frame, row.truth[index])
          draw.rectangle(
            (x - _BORDER, y - _BORDER, x + width + 1, y + height + 1),
            fill=EXACT if exact else INEXACT,
          )
        shown = _grey(frame)
        if row.difference and row.truth is not None:
          shown = _difference(frame, row.truth[index])
        sheet.paste(_resize(shown, width, height), (x, y))
      y += height + _GAP
    y += 2 * _GAP
  return sheet


def to_png(image: Any) -> bytes:
  """PNG of an image, in 256 colours: the frames have four."""
  buffer = io.BytesIO()
  image.quantize(256).save(buffer, "PNG", optimize=True)
  return buffer.getvalue()


def save_png(image: Any, path: str | pathlib.Path) -> None:
  """Writes a PNG whole or not at all, so that a viewer may watch it."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(path.name + ".tmp")
  temporary.write_bytes(to_png(image))
  temporary.replace(path)


def data_uri(content: bytes, kind: str) -> str:
  """`content` as a URI for HTML; `kind` is a MIME type."""
  return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _grey(packed: np.ndarray) -> Any:
  """A packed frame as a `PIL.Image`."""
  from PIL import Image

  return Image.fromarray(frame_codec.unpack_grey(packed))


def _difference(packed: np.ndarray, truth: np.ndarray) -> Any:
  """Where a frame is right, the truth in faint greys; elsewhere a colour."""
  from PIL import Image

  right = frame_codec.unpack_grey(packed), frame_codec.unpack_grey(truth)
  image = np.rint(_FAINT_SHARE * right[1][..., None] + _FAINT_OVER)
  image = image.astype(np.uint8).repeat(3, axis=-1)
  image[right[0] != right[1]] = OFF
  return Image.fromarray(image)


def _resize(image: Any, width: int, height: int) -> Any:
  from PIL import Image

  whole = width % specs.FRAME_WIDTH == 0
  method = Image.Resampling.NEAREST if whole else Image.Resampling.BOX
  return image.resize((width, height), method)


@functools.cache
def font(size: int = 12) -> Any:
  """The font of all labels."""
  from PIL import ImageFont

  return ImageFont.load_default(size)


def text_width(text: str, size: int = 12) -> int:
  """Pixels that a label takes."""
  return round(font(size).getlength(text))
