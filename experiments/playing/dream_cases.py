"""Starts for dreams and games alike: recorded rows, some of them before events.

Half are drawn from all rows on which a game runs, so that they are what a dream
meets; half lie shortly before recorded events, each kind alike, for a badge is
one row in thousands.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from experiments.playing import entering
from pokedreamer_jax.behaviour import objectives
from pokedreamer_jax.evaluation import honesty

ANYWHERE = "anywhere"
_FIELDS = ("reward_terms", "party_level", "game_running", "is_terminal")


@dataclasses.dataclass(frozen=True)
class Case:
  """Where a game is entered, and why there."""

  entry: entering.Entry
  before: str  # a name of `honesty.KINDS`, or `ANYWHERE`


def choose(
  index: Any,
  places: Sequence[int],
  count: int,
  steps: int,
  most_row: int,
  rng: np.random.Generator,
) -> list[Case]:
  """Draws up to `count` different starts, fewer where there are fewer.

  Args:
    index: a `loader.EpisodeIndex` of held-out episodes.
    places: which of them.
    count: of the starts.
    steps: at most so many before an event.
    most_row: last row that a game is entered at, for it is played until there.
    rng: draws.
  """
  found: dict[str, list[entering.Entry]] = {
    name: [] for name in (ANYWHERE, *honesty.KINDS)
  }
  for place in places:
    rows = index.read(place, 0, int(index.lengths[place]), _FIELDS)
    usable = np.asarray(rows["game_running"] & ~rows["is_terminal"])
    usable[-1] = usable[most_row + 1 :] = False
    events = honesty.real_events(rows["reward_terms"], level_rises(rows))
    for row in np.flatnonzero(usable).tolist():
      entry = entering.Entry(place, row)
      found[ANYWHERE].append(entry)
      ahead = events[row + 1 : row + 1 + steps].any(axis=0)
      for number in np.flatnonzero(ahead).tolist():
        found[honesty.KINDS[number]].append(entry)
  chosen: dict[entering.Entry, str] = {}
  _take(found[ANYWHERE], ANYWHERE, count - count // 2, chosen, rng)
  kinds = [name for name in honesty.KINDS if found[name]]
  for number, name in enumerate(kinds):
    left = count - len(chosen)
    _take(found[name], name, -(-left // (len(kinds) - number)), chosen, rng)
  return [Case(entry, before) for entry, before in chosen.items()]


def level_rises(rows: Any) -> np.ndarray:
  """Levels `[T]` by which the first creature's highest rises at each row."""
  level = np.asarray(rows["party_level"])[:, 0].astype(int)
  highest = np.maximum.accumulate(level)
  rises = np.asarray(objectives.level_rises(highest))
  return np.concatenate([np.zeros_like(rises[:1]), rises])


def _take(
  entries: list[entering.Entry],
  name: str,
  count: int,
  chosen: dict[entering.Entry, str],
  rng: np.random.Generator,
) -> None:
  """Adds up to `count` of `entries` not chosen yet, episodes in turn."""
  turns: dict[int, list[entering.Entry]] = {}
  for at in rng.permutation(len(entries)).tolist():
    if entries[at] not in chosen:
      turns.setdefault(entries[at].place, []).append(entries[at])
  while count > 0 and turns:
    for place in list(turns):
      if count > 0:
        chosen[turns[place].pop()] = name
        count -= 1
      if not turns[place]:
        del turns[place]
