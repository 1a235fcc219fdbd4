"""Flags that are checked before something long begins."""

import json

from absl.testing import flagsaver
import pytest

from experiments import benchmark_growth
from experiments.runs import cli


@pytest.mark.parametrize("text", ["", "10,x", "0"])
def test_sizes_are_checked(text):
  with pytest.raises(ValueError, match="--steps"):
    benchmark_growth.sizes("steps", text)


@pytest.mark.parametrize("text", ["", "1,x", "0,1", "-1", "nan", "inf", "1e9"])
def test_factors_are_checked(text):
  with pytest.raises(ValueError, match="--model_sizes"):
    benchmark_growth.factors("model_sizes", text)


def test_factors_are_in_order():
  assert benchmark_growth.factors("model_sizes", "2,.5,1") == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("text", ["", "500", "100,200", "200,100", "1,2,3"])
def test_updates_are_checked(text):
  with pytest.raises(ValueError, match="--memory_updates"):
    benchmark_growth.updates("memory_updates", text)


def test_updates_may_be_of_the_world_model_alone():
  assert benchmark_growth.updates("memory_updates", "200,0") == (200, 0)


def test_parts_are_checked():
  with pytest.raises(ValueError, match="--parts: 'disk'"):
    benchmark_growth._parts("data,disk")


def test_curves_and_what_they_were_measured_by_stand_in_the_file(
  tmp_path, monkeypatch, capsys
):
  curve = {
    "sizes": [1, 2],
    "values": [1.0, 4.0],
    "exponent": 2.0,
    "exponent_interval": [1.9, 2.1],
    "exponent_at_the_end": 2.0,
  }
  part = lambda config: (
    {"x against y": curve},
    {"verbs": {"of": config.preset}},
    ["and a line"],
  )
  monkeypatch.setitem(benchmark_growth.PARTS, "data", part)
  path = tmp_path / "found.json"
  benchmark_growth.cli.flags.FLAGS(["x"])
  with flagsaver.flagsaver(
    preset="debug", parts="data", json=str(path), note="alone"
  ):
    benchmark_growth.main()
  said = capsys.readouterr().out
  assert "and a line" in said and "WORSE THAN LINEAR" in said
  found = json.loads(path.read_text())
  assert found["curves"] == {"x against y": curve}
  assert found["verbs"] == {"of": "debug"}
  assert found["preset"] == "debug" and found["note"] == "alone"
  assert found["command"] == cli.command_line()
