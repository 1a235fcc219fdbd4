"""Offsets of the cells that goals name, read off their vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax.behaviour import goal_offsets
from pokedreamer_jax.world_model import tokens

_SIZES = {"y": 256, "battle": 3, "map": 256, "x": 256}
_REACH = goal_offsets.REACH


def _hot(map_id: int, y: int, x: int) -> jax.Array:
  values = {"y": y, "battle": 1, "map": map_id, "x": x}
  parts = [jax.nn.one_hot(values[n], size) for n, size in _SIZES.items()]
  assert list(tokens.slices(_SIZES)) == list(_SIZES)
  return jnp.concatenate(parts)


def _expected(goal: goal_specs.Goal, map_id: int, y: int, x: int) -> np.ndarray:
  """The slow way, of the goal itself."""
  found = np.zeros(2 * (2 * _REACH + 1) + 1, np.float32)
  if goal.kind == "tile" and goal.map_id != map_id:
    found[-1] = 1.0
  elif goal.kind == "tile":
    dy, dx = np.clip([goal.y - y, goal.x - x], -_REACH, _REACH)
    found[_REACH + dy] = found[2 * _REACH + 1 + _REACH + dx] = 1.0
  return found


def test_offsets_of_all_maps_rows_and_columns():
  rng = np.random.default_rng(0)
  places = rng.integers(0, 256, (256, 3))
  for column in range(3):
    places[:, column] = rng.permutation(256)  # every value once at least
  goals = [goal_specs.Goal("tile", *place) for place in places.tolist()]
  shifts = rng.integers(-15, 16, (256, 2))
  where = places.copy()
  where[:, 1:] = np.clip(places[:, 1:] + shifts, 0, 255)
  where[::5, 0] = (where[::5, 0] + 1) % 256
  hot = jnp.stack([_hot(*place) for place in where.tolist()])
  vectors = jnp.asarray(goal_embeddings.embed_goals(goals))
  found = jax.jit(lambda h, v: goal_offsets.features(_SIZES, h, v))(
    hot, vectors
  )
  expected = [
    _expected(g, *w) for g, w in zip(goals, where.tolist(), strict=True)
  ]
  np.testing.assert_array_equal(found, np.stack(expected))


@pytest.mark.parametrize(
  "goal",
  [
    "no goal",
    "go to tile 3 4 5",
    "reach map 3",
    "earn badge 3",
    "reach level 3",
    "own 3 species",
    "explore new map",
    "talk",
  ],
)
def test_goals_that_name_no_cell_have_no_offset(goal):
  vector = jnp.asarray(goal_embeddings.embed_goal(goal_specs.parse(goal)))
  assert not goal_offsets.features(_SIZES, _hot(3, 4, 5), vector).any()


def test_one_goal_for_many_states_and_none():
  hot = jnp.stack([_hot(7, y, 9) for y in (1, 5)])
  goal = goal_specs.Goal("tile", 7, 3, 9)
  vector = jnp.asarray(goal_embeddings.embed_goal(goal))
  found = goal_offsets.features(_SIZES, hot, vector)
  expected = np.stack([_expected(goal, 7, y, 9) for y in (1, 5)])
  np.testing.assert_array_equal(found, expected)
  assert not goal_offsets.features(_SIZES, hot, None).any()


def test_without_tokens_of_a_place_there_is_nothing_to_read():
  sizes = {"map": 256, "y": 256}
  assert goal_offsets.num_features(sizes) == 0
  assert goal_offsets.features(sizes, jnp.zeros((2, 512)), None).shape == (2, 0)
