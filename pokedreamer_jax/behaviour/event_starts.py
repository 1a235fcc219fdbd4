"""Dreams that start before what pays: as far as it is still learned from.

Most recorded rows lie far from anything that pays, and a badge is one row in
thousands. So a share of the dreams starts a few steps before recorded events,
each kind of event alike. How many steps is decided by the dreams themselves:
where more than `MASTERED` of a kind's dreams bring about such an event they
start earlier, where fewer than `HOPELESS` do, later.

Events are what the objective pays: gains of its reward terms and new highest
levels.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import latents as latents_lib
from pokedreamer_jax.config import run as config_lib

MASTERED, HOPELESS = 0.8, 0.2
LEVEL = "level"
_FIRST_REACH = 5.0  # env steps before an event, at first


@struct.dataclass
class EventStarts:
  """Rows `[S]` before events of `E` kinds, the nearest of a kind first."""

  row: jax.Array  # [S] int32, numbers of recorded rows
  first: jax.Array  # [E] int32, where the rows of a kind begin in `row`
  # [E, D + 1] int32, how many of a kind's rows lie at most so many steps ahead
  count: jax.Array
  reach: jax.Array  # [E] float32, steps before an event that dreams start at
  kinds: tuple[str, ...] = struct.field(pytree_node=False)


def prepare(
  cfg: config_lib.Config, rows: latents_lib.Latents
) -> EventStarts | None:
  """Finds the events that the objective pays, and the rows before them.

  Args:
    cfg: names the objective; dreams start at most `policy.horizon` steps ahead.
    rows: `[M]` of `latents.with_earned`, with numpy leaves.

  Returns:
    None where nothing was ever paid.
  """
  most = cfg.policy.horizon
  first = np.asarray(rows.is_first)
  start = np.zeros(len(first), bool)
  start[latents_lib.start_rows(rows)] = True
  begin = np.flatnonzero(first)
  kinds, found, counts = [], [], []
  for kind in _paid(cfg):
    event = np.flatnonzero(_gains(rows, kind) > 0)
    if not len(event):
      continue
    # Of each row the next event, if that is of the same episode.
    row = np.arange(len(first))
    at = np.searchsorted(event, row, "right")
    ahead = event[np.minimum(at, len(event) - 1)]
    same = np.searchsorted(begin, ahead, "right") == np.searchsorted(
      begin, row, "right"
    )
    away = ahead - row
    usable = start & same & (at < len(event)) & (away <= most)
    if not usable.any():
      continue
    order = row[usable][np.argsort(away[usable], kind="stable")]
    kinds.append(kind)
    found.append(order)
    steps = np.arange(most + 1)
    counts.append(np.searchsorted(np.sort(away[usable]), steps, "right"))
  if not kinds:
    return None
  sizes = [len(order) for order in found]
  return EventStarts(
    row=jnp.asarray(np.concatenate(found), jnp.int32),
    first=jnp.asarray(np.cumsum([0, *sizes[:-1]]), jnp.int32),
    count=jnp.asarray(np.stack(counts), jnp.int32),
    reach=jnp.full(len(kinds), min(_FIRST_REACH, float(most)), jnp.float32),
    kinds=tuple(kinds),
  )


def draw(
  starts: EventStarts, key: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
  """Rows `[count]` within reach of an event, and the kind of each."""
  kind_key, row_key = jax.random.split(key)
  kind = jax.random.randint(kind_key, (count,), 0, len(starts.kinds))
  steps = jnp.floor(starts.reach).astype(jnp.int32)[kind]
  # The nearest row where none lies within reach.
  rows = jnp.maximum(starts.count[kind, steps], 1)
  place = jax.random.uniform(row_key, (count,)) * rows
  place = jnp.minimum(place.astype(jnp.int32), rows - 1)
  return starts.row[starts.first[kind] + place], kind


def moved(
  starts: EventStarts, dreams: Any, event: jax.Array, reached: jax.Array
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
  """The reach of each kind after a batch of dreams, and how they did.

  Args:
    starts: before it.
    dreams: a `dream_rows.Rollout`.
    event: `[N]`, the kind that a dream starts before; -1: before none.
    reached: `[L, N]` probability that a step of a dream is taken.
  """
  most = starts.count.shape[1] - 1
  reach, metrics = {}, {}
  for number, kind in enumerate(starts.kinds):
    gained = jnp.clip(jnp.sum(_dreamt(dreams, kind) * reached, axis=0), 0, 1)
    mine = (event == number).astype(jnp.float32)
    share = jnp.sum(gained * mine) / jnp.maximum(jnp.sum(mine), 1.0)
    step = jnp.where(share > MASTERED, 1.0, jnp.where(share < HOPELESS, -1, 0))
    step = jnp.where(jnp.sum(mine) > 0, step, 0.0)
    reach[kind] = jnp.clip(starts.reach[number] + step, 1.0, float(most))
    metrics[f"events/{kind}"] = share
    metrics[f"events/{kind}_reach"] = reach[kind]
  return reach, metrics


def by_kind(starts: EventStarts) -> dict[str, jax.Array]:
  """The reach of each kind, `[]`, for `at_reach`."""
  return dict(zip(starts.kinds, starts.reach, strict=True))


def at_reach(
  starts: EventStarts, reach: Mapping[str, jax.Array]
) -> EventStarts:
  """`starts` with another reach of each kind."""
  steps = [reach[kind] for kind in starts.kinds]
  return dataclasses.replace(starts, reach=jnp.stack(steps))


def _paid(cfg: config_lib.Config) -> list[str]:
  """Kinds of events whose happening the objective pays for."""
  return [kind for kind, w in cfg.policy.term_weights.items() if w > 0]


def _gains(rows: latents_lib.Latents, kind: str) -> np.ndarray:
  """What each row `[M]` brought of a kind; nothing where an episode begins."""
  if kind == LEVEL:
    highest = np.asarray(rows.level).astype(int)
    gained = np.diff(highest, prepend=highest[:1])
    # The first creature that there is pays nothing.
    gained[1:][highest[:-1] == 0] = 0
  else:
    term = specs.REWARD_TERMS.index(kind)
    earned = np.asarray(rows.reward_terms)[:, term]
    gained = np.diff(earned, prepend=earned[:1])
  return np.where(np.asarray(rows.is_first), 0, gained)


def _dreamt(dreams: Any, kind: str) -> jax.Array:
  """What dreams brought of a kind on arriving at states 1..L, `[L, N]`."""
  if kind == LEVEL:
    before, after = dreams.level[:-1], dreams.level[1:]
    return ((before > 0) & (after > before)).astype(jnp.float32)
  return dreams.reward_terms[..., specs.REWARD_TERMS.index(kind)]
