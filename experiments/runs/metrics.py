"""Metrics on disk: one JSON line per call, and TensorBoard event files.

A line is `{"step": 100, "time_s": 1.5, "loss/image": 0.3}`. Values that JSON
cannot hold are written as the strings "nan", "inf" and "-inf".
"""

from collections.abc import Mapping
import json
import math
import pathlib
import time
from typing import Any

import numpy as np

Row = dict[str, Any]


class Writer:
  """Appends metrics of one run; made anew when the run resumes."""

  def __init__(self, directory: str | pathlib.Path):
    """Args: directory: holds `metrics.jsonl` and `tb/`; made if missing."""
    self._directory = pathlib.Path(directory)
    self._directory.mkdir(parents=True, exist_ok=True)
    self._path = self._directory / "metrics.jsonl"
    self._started_s = time.monotonic()
    self._board: Any = None
    self._purge_step: int | None = None
    rows = read(self._path)
    # The clock goes on where the earlier process stopped.
    self._earlier_s = rows[-1].get("time_s", 0.0) if rows else 0.0
    if rows:
      self._rewrite(rows)  # drops a line that was cut short

  def write(self, step: int, values: Mapping[str, float]) -> None:
    """Records scalars at a step.

    Args:
      step: train step, update or env step, as the stage counts.
      values: name -> number; names are `area/name`.
    """
    elapsed_s = self._earlier_s + time.monotonic() - self._started_s
    row: Row = {"step": int(step), "time_s": round(elapsed_s, 3)}
    for name, value in values.items():
      row[name] = _plain(float(value))
    with open(self._path, "a", encoding="utf-8") as file:
      file.write(json.dumps(row) + "\n")
    board = self._open_board()
    for name, value in values.items():
      if math.isfinite(float(value)):  # tensorboardX complains on the screen
        board.add_scalar(name, float(value), int(step))

  def image(self, step: int, name: str, picture: Any) -> None:
    """Shows a `PIL.Image` in TensorBoard."""
    pixels = np.asarray(picture.convert("RGB"))
    self._open_board().add_image(name, pixels, int(step), dataformats="HWC")

  def truncate(self, step: int) -> None:
    """Removes what was recorded after `step`: a resumed run redoes it.

    TensorBoard files cannot be cut; a marker makes it drop those points.
    """
    rows = read(self._path)
    kept = [row for row in rows if row["step"] <= step]
    if len(kept) < len(rows):
      self._rewrite(kept)
      self._earlier_s = kept[-1].get("time_s", 0.0) if kept else 0.0
      self._started_s = time.monotonic()
    self._purge_step = step + 1

  def close(self) -> None:
    """Flushes; `write` may still be called and opens anew."""
    if self._board is not None:
      self._board.close()
      self._board = None

  def _open_board(self) -> Any:
    if self._board is None:
      import tensorboardX  # 0.2 s, so only where something is written

      self._board = tensorboardX.SummaryWriter(
        str(self._directory / "tb"), purge_step=self._purge_step
      )
    return self._board

  def _rewrite(self, rows: list[Row]) -> None:
    temporary = self._path.with_suffix(".tmp")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
    temporary.replace(self._path)


class NoWriter(Writer):
  """Keeps nothing: for a process beside the one that writes."""

  def __init__(self) -> None:
    self._board = None

  def write(self, step: int, values: Mapping[str, float]) -> None:
    del step, values

  def image(self, step: int, name: str, picture: Any) -> None:
    del step, name, picture

  def truncate(self, step: int) -> None:
    del step


def read(path: str | pathlib.Path) -> list[Row]:
  """The rows of a `metrics.jsonl`; a last line cut short is left out."""
  path = pathlib.Path(path)
  if not path.exists():
    return []
  rows = []
  for line in path.read_text(encoding="utf-8").splitlines():
    try:
      rows.append(json.loads(line))
    except json.JSONDecodeError:
      break  # the process was killed while writing this line
  return rows


def curve(rows: list[Row], name: str) -> tuple[list[int], list[float]]:
  """Steps and values of one metric, rows without it left out."""
  points = [(row["step"], float(row[name])) for row in rows if name in row]
  return [step for step, _ in points], [value for _, value in points]


def _plain(value: float) -> float | str:
  if math.isfinite(value):
    return value
  return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
