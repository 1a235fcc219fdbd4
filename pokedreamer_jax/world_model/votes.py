"""Votes for what stands at a place, and who wins; numpy on the host.

What is kept is bounded: beyond a number of different votes the rarest go. The
outcome depends on the order in which votes come, and on the calls in which
they do.
"""

import numpy as np

# Different blocks of places kept, 24 bytes each; beyond them the rarest go.
MOST = 1 << 22
# Views are told apart by so many bits: of a million, 0.4 % are taken for ones
# seen before.
VIEW_BITS = 28
_MANY = 1 << 18  # recent ones, before they are added to the others

# (places [N] int64, blocks [N] uint64, votes [N] int64), sorted, no pair twice.
Counted = tuple[np.ndarray, np.ndarray, np.ndarray]


class Votes:
  """Adds votes up."""

  def __init__(self, most: int = MOST):
    """Begins with nothing.

    Args:
      most: different (place, block) that are kept.
    """
    self._most = most
    self._kept: Counted = none()
    self._recent: list[Counted] = []
    self._num_recent = 0

  def add(
    self, place: np.ndarray, block: np.ndarray, votes: np.ndarray | None = None
  ) -> None:
    """Takes votes `[N]` for blocks `[N]` uint64 at places `[N]` int64.

    Args:
      place: numbers of places.
      block: of `codes`.
      votes: how many each of them is, int64; one if None.
    """
    self._recent.append(_counted(place, block, votes))
    self._num_recent += len(self._recent[-1][0])
    if self._num_recent > max(len(self._kept[0]), _MANY):
      self.settle()

  def settle(self) -> Counted:
    """All votes so far; the recent ones join the others, the rarest go."""
    parts = [self._kept, *self._recent]
    self._recent, self._num_recent = [], 0
    merged = _counted(
      *(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    )
    least = 1
    while len(merged[0]) > self._most:
      least += 1
      enough = merged[2] >= least
      merged = (merged[0][enough], merged[1][enough], merged[2][enough])
    self._kept = merged
    return merged


def view_bits(
  frame: np.ndarray, place: np.ndarray, bits: int = VIEW_BITS
) -> np.ndarray:
  """A number `[N]` int64 of so many bits for each place and frame.

  Args:
    frame: bytes `[N, B]`, eight times some.
    place: numbers of places `[N]`.
    bits: at most 63.
  """
  words = frame.view("<u8")
  rng = np.random.Generator(np.random.Philox(key=0))
  odd = rng.integers(1 << 62, size=words.shape[1] + 1, dtype=np.uint64) * 2 + 1
  mixed = (words >> np.uint64(32)) ^ words
  total = np.einsum("nw,w->n", mixed, odd[1:])
  total += place.astype(np.uint64) * odd[0]
  return (total >> np.uint64(64 - bits)).astype(np.int64)


def none() -> Counted:
  """No votes at all."""
  return _counted(np.zeros(0, np.int64), np.zeros(0, np.uint64))


def winners(counted: Counted) -> np.ndarray:
  """Index of each place's winner; of equals the block of the lowest code."""
  place, block, votes = counted
  order = np.lexsort((block, -votes, place))
  return order[np.flatnonzero(np.diff(place[order], prepend=-1))]


def codes(tiles: np.ndarray) -> np.ndarray:
  """One number `[...]` uint64 for blocks of four tiles `[..., 4]`."""
  shifts = np.arange(0, 64, 16, dtype=np.uint64)
  return np.bitwise_or.reduce(tiles.astype(np.uint64) << shifts, axis=-1)


def from_codes(code: np.ndarray) -> np.ndarray:
  """Four dictionary numbers `[N, 4]` int32 of blocks `[N]`."""
  shifts = np.arange(0, 64, 16, dtype=np.uint64)
  return (code[:, None] >> shifts & np.uint64(0xFFFF)).astype(np.int32)


def _counted(place, block, votes=None) -> Counted:
  """The same votes, sorted, equal ones together."""
  if votes is None:
    votes = np.ones(len(place), np.int64)
  order = np.lexsort((block, place))
  place, block, votes = place[order], block[order], votes[order]
  begins = np.ones(len(place), bool)
  begins[1:] = (place[1:] != place[:-1]) | (block[1:] != block[:-1])
  start = np.flatnonzero(begins)
  total = np.add.reduceat(votes, start) if len(start) else votes
  return place[start], block[start], total
