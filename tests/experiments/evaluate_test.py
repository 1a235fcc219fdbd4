"""`evaluate --what=world_model` on a model of a few updates, in full detail.

The model has an atlas, so that its pictures are there too.
"""

import json
import os
import subprocess
import sys

import pytest

from data_tools.records import generations
from data_tools.records import loader
from experiments.evaluating import world_models
from experiments.reports import blind_tables
from experiments.runs import inputs
from pokedreamer_jax.config import presets
from tests.data_tools import fakes as data_fakes


def _run(module, *arguments):
  return subprocess.run(
    [*(sys.executable, "-m", f"experiments.{module}"), *arguments],
    capture_output=True,
    text=True,
    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
  )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """Recorded data and a world model of two updates."""
  folder = tmp_path_factory.mktemp("trained")
  data, model = folder / "data", folder / "model"
  preset = "--preset=debug"
  for done in (
    _run("collect_data", preset, "--seed=2", f"--workdir={data}"),
    _run(
      *("train_rssm", preset, f"--data_dir={data}", f"--workdir={model}"),
      *("--set=train.steps=2", "--set=world_model.atlas=counted"),
      "--set=train.leave_out_maps=1",
    ),
  ):
    assert done.returncode == 0, done.stderr
  return data, model


def _evaluate(trained, workdir, *arguments):
  data, model = trained
  return _run(
    *("evaluate", "--what=world_model", "--preset=debug"),
    *(f"--data_dir={data}", f"--world_model={model}", f"--workdir={workdir}"),
    *arguments,
  )


def test_full_detail_measures_everything_and_draws_it(trained, tmp_path):
  done = _evaluate(trained, tmp_path)
  assert done.returncode == 0, done.stderr
  result = json.loads((tmp_path / "result.json").read_text())
  assert (result["ram"], result["detail"]) == ("given", "full")
  assert {"emulator, other luck", "random walk", "real frames"} <= set(
    result["lines"]
  )
  for part in ("moved", "calm"):
    assert set(result[part]["counts"]) == {"1", "5", "15"}
  rows = result["unseen"]
  assert (
    rows["never"]["one_step_rows"] + rows["seen"]["one_step_rows"]
    == (result["one_step"]["rows"])
  )
  # Recorded episodes are too short for so long a state: new ones are played.
  carried = result["carried"]
  assert "new episodes" in carried["source"]
  assert (carried["carried_rows"], carried["episodes"]) == (40, 2)
  assert result["latent_use"]["posterior"]["exact"]["own"]["count"] > 0
  assert result["reader"]["right"]["mean"] == 1.0
  assert result["changed_cells"]["rows"] > 0
  left_out = result["left_out"]
  assert (left_out["maps"], left_out["pooled"]["rows"] > 50) == ([1], True)
  assert left_out["pooled"] == left_out["map"]["1"]
  once, every = left_out["filled"].values()
  assert 0 < once["views"] < every["views"] < every["rows"]
  assert set(left_out["gains"]) == {
    f"{name}, {how}"
    for name in left_out["filled"]
    for how in ("sampled", "most likely", "tokens told")
  }
  heads, probes = (result["serves_play"][name] for name in ("heads", "probes"))
  assert heads["rows"] > 0 and "end" in heads["terms"]
  assert probes["targets"]["money"]["majority"]["mean"] > 0
  curve = result["curves"]["tiles"]["emulator, other luck"]
  assert curve["steps"] == list(range(1, 17))
  atlas = result["atlas"]
  assert atlas["all"]["same"] > 0.9 * atlas["all"]["known"] > 100
  assert 0 < atlas["errors"]["rows"] <= result["one_step"]["rows"]
  assert (
    atlas["errors"]["rows"] >= atlas.get("errors_at_large", {"rows": 0})["rows"]
  )
  drawn = ("dreams.png", "modes.png", "drift.png")
  for name in (*drawn, "atlas.png", "atlas_errors.png"):
    assert (tmp_path / name).stat().st_size > 1000, name
  text = (tmp_path / "table.txt").read_text()
  said = " ".join(done.stdout.split())  # lines are wrapped to the terminal
  for title in (
    *("Fidelity", "Calm windows", "By mode", "Carried states"),
    *("The atlas", "Cells dreamed worst"),
    *("Cells that change", "Maps left out of training"),
    *("Events as the heads see them", "Story and inventory in the features"),
  ):
    assert title in text
    assert title.lower() in said
  assert "Dreams against the game" in done.stdout

  # The same again prints the result; another reading of the memory is another
  # measurement.
  again = _evaluate(trained, tmp_path)
  assert again.returncode == 0
  assert "parts" not in again.stderr + again.stdout
  other = _evaluate(trained, tmp_path, "--ram=inferred")
  assert other.returncode == 2
  assert "ram" in other.stderr


def test_a_model_of_given_tokens_is_measured_with_inferred_ones(
  trained, tmp_path
):
  done = _evaluate(
    *(trained, tmp_path, "--ram=inferred", "--set=evaluate.detail=quick")
  )
  assert done.returncode == 0, done.stderr
  result = json.loads((tmp_path / "result.json").read_text())
  assert (result["ram"], result["detail"]) == ("inferred", "quick")
  assert not {"calm", "carried", "serves_play"} & set(result)
  assert result["left_out"]["pooled"]["rows"] > 50
  # Tokens are guessed by a model of two updates: the floor is off.
  assert result["lines"]["floor (posterior)"]["15"]["tiles"] > 0
  assert "inferred" in done.stdout


def test_a_way_of_reading_that_the_model_does_not_know_is_refused(
  trained, tmp_path
):
  done = _evaluate(trained, tmp_path, "--ram=off")
  assert done.returncode == 2
  assert "--ram=off" in done.stderr
  assert "given, inferred or place" in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
  "trained_with,ram,expected",
  [
    ("given", "inferred", "inferred"),
    ("given", "place", "place"),
    ("inferred", "given", "given"),
    ("given", None, "given"),
    ("off", "off", "off"),
    ("off", None, "off"),
  ],
)
def test_tokens_may_be_given_or_inferred(trained_with, ram, expected):
  config = presets.make("debug", [f"world_model.ram={trained_with}"])
  assert inputs.with_ram(config, ram).world_model.ram == expected


def test_a_model_without_tokens_stays_so():
  config = presets.make("debug", ["world_model.ram=off"])
  with pytest.raises(ValueError, match="trained with off, expected off"):
    inputs.with_ram(config, "given")


@pytest.mark.parametrize(("shards", "shared"), [(3, 0), (1, 1)])
def test_models_of_parts_are_measured_on_what_none_was_trained_on(
  tmp_path, shards, shared
):
  episodes = [(number, 40, "random") for number in range(8)]
  data_fakes.write(tmp_path, "a", episodes, per_shard=1)
  part = generations.freeze(tmp_path, max_shards=shards)
  trained = loader.EpisodeIndex(part, "train")
  # One episode alone is for training, and the first of all that is held out.
  if shared:
    with pytest.raises(ValueError, match=f"trained on {shared}, such as"):
      world_models.all_data(part, trained)
  else:
    whole = world_models.all_data(part, trained)
    assert whole.digest == generations.freeze(tmp_path).digest != part.digest
    held_out = loader.EpisodeIndex(whole, "val").headers
    assert held_out and not set(held_out) & set(trained.headers)


@pytest.mark.slow  # half a minute of processor time
def test_dreams_are_judged_beside_the_game_and_beside_broken_ones(
  trained, tmp_path
):
  done = _evaluate(
    *(trained, tmp_path, "--what=blind", "--set=evaluate.blind_pairs=8")
  )
  assert done.returncode == 0, done.stderr
  result = json.loads((tmp_path / "result.json").read_text())
  assert result["seen_rows"] > 0 and result["episodes"] >= 2
  assert set(result["kinds"]) == set(blind_tables.SAID)
  for kind, found in result["kinds"].items():
    assert set(found) == {"7", "25", "75"}, kind
    assert found["75"]["pairs"] == result["pairs"] <= 8
  # After two updates nobody takes its dreams for the game.
  for kind in (blind_tables.DREAM, blind_tables.BROKEN, blind_tables.NOISY):
    assert result["kinds"][kind]["75"]["share"]["mean"] > 0.5, kind
  assert "never seen" in result["marks"][0]["mark"]
  text = (tmp_path / "table.txt").read_text()
  for part in ("Real or dreamt", "What gives dreams away", "0.5 is a coin"):
    assert part in text
  assert (tmp_path / "blind.png").exists()


def test_tokens_are_held_against_the_rows_that_follow(trained, tmp_path):
  data, model = trained
  words = ("evaluate", "--what=tokens", "--preset=debug", f"--data_dir={data}")
  done = _run(*words, f"--workdir={tmp_path}", "--set=evaluate.token_rows=99")
  assert done.returncode == 0, done.stderr
  result = json.loads((tmp_path / "result.json").read_text())
  assert result["rows"] >= 99  # whole episodes
  found = result["situations"]
  after = sum(found[name]["rows"] for name in found)
  assert after == result["rows"] - result["episodes"]
  assert found["walking"]["alike"] > 10
  assert set(found["walking"]["without"]) == set(result["tokens"])
  seen = result["pictures"]
  assert sum(seen[name]["rows"] for name in seen) == result["rows"]
  assert seen["walking"]["alike"] > 10
  assert [len(row) for row in seen["walking"]["tiles"]] == [20] * 18
  text = (tmp_path / "table.txt").read_text()
  assert "Do tokens and button decide the next tokens?" in text
  assert "Do tokens decide the picture?" in text
  # Those of a model, and none that could be compared.
  done = _run(*words, f"--world_model={model}", f"--workdir={tmp_path / 'its'}")
  assert done.returncode == 0, done.stderr
  done = _run(
    *(*words, f"--workdir={tmp_path / 'none'}"),
    "--set=world_model.tokens=figure_clock:62",
  )
  assert done.returncode == 2
  assert "expected tokens beside clocks" in done.stderr


def test_whose_dreams_are_judged_is_said_once(trained, tmp_path):
  both = _evaluate(
    *(trained, tmp_path, "--what=blind", "--player=policy=chapter_one")
  )
  assert both.returncode == 2
  assert "expected one NAME=DIR, or --world_model=DIR" in both.stderr
  # A policy's world model, of other data than these.
  data, _ = trained
  other = _run(
    *("evaluate", "--what=blind", "--preset=debug", f"--data_dir={data}"),
    *("--player=policy=chapter_one", f"--workdir={tmp_path}"),
  )
  assert other.returncode == 2
  assert "which chapter_one started with" in other.stderr
