"""What needs no model: the lines that dreams are compared with."""

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import scores


def frozen(
  windows: Mapping[str, np.ndarray], context: int, steps: Sequence[int]
) -> dreams.Dreams:
  """The last observed frame and place, repeated over open-loop steps."""
  last = slice(context - 1, context)
  places = scores.recorded_places(windows)[:, last]
  return dreams.Dreams(
    frame=np.repeat(windows["frame"][:, last], len(steps), axis=1),
    place=np.repeat(places, len(steps), axis=1),
  )


def random_walk(
  places: np.ndarray,
  context: int,
  steps: Sequence[int],
  rng: np.random.Generator,
) -> np.ndarray:
  """Places `[W, len(steps), 3]` of a walker who meets no wall.

  It presses random buttons from the last observed place on.

  Args:
    places: recorded ones `[W, T, 3]`.
    context: observed rows.
    steps: open-loop steps to return, from 1.
    rng: of the buttons.
  """
  count = len(places)
  moves = np.zeros((specs.NUM_ACTIONS, 3), np.int64)
  for name, step in (
    ("down", (0, 1, 0)),
    ("up", (0, -1, 0)),
    ("left", (0, 0, -1)),
    ("right", (0, 0, 1)),
  ):
    moves[specs.ACTIONS.index(name)] = step
  pressed = rng.integers(specs.NUM_ACTIONS, size=(count, max(steps)))
  walk = np.cumsum(moves[pressed], axis=1)[:, [k - 1 for k in steps]]
  return places[:, context - 1, None].astype(np.int64) + walk


def majority(values: np.ndarray) -> tuple[int, float]:
  """The most frequent of non-negative integers, and its share."""
  counts = np.bincount(values.reshape(-1))
  return int(counts.argmax()), float(counts.max() / values.size)


def others(groups: np.ndarray, seed: int = 0) -> np.ndarray:
  """A permutation `[W]` in which every window meets one of another group.

  Drawn by seed: windows in random order within their groups, and the whole
  moved on by the size of the largest group. Where one group holds more than
  half of the windows, some of its own meet each other, none itself.
  """
  rng = np.random.default_rng(seed)
  count = len(groups)
  order = rng.permutation(count)
  order = order[np.argsort(groups[order], kind="stable")]
  largest = int(np.unique(groups, return_counts=True)[1].max())
  shift = min(largest, max(count // 2, 1))
  partner = np.empty(count, np.int64)
  partner[order] = np.roll(order, shift)
  return partner
