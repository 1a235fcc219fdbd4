"""Reported rows, and which frames moved, by hand."""

import numpy as np

from pokedreamer_jax.evaluation import rows as rows_lib
from tests.pokedreamer_jax import fakes

_CFG = fakes.config().world_model


def test_reported_steps_are_rows_after_the_context():
  windows = fakes.windows(2, 3 + 16)
  rows = rows_lib.Rows(_CFG, windows, 3)
  assert rows.steps == [1, 5, 15]
  np.testing.assert_array_equal(
    rows.at("frame"), windows["frame"][:, [3, 7, 17]]
  )
  np.testing.assert_array_equal(
    rows.at_place()[..., 2], windows["x"][:, [3, 7, 17]]
  )
  np.testing.assert_array_equal(
    rows.start_place()[:, 0, 0], windows["map_id"][:, 2]
  )


def test_a_frame_moved_if_it_differs_from_the_row_before():
  windows = fakes.windows(1, 3 + 5)
  windows["frame"][:] = 0
  windows["frame"][0, 3:7, 9, 9] = 1  # changes at step 1, back at step 5
  assert rows_lib.Rows(_CFG, windows, 3).moved().tolist() == [[True, True]]
  windows["frame"][0, 6:, 9, 9] = 2  # now it changes at step 4 and stands still
  assert rows_lib.Rows(_CFG, windows, 3).moved().tolist() == [[True, False]]
