"""Packed posterior states: nothing is lost that behaviour reads."""

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import tokens

# 12 and 15 bits: neither fills its last byte.
CFG = world_model_config.WorldModelConfig(
  deter=6, stoch=4, classes=3, tokens="map:5 x:10"
)


def _rows(lead, seed=0):
  rng = np.random.default_rng(seed)
  state = world_model.State(
    deter=jnp.asarray(rng.uniform(-1, 1, (*lead, 6)), jnp.float32),
    stoch=jax.nn.one_hot(rng.integers(0, 3, (*lead, 4)), 3).reshape(*lead, 12),
    tokens=tokens.one_hot(
      CFG.token_sizes, jnp.asarray(rng.integers(0, 5, (*lead, 2)))
    ),
  )
  batch = {"party_level": rng.integers(0, 9, (*lead, 6)).astype(np.uint8)}
  batch |= {
    name: rng.integers(0, 2, (*lead, *field.shape)).astype(field.dtype)
    for name in latents.ROW_FIELDS
    for field in specs.STEP_FIELDS
    if field.name == name
  }
  return state, batch


def test_pack_and_unpack_are_inverse():
  state, batch = _rows((2, 7))
  packed = latents.pack(state, batch)
  assert packed.stoch.shape == (2, 7, 2) and packed.stoch.dtype == np.uint8
  back = latents.unpack(CFG, packed)
  np.testing.assert_array_equal(back.stoch, state.stoch)
  np.testing.assert_array_equal(back.tokens, state.tokens)
  np.testing.assert_allclose(back.deter, state.deter, atol=5e-4)
  np.testing.assert_array_equal(packed.visited_maps, batch["visited_maps"])


def test_no_tokens():
  cfg = world_model_config.WorldModelConfig(
    deter=6, stoch=4, classes=3, ram="off"
  )
  state, batch = _rows((5,))
  state = state.replace(tokens=jnp.zeros((5, 0)))
  back = latents.unpack(cfg, latents.pack(state, batch))
  assert back.tokens.shape == (5, 0)
  np.testing.assert_array_equal(back.stoch, state.stoch)


def test_targets_are_executed_choices_of_the_sources():
  demonstrator = specs.BEHAVIOURS.index("demonstrator")
  human = specs.BEHAVIOURS.index("human")
  rows = latents.empty(CFG).replace(
    behaviour=np.array([demonstrator, 0, demonstrator, demonstrator, human]),
    is_last=np.array([False, False, True, False, False]),
    is_terminal=np.array([False, True, False, False, False]),
  )
  for sources, expected in [
    (("demonstrator",), [0, 3]),
    (("human",), [4]),
    (("demonstrator", "human"), [0, 3, 4]),
    (("human", "random"), [1, 4]),
    (("policy",), []),
  ]:
    np.testing.assert_array_equal(latents.target_rows(rows, sources), expected)
  np.testing.assert_array_equal(latents.start_rows(rows), [0, 2, 3, 4])


def test_take_keeps_rows_together():
  state, batch = _rows((9,))
  packed = latents.pack(state, batch)
  some = latents.take(packed, np.array([[8, 0], [3, 3]]))
  np.testing.assert_array_equal(
    latents.unpack(CFG, some).tokens[1, 0], state.tokens[3]
  )
  np.testing.assert_array_equal(some.action[0, 0], batch["action"][8])


def test_rewards_are_summed_from_the_first_row_of_each_episode():
  rows = latents.empty(CFG)
  rows = rows.replace(
    is_first=np.array([1, 0, 0, 1, 0, 1, 0], bool),
    reward_terms=np.arange(1.0, 8.0, dtype=np.float32)[:, None].repeat(8, 1),
    level=np.array([9, 5, 10, 4, 3, 0, 255], np.uint8),
  )
  found = latents.with_earned(rows)
  earned = found.reward_terms
  np.testing.assert_array_equal(earned[:, 0], [1, 3, 6, 4, 9, 6, 13])
  assert earned.dtype == np.float32
  np.testing.assert_array_equal(found.level, [9, 9, 10, 4, 4, 0, 255])
  assert found.level.dtype == np.uint8
