"""The moments of a session as a tree, and what is kept of each.

Every step is a moment; some are saved by name. Rewinding goes to an earlier
one, and playing on from there begins a branch. Frames and states are kept
compressed, some 4 kB a moment, and as much again for what was believed.
"""

from collections.abc import Iterator
import dataclasses
from typing import Any
import zlib

import numpy as np

from pokedreamer_jax import specs

MOST = 10_000  # moments of a session: an hour of real time, and 40 MB
MOST_SAVED = 100
MOST_LETTERS = 40  # of a name
_SHAPE = (specs.FRAME_HEIGHT, specs.PACKED_WIDTH)


@dataclasses.dataclass
class Moment:
  """One moment; what is None is not known."""

  number: int
  parent: int | None
  steps: int  # since the start
  state: bytes  # of the player, `pack_tree`
  frame: bytes  # of the dream, `pack_frame`
  beliefs: dict[str, Any]
  action: int | None = None  # that led here; None where the dream was set
  by: str = ""  # who chose it
  luck: int = 0  # of the step that led here
  likely: bool = False
  follows: bool = False  # here the dream went on from what was seen
  real: bytes | None = None  # frame of the real game
  agreed: int = 0  # steps up to here, one after another, on which both agree
  name: str = ""  # where it is saved

  @property
  def identity(self) -> tuple:
    """Moments of one parent with the same are one."""
    return self.action, self.luck, self.likely, self.follows


class Tree:
  """All moments of a session."""

  def __init__(self) -> None:
    self._all: list[Moment] = []
    self._children: dict[int | None, list[int]] = {}
    self._saved = 0

  def __len__(self) -> int:
    return len(self._all)

  def __getitem__(self, number: int) -> Moment:
    """A moment.

    Raises:
      ValueError: there is none of this number.
    """
    if not 0 <= number < len(self._all):
      raise ValueError(f"moment: {number}, expected 0..{len(self._all) - 1}")
    return self._all[number]

  @property
  def is_full(self) -> bool:
    """Whether no more fit."""
    return len(self._all) >= MOST

  def add(self, moment: Moment) -> Moment:
    """Adds a moment, or finds the one of its parent that is the same.

    Args:
      moment: its number is set here.

    Raises:
      ValueError: the session is full.
    """
    for number in self._children.get(moment.parent, ()):
      if self._all[number].identity == moment.identity:
        return self._all[number]
    if self.is_full:
      raise ValueError(f"session: {MOST} moments, no more are kept")
    moment.number = len(self._all)
    self._all.append(moment)
    self._children.setdefault(moment.parent, []).append(moment.number)
    return moment

  def path(self, moment: Moment) -> list[Moment]:
    """From the start to a moment, both included."""
    found = [moment]
    while found[-1].parent is not None:
      found.append(self._all[found[-1].parent])
    return found[::-1]

  def back(self, moment: Moment, steps: int) -> Moment:
    """The moment so many steps before, or the start."""
    while moment.parent is not None and steps > 0:
      steps -= moment.action is not None
      moment = self._all[moment.parent]
    return moment

  def save(self, moment: Moment, name: str) -> None:
    """Saves a moment by name, or gives it another one; "" forgets it.

    Raises:
      ValueError: the name is too long, or too many are saved.
    """
    name = " ".join(name.split())
    if len(name) > MOST_LETTERS or not name.isprintable():
      raise ValueError(f"name: expected at most {MOST_LETTERS} plain letters")
    more = bool(name) - bool(moment.name)
    if self._saved + more > MOST_SAVED:
      raise ValueError(f"session: {MOST_SAVED} moments are saved, no more are")
    self._saved += more
    moment.name = name

  def knots(self, here: Moment) -> list[tuple[Moment, int | None]]:
    """The moments that make the shape of the tree, each with the one before.

    Where it begins, forks and ends, what is saved, where the dream was set,
    and where one is.
    """
    found: list[tuple[Moment, int | None]] = []
    before: dict[int, int | None] = {}  # of each moment, the knot up to it
    for moment in self._all:
      above = None if moment.parent is None else before[moment.parent]
      before[moment.number] = above
      forks = len(self._children.get(moment.number, ())) != 1
      marked = forks or moment.name or moment.follows or moment is here
      if marked or moment.parent is None:
        found.append((moment, above))
        before[moment.number] = moment.number
    return found

  def since_knot(self, moment: Moment) -> Moment:
    """The last moment before one that was saved, set, a fork or the start."""
    for earlier in reversed(self.path(moment)[:-1]):
      forks = len(self._children.get(earlier.number, ())) > 1
      if forks or earlier.name or earlier.follows or earlier.parent is None:
        return earlier
    return moment

  def __iter__(self) -> Iterator[Moment]:
    return iter(self._all)


def pack_frame(frame: np.ndarray) -> bytes:
  """A packed frame `[144, 40]`, compressed: some 0.7 kB."""
  return zlib.compress(np.ascontiguousarray(frame).tobytes(), 1)


def unpack_frame(data: bytes) -> np.ndarray:
  """The inverse of `pack_frame`."""
  return np.frombuffer(zlib.decompress(data), np.uint8).reshape(_SHAPE)


def pack_tree(leaves: list[np.ndarray]) -> bytes:
  """Arrays, compressed: states are mostly one-hots."""
  return zlib.compress(b"".join(leaf.tobytes() for leaf in leaves), 1)


def unpack_tree(data: bytes, like: list[np.ndarray]) -> list[np.ndarray]:
  """The inverse of `pack_tree`, for arrays of the same shapes and types."""
  raw, found, start = zlib.decompress(data), [], 0
  for leaf in like:
    part = np.frombuffer(raw, leaf.dtype, leaf.size, start)
    found.append(part.reshape(leaf.shape))
    start += leaf.nbytes
  return found
