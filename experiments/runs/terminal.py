"""A Game Boy in the terminal: frames, and keys.

Frames are shown as `terminal_pictures.py` finds that the terminal can.
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

from experiments.runs import terminal_pictures
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
_STATUS_ROWS = 2


class Terminal:
  """Draws frames and reads keys, between `__enter__` and `__exit__`."""

  def __init__(self, kind: str = "") -> None:
    """Takes stdin and stdout.

    Args:
      kind: how pictures are shown, of `terminal_pictures.KINDS`; empty asks
        the terminal.

    Raises:
      ValueError: they are no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
      raise ValueError(
        "stdin and stdout are no terminal, so nobody can play: give "
        "--inputs=FILE, or --report"
      )
    self._fd = sys.stdin.fileno()
    self._kind = kind
    self._means = terminal_pictures.Means(terminal_pictures.BLOCKS)
    self._shown = b""
    self._pending = b""
    self._lines: list[str] = []
    self._size = (0, 0)

  def __enter__(self) -> "Terminal":
    self._attributes = termios.tcgetattr(self._fd)
    tty.setcbreak(self._fd)  # Ctrl-C still asks to stop
    if self._kind != terminal_pictures.BLOCKS:
      found = terminal_pictures.ask(self._fd, sys.stdout.fileno())
      kind = self._kind or found.kind
      self._means = terminal_pictures.Means(kind, found.cell)
    self._write(_ENTER)
    return self

  def __exit__(self, *error: Any) -> None:
    try:
      termios.tcsetattr(self._fd, termios.TCSANOW, self._attributes)
      if self._means.kind == terminal_pictures.KITTY:
        self._write(terminal_pictures.kitty_end())
      self._write(_LEAVE)
    except (OSError, termios.error):
      pass  # the terminal is gone

  def draw(self, frame: np.ndarray, status: Sequence[str]) -> None:
    """Shows a packed frame `[144, 40]` and up to two lines below it."""
    size = shutil.get_terminal_size((80, 24))
    if (size.columns, size.lines) != self._size:
      self._size = (size.columns, size.lines)
      self._lines, self._shown = [], b""
      self._write("\x1b[0m\x1b[2J")
    room = size.columns, size.lines - _STATUS_ROWS
    times = terminal_pictures.scale(self._means, *room)
    if self._means.kind == terminal_pictures.BLOCKS or not times:
      lines = terminal_pictures.half_blocks(frame, *room)
    else:
      self._picture(frame, times)
      lines = [""] * terminal_pictures.rows_taken(self._means, times)
    self._text(lines, status, size.columns)

  def small(self) -> str:
    """What of the picture is lost here, in words; empty for nothing."""
    size = shutil.get_terminal_size((80, 24))
    room = size.columns, size.lines - _STATUS_ROWS
    pictures = self._means.kind != terminal_pictures.BLOCKS
    if pictures and terminal_pictures.scale(self._means, *room):
      return ""
    width, height = terminal_pictures.blocks_size(*room)
    if (width, height) == (specs.FRAME_WIDTH, specs.FRAME_HEIGHT):
      return ""
    return (
      f"{size.columns} columns and {size.lines} rows show {width} x {height} "
      f"of {specs.FRAME_WIDTH} x {specs.FRAME_HEIGHT} pixels"
    )

  def _picture(self, frame: np.ndarray, times: int) -> None:
    """Draws the pixels, where they are not there already."""
    if frame.tobytes() == self._shown:
      return
    self._shown = frame.tobytes()
    kitty = self._means.kind == terminal_pictures.KITTY
    draw = terminal_pictures.kitty if kitty else terminal_pictures.sixel
    self._write(f"\x1b[1;1H{draw(frame, times)}")

  def _text(
    self, lines: Sequence[str], status: Sequence[str], columns: int
  ) -> None:
    """Writes the lines that have changed; empty ones are the picture's."""
    lines = [*lines, *(text[: columns - 1] for text in status[:_STATUS_ROWS])]
    out = []
    for i, line in enumerate(lines):
      if line and (i >= len(self._lines) or self._lines[i] != line):
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
  data = terminal_pictures.REPLY.sub(b"", data)
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
