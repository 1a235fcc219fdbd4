"""Logs of one JSON object a line, as processes that were killed leave them.

Lines are appended, so that only the last one can be half there, without its
end. Any other line that cannot be read is damage from outside: it is named,
and stays where it is.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import json
import os
import pathlib
from typing import Any

from experiments.outputs import disk
from pokedreamer_jax import json_files

_MOST_BYTES = 1 << 30
_SHOWN = 5  # numbers of damaged lines


@dataclasses.dataclass(frozen=True)
class Line:
  """One whole line; `value` is None where it is damaged, `fault` says how."""

  number: int  # from 1
  text: bytes  # with its end
  value: dict[str, Any] | None
  fault: str = ""


@dataclasses.dataclass(frozen=True)
class Log:
  """The lines of a file."""

  path: pathlib.Path
  lines: tuple[Line, ...] = ()
  cut: bytes = b""  # the last line where it is half there

  @property
  def values(self) -> list[dict[str, Any]]:
    """What the lines that can be read hold."""
    return [line.value for line in self.lines if line.value is not None]

  @property
  def remark(self) -> str:
    """Which lines are damaged, in one line; empty where none is."""
    damaged = [line for line in self.lines if line.value is None]
    if not damaged:
      return ""
    numbers = ", ".join(str(line.number) for line in damaged[:_SHOWN])
    more = len(damaged) - _SHOWN
    return (
      f"{self.path}: line {numbers}"
      + (f" and {more} more" if more > 0 else "")
      + f" damaged ({damaged[0].fault}), left in the file and read past; "
      f"{len(self.lines) - len(damaged)} whole"
    )


def read(
  path: str | os.PathLike, check: Callable[[dict[str, Any]], None] | None = None
) -> Log:
  """Reads a log; a missing file is an empty one.

  Args:
    path: the file.
    check: raises ValueError for an object that is none of this log's.

  Raises:
    ValueError: no regular file, unreadable or too large.
  """
  path = pathlib.Path(path)
  try:
    data = json_files.read_bytes(path, _MOST_BYTES)
  except FileNotFoundError:
    return Log(path)
  *whole, last = data.split(b"\n")
  lines = [
    _line(number, text + b"\n", check) for number, text in enumerate(whole, 1)
  ]
  if last:
    # Its writer may have ended just before the end of the line.
    line = _line(len(lines) + 1, last + b"\n", check)
    if line.value is None:
      return Log(path, tuple(lines), last)
    lines.append(line)
  return Log(path, tuple(lines))


def mend(log: Log) -> None:
  """Makes a log end with a whole line, so that more can be appended."""
  size = sum(len(line.text) for line in log.lines)
  try:
    found = os.path.getsize(log.path)
  except FileNotFoundError:
    return
  with disk.naming(log.path):
    if log.cut:
      os.truncate(log.path, size)
    elif found < size:  # one end of line is missing
      with open(log.path, "ab") as file:
        file.write(b"\n")


def append(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Adds a line, whole or not at all.

  Raises:
    OSError: the disk is full, or another; it names the file.
  """
  append_bytes(path, json.dumps(dict(value)).encode() + b"\n")


def append_bytes(path: pathlib.Path, data: bytes) -> None:
  """The same for bytes; the file is made if it is missing.

  Raises:
    OSError: the disk is full, or another; it names the file.
  """
  with disk.naming(path), open(path, "ab", buffering=0) as file:
    size = file.seek(0, os.SEEK_END)
    view = memoryview(data)
    try:
      while view:
        view = view[os.write(file.fileno(), view) :]
    except OSError:
      os.truncate(path, size)  # half of it would hide what follows
      raise


def rewrite(log: Log, keep: Callable[[dict[str, Any]], bool]) -> bool:
  """Leaves out the lines that `keep` denies; damaged ones stay.

  Returns:
    Whether there were any.
  """
  kept = [line for line in log.lines if line.value is None or keep(line.value)]
  if len(kept) == len(log.lines):
    return False
  temporary = log.path.with_name(log.path.name + ".tmp")
  try:
    with disk.naming(temporary), open(temporary, "wb") as file:
      file.write(b"".join(line.text for line in kept))
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(log.path)
  except OSError:
    temporary.unlink(missing_ok=True)
    raise
  return True


def _line(
  number: int, text: bytes, check: Callable[[dict[str, Any]], None] | None
) -> Line:
  try:
    if not text.strip():
      raise ValueError("empty")
    value = json_files.parse_object(text, f"line {number}")
    if check is not None:
      check(value)
  except ValueError as error:
    fault = str(error).removeprefix(f"line {number}: ")
    return Line(number, text, None, fault)
  return Line(number, text, value)
