"""Rows on maps that are left out of training, and what lies between them.

A row is on a map where the game runs and memory names that map; the title
screen is on none.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import numpy as np

# The step fields that say where a row is.
FIELDS = ("map_id", "game_running")


@dataclasses.dataclass(frozen=True)
class Stretch:
  """Rows `start` to `stop` of an episode, given by its place in an index."""

  episode: int
  start: int
  stop: int


def on_maps(rows: Mapping[str, np.ndarray], maps: Sequence[int]) -> np.ndarray:
  """Whether rows `[...]` with `FIELDS` are on one of some maps."""
  return rows["game_running"] & np.isin(rows["map_id"], list(maps))


def stretches(episode: int, wanted: np.ndarray) -> list[Stretch]:
  """The longest runs of wanted rows `[T]` bool, in order."""
  edges = np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8))
  starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
  return [
    Stretch(episode, int(start), int(stop))
    for start, stop in zip(starts, stops, strict=True)
  ]
