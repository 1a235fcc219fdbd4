"""A world model with an atlas: what is refused, kept and never trained."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import pytest

from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import model as world_model
from tests.pokedreamer_jax import fakes

_KEY = jax.random.key(0)


def _config(*overrides):
  return fakes.config(
    *("world_model.atlas=counted", "world_model.atlas_cells=512"), *overrides
  )


@pytest.mark.parametrize(
  ("preset", "overrides", "said"),
  [
    ("v2", [], "family v2 has no map memory, expected 'off'"),
    ("tiny", ["ram=off"], r"no tokens \['map', 'x', 'y'\], so no place"),
    ("tiny", ["tokens=map:4 y:9"], r"no tokens \['x'\]"),
    ("v3", [], "decoder 'pixels' shows no tiles"),
    ("tiny", ["tile_vocab=70000"], "tile_vocab 70000 is not below 65536"),
    ("tiny", ["atlas_cells=1000"], "1000, expected a multiple of 64"),
    ("tiny", ["atlas_cells=64"], "64, expected at least 128"),
    ("tiny", ["atlas_units=0"], "0, expected at least 1"),
  ],
)
def test_what_no_atlas_can_serve_is_refused_in_one_line(
  preset, overrides, said
):
  overrides = [f"world_model.{item}" for item in overrides]
  with pytest.raises(ValueError, match=said) as error:
    presets.make(preset, ["world_model.atlas=counted", *overrides])
  assert "\n" not in str(error.value)


def test_it_is_off_unless_asked_for():
  for preset in presets.PRESETS:
    assert not presets.make(preset).world_model.has_atlas
  # A configuration written before there was any.
  values = config_lib.to_dict(presets.make("tiny"))
  for name in ("atlas", "atlas_cells", "atlas_units"):
    del values["world_model"][name]
  assert config_lib.from_dict(values) == presets.make("tiny")
  with pytest.raises(ValueError, match="atlas: 'on', expected one of"):
    presets.make("tiny", ["world_model.atlas=on"])


def test_an_atlas_of_another_size_is_refused():
  cfg = _config().world_model
  other = atlas_lib.empty(dataclasses.replace(cfg, atlas_cells=256))
  with pytest.raises(ValueError, match="atlas: 256 cells"):
    world_model.init(cfg, _KEY, fakes.table(cfg.tile_vocab), other)


def test_the_parameters_carry_it():
  cfg = _config().world_model
  atlas = atlas_lib.empty(cfg)
  atlas = atlas.replace(tiles=atlas.tiles.at[64].set(jnp.arange(4)))
  params = fakes.jit(functools.partial(world_model.init, cfg))(
    _KEY, fakes.table(cfg.tile_vocab), atlas
  )
  chex.assert_trees_all_equal(world_model.map_memory(params), atlas)
  shapes = world_model.shapes(cfg)
  assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params) == (
    jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), shapes)
  )
