"""Fixed vectors of goals: what a policy reads, and what free words lie near.

Numpy and the standard library only. Three blocks are scaled and joined to a
vector of length 1: what kind it is (kinds of one family are near each other),
its arguments (a code of the map; waves of numbers, so that neighbours are near)
and the words of its text form, as hashed words, pairs of words and triples of
letters. A text has the last block alone, so it lies nearest to the goal that
says it best.

Nothing is learned, drawn or looked up, and sums and roots are exact to the
last bit: the same vectors everywhere and always.
"""

from collections.abc import Iterable
import functools
import hashlib
import itertools
import math

import numpy as np

from pokedreamer_jax import goal_specs

DIM = 64
_KIND_DIM, _CODE_DIM, _WAVE_DIM, _TEXT_DIM = 12, 8, 12, 32
# Where in a vector of a goal that names a cell its parts stand.
KIND, CODE = slice(0, 12), slice(12, 20)
Y_WAVES, X_WAVES = slice(20, 26), slice(26, 32)
# Shares of the squared length; those of absent blocks go to the kind.
_TEXT_SHARE, _ARGUMENT_SHARE = 0.25, 0.5
_FAMILIES = {
  **dict.fromkeys(("win", "win_wild", "win_trainer", "win_leader"), "battle"),
  **dict.fromkeys(("heal", "heal_party"), "heal"),
  **dict.fromkeys(("map", "tile", "explore"), "place"),
  **dict.fromkeys(("catch", "own"), "species"),
}
_FAMILY_SHARE = 0.4  # of the kind's block
# Waves in tiles, and in badges, species or levels. Each is there twice, a
# quarter apart; the longest tells all bytes apart.
_PLACE_PERIODS = (16, 64, 512)
_NUMBER_PERIODS = (12, 24, 40, 80, 160, 512)


def embed_goal(goal: goal_specs.Goal) -> np.ndarray:
  """The vector `[64]` float32 of a goal: length 1, or 0 for none."""
  if goal.kind == "none":
    return np.zeros(DIM, np.float32)
  if goal.kind == "text":
    nothing = [0.0] * (DIM - _TEXT_DIM)
    return np.array(nothing + _text(goal.text), np.float32)
  arguments = _arguments(goal)
  share = _ARGUMENT_SHARE if any(arguments) else 0.0
  blocks = (
    _scaled(_kind(goal.kind), 1.0 - _TEXT_SHARE - share),
    _scaled(arguments, share),
    _scaled(_text(str(goal)), _TEXT_SHARE),
  )
  return np.array([v for block in blocks for v in block], np.float32)


def embed_goals(goals: Iterable[goal_specs.Goal]) -> np.ndarray:
  """Vectors `[K, 64]` float32 of goals, in order."""
  rows = [embed_goal(goal) for goal in goals]
  return np.stack(rows) if rows else np.zeros((0, DIM), np.float32)


@functools.cache
def place_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """What the parts of a goal that names a cell are made of, each of length 1.

  Returns:
    The kind `[12]`, at `KIND`; of each map its code `[256, 8]`, at `CODE`; of
    each row or column its waves `[256, 6]`, at `Y_WAVES` and `X_WAVES`. The
    vector's own part is a multiple of one row, so that it is nearest to that.
  """
  places = range(256)
  codes = [_code("map", str(map_id), _CODE_DIM) for map_id in places]
  waves = [_scaled(_waves(place, _PLACE_PERIODS), 1.0) for place in places]
  tables = ([_scaled(_kind("tile"), 1.0)], codes, waves)
  kind, codes_array, waves_array = (np.array(t, np.float32) for t in tables)
  return kind[0], codes_array, waves_array


@functools.cache
def _kind(kind: str) -> list[float]:
  family = _code("family", _FAMILIES.get(kind, kind), _KIND_DIM)
  return _sum(
    _scaled(family, _FAMILY_SHARE),
    _scaled(_code("kind", kind, _KIND_DIM), 1.0 - _FAMILY_SHARE),
  )


def _arguments(goal: goal_specs.Goal) -> list[float]:
  """Code and waves `[20]`; all 0 without arguments."""
  code, waves = [0.0] * _CODE_DIM, [0.0] * _WAVE_DIM
  if goal.map_id is not None:
    code = _code("map", str(goal.map_id), _CODE_DIM)
  if goal.y is not None and goal.x is not None:
    waves = [w for v in (goal.y, goal.x) for w in _waves(v, _PLACE_PERIODS)]
  if goal.number is not None:
    code = _code("number", goal.kind, _CODE_DIM)
    waves = _waves(goal.number, _NUMBER_PERIODS)
  return _scaled(code, 0.5) + _scaled(waves, 0.5)


def _waves(value: int, periods: tuple[int, ...]) -> list[float]:
  """Triangles between -1 and 1 of a number, two a period."""
  found = []
  for period in periods:
    for quarter in (0, 1):
      phase = (value / period + quarter / 4) % 1.0
      found.append(1.0 - 4.0 * abs(phase - 0.5))
  return found


@functools.lru_cache(maxsize=1 << 16)
def _text(text: str) -> list[float]:
  """Words, pairs of words and triples of letters, hashed: length 1."""
  words = text.lower().split()
  pairs = [" ".join(pair) for pair in itertools.pairwise(words)]
  parts = [_word(word) for word in words]
  parts += [_scaled(_code("text", pair, _TEXT_DIM), 0.5) for pair in pairs]
  return _scaled(_sum(*parts), 1.0)


@functools.lru_cache(maxsize=1 << 16)
def _word(word: str) -> list[float]:
  """A word and its triples of letters weigh alike, however long it is."""
  padded = f"<{word}>"
  triples = [padded[i : i + 3] for i in range(len(padded) - 2)]
  letters = _sum(*(_code("text", part, _TEXT_DIM) for part in triples))
  whole = _code("text", f"{padded} whole", _TEXT_DIM)
  return _sum(whole, _scaled(letters, 1.0))


@functools.lru_cache(maxsize=1 << 16)
def _code(what: str, name: str, length: int) -> list[float]:
  """Numbers `[length]` that name something: length 1, near to no other."""
  digest = hashlib.sha256(f"{what}:{name}".encode()).digest()
  return _scaled([byte - 127.5 for byte in digest[:length]], 1.0)


def _scaled(values: list[float], square: float) -> list[float]:
  """The same direction, with this squared length; 0 stays 0."""
  found = math.fsum(value * value for value in values)
  factor = math.sqrt(square / found) if found else 0.0
  return [value * factor for value in values]


def _sum(*rows: list[float]) -> list[float]:
  return [math.fsum(column) for column in zip(*rows, strict=True)]
