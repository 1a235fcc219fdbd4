"""Which episodes are held out for validation, also while data grows.

An episode is held out by the hash of its identity, and of every behaviour that
has two or more episodes at least one is held out as well. The rounds of a
policy beside its learner count as one behaviour: by themselves, half of a round
of two would be held out. The side of an episode is decided once: in a list of
generations it keeps the side that it had in the first one that holds it,
whatever the later ones add around it.

Equal contents stand on one side, whatever their identities: an episode that
repeats one that has its side takes that side.
"""

from collections import Counter
from collections.abc import Sequence
import dataclasses
import hashlib
import json

from data_tools.players import policies
from data_tools.records import generations
from data_tools.records import shards

VALIDATION_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Sides:
  """Sides of all episodes of a list of generations; empty before the first."""

  val_share: float = VALIDATION_SHARE
  held_out: dict[str, bool] = dataclasses.field(default_factory=dict)  # by id
  history: str = ""  # names the generations, in order
  contents: dict[str, bool] = dataclasses.field(default_factory=dict)  # digests

  def __post_init__(self):
    if not 0 <= self.val_share < 1:
      raise ValueError(f"val_share: {self.val_share}, expected 0 <= share < 1")

  @property
  def repeats(self) -> bool:
    """Whether some episodes have equal contents."""
    return len(self.contents) < len(self.held_out)

  def extended(self, generation: generations.Generation) -> "Sides":
    """The sides with the episodes of one more generation decided."""
    entries = [entry for _, entry in generation.episodes()]
    ids = [entry.header.episode_id for entry in entries]
    digests = [entry.digest for entry in entries]
    repeated = {
      name: self.contents[digest]
      for name, digest in zip(ids, digests, strict=True)
      if digest in self.contents
    }
    sides = decide(
      [entry.header for entry in entries],
      self.val_share,
      repeated | self.held_out,
      digests,
    )
    names = json.dumps([self.history, generation.content_digest])
    return Sides(
      self.val_share,
      self.held_out | dict(zip(ids, sides, strict=True)),
      hashlib.sha256(names.encode()).hexdigest()[:16],
      self.contents | dict(zip(digests, sides, strict=True)),
    )


def decide(
  headers: Sequence[shards.EpisodeHeader],
  val_share: float,
  known: dict[str, bool] | None = None,
  digests: Sequence[str] | None = None,
) -> list[bool]:
  """Whether each episode is for validation.

  Args:
    headers: of all episodes, in collection order.
    val_share: share of episodes to hold out, in [0, 1).
    known: episode id -> whether it is held out, where that is decided.
    digests: of the contents of all episodes; without them no two are equal.
  """
  known = known or {}
  ids = [header.episode_id for header in headers]
  digests = ids if digests is None else digests
  sides = [known.get(name) for name in ids]
  if val_share == 0 or len(headers) < 2:
    return [bool(side) for side in sides]
  behaviours = [policies.over_rounds(header.behaviour) for header in headers]
  different = set(zip(behaviours, digests, strict=True))
  counts = Counter(behaviour for behaviour, _ in different)
  seen = {
    behaviour for behaviour, side in zip(behaviours, sides, strict=True) if side
  }
  placed = {
    digest: side
    for digest, side in zip(digests, sides, strict=True)
    if side is not None
  }
  new = [digest for digest in dict.fromkeys(digests) if digest not in placed]
  for name, behaviour, digest in zip(ids, behaviours, digests, strict=True):
    if digest not in placed:
      first = behaviour not in seen
      several = counts[behaviour] > 1
      # The id is a hash, so its digits are a uniform number.
      place = int(name, 16) / 16 ** len(name)
      placed[digest] = several and (first or place < val_share)
    if placed[digest]:
      seen.add(behaviour)
  if new and not any(placed.values()):
    placed[new[0]] = True
  if new and all(placed.values()):
    placed[new[-1]] = False
  return [
    placed[digest] if side is None else side
    for digest, side in zip(digests, sides, strict=True)
  ]
