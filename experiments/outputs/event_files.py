"""TensorBoard's files, which show what the metrics log holds.

Every process that writes makes a file of its own, named so that TensorBoard
reads it after all others whatever the clock says. What the files there show is
compared with the log first; from the first step on that differs (rows that a
resumed run has dropped, points that a power cut has lost, files that somebody
removed) the log is shown anew, behind a marker that makes TensorBoard drop
what it had.

Everything is written at once, by the caller's thread: nothing is lost with the
process, and a full disk is an error here and now.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import io
import pathlib
import re
import struct
import time
from typing import Any

from experiments.outputs import about as about_lib
from experiments.outputs import json_lines

_MARK = "tfevents"  # what TensorBoard knows its files by
_PATTERN = re.compile(rf"events\.out\.{_MARK}\.(\d+)")
_VERSION = "brain.Event:2"
_START = 1  # SessionLog.START: drops the points from its step on
_MOST_RECORD_BYTES = 64 << 20
# Beyond, only the frame of a record is checked: a checksum of a picture takes
# Python long, and no picture is compared.
_MOST_SUMMED_BYTES = 64 << 10

# What hyperparameters are judged by, of whatever stage.
_METRICS = (
  *("loss/total", "val/loss/total", "val/exact", "loss/clone"),
  *("clone/accuracy", "val/clone/accuracy", "imagined/reward", "loss/q"),
)

Point = tuple[str, int, bytes]  # name, step, float32


class Board:
  """Appends to one new event file."""

  def __init__(
    self,
    directory: pathlib.Path,
    rows: Sequence[Mapping[str, Any]],
    about: about_lib.About | None = None,
  ):
    """Makes the file, and shows `rows` where those before do not.

    Args:
      directory: of the event files; made if missing.
      rows: of the metrics log, `{"step": 1, "time_s": 0.5, name: number}`.
      about: the run, shown as text and as hyperparameters.

    Raises:
      OSError: it names the file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    first = _first_difference(directory, rows)
    self.path = _new_path(directory)
    open(self.path, "xb").close()
    records = [_record(file_version=_VERSION)]
    if first is not None:
      records.append(_record(step=first, session_log={"status": _START}))
      now_s, last_s = time.time(), _seconds(rows[-1]) if rows else 0.0
      records += [
        _scalars(row["step"], _values(row), now_s - last_s + _seconds(row))
        for row in rows
        if row["step"] >= first
      ]
    if about is not None:
      records += _describe(about, rows[-1]["step"] if rows else 0)
    self._write(b"".join(records))

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Shows numbers at a step."""
    self._write(_scalars(step, values, time.time()))

  def image(self, step: int, name: str, picture: Any) -> None:
    """Shows a `PIL.Image`."""
    encoded = io.BytesIO()
    picture.convert("RGB").save(encoded, "PNG")
    value = {
      "tag": name,
      "image": {
        "height": picture.height,
        "width": picture.width,
        "colorspace": 3,
        "encoded_image_string": encoded.getvalue(),
      },
    }
    self._write(_record(step=step, summary={"value": [value]}))

  def _write(self, data: bytes) -> None:
    json_lines.append_bytes(self.path, data)


def is_empty(directory: pathlib.Path) -> bool:
  """Whether there is no event file."""
  return not _paths(directory)


def points(directory: pathlib.Path) -> list[Point]:
  """The numbers that TensorBoard shows of a directory."""
  found: list[Point] = []
  for path in _paths(directory):
    for event in _events(path):
      if event.HasField("session_log") and event.session_log.status == _START:
        found = [point for point in found if point[1] < event.step]
      for value in event.summary.value:
        if value.WhichOneof("value") == "simple_value":
          number = struct.pack("<f", value.simple_value)
          found.append((value.tag, event.step, number))
  return found


def _first_difference(
  directory: pathlib.Path, rows: Sequence[Mapping[str, Any]]
) -> int | None:
  """The least step at which the files do not show what the log holds."""
  if is_empty(directory) and not rows:
    return None
  shown: dict[Point, int] = {}
  for point in points(directory):
    shown[point] = shown.get(point, 0) + 1
  for row in rows:
    for name, value in _values(row).items():
      point = (name, row["step"], struct.pack("<f", _float32(value)))
      shown[point] = shown.get(point, 0) - 1
  return min((step for (_, step, _), n in shown.items() if n), default=None)


def _paths(directory: pathlib.Path) -> list[pathlib.Path]:
  """Event files in the order that TensorBoard reads them in."""
  found = [path for path in directory.glob("*") if _MARK in path.name]
  return sorted(path for path in found if path.is_file())


def _new_path(directory: pathlib.Path) -> pathlib.Path:
  """A name behind all others: the clock alone may stand back, or still."""
  number = f"{int(time.time()):010d}"
  name = f"events.out.{_MARK}.{number}"
  last = max((path.name for path in _paths(directory)), default="")
  if name <= last:
    match = _PATTERN.match(last)
    if match:
      digits = match.group(1)
      number = str(int(digits) + 1).zfill(len(digits))
      name = f"events.out.{_MARK}.{number}"
  if name <= last:
    name = f"{last}.1"
  return directory / name


def _values(row: Mapping[str, Any]) -> dict[str, float]:
  return {
    name: float(value)
    for name, value in row.items()
    if name not in ("step", "time_s")
  }


def _seconds(row: Mapping[str, Any]) -> float:
  return float(row.get("time_s", 0.0))


def _scalars(step: int, values: Mapping[str, float], wall_s: float) -> bytes:
  return _record(
    wall_s,
    step=step,
    summary={
      "value": [
        {"tag": name, "simple_value": _float32(float(value))}
        for name, value in values.items()
      ]
    },
  )


def _describe(about: about_lib.About, step: int) -> list[bytes]:
  """Events that tell what the run is, as of a step.

  Its metrics are named when the hyperparameters are looked at: TensorBoard
  takes those that it knows of `_METRICS`.
  """
  from tensorboardX import summary

  texts = [summary.text(name, text) for name, text in about.texts().items()]
  told = summary.hparams(about.fields(), dict.fromkeys(_METRICS, 0.0))
  # The last says that the run has ended well, which nobody knows yet.
  return [_record(step=step, summary=each) for each in (*texts, *told[:-1])]


def _float32(value: float) -> float:
  """A number that a float32 holds; what is too large becomes infinite."""
  try:
    return struct.unpack("<f", struct.pack("<f", value))[0]
  except OverflowError:
    return float("inf") if value > 0 else -float("inf")


def _record(wall_s: float | None = None, **fields: Any) -> bytes:
  """An event within TensorBoard's frame: length and bytes, with checksums."""
  from tensorboardX.proto import event_pb2  # 0.2 s, so only where it is written

  wall_s = time.time() if wall_s is None else wall_s
  data = event_pb2.Event(wall_time=wall_s, **fields).SerializeToString()
  length = struct.pack("<Q", len(data))
  return length + _checksum(length) + data + _checksum(data)


def _events(path: pathlib.Path) -> Iterator[Any]:
  """Events of a file up to its first damaged one, as TensorBoard does."""
  from google.protobuf import message
  from tensorboardX.proto import event_pb2

  with open(path, "rb") as file:
    while len(head := file.read(12)) == 12:
      (length,) = struct.unpack("<Q", head[:8])
      if head[8:] != _checksum(head[:8]) or length > _MOST_RECORD_BYTES:
        return
      data, checksum = file.read(length), file.read(4)
      if len(data) < length or len(checksum) < 4:
        return
      if length <= _MOST_SUMMED_BYTES and checksum != _checksum(data):
        return
      try:
        yield event_pb2.Event.FromString(data)
      except message.DecodeError:
        return


def _checksum(data: bytes) -> bytes:
  """The masked CRC-32C of a record."""
  from tensorboardX import crc32c

  crc = crc32c.crc32c(data)
  masked = ((crc >> 15) | (crc << 17)) + 0xA282EAD8
  return struct.pack("<I", masked & 0xFFFFFFFF)
