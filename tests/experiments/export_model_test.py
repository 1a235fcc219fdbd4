"""A run, given away: the folder stands wherever the run did."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
import jax
import numpy as np
import pytest

from experiments import export_model
from experiments import play_dream
from experiments.dreaming import models
from experiments.reports import model_card
from experiments.runs import exporting
from experiments.runs import inputs
from experiments.runs import json_store
from experiments.runs import run_directory
from experiments.runs import shipped
from pokedreamer_jax import whole_files
from pokedreamer_jax.interop import model_folders
from tests import conftest
from tests.experiments.dreaming import made


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Run directories by stage."""
  root = tmp_path_factory.mktemp("runs")
  for stage in exporting.ITEMS:
    (root / stage).mkdir()
    made.run_of(root / stage, stage)
  return root


@pytest.fixture(scope="module", autouse=True)
def _parsed():
  flags.FLAGS.mark_as_parsed()


def _export(directory, out, dtype="float16", **given):
  with flagsaver.flagsaver(
    checkpoint=str(directory), out=str(out), dtype=dtype, **given
  ):
    export_model.main()
  return str(out)


def _leaves(tree):
  return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("stage", list(exporting.ITEMS))
def test_a_folder_is_read_as_its_run_was(runs, tmp_path, stage):
  run, out = str(runs / stage), _export(runs / stage, tmp_path / "it")
  assert run_directory.read_stage(out) == stage
  assert inputs.load_config(out) == inputs.load_config(run)
  inputs.check_kind(out, agent=stage != "world_model")
  assert inputs.choose_step(out, "5") == 5
  assert inputs.check_rom(out, made.rom()) == ""
  if stage == "world_model":
    pairs = [(inputs.load_world_model(out), inputs.load_world_model(run))]
  else:
    pairs = [
      (load(out), load(run)) for load in (inputs.load_agent, inputs.load_player)
    ]
    assert inputs.load_actor(out, inputs.load_config(out))
    pairs = [
      (dataclasses.astuple(a)[1:], dataclasses.astuple(b)[1:]) for a, b in pairs
    ]
  for found, whole in pairs:
    assert jax.tree.structure(found) == jax.tree.structure(whole)
    for a, b in zip(_leaves(found), _leaves(whole), strict=True):
      exact = b.astype(np.float16).astype(b.dtype) if b.dtype == "f" else b
      np.testing.assert_array_equal(a, exact)


def test_a_dream_goes_on_as_that_of_the_rounded_parameters(runs, tmp_path):
  out = _export(runs / "policy", tmp_path / "it", "bfloat16")
  models.check(None, out)
  found, whole = models.load(None, out), models.load(None, str(runs / "policy"))
  assert found.name != whole.name  # logs of one are not those of the other
  rounded = jax.tree.map(
    lambda x: x.astype("bfloat16").astype(x.dtype) if x.dtype == "f" else x,
    whole.params,
  )
  for a, b in zip(_leaves(found.params), _leaves(rounded), strict=True):
    np.testing.assert_array_equal(a, b)


def test_what_lost_nothing_bears_the_same_mark(runs, tmp_path):
  run = runs / "clone"
  lossless = _export(run, tmp_path / "a", "float32")
  rounded = _export(run, tmp_path / "b")
  mark = inputs.fingerprint(str(run))
  assert inputs.fingerprint(lossless) == mark
  assert inputs.fingerprint(rounded) != mark
  # Out again: the same model, the same mark, the same provenance.
  again = _export(lossless, tmp_path / "c")
  assert inputs.fingerprint(again) == inputs.fingerprint(rounded)
  arrays = [
    (pathlib.Path(f) / model_folders.ARRAYS).read_bytes()
    for f in (again, rounded)
  ]
  assert arrays[0] == arrays[1]
  assert run_directory.read_config(again)["exported"]["made"] == (
    exporting.facts(rounded)
  )


def _evaluated(folder, marks, **result):
  folder.mkdir()
  values = {"stage": "evaluate_dreams", "players": marks, "seed": 3}
  json_store.write_json(folder / "config.json", whole_files.seal(values))
  whole = {"players": {}, "gains": {}, "steps": 15, "starts": 4}
  whole |= {"episodes": 2, "plays": 4, "dreams": 8}
  json_store.write_json(
    folder / "result.json", whole_files.seal(whole | result)
  )
  return folder


def test_the_card_tells_how_it_was_made_and_what_was_measured(runs, tmp_path):
  mark = inputs.fingerprint(str(runs / "policy"))
  row = {"dreamt": 1.5, "real": 1.25, "other_luck": 0.9}
  row["correlation"] = {"value": 0.91, "low": 0.85, "high": 0.95}
  players = {"mine": {"returns": {"all": row}, "events": {}}}
  result = _evaluated(tmp_path / "d", {"mine": mark}, players=players)
  out = _export(runs / "policy", tmp_path / "it", result=[str(result)])
  card = (pathlib.Path(out) / "README.md").read_text()
  assert card.startswith("---\nlicense: apache-2.0\n")
  for text in (
    "python -m experiments.train_policy --workdir=policy",
    "0123456789ab",
    "seed 0, 5 updates",
    "python -m experiments.export_model --checkpoint=policy --out=it",
    "| mine | all | 1.50 | 1.25 | 0.91 [0.85, 0.95] | 0.90 |",
    made.rom().sha1,
    "them before rounding",
  ):
    assert text in card
  assert str(tmp_path) not in card and str(runs) not in card
  (one,) = exporting.read_results(out)
  assert one["result"]["players"] == players and one["seed"] == 3


def test_numbers_of_another_model_are_refused(runs, tmp_path):
  other = {"config": "0" * 16, "step": 5}
  result = _evaluated(tmp_path / "d", {"mine": other})
  with pytest.raises(ValueError, match=r"--result=.*measured on"):
    _export(runs / "policy", tmp_path / "it", result=[str(result)])
  assert not (tmp_path / "it").exists()
  with pytest.raises(ValueError, match="a run of policy, expected evaluate"):
    _export(runs / "policy", tmp_path / "it", result=[str(runs / "policy")])


@pytest.mark.parametrize(
  ("name", "out", "message"),
  [
    ("Bad Name", "it", "--name='Bad Name'"),
    ("good", ".", "is there already"),
  ],
)
def test_bad_input_is_a_line(runs, tmp_path, name, out, message):
  (tmp_path / "mine.txt").write_text("kept")
  with pytest.raises(ValueError, match=message):
    _export(runs / "policy", tmp_path / out, name=name)
  assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failure_leaves_no_half_of_a_model(runs, tmp_path, monkeypatch):
  def fail(*_):
    raise OSError("no room")

  monkeypatch.setattr(model_card, "write", fail)
  with pytest.raises(OSError, match="no room"):
    _export(runs / "policy", tmp_path / "it")
  assert not list(tmp_path.iterdir())


def test_pictures_of_other_games_are_noted(runs, tmp_path):
  out = pathlib.Path(_export(runs / "clone", tmp_path / "it"))
  assert model_card.notes(out) == []
  config = {**run_directory.read_config(out), "roms": ["ab" * 20]}
  json_store.write_json(out / "config.json", whole_files.seal(config))
  (note,) = model_card.notes(out)
  assert "ab" * 20 in note and "no practice cartridge" in note


@pytest.fixture
def package(runs, tmp_path, monkeypatch):
  """A package that one model comes with; one stands elsewhere."""
  monkeypatch.setattr(shipped, "FOLDER", tmp_path / "models")
  out = _export(runs / "policy", tmp_path / "models" / "chapter_one")
  elsewhere = tmp_path / "elsewhere"
  elsewhere.mkdir()
  monkeypatch.chdir(elsewhere)
  return out


def test_a_name_stands_for_the_folder(package):
  assert shipped.names() == ["chapter_one"]
  assert inputs.fingerprint("chapter_one") == inputs.fingerprint(package)
  assert inputs.load_agent("chapter_one").config == inputs.load_config(package)
  assert inputs.choose_step("chapter_one", "latest") is None
  with pytest.raises(ValueError, match=r"models by name: \['chapter_one'\]"):
    inputs.load_config("chapter_two")
  # What lies where one stands comes first.
  shutil.copytree(package, "chapter_one")
  assert shipped.find("chapter_one") == pathlib.Path("chapter_one")


def test_play_dream_without_arguments_takes_what_there_is(package):
  assert play_dream._which() == (None, "chapter_one")
  models.check(*play_dream._which())
  with flagsaver.flagsaver(policy="mine"):
    assert play_dream._which() == (None, "mine")
  shutil.rmtree(package)
  with pytest.raises(ValueError, match=r"^no model comes with this package"):
    play_dream._which()


def test_a_command_that_was_told_nothing_says_one_line(tmp_path):
  if shipped.names():
    pytest.skip("a model comes with the package")
  done = subprocess.run(
    [sys.executable, "-m", "experiments.play_dream"],
    cwd=tmp_path,
    env=os.environ | {"PYTHONPATH": str(conftest.ROOT)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2
  assert len(done.stderr.strip().splitlines()) == 1
  assert "--policy=DIR" in done.stderr
