"""A command on a terminal as a film: recorded, drawn again, sped up.

    python -m experiments.reports.terminal_films --columns=120 --lines=30 \
      --out=docs/first_minutes.webp -- \
      python -m experiments.quickstart --preset=debug --workdir=runs/film

What the command writes to a terminal of that size is kept with its times, in
`OUT.cast` (asciicast, version 2), and drawn from there; without a command it is
drawn from a recording that lies there. A line under the screen says which
moment it is and how much faster it goes. Needs the font DejaVu Sans Mono.
"""

import argparse
from collections.abc import Iterator
from collections.abc import Sequence
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import Any
import unicodedata

_PIECE = re.compile(
  r"\x1b\[([?\d;]*)([A-Za-z])|\x1b.|[\r\n\b\x07]|[^\x1b\r\n\b\x07]+"
)
_CUT = re.compile(r"\x1b(?:\[[?\d;]*)?\Z")
_BACKGROUND, _INK = (24, 26, 31), (214, 216, 220)
# The sixteen colours by number; what follows is computed as terminals do.
_COLOURS = (
  *((24, 26, 31), (224, 92, 92), (110, 196, 110), (222, 184, 92)),
  *((98, 150, 236), (190, 124, 220), (86, 190, 200), (204, 206, 210)),
  *((120, 124, 132), (244, 120, 120), (140, 226, 140), (246, 212, 120)),
  *((130, 178, 250), (214, 156, 242), (120, 220, 228), (250, 250, 252)),
)
_FONT_SIZE, _CELL = 13, (8, 17)
_FPS = 8
_HELD_S = 4.0  # the last moment

# Colour, bold, dim.
_Style = tuple[tuple[int, int, int], bool, bool]
_PLAIN: _Style = (_INK, False, False)


class Screen:
  """Letters in colours, as a terminal shows what is written to it."""

  def __init__(self, columns: int, lines: int):
    """An empty one."""
    self.columns, self.lines = columns, lines
    self.cells = [self._blank() for _ in range(lines)]
    self.unknown: set[str] = set()  # sequences that were not understood
    self._y = self._x = 0
    self._style = _PLAIN

  def feed(self, text: str) -> None:
    """Takes whole sequences and letters."""
    for found in _PIECE.finditer(text):
      numbers, name = found.group(1), found.group(2)
      piece = found.group()
      if name:
        self._do(numbers, name, piece)
      elif piece == "\n":
        self._down()
      elif piece == "\r":
        self._x = 0
      elif piece == "\b":
        self._x = max(self._x - 1, 0)
      elif piece[0] == "\x1b":
        self.unknown.add(piece)
      elif piece != "\x07":
        for letter in piece:
          self._put(letter)

  def text(self) -> str:
    """Without colours, and without spaces at the ends of lines."""
    rows = ("".join(letter for letter, _ in row) for row in self.cells)
    return "\n".join(row.rstrip() for row in rows).rstrip()

  def _do(self, numbers: str, name: str, piece: str) -> None:
    values = [int(n) if n.isdecimal() else 0 for n in numbers.split(";")]
    count = max(values[0], 1)
    match name:
      case "A":
        self._y = max(self._y - count, 0)
      case "B":
        self._y = min(self._y + count, self.lines - 1)
      case "C":
        self._x = min(self._x + count, self.columns - 1)
      case "D":
        self._x = max(self._x - count, 0)
      case "G":
        self._x = min(count, self.columns) - 1
      case "H":
        column = values[1] if len(values) > 1 else 1
        self._y = min(count, self.lines) - 1
        self._x = min(max(column, 1), self.columns) - 1
      case "K":
        row = self.cells[self._y]
        first = self._x if values[0] == 0 else 0
        last = self._x + 1 if values[0] == 1 else self.columns
        row[first:last] = self._blank()[first:last]
      case "J":
        first = 0 if values[0] == 2 else self._y + 1
        for y in range(first, self.lines):
          self.cells[y] = self._blank()
        if values[0] == 0:
          self.cells[self._y][self._x :] = self._blank()[self._x :]
      case "m":
        self._dress(values)
      case _ if piece not in ("\x1b[?25l", "\x1b[?25h"):
        self.unknown.add(piece)

  def _dress(self, values: list[int]) -> None:
    colour, bold, dim = self._style
    left = iter(values)
    for value in left:
      if value == 0:
        colour, bold, dim = _PLAIN
      elif value in (1, 2):
        bold, dim = bold or value == 1, dim or value == 2
      elif value == 22:
        bold = dim = False
      elif 30 <= value < 38 or 90 <= value < 98:
        colour = _COLOURS[value - 30 if value < 38 else value - 82]
      elif value == 39:
        colour = _INK
      elif value == 38:
        how = next(left, 0)
        if how == 5:
          colour = _of_256(next(left, 0))
        elif how == 2:
          colour = (next(left, 0), next(left, 0), next(left, 0))
    self._style = colour, bold, dim

  def _put(self, letter: str) -> None:
    if self._x >= self.columns:
      self._x = 0
      self._down()
    self.cells[self._y][self._x] = letter, self._style
    wide = unicodedata.east_asian_width(letter) in "WF"
    self._x += 2 if wide else 1

  def _down(self) -> None:
    self._y += 1
    if self._y == self.lines:
      self.cells = [*self.cells[1:], self._blank()]
      self._y -= 1

  def _blank(self) -> list[tuple[str, _Style]]:
    return [(" ", _PLAIN)] * self.columns


def record(
  command: Sequence[str], columns: int, lines: int, file: pathlib.Path
) -> int:
  """Runs a command on a terminal and keeps what it writes; its exit code."""
  ours, theirs = pty.openpty()
  size = struct.pack("4H", lines, columns, 0, 0)
  fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
  env = os.environ | {"TERM": "xterm-256color"}
  process = subprocess.Popen(
    command, stdin=theirs, stdout=theirs, stderr=theirs, env=env
  )
  os.close(theirs)
  began = time.monotonic()
  with file.open("w", encoding="utf-8") as out:
    header = {"version": 2, "width": columns, "height": lines}
    out.write(json.dumps(header) + "\n")
    while True:
      if not select.select([ours], [], [], 1.0)[0]:
        continue
      try:
        piece = os.read(ours, 65536)
      except OSError:  # the last one that held it has ended
        piece = b""
      if not piece:
        break
      at = round(time.monotonic() - began, 3)
      text = piece.decode("utf-8", "surrogateescape")
      out.write(json.dumps([at, "o", text]) + "\n")
  os.close(ours)
  return process.wait()


def read(file: pathlib.Path) -> tuple[int, int, list[tuple[float, str]]]:
  """Columns, lines, and what was written when, of a recording.

  Raises:
    ValueError: it is none.
  """
  try:
    header, *events = map(json.loads, file.read_text("utf-8").splitlines())
    size = int(header["width"]), int(header["height"])
    pieces = [
      (float(at), str(text)) for at, kind, text in events if kind == "o"
    ]
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f"{file}: {error!r:.80}, expected an asciicast of version 2"
    ) from None
  # A letter may have been cut where the terminal was read.
  whole = "".join(text for _, text in pieces)
  if any("\udc80" <= letter <= "\udcff" for letter in whole):
    pieces = _mended(pieces)
  return *size, pieces


def moments(
  columns: int, lines: int, pieces: Sequence[tuple[float, str]], every_s: float
) -> Iterator[tuple[float, Screen]]:
  """The screen every so many seconds, and at the end; one screen, in turn."""
  screen, due, rest = Screen(columns, lines), every_s, ""
  for at, text in pieces:
    while at >= due:
      yield due, screen
      due += every_s
    text = rest + text
    cut = _CUT.search(text)  # the rest comes with the next piece
    rest = cut.group() if cut else ""
    screen.feed(text[: len(text) - len(rest)])
  if pieces:
    yield pieces[-1][0], screen


def draw(screen: Screen, below: str) -> Any:
  """A screen with a line under it; a `PIL.Image`."""
  from PIL import Image
  from PIL import ImageDraw
  from PIL import ImageFont

  wide, high = _CELL
  fonts = [
    ImageFont.truetype(f"DejaVuSansMono{name}.ttf", _FONT_SIZE)
    for name in ("", "-Bold")
  ]
  size = wide * (screen.columns + 2), high * (screen.lines + 2)
  image = Image.new("RGB", size, _BACKGROUND)
  on = ImageDraw.Draw(image)
  for y, row in enumerate(screen.cells):
    for x, (letter, (colour, bold, dim)) in enumerate(row):
      if letter != " ":
        shade = tuple(
          (2 * c + b) // 3 for c, b in zip(colour, _BACKGROUND, strict=True)
        )
        at = wide * (x + 1), high * y + high // 2
        on.text(at, letter, shade if dim else colour, font=fonts[bold])
  on.rectangle((0, size[1] - high - 4, *size), fill=(44, 48, 56))
  on.text((wide, size[1] - high - 1), below, (160, 164, 172), font=fonts[0])
  return image


def film(file: pathlib.Path, out: pathlib.Path, seconds: float, said: str):
  """Draws a recording as an animated WebP of about so many seconds."""
  columns, lines, pieces = read(file)
  whole = pieces[-1][0] if pieces else 0.0
  every = max(whole / (seconds * _FPS), 1 / _FPS)
  times = every * _FPS
  images, spans, before = [], [], None
  for at, screen in moments(columns, lines, pieces, every):
    if screen.unknown:
      raise ValueError(f"{file}: sequences {sorted(screen.unknown)!r:.80}")
    now = screen.text()
    clock = f"{int(at) // 60}:{int(at) % 60:02d}"
    below = f"{said}   {clock} of {int(whole) // 60}:{int(whole) % 60:02d}"
    below += f", {times:.0f} times as fast"
    # A clock under a screen that stands still would make frames of nothing.
    if now == before:
      spans[-1] += 1000 // _FPS
      continue
    images.append(draw(screen, below))
    spans.append(1000 // _FPS)
    before = now
  spans[-1] = int(1000 * _HELD_S)
  images[0].save(
    out,
    save_all=True,
    append_images=images[1:],
    duration=spans,
    loop=0,
    lossless=True,
    method=6,
  )


def _of_256(number: int) -> tuple[int, int, int]:
  if number < 16:
    return _COLOURS[number]
  if number >= 232:
    return ((8 + 10 * (number - 232)),) * 3
  steps = (0, 95, 135, 175, 215, 255)
  red, rest = divmod(number - 16, 36)
  return steps[red % 6], steps[rest // 6], steps[rest % 6]


def _mended(pieces: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
  """Letters whose bytes came in two pieces, whole again."""
  import codecs

  decoder = codecs.getincrementaldecoder("utf-8")("replace")
  return [
    (at, decoder.decode(text.encode("utf-8", "surrogateescape")))
    for at, text in pieces
  ]


def main(arguments: Sequence[str]) -> int:
  """Records where a command is given, and draws."""
  parser = argparse.ArgumentParser(
    "terminal_films", description=__doc__.partition("\n")[0]
  )
  parser.add_argument("--columns", type=int, default=120)
  parser.add_argument("--lines", type=int, default=30)
  parser.add_argument("--seconds", type=float, default=20.0, help="of the film")
  parser.add_argument("--said", default="", help="what stands under it")
  parser.add_argument("--out", type=pathlib.Path, required=True)
  parser.add_argument("command", nargs="*")
  given = parser.parse_args(arguments)
  file = given.out.with_suffix(".cast")
  code = 0
  if given.command:
    code = record(given.command, given.columns, given.lines, file)
  try:
    film(file, given.out, given.seconds, given.said)
  except (OSError, ValueError) as error:
    print(f"Error: {error}", file=sys.stderr)
    return 2
  print(f"wrote {given.out}, {given.out.stat().st_size / 1e6:.2f} MB")
  return code


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
