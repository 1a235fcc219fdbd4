"""Tokens predicted relative to what they were: one step on, a few points less.

Beside a logit for every value, a token has scores for what it changes by, added
to the logit of its last value so much shifted. So what a step or a blow does is
learned once and not for every value apart; a position that stays, too.

With `world_model.chain_changes` changes are part of the chain between tokens as
well: a token's value and its change owe something to the values and the changes
of the tokens before it. A linear chain of values alone cannot say that who has
moved has taken so many frames, or that who was hit lost as much in two places.
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
  "letters": (0, 30),
}
_CLOCK = (0, 24)  # frames of a step; a clock goes round
# A look falls back by its lag where one can walk again, and catches up where
# nobody can (`tokens.py`).
_LOOK = (-2, 26)
_NAMES = (
  *("map", "facing", "text", "text2"),
  *("species", "active_species", "enemy_species"),
)
_OTHERS = (-1, 1)


def changes(
  sizes: Mapping[str, int], chained: bool = False
) -> dict[str, tuple[int, int]]:
  """Least and largest change of every token that has a score.

  Args:
    sizes: token sizes.
    chained: whether changes are part of the chain; looks then have a score for
      whatever a step does to them.
  """
  found = {}
  for name in sizes:
    found[name] = (0, 0) if name in _NAMES else _CHANGES.get(name, _OTHERS)
    if name in tokens.CLOCKS:
      found[name] = _LOOK if chained and name.endswith("look") else _CLOCK
  return found


def counts(sizes: Mapping[str, int], chained: bool = False) -> tuple[int, ...]:
  """How many changes of each token have a score."""
  spans = changes(sizes, chained).values()
  return tuple(high - low + 1 for low, high in spans)


def add(
  sizes: Mapping[str, int],
  logits: jax.Array,
  scores: jax.Array,
  tokens_tm1: jax.Array,
  numbers_tm1: jax.Array | None = None,
  chained: bool = False,
) -> jax.Array:
  """Logits `[..., R]` with the scores of changes added where they lead to.

  Args:
    sizes: token sizes.
    logits: of values, `[..., R]`.
    scores: of changes, `[..., C]`.
    tokens_tm1: the last tokens, one-hot `[..., R]`; zeros where there are none,
      and then nothing is added.
    numbers_tm1: their numbers `[..., M]`, for who knows them.
    chained: as in `changes`.
  """
  lead = (1,) * (logits.ndim - 1)
  token, *parts = _layout(sizes, chained)
  value, low, high, first, cycle = (part.reshape(*lead, -1) for part in parts)
  if numbers_tm1 is None:
    numbers_tm1 = tokens.numbers(sizes, tokens_tm1)
  change = _turned(jnp.asarray(value) - numbers_tm1[..., token], low, cycle)
  inside = (change >= low) & (change <= high)
  none = scores.shape[-1]
  index = jnp.where(inside & known(tokens_tm1), first + change - low, none)
  padded = jnp.concatenate(
    [scores, jnp.zeros((*scores.shape[:-1], 1))], axis=-1
  )
  return logits + jnp.take_along_axis(padded, index, axis=-1)


def hot(
  sizes: Mapping[str, int], tokens_tm1: jax.Array, tokens_t: jax.Array
) -> jax.Array:
  """What tokens changed by, `[..., C]`: a one of each, or zeros.

  Zeros where it has no score, and of all tokens where there was no last row.

  Args:
    sizes: token sizes.
    tokens_tm1: the last tokens, one-hot `[..., R]`, or zeros.
    tokens_t: the tokens after them, one-hot `[..., R]`.
  """
  spans = changes(sizes, chained=True)
  last, now = (tokens.numbers(sizes, one) for one in (tokens_tm1, tokens_t))
  found = []
  for number, (name, (low, high)) in enumerate(spans.items()):
    change = now[..., number] - last[..., number]
    change = _turned(change, low, cycle_of(name, sizes[name]))
    found.append(jax.nn.one_hot(change - low, high - low + 1))
  return jnp.concatenate(found, axis=-1) * known(tokens_tm1)


def known(tokens_tm1: jax.Array) -> jax.Array:
  """Where there are last tokens, `[..., 1]` bool."""
  return jnp.sum(tokens_tm1, axis=-1, keepdims=True) > 0.5


def cycle_of(name: str, size: int) -> int:
  """After how many values a token begins anew; 0 where it does not."""
  return size if name in tokens.CLOCKS else 0


def _turned(change, low, cycle) -> jax.Array:
  """Changes `[...]`, those of clocks as the one of the cycle from `low` on."""
  turned = (change - low) % jnp.maximum(cycle, 1) + low
  return jnp.where(cycle > 0, turned, change)


def _layout(sizes: Mapping[str, int], chained: bool) -> tuple[np.ndarray, ...]:
  """Of every logit `[R]`: token, value, changes, first score, and cycle."""
  rows, first = [], 0
  for number, (name, (low, high)) in enumerate(changes(sizes, chained).items()):
    size = sizes[name]
    cycle = cycle_of(name, size)
    rows += [(number, v, low, high, first, cycle) for v in range(size)]
    first += high - low + 1
  return tuple(np.array(rows, np.int32).T)
