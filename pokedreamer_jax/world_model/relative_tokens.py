"""Tokens predicted relative to what they were: one step on, a few points less.

Beside a logit for every value, a token has scores for what it changes by, added
to the logit of its last value so much shifted. So what a step or a blow does is
learned once and not for every value apart; a position that stays, too.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.world_model import tokens

# Token -> least and largest change that has a score. Names of things (maps,
# species, texts) are no numbers: they have the one of staying as they are.
_CHANGES = {
  "y": (-2, 2),
  "x": (-2, 2),
  "hp": (-16, 4),
  "hp2": (-16, 4),
  "active_hp": (-16, 4),
  "enemy_hp": (-24, 1),
  "money": (-5, 5),
}
_CLOCK = (0, 24)  # frames of a step; a clock goes round
_NAMES = (
  *("map", "facing", "text", "text2"),
  *("species", "active_species", "enemy_species"),
)
_OTHERS = (-1, 1)


def changes(sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
  """Least and largest change of every token that has a score."""
  found = {}
  for name in sizes:
    found[name] = (0, 0) if name in _NAMES else _CHANGES.get(name, _OTHERS)
    if name in tokens.CLOCKS:
      found[name] = _CLOCK
  return found


def num_scores(sizes: Mapping[str, int]) -> int:
  """Scores of all tokens, `C`."""
  return sum(high - low + 1 for low, high in changes(sizes).values())


def add(
  sizes: Mapping[str, int],
  logits: jax.Array,
  scores: jax.Array,
  tokens_tm1: jax.Array,
  numbers_tm1: jax.Array | None = None,
) -> jax.Array:
  """Logits `[..., R]` with the scores of changes added where they lead to.

  Args:
    sizes: token sizes.
    logits: of values, `[..., R]`.
    scores: of changes, `[..., C]`.
    tokens_tm1: the last tokens, one-hot `[..., R]`; zeros where there are none,
      and then nothing is added.
    numbers_tm1: their numbers `[..., M]`, for who knows them.
  """
  lead = (1,) * (logits.ndim - 1)
  layout = _layout(sizes)
  value, low, high, first, cycle = (
    part.reshape(*lead, -1) for part in layout[1:]
  )
  token = layout[0]
  if numbers_tm1 is None:
    numbers_tm1 = tokens.numbers(sizes, tokens_tm1)
  last = numbers_tm1[..., token]
  change = jnp.asarray(value) - last
  change = jnp.where(cycle > 0, change % jnp.maximum(cycle, 1), change)
  inside = (change >= low) & (change <= high)
  known = jnp.sum(tokens_tm1, axis=-1, keepdims=True) > 0.5
  none = scores.shape[-1]
  index = jnp.where(inside & known, first + change - low, none)
  padded = jnp.concatenate(
    [scores, jnp.zeros((*scores.shape[:-1], 1))], axis=-1
  )
  return logits + jnp.take_along_axis(padded, index, axis=-1)


def _layout(sizes: Mapping[str, int]) -> tuple[np.ndarray, ...]:
  """Of every logit `[R]`: token, value, changes, first score, and cycle."""
  rows, first = [], 0
  for number, (name, (low, high)) in enumerate(changes(sizes).items()):
    size = sizes[name]
    cycle = size if name in tokens.CLOCKS else 0
    rows += [(number, v, low, high, first, cycle) for v in range(size)]
    first += high - low + 1
  return tuple(np.array(rows, np.int32).T)
