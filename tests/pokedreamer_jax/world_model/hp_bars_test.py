"""HP bars: the game's own rule, and a decoder that reads them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import hp_bars
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_TOKENS = (
  "map:4 y:8 x:8 active_max_hp:72 active_hp:72 enemy_max_hp:72 enemy_hp:72"
)


def _hot(sizes, **values):
  numbers = jnp.asarray([[values.get(name, 0) for name in sizes]])
  return tokens.one_hot(sizes, numbers)


@pytest.mark.parametrize(
  ("hp", "most", "pixels"),
  [
    (0, 0, 0),  # no battle
    (0, 40, 0),
    (1, 71, 1),  # never empty while there is some
    (35, 70, 24),
    (39, 40, 46),
    (40, 40, 48),
    (44, 40, 48),  # tokens that were drawn need not fit
  ],
)
def test_a_bar_is_as_long_as_the_game_draws_it(hp, most, pixels):
  sizes = world_model_config.WorldModelConfig(tokens=_TOKENS).token_sizes
  own = _hot(sizes, active_hp=hp, active_max_hp=most)
  foe = _hot(sizes, enemy_hp=hp, enemy_max_hp=most)
  np.testing.assert_array_equal(hp_bars.lengths(sizes, own), [[pixels, 0]])
  np.testing.assert_array_equal(hp_bars.lengths(sizes, foe), [[0, pixels]])
  hot = np.asarray(hp_bars.one_hot(sizes, foe))
  assert hot.shape == (1, world_model_config.BARS_DIM)
  np.testing.assert_array_equal(np.flatnonzero(hot), [0, 49 + pixels])


@pytest.mark.parametrize(
  ("slide", "pixels"), [(0, 24), (5, 29), (24, 48), (31, 48)]
)
def test_a_bar_that_still_has_to_go_is_so_much_longer(slide, pixels):
  sizes = world_model_config.WorldModelConfig(
    tokens=f"{_TOKENS} enemy_slide:32"
  ).token_sizes
  hot = _hot(sizes, enemy_hp=20, enemy_max_hp=40, enemy_slide=slide)
  np.testing.assert_array_equal(hp_bars.lengths(sizes, hot), [[0, pixels]])


@pytest.mark.parametrize("atlas", ["off", "counted"])
def test_the_decoder_reads_the_bars(atlas, monkeypatch):
  cfg = fakes.config(
    f"world_model.tokens={_TOKENS}",
    f"world_model.atlas={atlas}",
    "world_model.atlas_cells=128",
    "world_model.hp_bars=true",
  ).world_model
  params = fakes.params(cfg, noise=0.3)
  state = world_model.initial_state(cfg, (1,))
  hot = _hot(cfg.token_sizes, enemy_hp=20, enemy_max_hp=40)
  feat = world_model.features(dataclasses.replace(state, tokens=hot))
  half = world_model.decoder_outputs(cfg, params, feat)
  monkeypatch.setattr(
    hp_bars,
    "one_hot",
    lambda sizes, hot: jnp.zeros((1, world_model_config.BARS_DIM)),
  )
  none = world_model.decoder_outputs(cfg, params, feat)
  pairs = zip(jax.tree.leaves(half), jax.tree.leaves(none), strict=True)
  assert not all(np.allclose(a, b) for a, b in pairs)


@pytest.mark.parametrize("overrides", [{"ram": "off"}, {"tokens": "map:4"}])
def test_without_their_tokens_there_are_no_bars(overrides):
  cfg = world_model_config.WorldModelConfig(hp_bars=True, **overrides)
  assert not cfg.has_bars
