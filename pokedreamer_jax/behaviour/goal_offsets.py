"""How far off the cell is that a goal names, as a policy reads it.

A goal's vector tells where the cell is on its map, and tokens where the player
is; which way to go is the difference of both, which a network of two hidden
layers learns slowly and for each place anew. Here it is read off: the vector
is fixed (`goal_embeddings.py`), so that its map, row and column are found again
exactly, whoever made it, a planner or a table of goals.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax.world_model import tokens

# Rows and columns that are told apart, up and down, right and left; what is
# further off is told as that.
REACH = 12
NEEDS = ("map", "y", "x")  # tokens; without one of them there is no offset
_SPAN = 2 * REACH + 1


def num_features(sizes: Mapping[str, int]) -> int:
  """Length `O` of `features`; 0 where tokens tell no place."""
  return 2 * _SPAN + 1 if all(name in sizes for name in NEEDS) else 0


def features(
  sizes: Mapping[str, int], hot: jax.Array, goal: jax.Array | None
) -> jax.Array:
  """Offsets `[..., O]` of the cells that goals name.

  Args:
    sizes: token sizes.
    hot: tokens `[..., R]`, one-hot.
    goal: vectors `[..., 64]`, whose leading axes broadcast against those of
      `hot`; None is no goal.

  Returns:
    On the goal's own map its rows from here, one-hot from -REACH to REACH, and
    its columns alike; elsewhere zeros and a 1 at the end. Zeros alone for
    goals that name no cell.
  """
  lead = hot.shape[:-1]
  if goal is None or not num_features(sizes):
    return jnp.zeros((*lead, num_features(sizes)), hot.dtype)
  names, map_id, y, x = _place(goal)
  here = {
    name: jnp.argmax(hot[..., place], axis=-1)
    for name, place in tokens.slices(sizes).items()
    if name in NEEDS
  }
  same = names & (map_id == here["map"])
  parts = [
    jax.nn.one_hot(jnp.clip(there - here[name], -REACH, REACH) + REACH, _SPAN)
    for name, there in (("y", y), ("x", x))
  ]
  near = jnp.concatenate(parts, axis=-1) * same[..., None]
  off = jnp.broadcast_to((names & ~same)[..., None], (*lead, 1))
  return jnp.concatenate([near, off], axis=-1).astype(hot.dtype)


def _place(goal: jax.Array) -> tuple[jax.Array, ...]:
  """Whether vectors `[..., 64]` name a cell, and its map, row and column."""
  kind, codes, waves = goal_embeddings.place_tables()
  nearest = lambda table, part: jnp.argmax(
    jnp.matmul(part, jnp.asarray(table.T), precision="highest"), axis=-1
  )
  said = goal[..., goal_embeddings.KIND]
  length = jnp.linalg.norm(said, axis=-1)
  names = jnp.matmul(said, jnp.asarray(kind), precision="highest")
  return (
    (length > 0) & (names > 0.99 * length),
    nearest(codes, goal[..., goal_embeddings.CODE]),
    nearest(waves, goal[..., goal_embeddings.Y_WAVES]),
    nearest(waves, goal[..., goal_embeddings.X_WAVES]),
  )
