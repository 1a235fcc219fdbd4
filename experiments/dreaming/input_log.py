"""What was done in a session, in letters: enough to play it again.

A log names the model, the game, where it began, and then in `moves` what was
done: a letter for each button (`d l r u a b s .`), `L123;` for another luck
from here on, `M` and `m` for most likely or sampled, `S` where the dream went
on from what was seen of the real game. A link holds a log, compressed.
"""

import base64
import binascii
from collections.abc import Iterator
import dataclasses
import json
import re
from typing import Any
import zlib

LETTERS = "dlruabs."  # of `specs.ACTIONS`
MOST_MOVES = 40_000  # letters
MOST_LINK = 48_000
VERSION = 1
_MOVE = re.compile(r"[dlruabs.MmS]|L([0-9]{1,10});")
_MOST_SEED = (1 << 32) - 1

Event = tuple[str, Any]


@dataclasses.dataclass(frozen=True)
class Log:
  """What a session was, up to a moment."""

  model: str  # name of its weights
  rom_sha1: str
  state: str = ""  # name of the start state; "" is power-on
  seed: int = 0  # of the frames that are waited at the start
  jitter_frames: int = 0
  moves: str = ""

  def __post_init__(self):
    for name in ("model", "rom_sha1", "state", "moves"):
      if not isinstance(getattr(self, name), str):
        raise ValueError(f"log: {name} is no text")
    for name, most in (("seed", _MOST_SEED), ("jitter_frames", 36_000)):
      value = getattr(self, name)
      if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"log: {name} {value!r}, expected 0 to {most}")
    if len(self.moves) > MOST_MOVES:
      raise ValueError(f"log: over {MOST_MOVES} moves")
    if max(len(self.model), len(self.rom_sha1), len(self.state)) > 200:
      raise ValueError("log: a name of over 200 letters")
    for _ in events(self.moves):
      pass


def events(moves: str) -> Iterator[Event]:
  """What the letters say, in order.

  Yields:
    `("press", action)`, `("luck", number)`, `("likely", bool)` or
    `("follow", None)`.

  Raises:
    ValueError: a letter is none of them.
  """
  at = 0
  while at < len(moves):
    match = _MOVE.match(moves, at)
    if match is None:
      raise ValueError(f"log: letter {at} of its moves is {moves[at]!r}")
    text, at = match[0], match.end()
    if text[0] == "L":
      if int(match[1]) > _MOST_SEED:
        raise ValueError(f"log: luck {match[1]}, expected 0 to {_MOST_SEED}")
      yield "luck", int(match[1])
    elif text in "Mm":
      yield "likely", text == "M"
    elif text == "S":
      yield "follow", None
    else:
      yield "press", LETTERS.index(text)


def press(action: int) -> str:
  """The letter of an action."""
  return LETTERS[action]


def to_text(log: Log) -> str:
  """A file of a log: JSON, of which `moves` can be read and written by hand."""
  return json.dumps({"version": VERSION, **dataclasses.asdict(log)}, indent=1)


def from_text(text: str) -> Log:
  """The inverse of `to_text`.

  Raises:
    ValueError: it is no log.
  """
  try:
    values = json.loads(text)
  except (ValueError, RecursionError):
    raise ValueError("log: no JSON") from None
  names = {field.name for field in dataclasses.fields(Log)}
  if not isinstance(values, dict) or values.pop("version", None) != VERSION:
    raise ValueError(f"log: expected one of version {VERSION}")
  if set(values) - names or not {"model", "rom_sha1"} <= set(values):
    raise ValueError(f"log: expected the fields {sorted(names)}")
  return Log(**values)


def to_link(log: Log) -> str:
  """The letters of a link, safe in an address.

  Raises:
    ValueError: it would be too long.
  """
  data = zlib.compress(to_text(log).encode(), 9)
  link = base64.urlsafe_b64encode(data).decode().rstrip("=")
  if len(link) > MOST_LINK:
    raise ValueError(f"link: {len(link)} letters, at most {MOST_LINK} fit")
  return link


def from_link(link: str) -> Log:
  """The inverse of `to_link`.

  Raises:
    ValueError: it is no link, or unpacks to more than a log can be.
  """
  if len(link) > MOST_LINK:
    raise ValueError(f"link: over {MOST_LINK} letters")
  try:
    padded = link + "=" * (-len(link) % 4)
    data = base64.b64decode(padded, altchars=b"-_", validate=True)
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(data, 2 * MOST_MOVES)
  except (binascii.Error, zlib.error, ValueError):
    raise ValueError("link: damaged") from None
  if not unpacker.eof:
    raise ValueError("link: damaged, or too long")
  try:
    return from_text(text.decode())
  except UnicodeDecodeError:
    raise ValueError("link: damaged") from None
