"""Presets: every one builds, and an unknown one is named."""

import json

import pytest

from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib


@pytest.mark.parametrize("preset", sorted(presets.PRESETS))
def test_every_preset_builds_and_survives_json(preset):
  made = presets.make(preset, seed=3)
  assert made.preset == preset
  assert made.seed == 3
  again = config_lib.from_dict(json.loads(json.dumps(config_lib.to_dict(made))))
  assert again == made
  assert hash(again) == hash(made)  # jitted functions are cached by it
  assert presets.PRESETS[preset].__doc__


@pytest.mark.parametrize("preset", sorted(presets.PRESETS))
def test_annealing_ends_within_the_run(preset):
  made = presets.make(preset)
  assert made.world_model.temperature_steps < made.train.steps


def test_an_unknown_preset_lists_the_presets():
  with pytest.raises(ValueError, match=r"'huge', expected one of .*'tiny'"):
    presets.make("huge")
