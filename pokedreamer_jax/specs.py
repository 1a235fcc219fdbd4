"""The contract between the packages: what one step of experience holds.

Numpy and the standard library only: emulator workers import this module and
must not wake an accelerator. Row `t` of a record holds frame `t`, RAM state
`t`, the reward received on arriving at `t`, the flags, and the action chosen
after seeing frame `t`. Batches add two leading axes `[B, T]`.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import difflib
import math
from typing import Any

import numpy as np

# One agent step presses the button for 8 frames and runs to 24 frames.
ACTIONS = ("down", "left", "right", "up", "a", "b", "start", "pass")
NUM_ACTIONS = len(ACTIONS)
PASS = ACTIONS.index("pass")
PRESS_FRAMES = 8
STEP_FRAMES = 24

FRAME_HEIGHT = 144
FRAME_WIDTH = 160
PACKED_WIDTH = FRAME_WIDTH // 4  # 2 bits a pixel, leftmost in the low bits
NUM_SHADES = 4  # shade 0 is white (RGB 255), shade 3 is black

# Who chose an action: the values of the step field `behaviour`.
BEHAVIOURS = (
  "random",
  "sticky_random",
  "demonstrator",
  "policy",
  "human",
  "none",  # nobody: the last row's action was never executed
  "wanderer",
  "hasty",
)

FACINGS = ("down", "up", "left", "right")  # values of the step field `facing`

# Components of the reward, stored unweighted (counts, points, HP).
REWARD_TERMS = (
  "badges",
  "species",
  "new_maps",
  "wild_wins",
  "trainer_wins",
  "xp",
  "hp_lost",
  "stuck",
)
NUM_REWARD_TERMS = len(REWARD_TERMS)

# `published`: the weights of the published system. `capped`: the same, but
# wild wins and XP count only up to a sum per episode, because grinding wild
# battles for ever pays more than finishing the game. The sums are about what
# the demonstrator of chapter one earns on its way (median 5 wins, 470 XP):
# lower ones make a policy avoid battles that the published weights pay.
# `progress`: what brings the game on and happens once each, and time costs.
# Nothing of it can be had again and again: badges, species, maps and levels
# count against the most so far, and a trainer is beaten once.
_PUBLISHED = (10.0, 2.0, 0.5, 1.0, 1.0, 0.01, -0.05, -0.001)
REWARD_WEIGHTS = {
  "published": _PUBLISHED,
  "capped": _PUBLISHED,
  "progress": (10.0, 0.5, 0.5, 0.0, 1.0, 0.0, 0.0, -0.01),
}
# Paid for each level of the first creature above the highest of the episode.
LEVEL_WEIGHTS = {"published": 0.0, "capped": 0.0, "progress": 0.5}
REWARD_CAPS: dict[str, dict[str, float]] = {
  "published": {},
  "progress": {},
  "capped": {"wild_wins": 5.0, "xp": 450.0},
}
LEVEL = "level"  # its name among weights
# What is paid: a name of these, or weights by name of one's own.
Objective = str | Mapping[str, float]
# Terms that grinding wild battles can raise; play is also reported without.
WILD_BATTLE_TERMS = ("wild_wins", "xp")

# Versions from 3 on added the fields whose `since` says so; records of earlier
# versions are read as well, see `field_names`.
SCHEMA_VERSION = 7
READABLE_VERSIONS = (2, 3, 4, 5, 6, SCHEMA_VERSION)


@dataclasses.dataclass(frozen=True)
class Field:
  """One named array of a step: shape without `[B, T]`, dtype and meaning."""

  name: str
  shape: tuple[int, ...]
  dtype: str
  meaning: str
  since: int = READABLE_VERSIONS[0]  # the first schema version that holds it

  @property
  def nbytes(self) -> int:
    """Bytes of one step of this field."""
    return math.prod(self.shape) * np.dtype(self.dtype).itemsize


# How a screen that fades is lit: by so many of the four shades every pixel is
# darker than it would be, or lighter where that is below zero, within 0..3.
SHADES = (0, 1, 2, 3, -1, -2, -3)

# Decoded from the emulator's memory; all zero where the ROM is unknown.
RAM_FIELDS = (
  Field("map_id", (), "uint8", "current map"),
  Field("x", (), "uint8", "column in 16-pixel tiles"),
  Field("y", (), "uint8", "row in 16-pixel tiles"),
  Field("facing", (), "uint8", "index into FACINGS"),
  Field("in_battle", (), "uint8", "0 none, 1 wild, 2 trainer, 255 blackout"),
  Field("dialog_open", (), "bool", "text shown outside battle"),
  Field("menu_open", (), "bool", "a menu cursor is on the screen"),
  Field("menu_item", (), "uint8", "cursor row of the current menu, 0 = top"),
  Field("badges", (), "uint8", "bitmask"),
  Field("party_size", (), "uint8", "0..6"),
  Field("party_species", (6,), "uint8", "0 beyond party_size"),
  Field("party_hp", (6,), "uint16", "0 beyond party_size"),
  Field("party_max_hp", (6,), "uint16", "0 beyond party_size"),
  Field("party_level", (6,), "uint8", "0 beyond party_size"),
  Field("party_xp", (6,), "uint32", "0 beyond party_size"),
  Field("dex_owned", (), "uint8", "species owned, a count"),
  Field("dex_seen", (), "uint8", "species seen, a count"),
  Field("money", (), "uint32", "decoded from BCD"),
  Field("capture_items", (), "uint8", "carried items that catch, a count"),
  Field("enemy_species", (), "uint8", "0 outside battle"),
  Field("enemy_hp", (), "uint16", "0 outside battle"),
  Field("enemy_level", (), "uint8", "0 outside battle"),
  Field("event_flags", (), "uint16", "story flags set, a count"),
  Field("hall_of_fame", (), "uint8", "above 0: the game is beaten"),
  Field("has_control", (), "bool", "the player can walk now"),
  Field("game_running", (), "bool", "False on the title screen"),
  Field("enemy_max_hp", (), "uint16", "0 outside battle", since=3),
  Field("active_slot", (), "uint8", "who of the party fights, from 0", since=3),
  Field(
    "move_item", (), "uint8", "move at the cursor, from 1; 0 none", since=3
  ),
  Field("text", (), "uint16", "number of the text in the box; 0 none", since=3),
  Field("walk_counter", (), "uint8", "above 0 amid a walked step", since=3),
  Field("scroll_y", (), "uint8", "pixels off the grid, modulo 16", since=3),
  Field("scroll_x", (), "uint8", "pixels off the grid, modulo 16", since=3),
  # Clocks of what moves by itself; all zero where they are not known.
  Field("tile_wait", (), "uint8", "frames since water moved", since=3),
  Field("tile_phase", (), "uint8", "how far it has moved, 0..7", since=3),
  Field("figure_wait", (), "uint8", "frames since people moved", since=3),
  Field("figure_phase", (), "uint8", "0 or 1: a pixel higher", since=3),
  Field("shade", (), "uint8", "of the screen, an index into SHADES", since=4),
  Field("heal_items", (), "uint8", "carried items that heal, a count", since=4),
  # A clock as well, zero where it is not known.
  Field(
    "menu_wait", (), "uint16", "frames until a menu is left by itself", since=5
  ),
  # And these, as well.
  Field(
    "text_wait", (), "uint16", "frames until a text goes on by itself", since=6
  ),
  Field("blink_wait", (), "uint8", "frames a struck one still blinks", since=6),
  # As they are drawn, which follows HP pixel by pixel; 0 where none is.
  Field("own_bar", (), "uint8", "one more than the HP bar's pixels", since=6),
  Field("enemy_bar", (), "uint8", "one more than the HP bar's pixels", since=6),
  # Records of before call it `has_control`, which now it excludes.
  Field(
    "arriving", (), "bool", "a step is walked, but not told in x and y", since=7
  ),
)
CLOCK_FIELDS = (
  *("tile_wait", "tile_phase", "figure_wait", "figure_phase", "menu_wait"),
  *("text_wait", "blink_wait", "own_bar", "enemy_bar"),
)

STEP_FIELDS = (
  Field(
    "frame",
    (FRAME_HEIGHT, PACKED_WIDTH),
    "uint8",
    "4 shades, 2 bits a pixel, leftmost pixel in the low bits",
  ),
  Field("action", (), "uint8", "index into ACTIONS, chosen after `frame`"),
  Field("behaviour", (), "uint8", "index into BEHAVIOURS: who chose `action`"),
  Field(
    "reward_terms",
    (NUM_REWARD_TERMS,),
    "float32",
    "unweighted, received on arriving at this row",
  ),
  Field("is_first", (), "bool", "first row of an episode"),
  Field("is_last", (), "bool", "last row; its action was never executed"),
  Field("is_terminal", (), "bool", "the world ended here (game beaten)"),
  Field("visited_maps", (32,), "uint8", "bitmask of maps seen this episode"),
  *RAM_FIELDS,
)

STEP_FIELD_NAMES = tuple(field.name for field in STEP_FIELDS)
BYTES_PER_STEP = sum(field.nbytes for field in STEP_FIELDS)


def field_names(schema_version: int) -> tuple[str, ...]:
  """Names of the fields that steps of a schema version hold, in order."""
  return tuple(f.name for f in STEP_FIELDS if f.since <= schema_version)


def lacking(schema_version: int) -> frozenset[str]:
  """Names of today's fields that steps of a schema version do not hold."""
  return frozenset(f.name for f in STEP_FIELDS if f.since > schema_version)


def empty_steps(length: int) -> dict[str, np.ndarray]:
  """Zero arrays of `length` steps, one `[length, ...]` array per field."""
  return {
    field.name: np.zeros((length, *field.shape), field.dtype)
    for field in STEP_FIELDS
  }


def check_steps(steps: dict[str, np.ndarray]) -> int:
  """Checks names, shapes and dtypes of `[T, ...]` step arrays; returns `T`.

  Raises:
    ValueError: a field is missing, unknown, or has a wrong shape or dtype.
  """
  missing = set(STEP_FIELD_NAMES) - set(steps)
  unknown = set(steps) - set(STEP_FIELD_NAMES)
  if missing or unknown:
    raise ValueError(
      f"step fields: missing {sorted(missing)}, unknown {sorted(unknown)}"
    )
  length = len(steps["frame"])
  for field in STEP_FIELDS:
    array = steps[field.name]
    if array.shape != (length, *field.shape) or array.dtype != field.dtype:
      raise ValueError(
        f"step field {field.name}: {array.dtype}{list(array.shape)}, "
        f"expected {field.dtype}{[length, *field.shape]}"
      )
  return length


def term_weights(reward: Objective) -> dict[str, float]:
  """Weights of an objective: of every term in order, and last of `LEVEL`.

  Args:
    reward: a name in `REWARD_WEIGHTS`, or weights by name, others 0.

  Raises:
    ValueError: no such objective or term, or a weight that is no number.
  """
  names = (*REWARD_TERMS, LEVEL)
  if isinstance(reward, str):
    if reward not in REWARD_WEIGHTS:
      close = difflib.get_close_matches(reward, REWARD_WEIGHTS, 1)
      raise ValueError(
        f"reward: {reward!r}{did_you_mean(close)}, expected one of "
        f"{list(REWARD_WEIGHTS)}, or weights of {list(names)}"
      )
    weights = (*REWARD_WEIGHTS[reward], LEVEL_WEIGHTS[reward])
    return dict(zip(names, weights, strict=True))
  if not isinstance(reward, Mapping):
    raise ValueError(
      f"reward: {reward!r:.60}, expected one of {list(REWARD_WEIGHTS)}, or "
      f"weights of {list(names)}"
    )
  for name, weight in reward.items():
    if name not in names:
      close = difflib.get_close_matches(str(name), names, 1)
      raise ValueError(
        f"reward: weight of {name!r}{did_you_mean(close)}, expected some of "
        f"{list(names)}"
      )
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not number or not math.isfinite(weight):
      raise ValueError(
        f"reward: weight of {name!r}: {weight!r}, expected a finite number"
      )
  return {name: float(reward.get(name, 0.0)) for name in names}


def did_you_mean(close: Sequence[str]) -> str:
  """What an error adds where names are close to what was given."""
  return f" (did you mean {close[0]!r}?)" if close else ""


def parse_weights(text: str) -> dict[str, float]:
  """Weights by name as text gives them, `badges=10,level=0.5`.

  Raises:
    ValueError: text of another form, or no weights as `term_weights` takes.
  """
  weights: dict[str, float] = {}
  for item in text.split(","):
    name, equals, number = item.partition("=")
    try:
      weights[name.strip()] = float(number if equals else "none")
    except ValueError:
      raise ValueError(
        f"reward: {item!r} of {text!r}, expected NAME=NUMBER with commas "
        "between them, as in badges=10,level=0.5"
      ) from None
  term_weights(weights)
  return weights


def paid_terms(reward: Objective) -> list[str]:
  """Names of the terms that an objective gives a weight, `level` among them."""
  return [name for name, weight in term_weights(reward).items() if weight]


def cap_terms(reward_terms: Any, earned: Any, reward: Objective) -> Any:
  """Reward terms that count, where some are capped per episode.

  Works on numpy and on jax arrays alike.

  Args:
    reward_terms: `[T, ..., 8]` unweighted, time first.
    earned: `[..., 8]` sums of the same episode before these rows.
    reward: a name in `REWARD_CAPS`; weights of one's own know no caps.

  Returns:
    `[T, ..., 8]`: what each row adds to the capped sums.
  """
  by_name = REWARD_CAPS[reward] if isinstance(reward, str) else {}
  if not by_name:
    return reward_terms
  caps = np.array(
    [by_name.get(name, np.inf) for name in REWARD_TERMS], np.float32
  )
  caps = caps.reshape((1,) * (reward_terms.ndim - 1) + caps.shape)
  after = reward_terms.cumsum(axis=0) + earned[None]
  before = after - reward_terms
  return after.clip(max=caps) - before.clip(max=caps)


def weighted_reward(
  reward_terms: np.ndarray, weights: tuple[float, ...] | np.ndarray
) -> np.ndarray:
  """Scalar reward `[...]` of unweighted terms `[..., NUM_REWARD_TERMS]`."""
  return np.asarray(reward_terms, np.float32) @ np.asarray(weights, np.float32)
