"""Counting message boxes, and which text is the beginning of which; numpy.

Every lit row that shows a text votes for the blocks of its message box, and
where the next row shows another one or none, for that following it. Letters
appear one by one: a text is the beginning of another one if what follows it,
more often than not, is the same and more.
"""

from collections.abc import Mapping
import dataclasses

import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.frames import tiles as tiles_lib
from pokedreamer_jax.world_model import tokens
from pokedreamer_jax.world_model import votes as votes_lib

BLOCKS = 30  # of the box, the last ones of a screen
TILES = 4 * BLOCKS
# Of pixels, the first that belongs to the box.
FIRST_LINE = (9 - BLOCKS // 10) * 16
# Step fields that are read beside frames.
FIELDS = (
  *("text", "menu_item", "menu_open", "shade", "game_running"),
  *("is_first", "map_id", "y", "x"),
)
UNKNOWN = 65_535  # a block whose votes were dropped; no tile has the number


@dataclasses.dataclass(frozen=True)
class TextCounts:
  """What was counted of boxes `(text, cursor, block)` and of what follows."""

  sizes: dict[str, int]  # of tokens
  boxes: votes_lib.Counted
  follows: votes_lib.Counted


@dataclasses.dataclass(frozen=True)
class Texts:
  """All texts that were counted, `[N]` in order of their numbers in memory."""

  number: np.ndarray  # in memory
  whole: np.ndarray  # the number of what it is the beginning of; itself if none
  letters: np.ndarray  # how far it is printed; 0: to its end


class TextCounter:
  """Counts the rows it is given, in order."""

  def __init__(
    self, sizes: Mapping[str, int], table: tiles_lib.TileTable, most: int
  ):
    """Begins with nothing.

    Args:
      sizes: of tokens.
      table: the dictionary.
      most: different blocks of boxes that are kept.
    """
    self._sizes = dict(sizes)
    self._table = table
    self._boxes = votes_lib.Votes(most)
    self._follows = votes_lib.Votes(most)

  def add(self, rows: Mapping[str, np.ndarray]) -> None:
    """Takes rows `[N, ...]` with frames and `FIELDS`, one after the other."""
    lit = rows["game_running"] & (rows["shade"] == 0) & (rows["text"] > 0)
    at = np.flatnonzero(lit)
    text = rows["text"][at].astype(np.int64)
    # Of all rows: pieces are of one length, so that nothing compiles anew.
    box = text * cursors(self._sizes) + cursor(self._sizes, rows)[at]
    frame = rows["frame"][at]
    lines = np.ascontiguousarray(
      frame[:, FIRST_LINE:].reshape(len(at), 48 * 40)
    )
    view = votes_lib.view_bits(lines, box, bits=63)
    _, first, which, same = np.unique(
      view, return_index=True, return_inverse=True, return_counts=True
    )
    shown = tiles_lib.encode_numpy(self._table, frame[first])[:, -TILES:]
    code = votes_lib.codes(shown.reshape(-1, 4))
    place = box[first, None] * BLOCKS + np.arange(BLOCKS)
    self._boxes.add(place.reshape(-1), code, np.repeat(same, BLOCKS))
    goes_on = _goes_on(rows)
    next_row = (np.diff(at) == 1) & (np.diff(text) != 0) & goes_on[at[:-1]]
    next_row = np.flatnonzero(next_row)
    more = _is_more(shown[which[next_row]], shown[which[next_row + 1]])
    follower = text[next_row + 1].astype(np.uint64)
    self._follows.add(
      text[next_row], follower << np.uint64(1) | more.astype(np.uint64)
    )
    closed = np.append(rows["text"][1:] == 0, False) & goes_on
    closed = text[closed[at]]
    self._follows.add(closed, np.zeros(len(closed), np.uint64))

  def counts(self) -> TextCounts:
    """What was counted so far."""
    return TextCounts(self._sizes, self._boxes.settle(), self._follows.settle())


def cursors(sizes: Mapping[str, int]) -> int:
  """How many places of a cursor tokens tell apart."""
  return sizes.get("menu_item", 1)


def cursor(
  sizes: Mapping[str, int], rows: Mapping[str, np.ndarray]
) -> np.ndarray:
  """The place of the cursor `[N]` int64, as the token says it."""
  if "menu_item" not in sizes:
    return np.zeros(len(rows["menu_item"]), np.int64)
  ram = {name: jnp.asarray(rows[name]) for name in ("menu_item", "menu_open")}
  read = tokens.read({"menu_item": sizes["menu_item"]}, ram)
  return np.asarray(read)[:, 0].astype(np.int64)


def winners(
  counts: TextCounts,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Boxes that were counted: texts, cursors, rows `[N]`, tiles `[N, 30, 4]`.

  Of a block whose votes were dropped these are `UNKNOWN`.
  """
  winner = votes_lib.winners(counts.boxes)
  box, block = np.divmod(counts.boxes[0][winner], BLOCKS)
  boxes, at = np.unique(box, return_inverse=True)
  shown = np.full((len(boxes), BLOCKS, 4), UNKNOWN, np.int32)
  shown[at, block] = votes_lib.from_codes(counts.boxes[1][winner])
  all_boxes = np.searchsorted(boxes, counts.boxes[0] // BLOCKS)
  rows = np.bincount(all_boxes, counts.boxes[2], minlength=len(boxes)) / BLOCKS
  text, item = np.divmod(boxes, cursors(counts.sizes))
  return text, item, rows, shown


def read(counts: TextCounts, earlier: Mapping[int, int]) -> Texts:
  """Which texts are beginnings, of what, and how far they are printed.

  Args:
    counts: of all rows.
    earlier: texts -> the whole that they were taken for before: who is the
      beginning of one of these is that of its whole.
  """
  text, _, rows, shown = winners(counts)
  number, first = np.unique(text, return_index=True)
  # The box of a text that was seen most often, whatever the cursor.
  most = np.lexsort((-rows, text))[first] if len(text) else first
  grid = _grid(shown[most].reshape(-1, TILES))
  follower = _beginnings(counts.follows)
  whole = number.copy()
  for index, one in enumerate(number.tolist()):
    been = {one}
    while one not in earlier and follower.get(one, one) not in been:
      one = follower[one]
      been.add(one)
    whole[index] = earlier.get(one, one)
  printed = (grid != _blank(grid)) & (grid != UNKNOWN)
  columns = np.arange(1, grid.shape[2] + 1)
  extent = (printed * columns).max(axis=2, initial=0).sum(axis=1)
  # Memory may be ahead of the picture: nothing printed is a beginning, too.
  extent = np.maximum(extent, 1)
  return Texts(number, whole, np.where(whole == number, 0, extent))


def _beginnings(follows: votes_lib.Counted) -> dict[int, int]:
  """Of texts that are beginnings, the one that most often has more of it."""
  found = {}
  text, code, votes = follows
  for one in np.unique(text).tolist():
    low, high = np.searchsorted(text, [one, one + 1])
    more = (code[low:high] & np.uint64(1)) == 1
    if 2 * votes[low:high][more].sum() > votes[low:high].sum():
      best = np.argmax(np.where(more, votes[low:high], 0))
      found[one] = int(code[low + best] >> np.uint64(1))
  return found


def _is_more(before: np.ndarray, after: np.ndarray) -> np.ndarray:
  """Whether boxes `[N, 120]` show what others did, and letters beside."""
  before, after = _grid(before), _grid(after)
  blank = _blank(np.concatenate([before, after]))
  kept = (before == after) | (before == blank)
  some = (before != after).any(axis=(1, 2))
  return kept.all(axis=(1, 2)) & some


def _goes_on(rows: Mapping[str, np.ndarray]) -> np.ndarray:
  """Whether each row `[N]` bool is followed by the next one of its episode.

  Who reads does not walk, so a step to the next place is no proof of that.
  """
  same = np.ones(max(len(rows["text"]) - 1, 0), bool)
  for name in ("map_id", "y", "x"):
    same &= rows[name][1:] == rows[name][:-1]
  same &= rows["game_running"][1:] & ~rows["is_first"][1:]
  return np.append(same, False)[: len(rows["text"])]


def _blank(grid: np.ndarray) -> int:
  """The tile where no letter is: the most frequent one between lines."""
  number, count = np.unique(grid[:, ::2], return_counts=True)
  return int(number[count.argmax()]) if len(number) else -1


def _grid(shown: np.ndarray) -> np.ndarray:
  """The inside of boxes `[N, 120]` in block order: lines `[N, 4, 18]`."""
  blocks = shown.reshape(-1, BLOCKS // 10, 10, 2, 2).swapaxes(2, 3)
  return blocks.reshape(-1, BLOCKS // 5, 20)[:, 1:-1, 1:-1]
