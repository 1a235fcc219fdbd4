"""Real or dreamt: a small classifier that is shown both, side by side.

A pair is two clips of one start under the same buttons. The classifier sees a
frame, the one before it and the button between them, as tiles, and says how
dreamt that looks; of a pair it picks the clip that looks dreamt over all its
frames. It learns from pairs of some episodes and is asked about those of
others, so what it finds is the model's hand and not a place it has seen. 0.5
is a dream that nobody tells from the game. `N` pairs, `T` steps, `V` tiles.
"""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pokedreamer_jax import specs
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import statistics

FOLDS = 4  # parts of the episodes, each asked by who learned from the others
_VOCAB = 1023  # tiles that it knows apart; all others look alike to it
_WIDTH = 12  # of a tile's vector
_UNITS = 32
_BATCH = 64  # pairs of frames
_UPDATES = 300
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-2
_ROWS, _COLUMNS = 18, 20  # of tiles


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Clips side by side; which is which is known here."""

  real: np.ndarray  # [N, T + 1, 144, 40], the common start first
  other: np.ndarray  # the same, dreamt or real as well
  action: np.ndarray  # [N, T], what was pressed
  groups: np.ndarray  # [N], the episode of each


def scores(key: jax.Array, pairs: Pairs, folds: int = FOLDS) -> np.ndarray:
  """How dreamt every frame looks to who never saw its episode.

  Args:
    key: typed PRNG key; consumed.
    pairs: of two episodes or more.
    folds: parts of the episodes.

  Returns:
    `[N, 2, T]`: of the real clip's frames after the start and the other's.

  Raises:
    ValueError: all pairs are of one episode.
  """
  part = _parts(pairs.groups, folds)
  found = np.zeros((len(part), 2, pairs.action.shape[1]), np.float32)
  for number, fold_key in enumerate(jax.random.split(key, part.max() + 1)):
    asked = part == number
    taught = ~asked
    seen = (pairs.real[taught], pairs.other[taught])
    table = tiles.build(
      [clips.reshape(-1, *clips.shape[2:]) for clips in seen], _VOCAB
    )
    real, other = (_tiles(table, clips) for clips in seen)
    weights = _learn(fold_key, real, other, pairs.action[taught])
    for side, clips in enumerate((pairs.real, pairs.other)):
      numbers = _tiles(table, clips[asked])
      found[asked, side] = _judge(weights, numbers, pairs.action[asked])
  return found


def told_apart(
  found: np.ndarray, pairs: Pairs, steps: Sequence[int], resamples: int
) -> dict[str, Any]:
  """How often the right clip is called dreamt, from so many steps of both.

  Args:
    found: of `scores`.
    pairs: that they are of.
    steps: lengths of the clips that are told of.
    resamples: bootstrap draws over episodes.

  Returns:
    JSON-ready: for each length `share` (a pair that looks the same on both
    sides counts as half), with the interval over episodes; `wilson`, as if
    pairs were independent; `pairs`, and how many of them are `identical`.
  """
  result: dict[str, Any] = {}
  for length in steps:
    totals = found[:, :, :length].sum(axis=2, dtype=np.float64)
    same = (
      (pairs.real[:, 1 : length + 1] == pairs.other[:, 1 : length + 1])
      .reshape(len(found), -1)
      .all(axis=1)
    )
    right = np.where(same, 0.5, (totals[:, 1] > totals[:, 0]).astype(float))
    result[str(length)] = {
      "share": statistics.bootstrap_mean(right, resamples, groups=pairs.groups),
      "wilson": statistics.wilson(float(right.sum()), len(right)),
      "pairs": len(right),
      "identical": int(same.sum()),
    }
  return result


def exchanged(
  seed: int, clips: np.ndarray, count: int, first: int = 1
) -> np.ndarray:
  """Clips in whose frames some tiles are others of the same frame.

  What a model would show that puts a few tiles wrong; a control, which a
  classifier worth its name must find.

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


def _tiles(table: tiles.TileTable, clips: np.ndarray) -> np.ndarray:
  """Tile numbers `[N, T, 18, 20]` int16 of clips."""
  flat = clips.reshape(-1, *clips.shape[2:])
  ids = tiles.encode_numpy(table, flat).astype(np.int16)
  return ids.reshape(*clips.shape[:2], _ROWS, _COLUMNS)


def _learn(key, real, other, action) -> dict[str, jax.Array]:
  """Weights that call the second of two clips dreamt."""
  init_key, rows_key = jax.random.split(key)
  weights = _init(init_key)
  differ = (real[:, 1:] != other[:, 1:]).any(axis=(2, 3))
  differ |= (real[:, :-1] != other[:, :-1]).any(axis=(2, 3))
  pair, step = np.nonzero(differ)
  if not len(pair):  # nothing to learn from: both sides are the same
    return weights
  tx = optax.adamw(_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
  state = tx.init(weights)
  rng = np.random.default_rng(
    np.asarray(jax.random.key_data(rows_key)).astype(np.uint32)
  )
  for _ in range(_UPDATES):
    at = rng.integers(len(pair), size=_BATCH)
    n, t = pair[at], step[at]
    both = [
      np.stack([clips[n, t], clips[n, t + 1]], axis=1)
      for clips in (real, other)
    ]
    weights, state = _update_fn()(weights, state, *both, action[n, t])
  return weights


def _judge(weights, numbers, action) -> np.ndarray:
  """How dreamt the frames of clips look, `[N, T]`."""
  found = []
  for clip, pressed in zip(numbers, action, strict=True):
    both = np.stack([clip[:-1], clip[1:]], axis=1)
    found.append(np.asarray(_look_fn()(weights, both, pressed)))
  return np.stack(found)


def _init(key) -> dict[str, jax.Array]:
  keys = jax.random.split(key, 5)
  flat = 5 * 5 * _UNITS + specs.NUM_ACTIONS

  def spread(key, *shape, over):
    return jax.random.normal(key, shape) / np.sqrt(over)

  return {
    "tile": spread(keys[0], _VOCAB + 1, _WIDTH, over=_WIDTH),
    "near": spread(keys[1], 3, 3, 2 * _WIDTH, _UNITS, over=18 * _WIDTH),
    "far": spread(keys[2], 3, 3, _UNITS, _UNITS, over=9 * _UNITS),
    "hidden": spread(keys[3], flat, _UNITS, over=flat),
    "out": spread(keys[4], _UNITS, over=_UNITS),
  }


def _look(weights, numbers, action) -> jax.Array:
  """How dreamt pairs of frames look: `[B, 2, 18, 20]` and `[B]` to `[B]`."""
  seen = weights["tile"][numbers]
  seen = jnp.concatenate([seen[:, 0], seen[:, 1]], axis=-1)
  for name in ("near", "far"):
    seen = jax.lax.conv_general_dilated(
      seen,
      weights[name],
      (2, 2),
      "SAME",
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    seen = jax.nn.silu(seen)
  pressed = jax.nn.one_hot(action, specs.NUM_ACTIONS)
  flat = jnp.concatenate([seen.reshape(len(action), -1), pressed], axis=-1)
  return jax.nn.silu(flat @ weights["hidden"]) @ weights["out"]


@functools.lru_cache(maxsize=1)
def _look_fn():
  return jax.jit(_look)


@functools.lru_cache(maxsize=1)
def _update_fn():
  tx = optax.adamw(_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)

  def nats(weights, real, other, action):
    ahead = _look(weights, other, action) - _look(weights, real, action)
    return jax.nn.softplus(-ahead).mean()

  def update(weights, state, real, other, action):
    grads = jax.grad(nats)(weights, real, other, action)
    updates, state = tx.update(grads, state, weights)
    return optax.apply_updates(weights, updates), state

  return jax.jit(update)
