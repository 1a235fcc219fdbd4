"""Which goal a row or a dream is given, of those that its row could have.

Candidates of a row are numbers of goals in a table: its next milestone, then
goals that its episode reaches later. They are made once, on the host
(`experiments/training/goal_rows.py`); one of them is drawn each time that the
row is learned from.
"""

from flax import struct
import jax
import jax.numpy as jnp

from pokedreamer_jax.behaviour import goals
from pokedreamer_jax.config import behaviour as behaviour_config


@struct.dataclass
class Candidates:
  """Goals that rows may be given."""

  number: jax.Array  # [M, 1 + D] int32, the milestone first; 0 is none
  table: goals.Table  # [K]


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
  cfg: behaviour_config.GoalsConfig, key: jax.Array, number: jax.Array
) -> jax.Array:
  """`draw`, and a share `cfg.other` of the dreams gets another row's goal.

  So that dreams also learn what is not reached from where they begin.
  """
  draw_key, other_key = jax.random.split(key)
  drawn = draw(cfg, draw_key, number)
  swapped = jax.random.uniform(other_key, (len(number),)) < cfg.other
  return jnp.where(swapped, jnp.roll(drawn, 1), drawn)
