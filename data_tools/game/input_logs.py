"""Input logs: what somebody pressed, action by action.

A JSON line, sealed, says where the episode began; then follows the name of one
action a line. A log is appended to while somebody plays, and read back up to
its last whole line, however the writing ended. A log that was closed ends in
`end COUNT DIGEST` of its actions, so that nothing within it changes unseen; of
one that was not, and of logs of older versions, every line is still a name. A
list of actions without the JSON line is not of our writing: nothing of it
counts as cut off.
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
from pokedreamer_jax import whole_files

LOG_SUFFIX = ".inputs"
FORMAT = 1

_MOST_LOG_BYTES = 64 << 20
_SYNC_EVERY = 25  # actions, about ten seconds
_END = "end"


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
    sealed = whole_files.seal(dataclasses.asdict(header))
    self._file.write(json.dumps(sealed) + "\n")
    self._sync()
    self._actions = bytearray()

  @property
  def count(self) -> int:
    """Actions so far."""
    return len(self._actions)

  def add(self, action: int) -> None:
    """Appends one action; the end of this process cannot lose it."""
    self._file.write(specs.ACTIONS[action] + "\n")
    self._file.flush()
    self._actions.append(action)
    if self.count % _SYNC_EVERY == 0:  # nor, a while later, a power cut
      self._sync()

  def __enter__(self) -> "Writer":
    return self

  def __exit__(self, *error: object) -> None:
    with self._file:
      if error[0] is None:  # else nobody knows what reached the file
        self._file.write(_end_line(bytes(self._actions)) + "\n")
        self._sync()

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
    ValueError: unreadable, no header, another format, no such action, or not
      as it was closed.
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
  end = lines.pop() if first and lines[-1].startswith(f"{_END} ") else None
  numbers = {name: i for i, name in enumerate(specs.ACTIONS)}
  actions = np.zeros(len(lines) - first, np.uint8)
  for i, line in enumerate(lines[first:]):
    if line not in numbers:
      raise ValueError(
        f"input log {path}, line {first + i + 1}: {line[:40]!r}, expected one "
        f"of {list(specs.ACTIONS)}"
      )
    actions[i] = numbers[line]
  if end not in (None, _end_line(actions.tobytes())) or (end and cut_off):
    raise ValueError(
      f"input log {path}: damaged, or changed by hand (it ends in {end!r:.60}, "
      f"which is not of its {len(actions)} actions)"
    )
  _check_cut_off(path, cut_off, actions)
  return Log(header, actions, cut_off)


def _check_cut_off(
  path: str | os.PathLike, cut_off: str, actions: np.ndarray
) -> None:
  """A line that was cut short is the beginning of one; others are damaged."""
  whole = (*specs.ACTIONS, _end_line(actions.tobytes()))
  if not any(line.startswith(cut_off) for line in whole):
    raise ValueError(
      f"input log {path}: damaged (its last line {cut_off[:40]!r} is not the "
      "beginning of any)"
    )


def _end_line(actions: bytes) -> str:
  digest = hashlib.sha256(actions).hexdigest()[:16]
  return f"{_END} {len(actions)} {digest}"


def _header(path: str | os.PathLike, line: str) -> Header:
  name = f"input log {path}, line 1"
  values = json_files.as_object(json_files.parse(line, name), name)
  header = json_files.fill(Header, whole_files.unseal(values, name), name)
  if header.format != FORMAT:
    raise ValueError(
      f"{name}: format {header.format}, this program reads {FORMAT}"
    )
  if header.seed < 0:
    raise ValueError(f"{name}: seed {header.seed}, expected at least 0")
  if not 0 <= header.jitter_frames <= emulator.MOST_WAIT_FRAMES:
    raise ValueError(
      f"{name}: jitter_frames {str(header.jitter_frames)[:40]}, expected 0 to "
      f"{emulator.MOST_WAIT_FRAMES}"
    )
  return header
