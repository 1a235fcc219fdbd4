"""Players that run inside emulator workers, and how they are written.

A policy specification is `name[:eps=probability]`; with `eps` each action is
random with that probability. `demonstrator:lost=SHARE[:eps=probability]` leaves
so much of its time to the wanderer, stretch by stretch, and goes on from
wherever that went. Learned policies, which act on frames in the
parent, are named by their weights: `policy:HEX@STEP` and `sb3:HEX`, with
`:deterministic` for the most likely actions. What plays in rounds beside its
learner is `policy:HEX:round=N@STEP`; whom the offline planner leads is
`policy:HEX:planner=HEX@STEP`, by the digest of what that planner knows.

A mix is a list of `specification[=share]` with commas between, as in
`demonstrator:eps=0.2=0.5,random=0.5`: which share of the episodes each plays.
"""

from collections.abc import Sequence
import dataclasses
import math
import re
from typing import Any
from typing import Protocol

import numpy as np

from data_tools.game import roms
from pokedreamer_jax import specs

# Those that read memory, and play practice cartridges alone.
SCRIPTED = ("demonstrator", "hasty", "wanderer")
NAMES = ("random", "sticky_random", *SCRIPTED)
STICKINESS = 0.75  # probability that `sticky_random` repeats its last action

_LEARNED = (
  r"(policy|sb3):[0-9a-f]+(:planner=[0-9a-f]+)?(:round=[0-9]+)?(@[0-9]+)?"
  r"(:deterministic)?"
)
_ROUND = re.compile(r":round=[0-9]+@[0-9]+")
_ITEM = re.compile(
  rf"(?P<name>[a-z_]+|{_LEARNED})(:lost=(?P<lost>[0-9.eE+-]+))?"
  r"(:eps=(?P<eps>[0-9.eE+-]+))?"
  r"(=(?P<share>[0-9.eE+-]+))?"
)
_LOST_STEPS = (5, 60)  # of a stretch that is left to the wanderer
# Fractional parts of its multiples fill the unit interval evenly.
_GOLDEN = (math.sqrt(5) - 1) / 2


class Policy(Protocol):
  """Chooses actions from memory; not thread-safe."""

  chosen_by: int  # index into BEHAVIOURS: who chose the last action

  def reset(self, rng: np.random.Generator) -> None:
    """Forgets the last episode; all chance comes from `rng`."""

  def act(self, memory: Any, row: Any = None) -> int:
    """The next action; `memory` slices like the 64 KiB address space."""


@dataclasses.dataclass(frozen=True)
class MixItem:
  """One policy of a mix and its share of the episodes."""

  behaviour: str  # "name[:eps=probability]"
  share: float  # of all, the shares of a mix sum to 1


class Random:
  """Every action with the same probability."""

  chosen_by = specs.BEHAVIOURS.index("random")

  def reset(self, rng: np.random.Generator) -> None:
    self._rng = rng

  def act(self, memory: Any, row: Any = None) -> int:
    return int(self._rng.integers(specs.NUM_ACTIONS))


class StickyRandom:
  """Random, but keeps its action for a while: it gets further."""

  chosen_by = specs.BEHAVIOURS.index("sticky_random")

  def reset(self, rng: np.random.Generator) -> None:
    self._rng = rng
    self._action = specs.PASS

  def act(self, memory: Any, row: Any = None) -> int:
    if self._rng.random() >= STICKINESS:
      self._action = int(self._rng.integers(specs.NUM_ACTIONS))
    return self._action


class Scripted:
  """A player that reads memory: the demonstrator, or one of its kin."""

  def __init__(self, name: str, rom: roms.Rom):
    """Makes a player for one world.

    Args:
      name: `demonstrator`, which wins practice cartridges; `hasty`, which
        challenges leaders before it is strong enough, and so shows what comes
        of it; or `wanderer`, which sees their worlds from all sides.
      rom: the game.

    Raises:
      ValueError: it does not play this ROM.
    """
    from data_tools.players import demonstrator_small
    from data_tools.players import wanderer

    self.chosen_by = specs.BEHAVIOURS.index(name)
    if name == "wanderer":
      player: Any = wanderer.make(rom.sha1)
    else:
      player = demonstrator_small.make(rom.sha1, hasty=name == "hasty")
    if player is None:
      raise ValueError(
        f"policy {name}: it plays practice cartridges only, not "
        f"{rom.path.stem}; use random or sticky_random"
      )
    self._player = player

  def reset(self, rng: np.random.Generator) -> None:
    self._player.reset(rng)

  def act(self, memory: Any, row: Any = None) -> int:
    return int(self._player.act(memory))


class Lost:
  """A player that another leads astray for a while, again and again.

  What it does where it would never have come by itself is what a clone needs,
  which comes there by its own mistakes (Ross et al. 2011, DAgger, ask the
  demonstrator there as well).
  """

  def __init__(self, policy: Policy, other: Policy, share: float):
    """Makes the pair; `share` of the steps is the other's."""
    self._policy, self._other, self._share = policy, other, share
    self.chosen_by = policy.chosen_by

  def reset(self, rng: np.random.Generator) -> None:
    self._rng, *rngs = rng.spawn(3)
    for policy, own in zip((self._policy, self._other), rngs, strict=True):
      policy.reset(own)
    self._is_lost, self._left = True, 0

  def act(self, memory: Any, row: Any = None) -> int:
    if self._left <= 0:
      self._is_lost = not self._is_lost
      steps = float(self._rng.integers(*_LOST_STEPS))
      own = (1 - self._share) / self._share
      self._left = round(steps if self._is_lost else steps * own)
    self._left -= 1
    policy = self._other if self._is_lost else self._policy
    action = policy.act(memory, row)
    self.chosen_by = policy.chosen_by
    return action


class Epsilon:
  """Another policy, whose actions are random with probability `eps`."""

  def __init__(self, policy: Policy, eps: float):
    self._policy = policy
    self._eps = eps
    self._random = Random()
    self.chosen_by = policy.chosen_by

  def reset(self, rng: np.random.Generator) -> None:
    self._rng, policy_rng = rng.spawn(2)
    self._policy.reset(policy_rng)
    self._random.reset(self._rng)

  def act(self, memory: Any, row: Any = None) -> int:
    # The policy is always asked: it follows what happens.
    action = self._policy.act(memory, row)
    self.chosen_by = self._policy.chosen_by
    if self._rng.random() < self._eps:
      action = self._random.act(memory, row)
      self.chosen_by = self._random.chosen_by
    return action


def make_policy(behaviour: str, rom: roms.Rom) -> Policy:
  """The policy of a specification `name[:eps=probability]`.

  Raises:
    ValueError: malformed, unknown, or not for this ROM.
  """
  name, lost, eps, share = _parse(behaviour)
  if share is not None:
    raise ValueError(f"policy {behaviour!r}: a single policy has no share")
  if is_learned(behaviour):
    raise ValueError(f"policy {behaviour!r}: a learned policy, not played here")
  policy: Policy
  if name == "random":
    policy = Random()
  elif name == "sticky_random":
    policy = StickyRandom()
  else:
    policy = Scripted(name, rom)
  if lost:
    policy = Lost(policy, Scripted("wanderer", rom), lost)
  return policy if eps == 0 else Epsilon(policy, eps)


def is_learned(behaviour: str) -> bool:
  """Whether a behaviour is a learned policy, named by its weights."""
  return re.match(_LEARNED, behaviour) is not None


def over_rounds(behaviour: str) -> str:
  """The behaviour without checkpoint and round, where it has a round.

  What plays beside its learner is another checkpoint in every round, and yet
  one player for whoever counts.
  """
  return _ROUND.sub("", behaviour)


def eps_of(behaviour: str) -> float:
  """The probability of a random action in a behaviour."""
  return _parse(behaviour)[2]


def is_lost(behaviour: str) -> bool:
  """Whether somebody else leads the player of a behaviour astray."""
  return bool(_parse(behaviour)[1])


def parse_mix(text: str) -> tuple[MixItem, ...]:
  """The policies of a mix with shares that sum to 1; a missing share is 1.

  Raises:
    ValueError: an item is malformed or unknown, or all shares are 0.
  """
  items = []
  for item in text.split(","):
    name, lost, eps, share = _parse(item.strip())
    behaviour = f"{name}:lost={lost:g}" if lost else name
    behaviour += f":eps={eps:g}" if eps else ""
    items.append(MixItem(behaviour, 1.0 if share is None else share))
  total = sum(item.share for item in items)
  if total <= 0:
    raise ValueError(f"policy mix {text!r}: the shares sum to {total}")
  return tuple(MixItem(item.behaviour, item.share / total) for item in items)


def playable_mix(text: str, rom: roms.Rom) -> str:
  """A mix without the policies that cannot play this ROM.

  Where none is left it is sticky-random and random play.
  """
  playable = [
    item
    for item in parse_mix(text)
    if rom.kind == roms.PRACTICE or not item.behaviour.startswith(SCRIPTED)
  ]
  if len(playable) == len(parse_mix(text)):
    return text
  if not playable:
    return "sticky_random=0.7,random=0.3"
  return ",".join(f"{item.behaviour}={item.share:g}" for item in playable)


def behaviour_of(mix: tuple[MixItem, ...], seed: int, episode: int) -> str:
  """Which policy plays an episode: a function of mix, seed and number.

  Any run of consecutive episodes holds the shares closely, so that a few
  episodes already show every policy.
  """
  offset = np.random.default_rng(seed).random()
  shares = [item.share for item in mix]
  return mix[pick(shares, offset + episode * _GOLDEN)].behaviour


def pick(shares: Sequence[float], place: float) -> int:
  """Index of the share that holds the fractional part of `place`."""
  place %= 1.0
  for i, share in enumerate(shares):
    place -= share
    if place < 0:
      return i
  return len(shares) - 1


def _parse(item: str) -> tuple[str, float, float, float | None]:
  match = _ITEM.fullmatch(item)
  if match is None or not (
    match["name"] in NAMES or re.fullmatch(_LEARNED, match["name"])
  ):
    raise ValueError(
      f"policy {item!r}: expected name[:lost=share][:eps=probability][=share], "
      f"valid names are {list(NAMES)}"
    )
  try:
    lost, eps = (float(match[name] or 0) for name in ("lost", "eps"))
    share = None if match["share"] is None else float(match["share"])
  except ValueError:
    raise ValueError(f"policy {item!r}: not a number") from None
  if not 0 <= eps <= 1 or (share is not None and not 0 <= share < math.inf):
    raise ValueError(
      f"policy {item!r}: eps must lie in 0..1, a share must not be negative"
    )
  if match["lost"] and (match["name"] != "demonstrator" or not 0 <= lost < 1):
    raise ValueError(
      f"policy {item!r}: lost is of the demonstrator, 0 or more and below 1"
    )
  return match["name"], lost, eps, share
