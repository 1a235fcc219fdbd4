"""What an episode has reached so far: what is new is judged against it.

Terms and objectives pay a map, a badge, a species or a level once an episode
at most. What they are held against is carried here, through dreams, recorded
rows and play alike, and a policy may read it: otherwise it could not know what
still pays.
"""

from collections.abc import Mapping

import flax.struct
import jax
import jax.numpy as jnp

from pokedreamer_jax.world_model import tokens

NUM_MAPS = 256  # the visited set is one flag per map id
# Terms that count up, and the token that holds the count.
COUNTED = (("badges", "badges"), ("species", "dex_owned"))
# By how many levels the first creature is below the highest so far, up to.
_BELOW = 4


@flax.struct.dataclass
class Progress:
  """What an episode has reached so far; leaves share leading axes."""

  visited: jax.Array  # [..., 256] bool, maps seen
  best: jax.Array  # [..., 2] float32, most badges and species so far
  level: jax.Array  # [...] float32, highest of the first creature; 0: none yet


def nothing(lead: tuple[int, ...]) -> Progress:
  """Progress before the first row of an episode, with leading axes `lead`."""
  return Progress(
    visited=jnp.zeros((*lead, NUM_MAPS), jnp.bool_),
    best=jnp.zeros((*lead, len(COUNTED))),
    level=jnp.zeros(lead),
  )


def recorded(
  sizes: Mapping[str, int],
  hot: jax.Array,
  visited: jax.Array,
  level: jax.Array | None = None,
) -> Progress:
  """Progress at recorded rows with tokens `[..., R]`.

  Args:
    sizes: token sizes.
    hot: tokens, one-hot.
    visited: maps seen up to these rows, `[..., 256]` bool.
    level: highest level of the first creature up to them, `[...]`; that of
      the tokens alone if None.
  """
  counts = [count(sizes, hot, token) for _, token in COUNTED]
  now = count(sizes, hot, "level")
  if level is not None:
    now = jnp.maximum(now, level.astype(jnp.float32))
  return Progress(visited=visited, best=jnp.stack(counts, axis=-1), level=now)


def advance(
  sizes: Mapping[str, int],
  hot: jax.Array,
  before: Progress,
  running: jax.Array | None = None,
) -> Progress:
  """Progress with the arrival at tokens `[..., R]` in it.

  Args:
    sizes: token sizes.
    hot: tokens of the arrival, one-hot.
    before: progress up to the row before.
    running: whether a game runs there, `[...]` bool: on the title screen no
      map is visited, yet memory holds some number. Everywhere if None.
  """
  here = here_flags(sizes, hot)
  if running is not None:
    here &= running[..., None]
  counts = [count(sizes, hot, token) for _, token in COUNTED]
  return Progress(
    visited=before.visited | here,
    best=jnp.maximum(before.best, jnp.stack(counts, axis=-1)),
    level=jnp.maximum(before.level, count(sizes, hot, "level")),
  )


def num_features(sizes: Mapping[str, int]) -> int:
  """Length `P` of `features`; 0 where no token tells of it."""
  total = sizes.get("map", 0)
  return total + (_BELOW + 1 if "level" in sizes else 0)


def features(
  sizes: Mapping[str, int], hot: jax.Array, progress: Progress
) -> jax.Array:
  """What a policy reads of it beside the tokens `[..., R]`: `[..., P]`.

  A flag for every value of the map token, and how far the first creature's
  level lies below the highest, one-hot from 0 to 4 and more. Badges and species
  are tokens themselves, and never fall.
  """
  parts = [jnp.zeros((*hot.shape[:-1], 0))]
  if "map" in sizes:
    parts.append(progress.visited[..., : sizes["map"]].astype(jnp.float32))
  if "level" in sizes:
    below = progress.level - count(sizes, hot, "level")
    below = jnp.clip(below, 0, _BELOW).astype(jnp.int32)
    parts.append(jax.nn.one_hot(below, _BELOW + 1))
  return jnp.concatenate(parts, axis=-1)


def visited_flags(bitmask: jax.Array) -> jax.Array:
  """Flags `[..., 256]` bool of the record's bitmask `[..., 32]` uint8."""
  places = jnp.broadcast_to(jnp.arange(8, dtype=jnp.uint8), (*bitmask.shape, 8))
  bits = (bitmask[..., None] >> places) & jnp.uint8(1)
  return bits.reshape(*bitmask.shape[:-1], NUM_MAPS).astype(jnp.bool_)


def here_flags(sizes: Mapping[str, int], hot: jax.Array) -> jax.Array:
  """Flags `[..., 256]` of the map that tokens name; none without the token."""
  place = tokens.slices(sizes).get("map")
  if place is None:
    return jnp.zeros((*hot.shape[:-1], NUM_MAPS), jnp.bool_)
  number = jnp.argmax(hot[..., place], axis=-1)
  return jax.nn.one_hot(number, NUM_MAPS, dtype=jnp.bool_)


def count(sizes: Mapping[str, int], hot: jax.Array, name: str) -> jax.Array:
  """Number `[...]` float32 that a token stands for; 0 where there is none."""
  place = tokens.slices(sizes).get(name)
  if place is None:
    return jnp.zeros(hot.shape[:-1])
  return hot[..., place] @ jnp.arange(sizes[name], dtype=jnp.float32)
