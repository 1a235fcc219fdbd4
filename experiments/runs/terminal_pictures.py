"""Pictures on a terminal: its own graphics where it has some, else half blocks.

A terminal is asked once. Kitty's protocol and sixels show every pixel, each a
square of several of the screen; half blocks take as many as fit. Frames are
packed, `[144, 40]` uint8.
"""

import base64
from collections.abc import Sequence
import dataclasses
import fcntl
import functools
import os
import re
import select
import struct
import termios
import time
import zlib

import numpy as np

from data_tools.game import frame_codec
from pokedreamer_jax import specs

KITTY, SIXEL, BLOCKS = "kitty", "sixel", "blocks"
KINDS = (KITTY, SIXEL, BLOCKS)

# A picture that nobody is to show, the pixels of a cell, and, which every
# terminal answers, what it is: when that comes, nothing more will.
_QUESTION = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[c"
_KITTY_OK = re.compile(rb"\x1b_Gi=31;OK\x1b\\")
_CELL = re.compile(rb"\x1b\[6;(\d{1,4});(\d{1,4})t")
_WHAT = re.compile(rb"\x1b\[\?([\d;]*)c")
# Replies, which are no keys, also where they come late.
REPLY = re.compile(rb"\x1b_G[^\x1b]*\x1b\\|\x1b\[\?[\d;]*c|\x1b\[[\d;]*t")
_SIXEL_FEATURE = b"4"
_USUAL_CELL = (8, 16)  # pixels, width and height
_MOST_SCALE = 6
_MOST_CHUNK = 4096  # bytes of base64 in one of kitty's sequences
_PICTURE = 1  # kitty's number of the one picture there is


@dataclasses.dataclass(frozen=True)
class Means:
  """How a terminal shows pictures.

  Attributes:
    kind: one of `KINDS`.
    cell: width and height of a character in pixels; of no use for blocks.
  """

  kind: str
  cell: tuple[int, int] = _USUAL_CELL


def ask(reading: int, writing: int, timeout_s: float = 1.0) -> Means:
  """Asks a terminal in cbreak mode; one that is silent has half blocks.

  What is typed meanwhile is dropped.

  Args:
    reading: its descriptor for reading.
    writing: the one for writing.
    timeout_s: how long to wait for what every terminal answers.
  """
  try:
    os.write(writing, _QUESTION)
  except OSError:
    return Means(BLOCKS)
  answer = b""
  deadline_s = time.monotonic() + timeout_s
  while not _WHAT.search(answer):
    left_s = deadline_s - time.monotonic()
    if left_s <= 0 or not select.select([reading], [], [], left_s)[0]:
      break
    try:
      piece = os.read(reading, 4096)
    except OSError:
      break
    if not piece:
      break
    answer += piece
  return understand(answer, _measured_cell(writing))


def understand(answer: bytes, cell: tuple[int, int] | None = None) -> Means:
  """What a terminal's replies say.

  Args:
    answer: all of them.
    cell: of the window, where it says nothing about that.
  """
  if found := _CELL.search(answer):
    height, width = (int(number) for number in found.groups())
    cell = (width, height) if width and height else cell
  cell = cell or _USUAL_CELL
  if _KITTY_OK.search(answer):
    return Means(KITTY, cell)
  what = _WHAT.search(answer)
  if what and _SIXEL_FEATURE in what.group(1).split(b";")[1:]:
    return Means(SIXEL, cell)
  return Means(BLOCKS, cell)


def _measured_cell(descriptor: int) -> tuple[int, int] | None:
  """Of a character, as the window's size tells; None where it does not."""
  try:
    packed = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8))
  except OSError:
    return None
  rows, columns, width, height = struct.unpack("4H", packed)
  if not (rows and columns and width >= columns and height >= rows):
    return None
  return width // columns, height // rows


def scale(means: Means, columns: int, rows: int) -> int:
  """Pixels of the screen along each side of a Game Boy's; 0 for no room."""
  width, height = columns * means.cell[0], rows * means.cell[1]
  fits = min(width // specs.FRAME_WIDTH, height // specs.FRAME_HEIGHT)
  return min(fits, _MOST_SCALE)


def rows_taken(means: Means, times: int) -> int:
  """Lines of text that a picture covers."""
  return -(-specs.FRAME_HEIGHT * times // means.cell[1])


def kitty(frame: np.ndarray, times: int) -> str:
  """A frame where the cursor is, in place of the one before.

  Args:
    frame: packed `[144, 40]`.
    times: `scale`, at least 1.
  """
  grey = frame_codec.unpack_grey(frame).repeat(times, 0).repeat(times, 1)
  pixels = grey[..., None].repeat(3, axis=-1)
  data = base64.b64encode(zlib.compress(pixels.tobytes(), 1)).decode()
  chunks = [
    data[at : at + _MOST_CHUNK] for at in range(0, len(data), _MOST_CHUNK)
  ]
  # Quiet, compressed; the cursor stays where it is.
  head = (
    f"a=T,q=2,f=24,o=z,C=1,i={_PICTURE},p={_PICTURE},"
    f"s={pixels.shape[1]},v={pixels.shape[0]},"
  )
  parts = []
  for number, chunk in enumerate(chunks):
    more = int(number + 1 < len(chunks))
    parts.append(f"\x1b_G{'' if number else head}m={more};{chunk}\x1b\\")
  return "".join(parts)


def kitty_end() -> str:
  """Takes the picture away."""
  return f"\x1b_Ga=d,d=I,q=2,i={_PICTURE}\x1b\\"


def sixel(frame: np.ndarray, times: int) -> str:
  """A frame where the cursor is, over what was there.

  Args:
    frame: packed `[144, 40]`.
    times: `scale`, at least 1.
  """
  shades = frame_codec.unpack(frame)
  shades = shades.repeat(times, 0).repeat(times, 1)
  height, width = shades.shape
  parts = [f'\x1bP0;1q"1;1;{width};{height}']
  for number, level in enumerate(frame_codec.GREY_LEVELS.tolist()):
    share = round(level * 100 / 255)
    parts.append(f"#{number};2;{share};{share};{share}")
  bits = 1 << np.arange(6)
  for top in range(0, height, 6):
    band = shades[top : top + 6]
    lines = []
    for number in np.unique(band):
      codes = ((band == number) * bits[: len(band), None]).sum(axis=0) + 63
      lines.append(f"#{number}{_run_lengths(codes)}")
    parts.append("$".join(lines) + "-")
  return "".join([*parts, "\x1b\\"])


def _run_lengths(codes: np.ndarray) -> str:
  """Letters of `codes` `[W]`; four and more of the same as `!COUNT`."""
  starts = np.flatnonzero(np.diff(codes, prepend=-1))
  counts = np.diff(starts, append=len(codes))
  return "".join(
    chr(code) * count if count < 4 else f"!{count}{chr(code)}"
    for code, count in zip(codes[starts].tolist(), counts.tolist(), strict=True)
  )


def half_blocks(frame: np.ndarray, columns: int, rows: int) -> list[str]:
  """Lines of text that show a frame, as large as fits.

  A character is two pixels, one above the other, in greys of the 256-colour
  palette; pixels are averaged where there is no room for all.

  Args:
    frame: packed `[144, 40]`.
    columns: of the terminal.
    rows: lines there are for it.
  """
  width, height = blocks_size(columns, rows)
  grey = frame_codec.unpack_grey(frame)
  if (height, width) != grey.shape:
    cells = _averages(specs.FRAME_HEIGHT, height) @ grey
    cells = cells @ _averages(specs.FRAME_WIDTH, width).T
    grey = np.rint(cells).astype(np.uint8)
  colours = _PALETTE[grey]
  return [
    _line(top, bottom)
    for top, bottom in zip(colours[::2], colours[1::2], strict=True)
  ]


def blocks_size(columns: int, rows: int) -> tuple[int, int]:
  """Width and height in pixels that half blocks have room for."""
  share = min(columns / specs.FRAME_WIDTH, 2 * rows / specs.FRAME_HEIGHT, 1.0)
  width = max(int(specs.FRAME_WIDTH * share), 2)
  height = max(int(specs.FRAME_HEIGHT * share / 2) * 2, 2)
  return width, height


@functools.lru_cache(4)
def _averages(count: int, fewer: int) -> np.ndarray:
  """`[fewer, count]`: how much of each pixel a larger one covers, sum 1."""
  edges = np.arange(fewer + 1) * count / fewer
  low = np.maximum(edges[:-1, None], np.arange(count))
  high = np.minimum(edges[1:, None], np.arange(1, count + 1))
  return np.clip(high - low, 0, None) * fewer / count


def _line(top: np.ndarray, bottom: np.ndarray) -> str:
  parts: list[str] = []
  foreground = background = -1
  pairs: Sequence[tuple[int, int]] = list(
    zip(top.tolist(), bottom.tolist(), strict=True)
  )
  for over, under in pairs:
    if under != background:
      parts.append(f"\x1b[48;5;{under}m")
      background = under
    if over == under:
      parts.append(" ")
      continue
    if over != foreground:
      parts.append(f"\x1b[38;5;{over}m")
      foreground = over
    parts.append("▀")
  return "".join(parts)


def _palette() -> np.ndarray:
  """Nearest grey of the 256-colour palette for each level `[256]`."""
  levels = [0, *range(8, 239, 10), 255]  # black, the grey ramp, white
  numbers = np.array([16, *range(232, 256), 231])
  distance = np.abs(np.arange(256)[:, None] - np.array(levels))
  return numbers[distance.argmin(axis=1)]


_PALETTE = _palette()
