"""State mismatch: a state carried for long, against one that starts anew.

Acting carries the state for thousands of steps; training starts every window
from the initial state. Both are compared on the same rows of long episodes: at
each one the model has either seen the whole episode, or the last few rows.
"""

from collections.abc import Mapping
import math
from typing import Any

import jax
import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import scores
from pokedreamer_jax.evaluation import tables
from pokedreamer_jax.world_model import alignment
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import tokens

AHEAD = 15  # open-loop steps
_APART = 16  # rows between two looks at an episode
_LOOKS = 8  # in an episode
_CHUNK = 64  # rows that the state is carried over at a time
# After so many rows it is asked whether the state knows its place, and in some
# rows from there on: one row of few episodes says little.
PLACE_ROWS, _PLACE_SPAN = (1, 16, 200, 1000), 16


def rows_needed(carried_rows: int) -> int:
  """Rows that an episode must have."""
  last = carried_rows + (_LOOKS - 1) * _APART
  # Whole chunks, so that carrying compiles once.
  return max(_CHUNK * math.ceil((last + 1) / _CHUNK), last + AHEAD + 1)


def most_carried(rows: int) -> int:
  """Rows that a state can be carried over in an episode of so many, or 0."""
  last = (_LOOKS - 1) * _APART
  return max(min(rows // _CHUNK * _CHUNK - last - 1, rows - rows_needed(0)), 0)


def compare(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  episodes: Mapping[str, np.ndarray],
  carried_rows: int,
  context: int,
  resamples: int,
  infer: bool = False,
) -> dict[str, Any]:
  """Accuracy of both states, and their paired difference.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    episodes: step fields `[E, T, ...]` from the first row of each episode,
      `T` at least `rows_needed(carried_rows)`.
    carried_rows: rows seen before the first look.
    context: rows that a state that starts anew has seen, at most
      `carried_rows`.
    resamples: bootstrap draws.
    infer: guess the tokens of observed rows from frames.

  Returns:
    JSON-ready: `episodes`, `carried_rows`, `looks`, and for each metric
    `carried`, `anew` and the paired `loss` of carrying; the metrics are
    `guess` (share of tokens that the posterior's head guesses right, or that
    the state holds where tokens are inferred), `pixels` and `exact` of the
    reconstruction, and those of the open loop with its step, as in `exact_15`.
    With tokens of a place also `place_after[rows]`, the share of the 16 rows
    from there on, without those in which no game runs, whose place is guessed
    right with the state carried.

  Raises:
    ValueError: the episodes are too short.
  """
  count, total = episodes["action"].shape
  if total < rows_needed(carried_rows) or carried_rows < context:
    raise ValueError(
      f"episodes of {total} rows for {carried_rows} carried ones: expected at "
      f"least {rows_needed(carried_rows)}, and {context} carried ones"
    )
  looks = carried_rows + _APART * np.arange(_LOOKS)
  carry_key, anew_key, dream_key = jax.random.split(key, 3)
  carried, guess = _carry(cfg, params, carry_key, episodes, looks, infer)
  anew = _anew(cfg, params, anew_key, episodes, looks, context, infer)
  found = [
    _measure(cfg, params, dream_key, episodes, looks, seen)
    for seen in (carried, anew)
  ]
  groups = np.repeat(np.arange(count), len(looks))
  result: dict[str, Any] = {
    "episodes": count,
    "carried_rows": carried_rows,
    "looks": int(groups.size),
  }
  for metric in found[0]:
    sign = -1.0 if metric.startswith("tiles") else 1.0
    cost = sign * (found[1][metric] - found[0][metric])
    result[metric] = {
      "carried": tables.interval(found[0][metric], groups, resamples),
      "anew": tables.interval(found[1][metric], groups, resamples),
      "loss": tables.interval(cost, groups, resamples),
    }
  if device.has_places(cfg):
    result["place_after"] = _place_after(cfg, episodes, guess, resamples)
  return result


def _place_after(cfg, episodes, guess, resamples) -> dict[str, Any]:
  """Share of rows whose place is right in guessed numbers `[E, T, M]`."""
  names = list(cfg.token_sizes)
  guessed = guess[..., [names.index(name) for name in ("map", "y", "x")]]
  rows = guess.shape[1]
  truth = scores.recorded_places(_cut(episodes, slice(0, rows)))
  right = (guessed == truth).all(axis=-1).astype(float)
  running = episodes["game_running"][:, :rows].astype(bool)
  row = np.arange(rows)
  found = {}
  for first in PLACE_ROWS:
    mask = running & (row >= first) & (row < first + _PLACE_SPAN)
    if mask.any():
      groups = np.arange(len(right))
      found[str(first)] = tables.interval(right, groups, resamples, mask)
  return found


def _carry(
  cfg, params, key, episodes, looks, infer
) -> tuple[dreams.Observed, np.ndarray]:
  """What is known at `looks`, `[E * looks, 1]`, with all rows seen.

  And the guessed numbers of all rows, `[E, T, M]`.
  """
  count = len(episodes["action"])
  state = world_model.initial_state(cfg, (count,))
  parts, guess = [], []
  for number in range(math.ceil((int(looks[-1]) + 1) / _CHUNK)):
    rows = slice(number * _CHUNK, (number + 1) * _CHUNK)
    chunk = _cut(episodes, rows)
    length = chunk["action"].shape[1]
    seen = dreams.observed(
      cfg,
      params,
      jax.random.fold_in(key, number),
      chunk,
      range(length),
      infer,
      state,
    )
    state = jax.tree.map(lambda leaf: leaf[:, -1], seen.state)
    kept = looks[(looks >= rows.start) & (looks < rows.stop)] - rows.start
    parts.append(_take(seen, kept))
    guess.append(seen.guess)
  every = [part for part in parts if part.kl.shape[1]]
  joined = jax.tree.map(
    lambda *leaves: np.concatenate(leaves, axis=1),
    *[(part.state, part.guess, part.kl) for part in every],
  )
  flat = jax.tree.map(
    lambda leaf: leaf.reshape(count * len(looks), 1, *leaf.shape[2:]), joined
  )
  return dreams.Observed(*flat), np.concatenate(guess, axis=1)


def _anew(cfg, params, key, episodes, looks, context, infer):
  """The same rows, each the last of a window that starts anew."""
  windows = [
    _cut(episodes, slice(int(look) - context + 1, int(look) + 1))
    for look in looks
  ]
  # [E, looks, context, ...] -> [E * looks, context, ...]
  joined = {
    name: np.stack([window[name] for window in windows], axis=1)
    for name in windows[0]
  }
  flat = {
    name: value.reshape(-1, *value.shape[2:]) for name, value in joined.items()
  }
  return dreams.observed(cfg, params, key, flat, [-1], infer)


def _cut(episodes, rows: slice) -> dict[str, np.ndarray]:
  """Some rows of all episodes as windows, with the action before them."""
  window = {name: value[:, rows] for name, value in episodes.items()}
  # Before the first row any action will do: the row resets.
  before = max(rows.start - 1, 0)
  return window | {"first_action_tm1": episodes["action"][:, before]}


def _take(seen: dreams.Observed, rows: np.ndarray) -> dreams.Observed:
  return dreams.Observed(
    state=jax.tree.map(lambda leaf: leaf[:, rows], seen.state),
    guess=seen.guess[:, rows],
    kl=seen.kl[:, rows],
  )


def _measure(cfg, params, key, episodes, looks, seen) -> dict[str, np.ndarray]:
  """Scores `[E * looks]` of what is known there and of dreams from there."""
  flat = lambda value: value.reshape(-1, *value.shape[2:])
  found = {}
  if cfg.token_sizes:
    ram = {name: flat(value[:, looks]) for name, value in episodes.items()}
    hot = world_model.read_tokens(cfg, params, ram)
    numbers = np.asarray(tokens.numbers(cfg.token_sizes, hot))
    found["guess"] = (seen.guess[:, 0] == numbers).mean(axis=-1)
  frame = dreams.decode(cfg, params, seen.state)[:, 0]
  truth = flat(episodes["frame"][:, looks])
  found["pixels"] = scores.pixel_accuracy(frame, truth)
  found["exact"] = scores.exact(frame, truth)
  rows = looks[:, None] + np.arange(AHEAD + 1)
  action = alignment.dream_actions(cfg, flat(episodes["action"][:, rows]))
  start = jax.tree.map(lambda leaf: leaf[:, 0], seen.state)
  steps = (1, AHEAD)
  dream = dreams.dream_from(cfg, params, key, start, action, steps)
  for i, step in enumerate(steps):
    truth = flat(episodes["frame"][:, looks + step])
    found[f"pixels_{step}"] = scores.pixel_accuracy(dream.frame[:, i], truth)
    found[f"exact_{step}"] = scores.exact(dream.frame[:, i], truth)
    if dream.place is not None:
      places = flat(scores.recorded_places(episodes)[:, looks + step])
      found[f"tiles_{step}"] = scores.tile_error(dream.place[:, i], places)
  return found
