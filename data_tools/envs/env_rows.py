"""What the Gymnasium environments share: rows to observations and infos.

Knows nothing of Gymnasium, and works on `N` rows at once.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import math
from typing import Any

import numpy as np

from data_tools.game import frame_codec
from data_tools.game import game_state
from data_tools.game import roms
from pokedreamer_jax import specs

FRAMES_PER_S = 59.7275  # of the Game Boy
STEPS_PER_S = FRAMES_PER_S / specs.STEP_FRAMES

# Shapes of one observation, all uint8.
OBSERVATIONS = {
  "rgb": (specs.FRAME_HEIGHT, specs.FRAME_WIDTH, 3),
  "grey": (specs.FRAME_HEIGHT, specs.FRAME_WIDTH, 1),
  "packed": (specs.FRAME_HEIGHT, specs.PACKED_WIDTH),
}
_DERIVED = ("badge_count", "facing_name", "total_hp", "total_max_hp")


# `(info of the row before, info of this row) -> reward` on arriving here.
RewardFn = Callable[[dict[str, Any], dict[str, Any]], float]
Reward = specs.Objective | RewardFn


@dataclasses.dataclass(frozen=True)
class Settings:
  """What an environment is made of, checked."""

  rom: roms.Rom
  observation: str
  reward: Reward
  episode_length: int  # rows, the first one included
  jitter_frames: int

  def __post_init__(self):
    if self.observation not in OBSERVATIONS:
      raise ValueError(
        f"observation: {self.observation!r}, expected one of "
        f"{list(OBSERVATIONS)}"
      )
    if not callable(self.reward):
      specs.term_weights(self.reward)  # complains
    if self.episode_length < 2:
      raise ValueError(
        f"episode_length: {self.episode_length}, expected at least 2"
      )
    if self.jitter_frames < 0:
      raise ValueError(
        f"jitter_frames: {self.jitter_frames}, expected at least 0"
      )


def draw_seed(rng: np.random.Generator) -> int:
  """The seed of an episode that was given none."""
  return int(rng.integers(1 << 32))


def observe(observation: str, frames: np.ndarray) -> np.ndarray:
  """Observations `[N, ...]` of packed frames `[N, 144, 40]`; new arrays."""
  if observation == "rgb":
    return frame_codec.unpack_rgb(frames)
  if observation == "grey":
    return frame_codec.unpack_grey(frames)[..., None]
  return frames.copy()


def rewards(settings: Settings, num_envs: int) -> "Rewards | OwnRewards":
  """What the settings pay in `N` episodes, row by row."""
  if callable(settings.reward):
    names = settings.rom.map_names
    return OwnRewards(settings.reward, names, num_envs)
  return Rewards(settings.reward, num_envs)


class Rewards:
  """What an objective pays in `N` episodes, row by row."""

  def __init__(self, reward: specs.Objective, num_envs: int):
    """`reward` is a name in `specs.REWARD_WEIGHTS`, or weights by term."""
    self._reward = reward
    weights = specs.term_weights(reward)
    self._level_weight = np.float32(weights.pop(specs.LEVEL))
    self._weights = np.array(tuple(weights.values()), np.float32)
    self._earned = np.zeros((num_envs, specs.NUM_REWARD_TERMS), np.float32)
    self._level = np.zeros(num_envs, int)  # the highest; 0: none yet

  def weigh(self, row: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rewards `[N]` float32 on arriving at the next rows `[N, ...]`."""
    terms = row["reward_terms"]
    counted = specs.cap_terms(terms[None], self._earned, self._reward)[0]
    self._earned += terms
    paid = specs.weighted_reward(counted, self._weights)
    if not self._level_weight:
      return paid
    rises = self._level_rises(row["party_level"][:, 0])
    return paid + self._level_weight * rises

  def go_on(self, earned: np.ndarray, level: np.ndarray) -> None:
    """Takes episodes up before their next row.

    Args:
      earned: reward terms so far, `[N, 8]`.
      level: highest level of the first creature so far, `[N]`; 0: none yet.
    """
    self._earned = np.array(earned, np.float32)
    self._level = np.array(level, int)

  def restart(self, which: np.ndarray) -> None:
    """Forgets what the episodes of the environments `which` have earned."""
    self._earned[which] = 0
    self._level[which] = 0

  def _level_rises(self, level: np.ndarray) -> np.ndarray:
    """What levels `[N]` are above the highest so far; at first nothing."""
    level = level.astype(int)
    before = np.where(self._level > 0, self._level, level)
    self._level = np.maximum(before, level)
    return self._level - before


class OwnRewards:
  """What a function of two infos pays; asked as `Rewards` is."""

  def __init__(
    self, reward: RewardFn, map_names: Mapping[int, str], num_envs: int
  ):
    """`reward` is called for every environment that has two rows."""
    self._reward, self._map_names = reward, map_names
    self._before: list[dict[str, Any] | None] = [None] * num_envs

  def weigh(self, row: Mapping[str, np.ndarray]) -> np.ndarray:
    """As of `Rewards`; the first row of an episode pays nothing.

    Raises:
      ValueError: what the function returned is no finite number.
    """
    paid = np.zeros(len(self._before), np.float32)
    for i, before in enumerate(self._before):
      now = info(row, self._map_names, i)
      if before is not None:
        paid[i] = _number(self._reward(before, now))
      self._before[i] = now
    return paid

  def restart(self, which: np.ndarray) -> None:
    """The next row of the environments `which` is the first of an episode."""
    for i in np.flatnonzero(which).tolist():
      self._before[i] = None


def _number(reward: Any) -> float:
  try:
    number = float(reward)
  except (TypeError, ValueError):
    number = math.nan
  if not math.isfinite(number):
    raise ValueError(f"reward: returned {reward!r:.60}, expected a number")
  return number


def info(
  row: Mapping[str, np.ndarray], map_names: Mapping[int, str], i: int = 0
) -> dict[str, Any]:
  """The info of environment `i` of a row `[N, ...]`, ready for JSON."""
  fields = {
    field.name: row[field.name][i].tolist() for field in specs.RAM_FIELDS
  }
  if fields["game_running"]:
    map_id = fields["map_id"]
    map_name = map_names.get(map_id, f"map 0x{map_id:02X}")
  else:
    map_name = "no game running"
  kept = {k: v for k, v in fields.items() if k not in specs.CLOCK_FIELDS}
  state = game_state.GameState(map_name=map_name, **kept)
  terms = row["reward_terms"][i].tolist()
  return {
    "state": fields
    | {"map_name": map_name}
    | {name: getattr(state, name) for name in _DERIVED},
    "reward_terms": dict(zip(specs.REWARD_TERMS, terms, strict=True)),
  }


def infos(
  row: Mapping[str, np.ndarray],
  map_names: Mapping[int, str],
  which: np.ndarray,
) -> dict[str, Any]:
  """What Gymnasium makes of `info` of the environments `which` `[N]` bool.

  Field by field over all of them, which takes a fraction of the time.
  """
  places = np.flatnonzero(which).tolist()
  if not places:
    return {}
  out = None if len(places) == len(which) else ~which
  running, maps = row["game_running"].tolist(), row["map_id"].tolist()
  names = [
    map_names.get(maps[i], f"map 0x{maps[i]:02X}")
    if running[i]
    else "no game running"
    for i in range(len(which))
  ]
  state = {name: row[name] for name in _RAM_NAMES}
  # Names are objects as lists are, one for each environment.
  state["map_name"] = _objects(names, places)
  state["badge_count"] = np.bitwise_count(row["badges"])
  facings = [specs.FACINGS[facing] for facing in row["facing"].tolist()]
  state["facing_name"] = _objects(facings, places)
  state["total_hp"] = row["party_hp"].sum(axis=1, dtype=np.int64)
  state["total_max_hp"] = row["party_max_hp"].sum(axis=1, dtype=np.int64)
  terms = dict(zip(specs.REWARD_TERMS, row["reward_terms"].T, strict=True))
  found: dict[str, Any] = {}
  for name, part in (("state", state), ("reward_terms", terms)):
    found[name] = _as_gymnasium(part, which, out, places)
    found[f"_{name}"] = which.copy()
  return found


def _as_gymnasium(
  fields: Mapping[str, np.ndarray],
  which: np.ndarray,
  out: np.ndarray | None,
  places: list[int],
) -> dict[str, Any]:
  """Fields `[N, ...]` as Gymnasium keeps them: an array, and a mask of it.

  Args:
    fields: numbers, lists of numbers, or objects.
    which: the environments that are told of, `[N]` bool.
    out: the others; None for none.
    places: which they are.
  """
  found: dict[str, Any] = {}
  masks = np.repeat(which[None], len(fields), axis=0)
  for (name, values), mask in zip(fields.items(), masks, strict=True):
    if values.ndim > 1:
      array = _objects(values.tolist(), places)
    elif values.dtype == object:
      array = values
    else:
      array = values.astype(_KINDS[values.dtype.kind])
      if out is not None:
        array[out] = 0
    found[name], found[f"_{name}"] = array, mask
  return found


_RAM_NAMES = tuple(field.name for field in specs.RAM_FIELDS)
# Gymnasium's types of numbers.
_KINDS = {"b": bool, "f": float, "u": int, "i": int}


def _objects(values: list[Any], places: list[int]) -> np.ndarray:
  """Those at `places` as an array of objects, None elsewhere."""
  array = np.full(len(values), None, object)
  for i in places:
    array[i] = values[i]
  return array
