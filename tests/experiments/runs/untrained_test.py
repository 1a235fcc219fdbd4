"""Checkpoints of few updates are warned of."""

import json

import pytest

from experiments.runs import untrained
from pokedreamer_jax import whole_files


def _run(folder, stage, preset, step):
  folder.mkdir()
  config = {"stage": stage, "preset": preset}
  (folder / "config.json").write_text(json.dumps(config))
  checkpoint = folder / "checkpoints" / str(step)
  checkpoint.mkdir(parents=True)
  note = checkpoint / whole_files.ORBAX_NOTE
  note.write_text(json.dumps({"custom_metadata": {}}))
  return str(folder)


@pytest.mark.parametrize(
  ("stage", "few", "enough"),
  [("world_model", 199, 200), ("clone", 99, 100), ("policy", 9, 10)],
)
def test_few_updates_are_warned_of(tmp_path, stage, few, enough):
  hardly = _run(tmp_path / "hardly", stage, "tiny", few)
  said = untrained.warning(hardly)
  assert said.startswith(f"{hardly} is a {stage.replace('_', ' ')} after {few}")
  assert "untrained" in said and "\n" not in said
  assert untrained.warning(_run(tmp_path / "well", stage, "tiny", enough)) == ""


def test_a_run_of_debug_is_warned_of_however_long(tmp_path):
  debug = _run(tmp_path / "debug", "world_model", "debug", 9000)
  assert "numbers mean nothing" in untrained.warning(debug)
