"""Configuration: the way through JSON, and what its import wakes."""

import dataclasses
import subprocess
import sys

import pytest

from pokedreamer_jax import config
from pokedreamer_jax import presets


def test_a_file_of_a_newer_version_is_refused():
  values = config.to_dict(presets.make("tiny"))
  values["train"]["momentum"] = 0.9
  with pytest.raises(ValueError, match=r"config\.train: unknown \['momentum'"):
    config.from_dict(values)
  del values["train"]["momentum"]
  values["sleep"] = {"hours": 8}
  with pytest.raises(ValueError, match=r"config: unknown \['sleep'"):
    config.from_dict(values)


def test_what_an_older_file_lacks_has_its_default():
  made = presets.make("debug", ["train.agc=0.5", "train.seq_len=9"])
  values = config.to_dict(made)
  del values["train"]["agc"], values["evaluate"]
  expected = dataclasses.replace(
    made,
    train=dataclasses.replace(made.train, agc=config.TrainConfig().agc),
    evaluate=config.EvaluateConfig(),
  )
  assert config.from_dict(values) == expected != made


def test_mesh_sizes_by_hand():
  assert config.TrainConfig().mesh_sizes == {"data": 1, "fsdp": 1}
  sizes = config.TrainConfig(mesh="data=-1").mesh_sizes
  assert sizes == {"data": -1, "fsdp": 1}
  sizes = config.TrainConfig(mesh=" fsdp = 4").mesh_sizes
  assert list(sizes.items()) == [("data", 1), ("fsdp", 4)]


def test_reading_a_configuration_wakes_no_jax():
  program = (
    "import sys; from pokedreamer_jax import presets; presets.make('tiny'); "
    "sys.exit('jax' in sys.modules)"
  )
  root = str(config.__file__).rsplit("/", 2)[0]
  subprocess.run([sys.executable, "-c", program], check=True, cwd=root)
