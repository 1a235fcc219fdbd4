"""What somebody who has watched the game for hours notices of a clip.

Whoever judges clips by other clips alone has to learn from some hundred what
screens of the game look like, and does not (measured: tiles exchanged in every
frame stayed unseen). Here recorded play says what the game shows: which tiles
stand side by side, what becomes of them from one step to the next, how buttons
are answered. A clip is counted by what of it was never seen, and by how it
moves. Numpy alone; `T` steps, `M` marks. What is seen is kept as 64-bit
hashes, of which two in a million million meet by chance.
"""

from collections.abc import Iterable
import dataclasses

import numpy as np

from pokedreamer_jax import specs

# Name of each mark, in order; each is a count of a step, but `surprise`.
MARKS = (
  "tile never seen",  # of 360
  "neighbours never seen side by side",
  "neighbours never seen one above the other",
  "four neighbours never seen",
  "screen never seen",  # 0 or 1, as are all of screens and steps
  "answer to the button never seen",  # where button and screen were seen
  "button never seen on this screen",
  "change of a tile never seen",
  "change of four neighbours never seen",
  "tiles that a walk leaves unexplained",
  "walk that leaves tiles unexplained",
  "surprise of the move",  # nats
  "tiles as two steps before, and not between",
  "screen as before",
  "screen as two steps before",
  "walks as pressed",
  "stays where a direction was pressed",
  "walks otherwise",
  "walks onto what nobody walked onto",  # but pressed against
  "stays before what nobody stayed before",
  "whole screen changes",
)
_ROWS, _COLUMNS = specs.FRAME_HEIGHT // 8, specs.FRAME_WIDTH // 8  # of tiles
_CUT = 0.5  # share of tiles that no move explains: another screen
# How what is on the screen moves under a walk by one cell, in tiles (y, x);
# first that it stays.
_MOVES = ((0, 0), (-2, 0), (0, 2), (0, -2), (2, 0))
_WALKS = ("down", "left", "right", "up")  # what is pressed for each but that
# Upper left tile (y, x) of what lies ahead of the player, who stands at (8, 8)
# of the screen in the games whose memory the records tell of.
_AHEAD = ((10, 8), (8, 6), (8, 10), (6, 8))
_ANOTHER, _NOTHING = 5, 6  # moves: another screen, and that there was none yet
_MIX = np.array([0x9E3779B97F4A7C15, 0xFF51AFD7ED558CCD], np.uint64)
# Where a tile stands, in the hash of its screen.
_AT = np.random.default_rng(0xB11D).integers(
  1 << 63, size=(_ROWS, _COLUMNS), dtype=np.uint64
) | np.uint64(1)


@dataclasses.dataclass(frozen=True)
class Seen:
  """What recorded play showed: sorted hashes, and how screens move."""

  blocks: tuple[np.ndarray, ...]  # of each kind of `_blocks`
  screens: np.ndarray
  asked: np.ndarray  # a screen and a button
  answers: np.ndarray  # and the screen after
  changes: np.ndarray  # a tile before and after, at one place
  block_changes: np.ndarray  # of two by two
  tried: np.ndarray  # what lay ahead
  ways: np.ndarray  # and whether it was walked onto
  surprise: np.ndarray  # [A, 7, 6] nats, of a move after button and move
  rows: int  # how many were looked at


def look(plays: Iterable[tuple[np.ndarray, np.ndarray]]) -> Seen:
  """Takes in recorded play.

  Args:
    plays: packed frames `[T, 144, 40]` and what was pressed after each `[T]`,
      episode by episode.

  Raises:
    ValueError: there is none.
  """
  found: list[list[np.ndarray]] = [[] for _ in range(11)]
  counts = np.full((specs.NUM_ACTIONS, 7, 6), 0.5)
  rows = 0
  for frames, action in plays:
    rows += len(frames)
    tiles = _tiles(frames)
    screens = _screens(tiles)
    kept, first = np.unique(screens, return_index=True)
    pressed = action[:-1].astype(np.uint64)
    step = _join(screens[:-1], screens[1:])
    _, at = np.unique(step, return_index=True)
    before, after = tiles[at], tiles[at + 1]
    parts = [
      *_blocks(tiles[first]),
      kept,
      _join(screens[:-1], pressed),
      _join(screens[:-1], pressed, screens[1:]),
      _join(before, after),
      _join(_blocks(before)[-1], _blocks(after)[-1]),
    ]
    move, _ = _moves(tiles[:-1], tiles[1:])
    ahead, wanted = _ahead(tiles[:-1], action[:-1])
    walked = wanted & _as_pressed(move, action[:-1])
    parts += [
      ahead[wanted],
      _join(ahead, walked.astype(np.uint64))[walked | (wanted & (move == 0))],
    ]
    for whole, part in zip(found, parts, strict=True):
      whole.append(np.unique(part))
    np.add.at(counts, (action[:-1], _earlier(move), move), 1)
  if not rows:
    raise ValueError("plays: none, expected at least one episode")
  sets = [np.unique(np.concatenate(parts)) for parts in found]
  share = counts / counts.sum(axis=-1, keepdims=True)
  screens, asked, answers, changes, block_changes, tried, ways = sets[4:]
  return Seen(
    blocks=tuple(sets[:4]),
    screens=screens,
    asked=asked,
    answers=answers,
    changes=changes,
    block_changes=block_changes,
    tried=tried,
    ways=ways,
    surprise=-np.log(share),
    rows=rows,
  )


def marks(seen: Seen, frames: np.ndarray, action: np.ndarray) -> np.ndarray:
  """Counts `[T, M]`, as `MARKS` names them, of every step of one clip.

  Args:
    seen: what the game shows.
    frames: packed `[T + 1, 144, 40]`.
    action: `[T]`, pressed after each frame but the last.
  """
  tiles = _tiles(frames)
  screens = _screens(tiles)
  before, after = tiles[:-1], tiles[1:]
  pressed = action.astype(np.uint64)
  asked = _unknown(_join(screens[:-1], pressed), seen.asked)
  answer = _unknown(_join(screens[:-1], pressed, screens[1:]), seen.answers)
  changes = _join(before, after)
  block_changes = _join(_blocks(before)[-1], _blocks(after)[-1])
  move, unexplained = _moves(before, after)
  ahead, wanted = _ahead(before, action)
  as_pressed = wanted & _as_pressed(move, action)
  new_way = ~_unknown(ahead, seen.tried) & _unknown(
    _join(ahead, as_pressed.astype(np.uint64)), seen.ways
  )
  again = np.zeros(len(action))
  flicker = np.zeros(len(action))
  again[1:] = screens[2:] == screens[:-2]
  back = (tiles[2:] == tiles[:-2]) & (tiles[2:] != tiles[1:-1])
  flicker[1:] = back.sum(axis=(1, 2))
  counted = [
    *(
      _unknown(block, known).sum(axis=(1, 2))
      for block, known in zip(_blocks(after), seen.blocks, strict=True)
    ),
    _unknown(screens[1:], seen.screens),
    ~asked & answer,
    asked,
    _unknown(changes, seen.changes).sum(axis=(1, 2)),
    _unknown(block_changes, seen.block_changes).sum(axis=(1, 2)),
    np.where(move == _ANOTHER, 0.0, unexplained * _ROWS * _COLUMNS),
    (move != _ANOTHER) & (unexplained > 0),
    seen.surprise[action, _earlier(move), move],
    flicker,
    screens[1:] == screens[:-1],
    again,
    as_pressed,
    wanted & (move == 0),
    (move > 0) & (move < _ANOTHER) & ~as_pressed,
    as_pressed & new_way,
    wanted & (move == 0) & new_way,
    move == _ANOTHER,
  ]
  return np.stack([np.asarray(one, np.float64) for one in counted], axis=1)


def odd_tiles(seen: Seen, frames: np.ndarray) -> np.ndarray:
  """`[T, 18, 20]` bool: tiles of two by two that were never seen together."""
  four = _unknown(_blocks(_tiles(frames))[-1], seen.blocks[-1])
  odd = np.zeros((len(frames), _ROWS, _COLUMNS), bool)
  for y in (0, 1):
    for x in (0, 1):
      odd[:, y : y + _ROWS - 1, x : x + _COLUMNS - 1] |= four
  return odd


def _join(*hashes: np.ndarray) -> np.ndarray:
  """One hash of several, in order."""
  found = np.uint64(0)
  for part in hashes:
    found = found * _MIX[0] + part + _MIX[0]
    found = (found ^ (found >> np.uint64(29))) * _MIX[1]
    found = found ^ (found >> np.uint64(32))
  return np.asarray(found)


def _tiles(frames: np.ndarray) -> np.ndarray:
  """A hash of every tile, `[T, 18, 20]` uint64, of packed frames."""
  grid = frames.reshape(len(frames), _ROWS, 8, _COLUMNS, 2)
  grid = np.ascontiguousarray(grid.transpose(0, 1, 3, 2, 4))
  words = grid.reshape(len(frames), _ROWS, _COLUMNS, 16).view(np.uint64)
  return _join(words[..., 0], words[..., 1])


def _screens(tiles: np.ndarray) -> np.ndarray:
  """A hash of every screen, `[T]`."""
  return _join((tiles * _AT).sum(axis=(1, 2), dtype=np.uint64))


def _blocks(tiles: np.ndarray) -> tuple[np.ndarray, ...]:
  """Tiles, two side by side, two one above the other, and two by two."""
  beside = _join(tiles[:, :, :-1], tiles[:, :, 1:])
  below = _join(tiles[:, :-1], tiles[:, 1:])
  return tiles, beside, below, _join(beside[:, :-1], beside[:, 1:])


def _moves(
  before: np.ndarray, after: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """How a screen moved `[T]`, and the share of tiles that leaves `[T]`."""
  left = []
  for y, x in _MOVES:
    old = before[
      :, max(0, -y) : _ROWS - max(0, y), max(0, -x) : _COLUMNS - max(0, x)
    ]
    new = after[
      :, max(0, y) : _ROWS - max(0, -y), max(0, x) : _COLUMNS - max(0, -x)
    ]
    left.append((old != new).mean(axis=(1, 2)))
  least = np.min(left, axis=0)
  move = np.argmin(left, axis=0)  # of equals the first: nothing moved
  return np.where(least > _CUT, _ANOTHER, move), least


def _ahead(
  before: np.ndarray, action: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Hash of what lies ahead `[T]`, and where a direction is pressed."""
  four = _blocks(before)[-1]
  found = np.zeros(len(action), np.uint64)
  wanted = np.zeros(len(action), bool)
  for name, (y, x) in zip(_WALKS, _AHEAD, strict=True):
    pressed = action == specs.ACTIONS.index(name)
    found[pressed] = four[pressed, y, x]
    wanted |= pressed
  return _join(found, action.astype(np.uint64)), wanted


def _as_pressed(move: np.ndarray, action: np.ndarray) -> np.ndarray:
  """Where the screen moved as under a walk in the direction pressed."""
  expected = np.full(specs.NUM_ACTIONS, -1)
  for number, name in enumerate(_WALKS, 1):
    expected[specs.ACTIONS.index(name)] = number
  return move == expected[action]


def _earlier(move: np.ndarray) -> np.ndarray:
  """The move before each."""
  return np.concatenate([[_NOTHING], move[:-1]])[: len(move)]


def _unknown(hashes: np.ndarray, known: np.ndarray) -> np.ndarray:
  """Which are not among the sorted `known`."""
  at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
  return known[at] != hashes
