"""Whether a dream of minutes is still the game: tiles, walls, places, texts.

Nothing here compares a dream with one course of the game, from which any dream
departs. What the recorded rows show is gathered in a `Memory`; a sequence,
dreamt or recorded, is held against it and against itself.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

import numpy as np

from pokedreamer_jax import specs

MINUTE_STEPS = 149  # of 402 ms
FEW_FRAMES = 5  # different ones of a last minute; fewer: it stands still
ENOUGH_KNOWN = 0.5  # share of that minute's frames with known tiles alone
ALIKE = 0.95  # share of a screen's tiles that figures leave as they were
_BUMPS = 2  # at a cell where nobody ever stood: it is a wall
_TEXT_LINES = (14, 16)  # rows of tiles in a text box
_STEPS = {"down": (1, 0), "left": (0, -1), "right": (0, 1), "up": (-1, 0)}


@dataclasses.dataclass(frozen=True)
class Sequence:
  """Rows of one dream or episode, `[T, ...]`; actions follow their rows."""

  frame: np.ndarray  # [T, 144, 40] uint8
  action: np.ndarray  # [T] int
  place: np.ndarray  # [T, 3] int: map, y, x
  facing: np.ndarray  # [T] int, index into `specs.FACINGS`
  calm: np.ndarray  # [T] bool: the player can walk, and nothing is open
  dialog: np.ndarray  # [T] bool: a text box is open


def recorded(rows: Mapping[str, np.ndarray]) -> Sequence:
  """A sequence of recorded rows `[T, ...]`."""
  quiet = rows["game_running"] & rows["has_control"] & ~rows["dialog_open"]
  quiet = quiet & (rows["in_battle"] == 0) & ~rows["menu_open"]
  place = [rows[name].astype(int) for name in ("map_id", "y", "x")]
  return Sequence(
    frame=rows["frame"],
    action=rows["action"].astype(int),
    place=np.stack(place, axis=-1),
    facing=rows["facing"].astype(int),
    calm=quiet,
    dialog=rows["dialog_open"] & rows["game_running"],
  )


def dreamt(
  frame: np.ndarray,
  action: np.ndarray,
  numbers: np.ndarray,
  sizes: Mapping[str, int],
) -> Sequence:
  """A sequence of dreamt rows.

  Args:
    frame: `[T, 144, 40]`.
    action: `[T]`.
    numbers: of the tokens, `[T, M]`.
    sizes: of the tokens; `check` says which are needed.
  """
  value = dict(zip(sizes, numbers.T, strict=True))
  quiet = (value["battle"] == 0) & (value["dialog"] == 0)
  if "control" in value:
    quiet = quiet & (value["control"] > 0)
  if "menu" in value:
    quiet = quiet & (value["menu"] == 0)
  return Sequence(
    frame=frame,
    action=np.asarray(action, int),
    place=np.stack([value[name] for name in ("map", "y", "x")], axis=-1),
    facing=value["facing"],
    calm=quiet,
    dialog=value["dialog"] > 0,
  )


def check(sizes: Mapping[str, int]) -> None:
  """Raises ValueError where tokens do not tell what is judged."""
  needed = ("map", "y", "x", "facing", "battle", "dialog")
  missing = [name for name in needed if name not in sizes]
  if missing:
    raise ValueError(
      f"world_model.tokens: no {missing}, by which long dreams are judged, "
      f"expected all of {list(needed)}"
    )


class Memory:
  """What recorded rows show: tiles, walls, words of text boxes."""

  def __init__(self):
    """Knows nothing yet."""
    self._tiles: np.ndarray = np.zeros(0, np.uint64)
    self._stood: set[tuple[int, ...]] = set()
    self._bumps: dict[tuple[int, ...], int] = {}
    self._words: set[tuple[int, ...]] = set()

  def add(self, rows: Sequence) -> None:
    """Takes in an episode."""
    keys = tile_keys(rows.frame)
    self._tiles = np.union1d(self._tiles, keys)
    self._stood |= set(map(tuple, rows.place[rows.calm].tolist()))
    for _, target, _, moved in _walks(rows):
      if not moved:
        self._bumps[target] = self._bumps.get(target, 0) + 1
    for at in np.flatnonzero(rows.dialog):
      self._words |= set(_words(keys[at]))

  @property
  def walls(self) -> set[tuple[int, ...]]:
    """Cells (map, y, x) that nobody entered who tried to."""
    return {
      cell
      for cell, count in self._bumps.items()
      if count >= _BUMPS and cell not in self._stood
    }

  def judge(self, rows: Sequence) -> dict[str, Any]:
    """Counts of one sequence, to be summed over several.

    Returns:
      `frames`, `known` (with known tiles alone); `pushed` against walls,
      `through` them; `visits` of places seen before, `alike` (tiles as at the
      last visit but for a twentieth); `texts`, `whole` (of known words alone);
      `collapsed`, 0 or 1.
    """
    keys = tile_keys(rows.frame)
    known = np.asarray(np.isin(keys, self._tiles).all(axis=(1, 2)))
    walls, pushed, through = self.walls, 0, 0
    for _, target, place, _ in _walks(rows):
      if target in walls:
        pushed += 1
        through += place == target
    visits = alike = 0
    last: dict[tuple[int, ...], int] = {}
    for at in np.flatnonzero(rows.calm).tolist():
      place = tuple(rows.place[at].tolist())
      if place in last and last[place] < at - 1:
        visits += 1
        alike += float((keys[at] == keys[last[place]]).mean()) >= ALIKE
      last[place] = at
    boxes = np.flatnonzero(rows.dialog)
    whole = sum(set(_words(keys[at])) <= self._words for at in boxes)
    final = slice(-min(MINUTE_STEPS, len(keys)), None)
    different = len(
      np.unique(keys[final].reshape(len(keys[final]), -1), axis=0)
    )
    collapsed = different < FEW_FRAMES or known[final].mean() < ENOUGH_KNOWN
    return {
      "frames": len(keys),
      "known": int(known.sum()),
      "pushed": pushed,
      "through": int(through),
      "visits": visits,
      "alike": int(alike),
      "texts": len(boxes),
      "whole": int(whole),
      "collapsed": int(collapsed),
    }


def tile_keys(frames: np.ndarray) -> np.ndarray:
  """A number `[T, 18, 20]` uint64 for each tile of packed frames."""
  rows, columns = specs.FRAME_HEIGHT // 8, specs.FRAME_WIDTH // 8
  tiles = frames.reshape(len(frames), rows, 8, columns, 2)
  tiles = np.ascontiguousarray(tiles.transpose(0, 1, 3, 2, 4))
  halves = tiles.reshape(len(frames), rows, columns, 16).view(np.uint64)
  with np.errstate(over="ignore"):
    mixed = halves[..., 0] * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0xBF58476D1CE4E5B9) + halves[..., 1]


def _walks(rows: Sequence):
  """Row, cell aimed at, cell arrived at, and whether it moved, of each walk."""
  for at in np.flatnonzero(rows.calm[:-1] & rows.calm[1:]).tolist():
    name = specs.ACTIONS[rows.action[at]]
    step = _STEPS.get(name)
    # A press may turn the player alone.
    if step is None or specs.FACINGS[rows.facing[at] % 4] != name:
      continue
    map_id, y, x = rows.place[at].tolist()
    arrived = tuple(rows.place[at + 1].tolist())
    if arrived[0] == map_id:
      target = (map_id, y + step[0], x + step[1])
      yield at, target, arrived, arrived != (map_id, y, x)


def _words(keys: np.ndarray) -> list[tuple[int, ...]]:
  """Runs of tiles between blanks in the lines of a text box."""
  found = []
  for line in _TEXT_LINES:
    word: list[int] = []
    for key in [*keys[line, 1:-1].tolist(), 0]:
      if key:
        word.append(key)
      elif word:
        found.append(tuple(word))
        word = []
  return found
