"""A pseudo-terminal for a command, and what its screen shows."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import unicodedata

_SEQUENCE = re.compile(r"\x1b(?:\[([?\d;]*)([A-Za-z])|.)")
_PIECE = re.compile(
  r"(\x1b(?:\[[?\d;]*[A-Za-z]|.))|[\n\r\x07]|[^\x1b\n\r\x07]+"
)


class Screen:
  """The few sequences that lines which are drawn anew are made of.

  Rows that are scrolled out stay: `rows` is all that was ever shown.
  """

  def __init__(self, columns, lines=24):
    self._columns, self._lines = columns, lines
    self.rows = [""]
    self._y = self._x = self._top = 0
    self.unknown = set()  # sequences that were not understood
    self.styles = set()
    self.wrapped = []  # rows that the terminal itself went on from

  def feed(self, text):
    """Takes all that a program writes, or pieces of whole sequences."""
    for found in _PIECE.finditer(text):
      sequence, piece = found.group(1), found.group()
      if sequence:
        self._do(_SEQUENCE.fullmatch(sequence))
      elif piece == "\n":
        self._down()
      elif piece == "\r":
        self._x = 0
      elif piece != "\x07":
        for letter in piece:
          self._put(letter)

  def _do(self, found):
    numbers, name = found.group(1), found.group(2)
    count = int(numbers) if (numbers or "").isdecimal() else 1
    if name == "A":
      self._y = max(self._y - count, self._top)
    elif name == "K":
      row = self.rows[self._y]
      self.rows[self._y] = "" if numbers == "2" else row[: self._x]
    elif name == "m":
      self.styles.add(numbers)
    elif found.group() not in ("\x1b[?25l", "\x1b[?25h"):
      self.unknown.add(found.group())

  def _down(self):
    self._y += 1
    if self._y == len(self.rows):
      self.rows.append("")
    self._top = max(self._top, self._y - self._lines + 1)

  def _put(self, letter):
    if self._x >= self._columns:
      self.wrapped.append(self.rows[self._y])
      self._x = 0
      self._down()
    row = self.rows[self._y].ljust(self._x)
    self.rows[self._y] = row[: self._x] + letter + row[self._x + 1 :]
    self._x += 2 if unicodedata.east_asian_width(letter) in "WF" else 1

  def text(self):
    """All rows, without spaces at their ends."""
    return "\n".join(row.rstrip() for row in self.rows)


def run(arguments, columns, lines, seen=None, limit_s=120.0, **options):
  """Runs a command on a pseudo-terminal to its end.

  Args:
    arguments: of the command.
    columns: of the terminal.
    lines: of it.
    seen: called with all bytes so far after each piece; it may write to the
      descriptor that it is given as well.
    limit_s: how long it may take.
    **options: for `subprocess.Popen`.

  Returns:
    Exit code, and the bytes that it wrote with the times in seconds.
  """
  ours, theirs = pty.openpty()
  fcntl.ioctl(
    theirs, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0)
  )
  process = subprocess.Popen(
    arguments, stdin=theirs, stdout=theirs, stderr=theirs, **options
  )
  os.close(theirs)
  began_s = time.monotonic()
  pieces = []
  try:
    while time.monotonic() - began_s < limit_s:
      if not select.select([ours], [], [], 1.0)[0]:
        continue
      try:
        piece = os.read(ours, 65536)
      except OSError:  # the last one that held it has ended
        break
      if not piece:
        break
      pieces.append((time.monotonic() - began_s, piece))
      if seen is not None:
        seen(b"".join(p for _, p in pieces), ours)
    else:
      process.kill()
    return process.wait(timeout=30), pieces
  finally:
    os.close(ours)


def with_terminal(arguments):
  """A command whose stdin is the terminal that sends it Ctrl-C.

  By an interpreter that becomes the command: code between fork and exec would
  run in this process, where jax and its threads may be.
  """
  take = (
    "import fcntl, os, sys, termios; os.setsid(); "
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
  )
  return [sys.executable, "-c", take, *arguments]
