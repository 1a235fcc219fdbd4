"""Whether the tokens of a row, with the button pressed, decide the next row's.

No model is asked: of recorded rows that agree in every token and in the button,
the next rows are compared. Where they differ, chance decided, or something that
no token holds, and no model of these tokens can do better. Shape letters: `N`
rows with one after them, `M` tokens.
"""

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


def _situation(names, steps: Steps, codes: np.ndarray) -> dict[str, Any]:
  """`measure` of one situation."""
  # Sums of products modulo 2^64 stand for rows: of 10^6 different ones two are
  # the same once in 40 million times.
  parts = steps.now.astype(np.uint64) * codes[:-1, 0]
  key = parts.sum(axis=1) + steps.action.astype(np.uint64) * codes[-1, 0]
  later = (steps.later.astype(np.uint64) * codes[:-1, 1]).sum(axis=1)
  group, size = _groups(key)
  alike = size[group] >= LEAST_ALIKE
  count = int(alike.sum())
  found: dict[str, Any] = {"rows": len(key), "alike": count}
  if not count:
    return found | {"undecided": None, "tokens": {}, "without": {}}
  share = lambda group, outcome: float(_differs(group, outcome)[alike].mean())
  found["undecided"] = share(group, later)
  found["tokens"] = {
    name: share(group, steps.later[:, m]) for m, name in enumerate(names)
  }
  # Among the rows that are alike, so that the same ones are counted.
  inside = alike.nonzero()[0]
  found["without"] = {
    name: float(
      _differs(_groups((key - parts[:, m])[inside])[0], later[inside]).mean()
    )
    for m, name in enumerate(names)
  }
  return found


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
