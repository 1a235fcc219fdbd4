"""Tokens predicted relative to what they were: one step on, a few points less.

Beside a logit for every value, a token has scores for what it changes by, added
to the logit of its last value so much shifted. So what a step or a blow does is
learned once and not for every value apart; a position that stays, too.

With `world_model.chain_changes` changes are part of the chain between tokens as
well: a token's value and its change owe something to the values and the changes
of the tokens before it. A linear chain of values alone cannot say that who has
moved has taken so many frames, or that who was hit lost as much in two places.

With `world_model.clock_sets` a clock may be set to its last phase, too: where a
screen fades or a map is loaded the great vale's engine does so to the water's,
and leaves alone how long the phase has lasted. No number of frames says that.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
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
  "own_slide": (-24, 1),
  "enemy_slide": (-24, 1),
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
# A clock that may be set to its last phase: by how many frames what it has
# waited in its phase may change meanwhile.
_SETS = {"tile_look": (-2, 2)}


def changes(
  cfg: world_model_config.WorldModelConfig,
) -> dict[str, tuple[int, int]]:
  """Least and largest change of every token that has a score.

  Where changes are part of the chain, looks have one for whatever a step does
  to them.
  """
  sizes = cfg.token_sizes
  found = {}
  for name in sizes:
    found[name] = (0, 0) if name in _NAMES else _CHANGES.get(name, _OTHERS)
    if name in tokens.CLOCKS:
      chained = cfg.chain_changes and name.endswith("look")
      found[name] = _LOOK if chained else _CLOCK
  return found


def sets(
  cfg: world_model_config.WorldModelConfig,
) -> dict[str, tuple[int, int]]:
  """Clocks that may be set to their last phase.

  By how many frames at least and at most, either way round, what they have
  waited in their phase then changes.
  """
  if not cfg.clock_sets:
    return {}
  return {name: _SETS[name] for name in cfg.token_sizes if name in _SETS}


def counts(cfg: world_model_config.WorldModelConfig) -> tuple[int, ...]:
  """How many changes of each token have a score, those it is set by last."""
  found, more = changes(cfg), sets(cfg)
  spans = [(found[name], more.get(name, (0, -1))) for name in found]
  return tuple(sum(high - low + 1 for low, high in span) for span in spans)


@functools.lru_cache(maxsize=8)
def scores_of(cfg: world_model_config.WorldModelConfig) -> np.ndarray:
  """Which of its token's scores a change has, `[R, W]` int16; -1 where none.

  Row `r` stands for a token's last value, as in one-hots `[R]`, the column for
  its next; `W` is the size of the largest token. What goes on by some frames is
  no setting.
  """
  sizes, more = cfg.token_sizes, sets(cfg)
  found = np.full((cfg.token_dim, max(sizes.values())), -1, np.int16)
  for name, (low, high) in changes(cfg).items():
    size = sizes[name]
    last, now = np.arange(size)[:, None], np.arange(size)[None]
    change = now - last
    if name in tokens.CLOCKS:  # goes round
      change = (change - low) % size + low
    at = np.where((change >= low) & (change <= high), change - low, -1)
    if name in more:
      phases, wait = tokens.CLOCKS[name]
      least, most = more[name]
      waited = (now - last - least) % wait
      is_set = (now // wait == phases - 1) & (waited <= most - least)
      at = np.where(is_set & (at < 0), high - low + 1 + waited, at)
    found[tokens.slices(sizes)[name], :size] = at
  return found


def add(
  cfg: world_model_config.WorldModelConfig,
  logits: jax.Array,
  scores: jax.Array,
  tokens_tm1: jax.Array,
  numbers_tm1: jax.Array | None = None,
) -> jax.Array:
  """Logits `[..., R]` with the scores of changes added where they lead to.

  Args:
    cfg: sizes, and which changes there are.
    logits: of values, `[..., R]`.
    scores: of changes, `[..., C]`.
    tokens_tm1: the last tokens, one-hot `[..., R]`; zeros where there are none,
      and then nothing is added.
    numbers_tm1: their numbers `[..., M]`, for who knows them.
  """
  sizes = cfg.token_sizes
  if numbers_tm1 is None:
    numbers_tm1 = tokens.numbers(sizes, tokens_tm1)
  token, value, start, first = _layout(cfg)
  lead = (1,) * (logits.ndim - 1)
  row = start.reshape(*lead, -1) + numbers_tm1[..., token]
  column = jnp.broadcast_to(value.reshape(*lead, -1), row.shape)
  at = jnp.asarray(scores_of(cfg))[row, column].astype(jnp.int32)
  none = scores.shape[-1]
  index = jnp.where(
    (at >= 0) & known(tokens_tm1), first.reshape(*lead, -1) + at, none
  )
  padded = jnp.concatenate(
    [scores, jnp.zeros((*scores.shape[:-1], 1))], axis=-1
  )
  return logits + jnp.take_along_axis(padded, index, axis=-1)


def hot(
  cfg: world_model_config.WorldModelConfig,
  tokens_tm1: jax.Array,
  tokens_t: jax.Array,
) -> jax.Array:
  """What tokens changed by, `[..., C]`: a one of each, or zeros.

  Zeros where it has no score, and of all tokens where there was no last row.

  Args:
    cfg: sizes, and which changes there are.
    tokens_tm1: the last tokens, one-hot `[..., R]`, or zeros.
    tokens_t: the tokens after them, one-hot `[..., R]`.
  """
  sizes = cfg.token_sizes
  last, now = (tokens.numbers(sizes, one) for one in (tokens_tm1, tokens_t))
  starts = np.array(
    [part.start for part in tokens.slices(sizes).values()], np.int32
  )
  rows = last + jnp.broadcast_to(starts, last.shape)
  at = jnp.asarray(scores_of(cfg))[rows, now]
  found = [
    jax.nn.one_hot(at[..., number], count)
    for number, count in enumerate(counts(cfg))
  ]
  return jnp.concatenate(found, axis=-1) * known(tokens_tm1)


def known(tokens_tm1: jax.Array) -> jax.Array:
  """Where there are last tokens, `[..., 1]` bool."""
  return jnp.sum(tokens_tm1, axis=-1, keepdims=True) > 0.5


def _layout(
  cfg: world_model_config.WorldModelConfig,
) -> tuple[np.ndarray, ...]:
  """Of every logit `[R]`: token, value, the token's start, and first score."""
  sizes, number = cfg.token_sizes, counts(cfg)
  first = np.cumsum(number) - number
  rows = [
    (m, value, place.start, first[m])
    for m, place in enumerate(tokens.slices(sizes).values())
    for value in range(place.stop - place.start)
  ]
  return tuple(np.array(rows, np.int32).T)
