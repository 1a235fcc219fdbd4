"""Nothing is trained on fields that records of an earlier version lack."""

import subprocess
import sys

import pytest

from data_tools.records import generations
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.training import world_model_data
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config
from tests import conftest
from tests.data_tools import fakes
from tests.data_tools import old_records

_REFUSAL = (
  "world_model.tokens: 'text', episodes recorded before schema 3 hold no field "
  "'text', expected tokens without it, or data collected anew"
)


@pytest.fixture
def old(tmp_path):
  return old_records.unpack(tmp_path / "old")


def _tokens(text, **changes):
  return world_model_config.WorldModelConfig(tokens=text, **changes)


@pytest.mark.parametrize(
  ("cfg", "message"),
  [
    (
      _tokens("map:8 text:16"),
      _REFUSAL,
    ),
    (_tokens("active_hp:16"), r"'active_hp', .* no field 'active_slot'"),
    (
      _tokens("map:8", ram_heads="xp:9 enemy_max_hp:9"),
      r"world_model\.ram_heads: 'enemy_max_hp'",
    ),
  ],
)
def test_what_it_lacks_is_not_trained_on(old, tmp_path, cfg, message):
  with pytest.raises(ValueError, match=message):
    inputs.check_fields(cfg, generations.freeze(old))
  new = tmp_path / "new"
  fakes.write(new, "new", [(0, 70, "random")])
  inputs.check_fields(cfg, generations.freeze(new))
  fakes.write(old, "new", [(0, 70, "random")])  # nor where some lack it
  with pytest.raises(ValueError, match=message):
    inputs.check_fields(cfg, generations.freeze(old))


@pytest.mark.parametrize(
  "cfg",
  [
    _tokens(world_model_config.PRACTICE_TOKENS),
    _tokens("species:8 max_hp:9 hp2:9 level2:9 money:9 dex_seen:9"),
    _tokens("text:16", ram="off"),
  ],
)
def test_what_it_holds_is_trained_on(old, cfg):
  inputs.check_fields(cfg, generations.freeze(old))


def test_the_verb_refuses_before_it_leaves_anything(old, tmp_path):
  result = subprocess.run(
    [
      *(sys.executable, "-m", "experiments.train_rssm", "--preset=debug"),
      "--set=world_model.tokens=map:8 text:16",
      *(f"--data_dir={old}", f"--workdir={tmp_path / 'run'}"),
    ],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    timeout=120,
  )
  assert result.returncode == 2, result.stderr
  assert result.stderr.strip().endswith(_REFUSAL)
  assert not (tmp_path / "run").exists()


def test_a_learner_does_not_adopt_what_lacks_its_fields(old, tmp_path):
  fakes.write(tmp_path / "data", "a", [(n, 70, "random") for n in range(3)])
  generation = generations.freeze(tmp_path / "data")
  config = presets.make(
    "debug",
    ["train.refresh_every=1", "world_model.tokens=map:8 y:8 x:8 text:16"],
  )
  values = config_lib.to_dict(config) | inputs.describe(generation)
  with run_directory.open_run(
    tmp_path / "run", "world_model", values, graceful=False
  ) as run:
    experience = world_model_data.Experience(config, generation, run)
    lacking = generations.freeze(old)
    with pytest.raises(ValueError, match=_REFUSAL):
      experience._begin(1, lacking, None)
