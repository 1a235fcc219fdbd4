"""Recorded pictures and tokens as they are compared."""

import numpy as np

from experiments.reports import decided_tokens
from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import tokens


def test_a_tile_of_the_picture_is_a_number_of_its_own():
  rng = np.random.default_rng(0)
  shape = (3, specs.FRAME_HEIGHT, specs.PACKED_WIDTH)
  frame = rng.integers(0, 256, shape).astype(np.uint8)
  frame[1] = frame[0]
  frame[1, 8 * 5 + 3, 2 * 13 + 1] ^= 1  # a pixel of row 5, column 13
  frame[2, 16:24, 4:6] = frame[2, 0:8, 0:2]  # a tile that stands twice
  found = decided_tokens._tiles(frame)
  assert found.shape == (3, 18, 20)
  assert np.argwhere(found[0] != found[1]).tolist() == [[5, 13]]
  assert found[2, 2, 2] == found[2, 0, 0]
  assert len(np.unique(found[2])) == 359


def test_names_left_out_are_those_of_tokens():
  for names in decided_tokens._LEFT_OUT.values():
    assert set(names) <= set(tokens.READERS)
  vale = world_model_config.WorldModelConfig(
    tokens=world_model_config.VALE_TOKENS
  )
  told = set(vale.token_sizes) - set(decided_tokens._LEFT_OUT["walking"])
  assert {"map", "y", "x", "facing", "arriving", "scroll_y", "shade"} <= told
  told = set(vale.token_sizes) - set(decided_tokens._LEFT_OUT["battle"])
  assert {"enemy_hp", "own_slide", "blink_wait", "hp", "text_wait"} <= told


def test_clocks_count_by_phase():
  rows = {
    "action": np.zeros(3, np.uint8),
    "has_control": np.zeros(3, bool),
    "figure_phase": np.array([0, 1, 1], np.uint8),
    "figure_wait": np.array([30, 0, 30], np.uint8),
  }
  found = decided_tokens._phases(["figure_look"], rows)
  assert found.tolist() == [[0], [1], [1]]
  assert decided_tokens._phases([], rows).shape == (3, 0)
