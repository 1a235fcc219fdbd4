"""A Game Boy in the terminal: frames as half-block characters, and keys.

A character shows two pixels, one above the other, in greys of the 256-colour
palette. The whole screen takes 160 columns and 72 rows; a smaller terminal
shows every second, third, ... pixel row and column, averaged.
"""

from collections.abc import Sequence
import os
import select
import shutil
import sys
import termios
import tty
from typing import Any

import numpy as np

from data_tools.game import frame_codec
from pokedreamer_jax import specs

QUIT = "quit"
KEYS_HELP = (
  "arrows move, x or a: A, z or b: B, s or Enter: START, space: wait, q: end"
)

_KEYS = {
  **{b"\x1b[B": "down", b"\x1b[D": "left", b"\x1b[C": "right", b"\x1b[A": "up"},
  **{b"\x1bOB": "down", b"\x1bOD": "left", b"\x1bOC": "right", b"\x1bOA": "up"},
  **{b"j": "down", b"h": "left", b"l": "right", b"k": "up"},
  **{b"x": "a", b"a": "a", b"z": "b", b"b": "b"},
  **{b"s": "start", b"\r": "start", b"\n": "start"},
  **{b" ": "pass", b".": "pass", b"q": QUIT, b"\x04": QUIT},
}  # fmt: skip
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"  # other screen, no cursor
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
_MOST_SCALE = 16
_STATUS_ROWS = 2


class Terminal:
  """Draws frames and reads keys, between `__enter__` and `__exit__`."""

  def __init__(self) -> None:
    """Takes stdin and stdout.

    Raises:
      ValueError: they are no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
      raise ValueError(
        "stdin and stdout are no terminal, so nobody can play: give "
        "--inputs=FILE, or --report"
      )
    self._fd = sys.stdin.fileno()
    self._pending = b""
    self._lines: list[str] = []
    self._size = (0, 0)

  def __enter__(self) -> "Terminal":
    self._attributes = termios.tcgetattr(self._fd)
    tty.setcbreak(self._fd)  # Ctrl-C still asks to stop
    self._write(_ENTER)
    return self

  def __exit__(self, *error: Any) -> None:
    try:
      termios.tcsetattr(self._fd, termios.TCSANOW, self._attributes)
      self._write(_LEAVE)
    except (OSError, termios.error):
      pass  # the terminal is gone

  def draw(self, frame: np.ndarray, status: Sequence[str]) -> None:
    """Shows a packed frame `[144, 40]` and up to two lines below it."""
    size = shutil.get_terminal_size((80, 24))
    if (size.columns, size.lines) != self._size:
      self._size = (size.columns, size.lines)
      self._lines = []
      self._write("\x1b[0m\x1b[2J")
    lines = half_blocks(frame, size.columns, size.lines - _STATUS_ROWS)
    lines += [text[: size.columns - 1] for text in status[:_STATUS_ROWS]]
    out = []
    for i, line in enumerate(lines):
      if i >= len(self._lines) or self._lines[i] != line:
        out.append(f"\x1b[{i + 1};1H{line}\x1b[0m\x1b[K")
    self._lines = lines
    self._write("".join(out))

  def keys(self, timeout_s: float) -> list[str]:
    """Actions and `QUIT` of the keys pressed, after at most `timeout_s`."""
    ready, _, _ = select.select([self._fd], [], [], timeout_s)
    if ready:
      try:
        data = os.read(self._fd, 4096)
      except OSError:
        data = b""
      if not data:
        return [QUIT]  # the terminal is gone
      self._pending += data
    found, self._pending = parse_keys(self._pending)
    if not ready:
      self._pending = b""  # a lone Escape
    return found

  def _write(self, text: str) -> None:
    # At once and whole: stdout may be non-blocking where stdin is.
    data = memoryview(text.encode())
    while data:
      try:
        data = data[os.write(sys.stdout.fileno(), data) :]
      except BlockingIOError:
        select.select([], [sys.stdout.fileno()], [])
      except OSError:
        return  # the terminal is gone, which `keys` will tell


def parse_keys(data: bytes) -> tuple[list[str], bytes]:
  """Actions and `QUIT` of bytes from a terminal, and what is not yet whole."""
  found = []
  while data:
    for length in (3, 1):
      if (name := _KEYS.get(data[:length])) is not None:
        found.append(name)
        break
    else:
      if data in (b"\x1b", b"\x1b[", b"\x1bO"):
        return found, data
      length = 1
    data = data[length:]
  return found, b""


def half_blocks(frame: np.ndarray, columns: int, rows: int) -> list[str]:
  """Lines of text that show a packed frame `[144, 40]`, as large as fits."""
  grey = frame_codec.unpack_grey(frame)
  scale = next(
    (
      k
      for k in range(1, _MOST_SCALE)
      if specs.FRAME_WIDTH // k <= columns
      and specs.FRAME_HEIGHT // (2 * k) <= rows
    ),
    _MOST_SCALE,
  )
  height = specs.FRAME_HEIGHT // (2 * scale) * 2
  width = specs.FRAME_WIDTH // scale
  cells = grey[: height * scale, : width * scale]
  cells = cells.reshape(height, scale, width, scale).mean(axis=(1, 3))
  colours = _PALETTE[cells.astype(np.uint8)]
  return [
    _line(top, bottom)
    for top, bottom in zip(colours[::2], colours[1::2], strict=True)
  ]


def _line(top: np.ndarray, bottom: np.ndarray) -> str:
  parts, foreground, background = [], -1, -1
  for over, under in zip(top.tolist(), bottom.tolist(), strict=True):
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
