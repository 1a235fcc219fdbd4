"""Configuration: the way through JSON, and what its import wakes."""

import dataclasses
import subprocess
import sys

import pytest

from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib


def test_a_file_of_a_newer_version_is_refused():
  values = config_lib.to_dict(presets.make("tiny"))
  values["train"]["momentum"] = 0.9
  with pytest.raises(ValueError, match=r"config\.train: unknown \['momentum'"):
    config_lib.from_dict(values)
  del values["train"]["momentum"]
  values["sleep"] = {"hours": 8}
  with pytest.raises(ValueError, match=r"config: unknown \['sleep'"):
    config_lib.from_dict(values)


def test_what_an_older_file_lacks_has_its_default():
  made = presets.make("debug", ["train.agc=0.5", "train.seq_len=9"])
  values = config_lib.to_dict(made)
  del values["train"]["agc"], values["evaluate"]
  expected = dataclasses.replace(
    made,
    train=dataclasses.replace(made.train, agc=config_lib.TrainConfig().agc),
    evaluate=config_lib.EvaluateConfig(),
  )
  assert config_lib.from_dict(values) == expected != made


@pytest.mark.parametrize(
  ("part", "field", "value", "words"),
  [
    ("train", "steps", "20", r"train\.steps: '20', expected a whole number"),
    ("train", "steps", 20.0, r"train\.steps: 20\.0, expected a whole number"),
    ("train", "steps", True, r"train\.steps: True, expected a whole number"),
    ("train", "steps", None, r"train\.steps: None, expected a whole number"),
    (
      "train",
      "agc",
      float("nan"),
      r"train\.agc: nan, expected a finite number",
    ),
    ("train", "agc", "0.3", r"train\.agc: '0\.3', expected a number"),
    ("evaluate", "greedy", 1, r"greedy: 1, expected true or false"),
    ("train", "mesh", 3, r"train\.mesh: 3, expected a text"),
    ("train", "batch_size", -1, "batch_size: -1, expected at least 1"),
    ("train", "error_share", 1.5, r"error_share: 1\.5, expected 0\.\.1"),
  ],
)
def test_a_field_takes_its_own_type_alone(part, field, value, words):
  values = config_lib.to_dict(presets.make("tiny"))
  values[part][field] = value
  with pytest.raises(ValueError, match=words):
    config_lib.from_dict(values)


def test_a_part_is_an_object_and_a_whole_number_is_a_float():
  values = config_lib.to_dict(presets.make("tiny"))
  values["train"]["agc"] = 1
  agc = config_lib.from_dict(values).train.agc
  assert agc == 1.0 and type(agc) is float
  values["train"] = [1]
  with pytest.raises(ValueError, match=r"config\.train: \[1\], expected an"):
    config_lib.from_dict(values)


def test_mesh_sizes_by_hand():
  assert config_lib.TrainConfig().mesh_sizes == {"data": 1, "fsdp": 1}
  sizes = config_lib.TrainConfig(mesh="data=-1").mesh_sizes
  assert sizes == {"data": -1, "fsdp": 1}
  sizes = config_lib.TrainConfig(mesh=" fsdp = 4").mesh_sizes
  assert list(sizes.items()) == [("data", 1), ("fsdp", 4)]


def test_reading_a_configuration_wakes_no_jax():
  program = (
    "import sys; from pokedreamer_jax.config import presets; "
    "presets.make('tiny'); "
    "sys.exit('jax' in sys.modules)"
  )
  root = str(config_lib.__file__).rsplit("/", 3)[0]
  subprocess.run([sys.executable, "-c", program], check=True, cwd=root)


def test_maps_to_leave_out_are_numbers_of_maps():
  made = lambda text: config_lib.TrainConfig(leave_out_maps=text)
  assert made("").left_out_maps == made(" ").left_out_maps == ()
  assert made("17, 5,9").left_out_maps == (5, 9, 17)
  for text in ("5,", "5 9", "-1", "256", "5,5", "a", "1.5", "\u0665"):
    with pytest.raises(ValueError, match=r"train\.leave_out_maps: .* 0 to 255"):
      made(text)
