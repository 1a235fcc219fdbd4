"""Input logs: what somebody pressed, action by action.

A JSON line says where the episode began; then follows the name of one action
a line. A log is appended to while somebody plays, and read back up to its last
whole line, however the writing ended. A list of actions without the JSON line
is not of our writing: nothing of it counts as cut off.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import TextIO

import numpy as np

from data_tools.game import emulator
from data_tools.system import files
from pokedreamer_jax import json_files
from pokedreamer_jax import specs

LOG_SUFFIX = ".inputs"
FORMAT = 1

_MOST_LOG_BYTES = 64 << 20
_SYNC_EVERY = 25  # actions, about ten seconds


@dataclasses.dataclass(frozen=True)
class Header:
  """Where a demonstration began."""

  rom_sha1: str
  pyboy_version: str
  start_state_sha1: str  # "" for power-on
  seed: int
  jitter_frames: int  # frames that were run before the first row
  format: int = FORMAT


@dataclasses.dataclass(frozen=True)
class Log:
  """A demonstration as it was played."""

  header: Header
  actions: np.ndarray  # [T - 1] uint8: none was chosen at the last row
  cut_off: str = ""  # a last line without an end, which is no action

  @property
  def remark(self) -> str:
    """What reading left out, in one line; empty where it was nothing."""
    if not self.cut_off:
      return ""
    return (
      f"{len(self.actions)} actions; left out a last line without an end: "
      f"{self.cut_off[:40]!r}"
    )

  @property
  def digest(self) -> str:
    """Names the demonstration: the same inputs have the same name."""
    text = json.dumps(dataclasses.asdict(self.header), sort_keys=True)
    return hashlib.sha256(text.encode() + self.actions.tobytes()).hexdigest()[
      :16
    ]


class Writer:
  """Appends actions to a new log file, each at once."""

  def __init__(self, path: pathlib.Path, header: Header):
    """Makes the file.

    Raises:
      FileExistsError: it is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    self._file: TextIO = open(path, "x", encoding="ascii")
    self._file.write(json.dumps(dataclasses.asdict(header)) + "\n")
    self._sync()
    self.count = 0

  def add(self, action: int) -> None:
    """Appends one action; the end of this process cannot lose it."""
    self._file.write(specs.ACTIONS[action] + "\n")
    self._file.flush()
    self.count += 1
    if self.count % _SYNC_EVERY == 0:  # nor, a while later, a power cut
      self._sync()

  def __enter__(self) -> "Writer":
    return self

  def __exit__(self, *error: object) -> None:
    self._file.close()

  def _sync(self) -> None:
    self._file.flush()
    os.fsync(self._file.fileno())


def write(path: pathlib.Path, log: Log) -> None:
  """Writes a whole log to a new file."""
  with Writer(path, log.header) as writer:
    for action in log.actions:
      writer.add(int(action))


def read(path: str | os.PathLike, default: Header | None = None) -> Log:
  """Reads a log; after a header, a last line without an end is left out.

  It may be the beginning of another action; `Log.remark` names it.

  Args:
    path: the file.
    default: for a log without a header line.

  Raises:
    ValueError: unreadable, no header, another format, or no such action.
  """
  try:
    text = files.read(path, _MOST_LOG_BYTES).decode("ascii")
  except OSError as error:
    raise ValueError(f"input log {path}: {error.strerror}") from None
  except UnicodeDecodeError:
    raise ValueError(f"input log {path}: no text") from None
  lines = text.split("\n")
  # `Writer` begins with a header and ends lines; others may leave out the last.
  cut_off = ""
  if text.startswith("{") or not lines[-1]:
    cut_off = lines.pop()
  header, first = default, 0
  if lines and lines[0].startswith("{"):
    header, first = _header(path, lines[0]), 1
  if header is None:
    raise ValueError(f"input log {path}: no header line")
  numbers = {name: i for i, name in enumerate(specs.ACTIONS)}
  actions = np.zeros(len(lines) - first, np.uint8)
  for i, line in enumerate(lines[first:]):
    if line not in numbers:
      raise ValueError(
        f"input log {path}, line {first + i + 1}: {line[:40]!r}, expected one "
        f"of {list(specs.ACTIONS)}"
      )
    actions[i] = numbers[line]
  return Log(header, actions, cut_off)


def _header(path: str | os.PathLike, line: str) -> Header:
  name = f"input log {path}, line 1"
  header = json_files.fill(Header, json_files.parse(line, name), name)
  if header.format != FORMAT:
    raise ValueError(
      f"{name}: format {header.format}, this program reads {FORMAT}"
    )
  for field in ("jitter_frames", "seed"):
    value = getattr(header, field)
    if value < 0:
      raise ValueError(f"{name}: {field} {value}, expected at least 0")
  if header.jitter_frames > emulator.MOST_WAIT_FRAMES:
    raise ValueError(
      f"{name}: jitter_frames {str(header.jitter_frames)[:40]}, expected 0 to "
      f"{emulator.MOST_WAIT_FRAMES}"
    )
  return header
