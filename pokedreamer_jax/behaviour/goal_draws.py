"""Which goal a row or a dream is given, of those that its row could have.

Candidates of a row are numbers of goals in a table: its next milestone, then
goals that its episode reaches later. They are made once, on the host
(`experiments/training/goal_rows.py`); one of them is drawn each time that the
row is learned from.
"""

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.behaviour import goals
from pokedreamer_jax.config import behaviour as behaviour_config


@struct.dataclass
class Pairs:
  """Rows `[P]` with a goal each that was reached from there, kind by kind."""

  row: jax.Array  # [P] int32
  number: jax.Array  # [P] int32
  first: jax.Array  # [E] int32, where the pairs of a kind begin
  count: jax.Array  # [E] int32, how many a kind has


@struct.dataclass
class Candidates:
  """Goals that rows may be given."""

  number: jax.Array  # [M, 1 + D] int32, the milestone first; 0 is none
  # [M] int32, for each row another one on the same cell of the same map
  neighbour: jax.Array
  table: goals.Table  # [K]
  pairs: Pairs | None = None  # where `goals.even` asks for them
  # [M, D] int32, cells nearby where `goals.walks` asks for them; 0 is none
  walks: jax.Array | None = None


def pair_up(
  number: np.ndarray, start: np.ndarray, table: goals.Table
) -> Pairs | None:
  """Pairs of rows and goals by kind, for draws in which kinds are alike.

  Args:
    number: candidates `[M, 1 + D]`; milestones, which come first, are left out,
      for they may be hundreds of steps away.
    start: `[S]`, the rows where dreams may start.
    table: of the goals.

  Returns:
    None where no row has a goal.
  """
  row = np.repeat(start, number.shape[1] - 1)
  goal = number[start, 1:].reshape(-1)
  pair = np.unique(np.stack([row, goal], axis=1)[goal > 0], axis=0)
  if not len(pair):
    return None
  kind = np.asarray(table.goals)[pair[:, 1], 0]
  pair = pair[np.argsort(kind, kind="stable")]
  _, first, count = np.unique(
    np.sort(kind), return_index=True, return_counts=True
  )
  return Pairs(
    *(jnp.asarray(a, jnp.int32) for a in (*pair.T, first, count)),
  )


def draw(
  cfg: behaviour_config.GoalsConfig, key: jax.Array, number: jax.Array
) -> jax.Array:
  """Draws a goal for each row.

  Args:
    cfg: shares of rows without a goal and with a milestone.
    key: typed PRNG key; consumed.
    number: candidates `[N, 1 + D]`.

  Returns:
    Numbers `[N]` int32; 0, no goal, also where the drawn candidate is none.
  """
  share_key, column_key = jax.random.split(key)
  share = jax.random.uniform(share_key, (len(number),))
  column = jax.random.randint(column_key, (len(number),), 1, number.shape[1])
  column = jnp.where(share < cfg.none + cfg.milestone, 0, column)
  drawn = jnp.take_along_axis(number, column[:, None], axis=1)[:, 0]
  return jnp.where(share < cfg.none, 0, drawn)


def draw_for_dreams(
  cfg: behaviour_config.GoalsConfig,
  key: jax.Array,
  candidates: Candidates,
  rows: jax.Array,
) -> jax.Array:
  """A goal `[N]` for dreams from rows `[N]`: `draw`, of the row or a neighbour.

  A share `cfg.other` of them gets what was reached from the same cell at
  another time; a share `cfg.walks` of all a cell nearby, where there is one.
  """
  draw_key, other_key = jax.random.split(key)
  other = jax.random.uniform(other_key, (len(rows),)) < cfg.other
  own = jnp.where(other, candidates.neighbour[rows], rows)
  drawn = draw(cfg, draw_key, candidates.number[own])
  if candidates.walks is None:
    return drawn
  share_key, walk_key = jax.random.split(jax.random.fold_in(key, 1))
  walks = jax.random.uniform(share_key, (len(rows),)) < cfg.walks
  column = jax.random.randint(
    walk_key, (len(rows),), 0, candidates.walks.shape[1]
  )
  near = candidates.walks[rows, column]
  return jnp.where(walks & (near > 0), near, drawn)


def draw_even(
  key: jax.Array, pairs: Pairs, count: int
) -> tuple[jax.Array, jax.Array]:
  """Rows `[count]` and a goal for each: kinds alike, then pairs of a kind."""
  kind_key, pair_key = jax.random.split(key)
  kind = jax.random.randint(kind_key, (count,), 0, len(pairs.first))
  many = pairs.count[kind]
  place = (jax.random.uniform(pair_key, (count,)) * many).astype(jnp.int32)
  place = pairs.first[kind] + jnp.minimum(place, many - 1)
  return pairs.row[place], pairs.number[place]
