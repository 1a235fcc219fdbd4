"""Whether tokens decide the picture, and with the button the next row's tokens.

No model is asked: of recorded rows that agree in every token and in the button,
the next rows are compared, and of those that agree in tokens the pictures.
Where they differ, chance decided, or something that no token holds, and no
model of these tokens can do better. Shape letters: `N` rows, `M` tokens.
"""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

LEAST_ALIKE = 3  # rows that have to agree to say anything
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Steps:
  """Rows and those after them."""

  now: np.ndarray  # [N, M] ints
  later: np.ndarray  # [N, M] ints
  action: np.ndarray  # [N] ints


def measure(
  names: Sequence[str], steps: Steps, situations: Mapping[str, np.ndarray]
) -> dict[str, Any]:
  """Shares of rows whose next row is not that of most rows like them.

  Args:
    names: of the tokens.
    steps: what was recorded.
    situations: masks `[N]` by name; rows of one are compared among themselves.

  Returns:
    JSON-ready, by situation: `rows`; `alike`, of those that agree with
    `LEAST_ALIKE` - 1 others at least; and shares of these: `undecided`, whose
    next row differs in any token from that of most, `tokens`, the same by the
    token that differs, and `without`, what `undecided` would be if one token
    were not known, by that token. Empty shares where none is alike.
  """
  codes = np.random.default_rng(_SEED).integers(
    1, 2**63, (len(names) + 1, 2), dtype=np.uint64
  )
  found = {}
  for name, mask in situations.items():
    part = Steps(steps.now[mask], steps.later[mask], steps.action[mask])
    found[name] = _situation(names, part, codes)
  return found


def pictures(
  names: Sequence[str],
  rows: np.ndarray,
  tiles: np.ndarray,
  situations: Mapping[str, np.ndarray],
  left_out: Mapping[str, Collection[str]],
) -> dict[str, Any]:
  """Shares of rows whose picture is not that of most rows like them.

  Args:
    names: of the tokens.
    rows: token numbers `[N, M]` ints.
    tiles: what stands at every tile of the screen, `[N, H, W]` ints.
    situations: masks `[N]` by name; rows of one are compared among themselves.
    left_out: by situation, tokens that its rows need not agree in, since it
      shows nothing of what they say.

  Returns:
    As `measure`, with `without` of tokens that are not left out; `tiles`
    `[H][W]` in place of `tokens`, the share by the tile that differs.
  """
  rng = np.random.default_rng(_SEED)
  codes = rng.integers(1, 2**63, len(names), dtype=np.uint64)
  of_tiles = rng.integers(1, 2**63, tiles[0].size, dtype=np.uint64)
  found = {}
  for name, mask in situations.items():
    told = [m for m, n in enumerate(names) if n not in left_out.get(name, ())]
    parts = rows[mask][:, told].astype(np.uint64) * codes[told]
    flat = tiles[mask].reshape(-1, tiles[0].size)
    # Tile by tile: as one product it would be eight times as large.
    whole = np.zeros(len(flat), np.uint64)
    for at, code in enumerate(of_tiles):
      whole += flat[:, at].astype(np.uint64) * code
    one, share = _compared([names[m] for m in told], parts, 0, whole)
    each: list[list[float]] = []
    if share is not None:
      shares = [share(flat[:, at]) for at in range(flat.shape[1])]
      each = np.reshape(shares, tiles.shape[1:]).tolist()
    found[name] = one | {"tiles": each}
  return found


def _situation(names, steps: Steps, codes: np.ndarray) -> dict[str, Any]:
  """`measure` of one situation."""
  # Sums of products modulo 2^64 stand for rows: of 10^6 different ones two are
  # the same once in 40 million times.
  parts = steps.now.astype(np.uint64) * codes[:-1, 0]
  pressed = steps.action.astype(np.uint64) * codes[-1, 0]
  later = (steps.later.astype(np.uint64) * codes[:-1, 1]).sum(axis=1)
  found, share = _compared(names, parts, pressed, later)
  shares = {}
  if share is not None:
    shares = {name: share(steps.later[:, m]) for m, name in enumerate(names)}
  return found | {"tokens": shares}


def _compared(
  names: Sequence[str],
  parts: np.ndarray,
  more: np.ndarray | int,
  outcome: np.ndarray,
) -> tuple[dict[str, Any], Callable[[np.ndarray], float] | None]:
  """What `measure` says of all outcomes, and the share of others `[n]`.

  Args:
    names: of the tokens.
    parts: what each adds to the number of a row `[n, m]`.
    more: what else does.
    outcome: numbers `[n]` that are to agree.

  Returns:
    The share is None where no rows are alike.
  """
  key = parts.sum(axis=1) + more
  group, size = _groups(key)
  alike = size[group] >= LEAST_ALIKE
  count = int(alike.sum())
  found: dict[str, Any] = {"rows": len(key), "alike": count}
  if not count:
    return found | {"undecided": None, "without": {}}, None
  # Among the rows that are alike, so that the same ones are counted.
  inside = alike.nonzero()[0]
  differ = lambda group, outcome: float(_differs(group, outcome).mean())
  share = lambda outcome: differ(group[inside], outcome[inside])
  found["undecided"] = share(outcome)
  found["without"] = {
    name: differ(_groups((key - parts[:, m])[inside])[0], outcome[inside])
    for m, name in enumerate(names)
  }
  return found, share


def _groups(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The group `[N]` of each row, of equal keys, and how many are in each."""
  _, group, size = np.unique(key, return_inverse=True, return_counts=True)
  return group, size


def _differs(group: np.ndarray, outcome: np.ndarray) -> np.ndarray:
  """Rows `[N]` bool whose outcome is not the commonest of their group.

  Of several that are as common, one counts as that.
  """
  kind = np.unique(outcome, return_inverse=True)[1]
  pair = group.astype(np.int64) * (int(kind.max(initial=0)) + 1) + kind
  _, first, number, size = np.unique(
    pair, return_index=True, return_inverse=True, return_counts=True
  )
  # Sorted by group and, within it, the largest first.
  order = np.lexsort((-size, group[first]))
  leads = np.diff(group[first][order], prepend=-1) > 0
  best = np.zeros(len(size), bool)
  best[order[leads]] = True
  return ~best[number]
