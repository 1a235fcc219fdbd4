"""The shift of actions by one, by hand."""

import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.world_model import alignment
from tests.pokedreamer_jax import fakes

_CFG = fakes.config_v2().world_model
_PUBLISHED = fakes.config_v2(
  "world_model.action_alignment=published"
).world_model


def test_previous_actions_by_hand():
  batch = {
    "action": jnp.array([[2, 5, 1], [7, 0, 3]], jnp.uint8),
    "first_action_tm1": jnp.array([4, 6], jnp.uint8),
    "is_first": jnp.array([[False, False, True], [True, False, False]]),
  }
  # Row t holds the action of t - 1, the first that of before the window;
  # nothing precedes a first row. The last action leads out of the window.
  hot = np.asarray(alignment.previous_actions(batch))
  eye, none = np.eye(8), np.zeros(8)
  np.testing.assert_array_equal(
    hot, [[eye[4], eye[2], none], [none, eye[7], eye[0]]]
  )


def test_each_alignment_by_hand():
  batch = {
    "action": jnp.array([[3, 1, 4]]),
    "first_action_tm1": jnp.array([5]),
    "is_first": jnp.array([[False, True, False]]),
  }
  previous = alignment.previous_actions(batch)
  expected = [np.eye(8)[5], np.zeros(8), np.eye(8)[1]]
  np.testing.assert_array_equal(previous[0], expected)
  published = alignment.previous_actions(batch, "published")
  np.testing.assert_array_equal(published[0], np.eye(8)[[3, 1, 4]])
  own = alignment.dream_actions(_CFG, batch["action"])
  np.testing.assert_array_equal(own, [[3, 1]])
  own = alignment.dream_actions(_PUBLISHED, batch["action"])
  np.testing.assert_array_equal(own, [[1, 4]])
