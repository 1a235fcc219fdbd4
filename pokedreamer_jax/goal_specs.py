"""Goals as data: what a step may be asked to reach, for all packages.

Numpy and the standard library only, as `specs.py`. A goal is one of `KINDS`
with its arguments. It has a text form (`str`, `parse`) and an array form,
`SIZE` int32: kind and three arguments, `ABSENT` where there is none. What a
kind means is said once, in `data_tools/game/goals.py`, and once more for
dreams, in `pokedreamer_jax/behaviour/goals.py`.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import hashlib
import operator

import numpy as np

SIZE = 4  # `G`: kind, three arguments
ABSENT = -1  # an argument that there is not

# Kind -> its words; `{}` are arguments. The order gives the number of a kind
# in arrays: new ones go to the end.
WORDS = {
  "none": "no goal",
  "map": "reach map {map_id}",
  "tile": "reach tile {map_id} {y} {x}",
  "badge": "earn badge {number}",  # without a number any
  "win": "win battle",
  "win_wild": "win wild battle",
  "win_trainer": "win trainer battle",
  "win_leader": "win leader battle",
  "catch": "catch new species",
  "own": "own {number} species",
  "heal": "heal",
  "heal_party": "heal party",
  "level": "reach level {number}",
  "item": "get capture item",
  "story": "advance story",
  "talk": "talk",
  "explore": "explore new map",
  "text": "",  # any other words: they can be embedded, never judged
}
KINDS = tuple(WORDS)
PREDICATES = tuple(name for name in KINDS if name not in ("none", "text"))
# Kinds that hold for as long as the state is so; the others are events, which
# are reached on the step on which they happen.
STATES = ("map", "tile", "own", "level")
# Kind -> names of its arguments, in the order of the array.
ARGUMENTS: dict[str, tuple[str, ...]] = {
  "map": ("map_id",),
  "tile": ("map_id", "y", "x"),
  "badge": ("number",),
  "own": ("number",),
  "level": ("number",),
}
_ALL_ARGUMENTS = ("map_id", "y", "x", "number")
_RANGES = {
  ("badge", "number"): (0, 7),
  ("own", "number"): (1, 255),
  ("level", "number"): (1, 255),
}
_BYTE = (0, 255)
_LONGEST_TEXT = 200  # characters


def index(kind: str) -> int:
  """Number of a kind in arrays.

  Raises:
    ValueError: there is no such kind.
  """
  if kind not in WORDS:
    raise ValueError(f"goal.kind: {kind!r}, expected one of {list(KINDS)}")
  return KINDS.index(kind)


@dataclasses.dataclass(frozen=True)
class Goal:
  """One goal; checked, hashable, and equal to others that ask for the same."""

  kind: str
  map_id: int | None = None
  y: int | None = None  # row in 16-pixel tiles
  x: int | None = None
  number: int | None = None  # of a badge from 0, of species owned, a level
  text: str = ""  # of kind "text" alone, one line

  def __post_init__(self):
    index(self.kind)
    needed = ARGUMENTS.get(self.kind, ())
    for name in _ALL_ARGUMENTS:
      value = getattr(self, name)
      if name not in needed:
        if value is not None:
          raise ValueError(
            f"goal.{name}: {value!r}, expected None for kind {self.kind!r}"
          )
      elif value is not None or self.kind != "badge":
        checked = _whole(name, value, *_RANGES.get((self.kind, name), _BYTE))
        object.__setattr__(self, name, checked)
    if self.kind == "text":
      _check_text(self.text)
    elif self.text:
      raise ValueError(
        f"goal.text: {self.text!r}, expected '' for kind {self.kind!r}"
      )

  def __str__(self) -> str:
    if self.kind == "text":
      return self.text
    words = WORDS[self.kind]
    if self.kind == "badge" and self.number is None:
      words = words.removesuffix(" {number}")
    return words.format(**{n: getattr(self, n) for n in _ALL_ARGUMENTS})

  @property
  def is_state(self) -> bool:
    """Whether it is reached as long as it holds, not when it happens."""
    return self.kind in STATES

  def to_array(self) -> np.ndarray:
    """`[SIZE]` int32. Of a text only a mark is left, which leads not back."""
    row = np.full(SIZE, ABSENT, np.int32)
    row[0] = index(self.kind)
    for i, name in enumerate(ARGUMENTS.get(self.kind, ()), 1):
      value = getattr(self, name)
      row[i] = ABSENT if value is None else value
    if self.kind == "text":
      row[1:] = _mark(self.text)
    return row


NONE = Goal("none")


def from_array(row: np.ndarray) -> Goal:
  """The goal of an array `[SIZE]` of whole numbers.

  Raises:
    ValueError: no goal has this array, or it is that of a text.
  """
  values = np.asarray(row)
  if values.shape != (SIZE,) or values.dtype.kind not in "iu":
    raise ValueError(
      f"goal array: {values.dtype}{list(values.shape)}, expected whole numbers "
      f"[{SIZE}]"
    )
  number, *rest = values.tolist()
  if not 0 <= number < len(KINDS):
    raise ValueError(
      f"goal array: kind {number}, expected 0 to {len(KINDS) - 1}"
    )
  kind = KINDS[number]
  if kind == "text":
    raise ValueError("goal array: kind 'text', expected a goal without words")
  names = ARGUMENTS.get(kind, ())
  if any(value != ABSENT for value in rest[len(names) :]):
    raise ValueError(
      f"goal array: {values.tolist()}, expected {ABSENT} behind the "
      f"{len(names)} arguments of kind {kind!r}"
    )
  given = dict(zip(names, rest, strict=False))
  return Goal(kind, **{n: v for n, v in given.items() if v != ABSENT})


def stack(goals: Iterable[Goal]) -> np.ndarray:
  """Arrays `[K, SIZE]` int32 of goals."""
  rows = [goal.to_array() for goal in goals]
  return np.stack(rows) if rows else np.zeros((0, SIZE), np.int32)


def parse(
  text: str,
  map_names: Mapping[int, str] | None = None,
  free_text: bool = True,
) -> Goal:
  """The goal that words name; of no predicate, a goal of kind "text".

  Args:
    text: as `str` of a goal writes it; case and spaces do not matter.
    map_names: map id -> name; then a name stands for its id.
    free_text: whether other words are allowed.

  Raises:
    ValueError: words of a predicate with a bad argument; or other words where
      they are not allowed, or not one printable line.
  """
  line = " ".join(text.split())
  goal = _predicate(line, map_names)
  if goal is not None:
    return goal
  if not free_text:
    raise ValueError(
      f"goal: {text!r} names no predicate, expected words such as "
      f"{[words for words in WORDS.values() if words]}"
    )
  return Goal("text", text=line)


def _predicate(line: str, map_names: Mapping[int, str] | None) -> Goal | None:
  """The goal whose words a line has; None for other words."""
  words = line.lower().split()
  for kind, form in WORDS.items():
    if form and kind not in ARGUMENTS and words == form.split():
      return Goal(kind)
  match words:
    case ["reach", "map", _, *_]:
      return Goal("map", map_id=_map_id(line, words[2:], map_names))
    case ["reach", "tile", _, *_]:
      if len(words) < 5:
        raise ValueError(f"goal: {line!r}, expected 'reach tile MAP Y X'")
      y, x = (_number(line, word) for word in words[-2:])
      map_id = _map_id(line, words[2:-2], map_names)
      return Goal("tile", map_id=map_id, y=y, x=x)
    case ["earn", "badge"]:
      return Goal("badge")
    case ["earn", "badge", number]:
      return Goal("badge", number=_number(line, number))
    case ["reach", "level", number]:
      return Goal("level", number=_number(line, number))
    case ["own", number, "species"]:
      return Goal("own", number=_number(line, number))
  return None


def _map_id(
  line: str, words: list[str], map_names: Mapping[int, str] | None
) -> int:
  """The id that digits or a known name give."""
  if len(words) == 1 and words[0].isdecimal():
    return _number(line, words[0])
  name = " ".join(words)
  known = map_names or {}
  found = [i for i, n in known.items() if " ".join(n.lower().split()) == name]
  if len(found) == 1:
    return found[0]
  allowed = "0 to 255"
  if known:
    allowed += f" or one of {sorted(known.values())}"
  what = "several maps have this name" if found else "no map"
  raise ValueError(f"goal: {line!r}: {name!r}: {what}, expected {allowed}")


def _number(line: str, word: str) -> int:
  if not (word.isascii() and word.isdecimal() and len(word) < 10):
    raise ValueError(f"goal: {line!r}: {word!r}, expected a whole number")
  return int(word)


def _whole(name: str, value: object, low: int, high: int) -> int:
  try:
    number = operator.index(value)  # type: ignore[arg-type]
  except TypeError:
    number = low - 1
  if isinstance(value, bool) or not low <= number <= high:
    raise ValueError(
      f"goal.{name}: {value!r}, expected a whole number {low} to {high}"
    )
  return number


def _check_text(text: str) -> None:
  if (
    not isinstance(text, str)
    or not 0 < len(text) <= _LONGEST_TEXT
    or not text.isprintable()
    or text != " ".join(text.split())
  ):
    raise ValueError(
      f"goal.text: {text!r}, expected 1 to {_LONGEST_TEXT} printable "
      "characters, words parted by single spaces"
    )
  if _predicate(text, None) is not None:
    raise ValueError(
      f"goal.text: {text!r} names a predicate, expected other words; `parse` "
      "gives that goal"
    )


def _mark(text: str) -> list[int]:
  """Three numbers of 31 bits that tell one text from another."""
  digest = hashlib.sha256(text.encode()).digest()
  return [
    int.from_bytes(digest[4 * i : 4 * i + 4], "big") >> 1 for i in range(3)
  ]
