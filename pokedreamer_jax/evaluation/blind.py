"""Real or dreamt: a judge who knows the game is shown both, side by side.

A pair is two clips of one start under the same buttons. The judge counts what
`blind_marks` names in both, and a logistic regression, taught with pairs of
some episodes and asked about those of others, says which one is dreamt. How
strongly it is held back is chosen by whole episodes as well, inside what it was
taught with. It sees differences alone and has no constant, so that two clips
that count alike are a coin. 0.5 is a dream that nobody tells from the game.
`N` pairs, `T` steps, `M` marks. Numpy alone.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from pokedreamer_jax.evaluation import blind_marks
from pokedreamer_jax.world_model import statistics

FOLDS = 4  # parts of the episodes, each asked by who learned from the others
_RIDGES = (1.0, 10.0, 100.0)  # of which one is chosen
_NEWTON = 50  # steps at most
_ROWS, _COLUMNS = 18, 20  # of tiles


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Clips side by side; which is which is known here."""

  real: np.ndarray  # [N, T + 1, 144, 40], the common start first
  other: np.ndarray  # the same, dreamt or real as well
  action: np.ndarray  # [N, T], what was pressed
  groups: np.ndarray  # [N], the episode of each


@dataclasses.dataclass(frozen=True)
class Found:
  """How much more dreamt the other clip looks than the real one."""

  lead: dict[int, np.ndarray]  # by the clips' length: [N], above 0 is right
  by_step: np.ndarray  # [N, T], what each step alone adds
  counts: np.ndarray  # [N, 2, T, M], of the real clip and the other


def judge(
  pairs: Pairs,
  seen: blind_marks.Seen,
  steps: Sequence[int],
  folds: int = FOLDS,
) -> Found:
  """Judges every pair by who never saw its episode.

  Args:
    pairs: of two episodes or more.
    seen: what play showed that none of the pairs is of.
    steps: lengths of clips; all are taught together.
    folds: parts of the episodes.

  Raises:
    ValueError: all pairs are of one episode, or a length is not in `1..T`.
  """
  longest = pairs.action.shape[1]
  if not steps or not all(1 <= length <= longest for length in steps):
    raise ValueError(f"steps: {list(steps)}, expected some of 1..{longest}")
  part = _parts(pairs.groups, folds)
  counts = np.stack(
    [
      [
        blind_marks.marks(seen, *one)
        for one in zip(clips, pairs.action, strict=True)
      ]
      for clips in (pairs.real, pairs.other)
    ],
    axis=1,
  )
  sides = {length: _differ(counts, length) for length in steps}
  each = np.log1p(counts)
  each = each[:, 1] - each[:, 0]
  lead = {length: np.zeros(len(part)) for length in steps}
  by_step = np.zeros(each.shape[:2])
  for number in range(part.max() + 1):
    asked, taught = part == number, part != number
    weights = _learn(
      np.concatenate([side[taught] for side in sides.values()]),
      np.tile(pairs.groups[taught], len(sides)),
      folds,
    )
    for length, side in sides.items():
      lead[length][asked] = side[asked] @ weights
    by_step[asked] = each[asked] @ weights
  return Found(lead, by_step, counts)


def told_apart(found: Found, pairs: Pairs, resamples: int) -> dict[str, Any]:
  """How often the right clip is called dreamt, from so many steps of both.

  Args:
    found: of `judge`.
    pairs: that it is of.
    resamples: bootstrap draws over episodes.

  Returns:
    JSON-ready: for each length `share` (a pair that counts alike on both
    sides is a half), with the interval over episodes; `wilson`, as if pairs
    were independent; `pairs`, and how many of them are `identical`.
  """
  result: dict[str, Any] = {}
  for length, lead in found.lead.items():
    same = (
      (pairs.real[:, 1 : length + 1] == pairs.other[:, 1 : length + 1])
      .reshape(len(lead), -1)
      .all(axis=1)
    )
    right = np.where(lead == 0, 0.5, (lead > 0).astype(float))
    result[str(length)] = {
      "share": statistics.bootstrap_mean(right, resamples, groups=pairs.groups),
      "wilson": statistics.wilson(float(right.sum()), len(right)),
      "pairs": len(right),
      "identical": int(same.sum()),
    }
  return result


def gives_away(found: Found) -> list[dict[str, Any]]:
  """What the other clips have more or less of, the most telling mark first.

  Returns:
    JSON-ready, for each mark: `real` and `other`, its mean of a step; and of
    whole clips the share of pairs in which the `real_more` or `other_more`.
  """
  made: list[dict[str, Any]] = []
  totals = found.counts.sum(axis=2)
  for number, name in enumerate(blind_marks.MARKS):
    real, other = totals[:, 0, number], totals[:, 1, number]
    made.append(
      {
        "mark": name,
        "real": float(found.counts[:, 0, :, number].mean()),
        "other": float(found.counts[:, 1, :, number].mean()),
        "real_more": float((real > other).mean()),
        "other_more": float((other > real).mean()),
      }
    )
  made.sort(key=lambda one: -abs(one["other_more"] - one["real_more"]))
  return made


def exchanged(
  seed: int, clips: np.ndarray, count: int, first: int = 1
) -> np.ndarray:
  """Clips in whose frames some tiles are others of the same frame.

  What a model would show that puts a few tiles wrong; a control, which a
  judge worth its name must find, as are the two below.

  Args:
    seed: of the tiles.
    clips: `[N, T, 144, 40]`.
    count: tiles of each frame.
    first: row from which on frames are changed.
  """
  rng = np.random.default_rng([seed, 0xB11D])
  n, t = clips.shape[:2]
  made = clips.copy()
  # [N, T, rows, 8, columns, 2 bytes]: a tile is [8, 2] bytes.
  grid = made.reshape(n, t, _ROWS, 8, _COLUMNS, 2)
  whole = clips.reshape(n, t, _ROWS, 8, _COLUMNS, 2)
  at_n, at_t = np.indices((n, t - first)) + np.array([0, first])[:, None, None]
  for _ in range(count):
    to, of = (
      [rng.integers(most, size=at_n.shape) for most in (_ROWS, _COLUMNS)]
      for _ in range(2)
    )
    grid[at_n, at_t, to[0], :, to[1]] = whole[at_n, at_t, of[0], :, of[1]]
  return made


def jumped(clips: np.ndarray, row: int) -> np.ndarray:
  """Clips that go on as those of another start do, from a row on."""
  made = clips.copy()
  made[:, row:] = np.roll(clips, len(clips) // 2, axis=0)[:, row:]
  return made


def stuttered(clips: np.ndarray, every: int) -> np.ndarray:
  """Clips in which each so many rows one is shown twice, and one left out."""
  made = clips.copy()
  made[:, every::every] = clips[:, every - 1 : -1 : every]
  return made


def _parts(groups: np.ndarray, folds: int) -> np.ndarray:
  """`[N]`, the part of each pair: whole episodes, of about as many pairs."""
  names, counts = np.unique(groups, return_counts=True)
  if len(names) < 2:
    raise ValueError(f"pairs: of {len(names)} episode, expected 2 or more")
  sizes = np.zeros(min(folds, len(names)), int)
  part = {}
  for place in np.argsort(-counts, kind="stable"):
    part[names[place]] = int(sizes.argmin())
    sizes[sizes.argmin()] += counts[place]
  return np.array([part[name] for name in groups])


def _differ(counts: np.ndarray, length: int) -> np.ndarray:
  """`[N, M]`, what the other clip has more, of so many steps of both.

  Logarithms of the sums: that there is something odd says most, how much of it
  little (roots and shares were tried, and are as good within the interval).
  """
  whole = np.log1p(counts[:, :, :length].sum(axis=2))
  return whole[:, 1] - whole[:, 0]


def _learn(differ: np.ndarray, groups: np.ndarray, folds: int) -> np.ndarray:
  """Weights `[M]` under which what is dreamt has more."""
  spread = np.sqrt((differ**2).mean(axis=0))
  scaled = differ / np.where(spread > 0, spread, 1.0)
  ridge = _RIDGES[-1]  # of one episode nothing can be chosen
  if len(np.unique(groups)) > 1:
    part = _parts(groups, folds)
    lost = [
      sum(
        np.logaddexp(
          0, -scaled[part == number] @ _fit(scaled[part != number], ridge)
        ).sum()
        for number in range(part.max() + 1)
      )
      for ridge in _RIDGES
    ]
    ridge = _RIDGES[int(np.argmin(lost))]
  return _fit(scaled, ridge) / np.where(spread > 0, spread, 1.0)


def _fit(differ: np.ndarray, ridge: float) -> np.ndarray:
  """Logistic regression without a constant, by Newton's method."""
  weights = np.zeros(differ.shape[1])
  for _ in range(_NEWTON):
    # As a hyperbolic tangent: an exponential of a large lead would overflow.
    right = 0.5 + 0.5 * np.tanh(differ @ weights / 2)
    slope = differ.T @ (right - 1) + ridge * weights
    bend = (differ * (right * (1 - right))[:, None]).T @ differ
    step = np.linalg.solve(bend + ridge * np.eye(len(weights)), slope)
    weights -= step
    if np.abs(step).max() < 1e-8:
      break
  return weights
