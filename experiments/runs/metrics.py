"""Metrics on disk: one JSON line per call, and TensorBoard event files.

A line is `{"step": 100, "time_s": 1.5, "loss/image": 0.3}`. Values that JSON
cannot hold are written as the strings "nan", "inf" and "-inf".

The lines are what counts, TensorBoard shows them: it is dropped with a remark
where its files cannot be written, and brought up to date by the next process.
"""

from collections.abc import Callable
from collections.abc import Mapping
import math
import os
import pathlib
import sys
import time
from typing import Any

from experiments.machine import meter
from experiments.outputs import about as about_lib
from experiments.outputs import disk
from experiments.outputs import event_files
from experiments.outputs import json_lines
from experiments.outputs import trackers as trackers_lib

FILE = "metrics.jsonl"

Row = dict[str, Any]

_NO_NUMBERS = ("nan", "inf", "-inf")
_LARGEST = 1 << 1023  # integers below are floats as well


def _to_stderr(text: str) -> None:
  print(text, file=sys.stderr, flush=True)


class Writer:
  """Appends metrics of one run; made anew when the run resumes."""

  def __init__(
    self,
    directory: str | pathlib.Path,
    say: Callable[[str], None] = _to_stderr,
  ):
    """Opens the log; of a last line that is half there nothing stays.

    Args:
      directory: holds `metrics.jsonl` and `tb/`; made if missing.
      say: takes remarks, such as which lines are damaged.

    Raises:
      ValueError: the log is no regular file.
    """
    self._directory = pathlib.Path(directory)
    self._directory.mkdir(parents=True, exist_ok=True)
    self._path = self._directory / FILE
    self.say = say
    self._board: event_files.Board | None = None
    self._board_failed = False
    # Tells what the run is, once somebody shows it.
    self.about: Callable[[], about_lib.About] | None = None
    self._trackers: list[trackers_lib.Tracker] = []
    log = json_lines.read(self._path, _check)
    if log.remark:
      say(f"Note: {log.remark}")
    json_lines.mend(log)
    self._go_on_from(log.values)

  def write(self, step: int, values: Mapping[str, float]) -> None:
    """Records scalars at a step.

    Args:
      step: train step, update or env step, as the stage counts.
      values: name -> number; names are `area/name`.

    Raises:
      OSError: the disk is full; it names the file, and no half line is left.
    """
    board = self._open_board()  # compares with the log as it is before
    elapsed_s = self._earlier_s + time.monotonic() - self._started_s
    row: Row = {"step": int(step), "time_s": round(elapsed_s, 3)}
    numbers = {name: float(value) for name, value in values.items()}
    for name, number in numbers.items():
      row[name] = _plain(number)
    json_lines.append(self._path, row)
    if board is not None:
      self._show(lambda: board.scalars(int(step), numbers))
    self._track(lambda tracker: tracker.scalars(int(step), numbers))

  def image(self, step: int, name: str, picture: Any) -> None:
    """Shows a `PIL.Image` in TensorBoard, and where else it is tracked."""
    board = self._open_board()
    if board is not None:
      self._show(lambda: board.image(int(step), name, picture))
    self._track(lambda tracker: tracker.image(int(step), name, picture))

  def add_tracker(self, tracker: trackers_lib.Tracker) -> None:
    """From here on what is recorded is shown there, too."""
    self._trackers.append(tracker)

  def end_trackers(self, how: str) -> None:
    """Tells trackers how the run ended, and lets them go."""
    self._track(lambda tracker: tracker.end(how))
    self._trackers = []

  def truncate(self, step: int) -> None:
    """Removes what was recorded after `step`: a resumed run redoes it.

    TensorBoard files cannot be cut; a marker makes it drop those points.
    """
    log = json_lines.read(self._path, _check)
    self.close()
    if json_lines.rewrite(log, lambda row: row["step"] <= step):
      self._go_on_from([row for row in log.values if row["step"] <= step])
    if not event_files.is_empty(self._directory / "tb"):
      self._open_board()  # also where nothing more will be written

  def sync(self) -> None:
    """What was written lasts, also through a power cut."""
    try:
      descriptor = os.open(self._path, os.O_RDONLY)
    except FileNotFoundError:
      return
    try:
      with disk.naming(self._path):
        os.fsync(descriptor)
    finally:
      os.close(descriptor)

  def close(self) -> None:
    """Ends the event file; `write` may still be called and makes another."""
    self._board = None

  def _go_on_from(self, rows: list[Row]) -> None:
    # The clock goes on where the earlier process stopped.
    self._earlier_s = rows[-1].get("time_s", 0.0) if rows else 0.0
    self._started_s = time.monotonic()

  def _open_board(self) -> event_files.Board | None:
    if self._board is None and not self._board_failed:
      rows = json_lines.read(self._path, _check).values
      self._show(lambda: self._make_board(rows))
    return self._board

  def _make_board(self, rows: list[Row]) -> None:
    about = self.about() if self.about else None
    self._board = event_files.Board(self._directory / "tb", rows, about)

  def _show(self, action: Callable[[], None]) -> None:
    """Does something for TensorBoard, which must never end the run."""
    try:
      action()
    except OSError as error:
      self._board_failed = True
      self.close()
      why = (
        disk.describe(error)
        if disk.is_full(error)
        else f"{error.filename or self._directory / 'tb'}: {error.strerror}"
      )
      self.say(
        f"Note: TensorBoard is left out from here on ({why}); {FILE} goes on, "
        "and the next start shows what is missing."
      )

  def _track(self, action: Callable[[trackers_lib.Tracker], None]) -> None:
    """Does something for each tracker; one that fails is left alone."""
    for tracker in list(self._trackers):
      try:
        action(tracker)
      except Exception as error:  # a service's, which must not end the run
        self._trackers.remove(tracker)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        self.say(
          f"Note: {tracker.name} is left out from here on ({lines[0]}); {FILE} "
          "goes on."
        )


class NoWriter(Writer):
  """Keeps nothing: for a process beside the one that writes."""

  def __init__(self) -> None:
    self._board = None
    self._trackers = []

  def write(self, step: int, values: Mapping[str, float]) -> None:
    del step, values

  def image(self, step: int, name: str, picture: Any) -> None:
    del step, name, picture

  def truncate(self, step: int) -> None:
    del step

  def sync(self) -> None:
    pass


def read(
  path: str | pathlib.Path, say: Callable[[str], None] = _to_stderr
) -> list[Row]:
  """The rows of a `metrics.jsonl`; a last line cut short is left out.

  Args:
    path: the file; a missing one has no rows.
    say: takes the remark that lines are damaged, which are left out too.

  Raises:
    ValueError: no regular file, or unreadable.
  """
  log = json_lines.read(path, _check)
  if log.remark:
    say(f"Note: {log.remark}")
  return log.values


def repeated(row: Row) -> Row:
  """The part of a row that a run on the same data gives again, bit for bit.

  Without the time, and what `machine/` says of this one.
  """
  return {
    name: value
    for name, value in row.items()
    if name != "time_s" and not name.startswith(meter.PREFIX)
  }


def curve(rows: list[Row], name: str) -> tuple[list[int], list[float]]:
  """Steps and values of one metric, rows without it left out."""
  points = [(row["step"], float(row[name])) for row in rows if name in row]
  return [step for step, _ in points], [value for _, value in points]


def _check(row: Row) -> None:
  """Raises ValueError where an object is none of our rows."""
  step = row.get("step")
  if type(step) is not int or abs(step) >= 1 << 62:
    raise ValueError(f"step {step!r:.40}, expected a whole number")
  for name, value in row.items():
    number = type(value) is float or (
      type(value) is int and abs(value) < _LARGEST
    )
    if not number and value not in _NO_NUMBERS:
      raise ValueError(f"{name} {value!r:.40}, expected a number")
  if not isinstance(row.get("time_s", 0.0), (int, float)):
    raise ValueError(f"time_s {row['time_s']!r}, expected a number")


def _plain(value: float) -> float | str:
  if math.isfinite(value):
    return value
  return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
