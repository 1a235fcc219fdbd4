"""Which episodes are held out for validation, also while data grows.

An episode is held out by the hash of its identity, and of every behaviour that
has two or more episodes at least one is held out as well. The side of an
episode is decided once: in a list of generations it keeps the side that it had
in the first one that holds it, whatever the later ones add around it.
"""

from collections import Counter
from collections.abc import Sequence
import dataclasses
import hashlib
import json

from data_tools import generations
from data_tools import records

VALIDATION_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Sides:
  """Sides of all episodes of a list of generations; empty before the first."""

  val_share: float = VALIDATION_SHARE
  held_out: dict[str, bool] = dataclasses.field(default_factory=dict)  # by id
  history: str = ""  # names the generations, in order

  def __post_init__(self):
    if not 0 <= self.val_share < 1:
      raise ValueError(f"val_share: {self.val_share}, expected 0 <= share < 1")

  def extended(self, generation: generations.Generation) -> "Sides":
    """The sides with the episodes of one more generation decided."""
    headers = [entry.header for _, entry in generation.episodes()]
    sides = decide(headers, self.val_share, self.held_out)
    decided = {
      header.episode_id: side
      for header, side in zip(headers, sides, strict=True)
    }
    names = json.dumps([self.history, generation.content_digest])
    return Sides(
      self.val_share,
      self.held_out | decided,
      hashlib.sha256(names.encode()).hexdigest()[:16],
    )


def decide(
  headers: Sequence[records.EpisodeHeader],
  val_share: float,
  known: dict[str, bool] | None = None,
) -> list[bool]:
  """Whether each episode is for validation.

  Args:
    headers: of all episodes, in collection order.
    val_share: share of episodes to hold out, in [0, 1).
    known: episode id -> whether it is held out, where that is decided.
  """
  known = known or {}
  sides = [known.get(header.episode_id) for header in headers]
  if val_share == 0 or len(headers) < 2:
    return [bool(side) for side in sides]
  counts = Counter(header.behaviour for header in headers)
  seen = {
    header.behaviour
    for header, side in zip(headers, sides, strict=True)
    if side
  }
  new = [i for i, side in enumerate(sides) if side is None]
  for i in new:
    header = headers[i]
    first = header.behaviour not in seen
    seen.add(header.behaviour)
    several = counts[header.behaviour] > 1
    # The id is a hash, so its digits are a uniform number.
    place = int(header.episode_id, 16) / 16 ** len(header.episode_id)
    sides[i] = several and (first or place < val_share)
  if new and not any(sides):
    sides[new[0]] = True
  if new and all(sides):
    sides[new[-1]] = False
  return [bool(side) for side in sides]
