"""What page and server say to each other.

The page sends small JSON objects, each of a kind `t` with exactly the fields
of `KINDS`; whatever else comes is `Broken`, which ends that connection. The
server sends JSON, and frames as bytes: a head of 20 bytes, then the frame of
5,760 bytes as it is packed everywhere here, two bits a pixel.
"""

import json
import struct
from typing import Any

import numpy as np

from experiments.dreaming import input_log
from experiments.dreaming import moments
from pokedreamer_jax import specs

MOST_BYTES = 64 * 1024  # of a message of a page
DREAM, REAL, THUMBNAIL = 1, 2, 3  # kinds of frames
# Kind, three bytes of nothing, number to be acknowledged (0: none), moment,
# number of the buttons that it answers (0: none), milliseconds of the server.
_HEAD = struct.Struct("<B3xIIIf")
_COUNT = (int, 0, (1 << 32) - 1)
_MOMENT = (int, 0, moments.MOST)
_FLAG = (bool, False, True)


def _text(most: int) -> tuple:
  return (str, 0, most)


# Kind -> field -> its type, and the least and most value (of texts: letters).
KINDS: dict[str, dict[str, tuple]] = {
  # `session` is the key of one to go on with, or nothing.
  "hello": {"session": _text(64)},
  "keys": {"n": _COUNT, "held": (int, -1, specs.NUM_ACTIONS - 1)},
  "ack": {"n": _COUNT},
  "who": {"who": _text(16), "goal": (int, -1, 100_000)},
  "speed": {"speed": (float, 0.0, 100.0)},
  "likely": {"on": _FLAG},
  "luck": {},
  "redo": {},
  "save": {"moment": _MOMENT, "name": _text(4 * moments.MOST_LETTERS)},
  "go": {"moment": _MOMENT},
  "rewind": {"steps": (int, 1, moments.MOST)},
  "sync": {"side": _text(8)},
  "beside": {"on": _FLAG},
  "begin": {"state": _text(200), "seed": _COUNT},
  # Of the records: a row to begin at, and whether what was pressed then is
  # pressed on.
  "record": {
    "episode": (int, 0, 1_000_000),
    "row": (int, 0, moments.MOST),
    "goes_on": _FLAG,
  },
  "play": {"link": _text(input_log.MOST_LINK)},
  "link": {},
}


class Broken(Exception):
  """A message that no page of ours sends."""


def read(data: str) -> dict[str, Any]:
  """A message of a page, every field of the type it must have.

  Raises:
    Broken: it is anything else.
  """
  try:
    message = json.loads(data)
  except (ValueError, RecursionError):
    raise Broken("no JSON") from None
  if not isinstance(message, dict):
    raise Broken("no object")
  kind = message.get("t")
  fields = KINDS.get(kind) if isinstance(kind, str) else None
  if fields is None or set(message) != {"t", *fields}:
    raise Broken("unknown kind or fields")
  return {"t": kind} | {
    name: _field(name, message[name], *allowed)
    for name, allowed in fields.items()
  }


def _field(name: str, value: Any, kind: type, least: Any, most: Any) -> Any:
  if kind is float and type(value) is int and abs(value) < 1 << 53:
    value = float(value)
  size: Any = len(value) if isinstance(value, str) else value
  if type(value) is not kind:
    raise Broken(f"{name}: wrong type")
  if not least <= size <= most:  # neither is true of what is no number
    raise Broken(f"{name}: out of range")
  return value


def frame(
  kind: int,
  picture: np.ndarray,
  moment: int,
  acknowledge: int = 0,
  answers: int = 0,
  server_ms: float = 0.0,
) -> bytes:
  """A frame as it travels.

  Args:
    kind: `DREAM`, `REAL` or `THUMBNAIL`.
    picture: packed `[144, 40]` uint8.
    moment: whose.
    acknowledge: number that the page sends back once it is drawn; 0 is none.
    answers: number of the buttons that led here; 0 is none.
    server_ms: from their arrival to this frame.
  """
  head = _HEAD.pack(kind, acknowledge, moment, answers, server_ms)
  return head + np.ascontiguousarray(picture).tobytes()


def read_frame(data: bytes) -> tuple[int, int, int, int, float, np.ndarray]:
  """The inverse of `frame`: kind, acknowledge, moment, answers, ms, picture."""
  picture = np.frombuffer(data, np.uint8, offset=_HEAD.size)
  shape = (specs.FRAME_HEIGHT, specs.PACKED_WIDTH)
  return *_HEAD.unpack_from(data), picture.reshape(shape)


def text(kind: str, **fields: Any) -> str:
  """A message to a page."""
  return json.dumps({"t": kind, **fields}, separators=(",", ":"))
