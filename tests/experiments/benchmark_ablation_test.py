"""What pieces bring: counts, differences and the order of the runs."""

import json
import pathlib
import sys

from absl import flags
from absl.testing import flagsaver
import pytest

from experiments import benchmark_ablation
from experiments.reports import text_tables
from experiments.runs import json_store
from experiments.runs import run_directory
from experiments.runs import stages
from experiments.speed import ablation
from pokedreamer_jax.config import presets


def _evaluation(exact: float) -> dict:
  """As much of an evaluation's result as is read; no dialog was recorded."""
  ahead = {"pixels": {"mean": 0.9}, "exact": {"mean": exact}}
  step = {"exact": exact / 2, "tiles": 4 * exact}
  return {
    "breakdown": {
      "mode": {m: {"one_step": ahead} for m in ("overworld", "battle")}
    },
    "one_step": {"moved_overworld_exact": exact},
    "lines": {"dream (most likely)": {"15": step, "50": step}},
  }


@pytest.mark.parametrize("name", ablation.RECIPES)
@pytest.mark.parametrize("preset", ["tiny", "vale"])
def test_every_recipe_is_one_that_can_be_trained(preset, name):
  plain, own = (
    presets.make(preset),
    presets.make(preset, ablation.RECIPES[name]),
  )
  assert (own == plain) == (name == ablation.PRESENT)


def test_a_dear_update_is_made_less_often():
  ratios = {"dear": {"ratio": 1.4}, "cheap": {"ratio": 0.5}}
  counts = ablation.update_counts(ratios, 700)
  assert counts == {"present": 700, "dear": 500, "cheap": 1400}


def test_differences_are_taken_seed_by_seed():
  # Seeds differ by more than recipes: the mean alone would not tell.
  present = {0: 0.5, 1: 0.75, 2: 0.25}
  other = {0: 0.5625, 1: 0.8125}  # the third is not done yet
  found = {
    name: {s: ablation.measures(_evaluation(e)) for s, e in seeds.items()}
    for name, seeds in {"present": present, "block_mix": other}.items()
  }
  rows = ablation.summed(found)
  assert rows["present"]["measured"]["battle exact"] == [0.5, 0.25, 0.75]
  assert "dialog exact" not in rows["present"]["measured"]
  less = rows["block_mix"]["less_present"]
  assert less["moved exact"] == [0.0625, 0.0625, 0.0625]
  assert less["tiles @50"] == [0.25, 0.25, 0.25]
  told = {"updates": 700, "cpu_ratio": 1.0}
  shown = ablation.tables(
    {name: {**row, **told, "seeds": found[name]} for name, row in rows.items()}
  )
  text = "\n".join(text_tables.plain_tables(shown))
  assert "0.50 [0.25 0.75]" in text and "+0.06 [+0.06 +0.06]" in text
  for table in shown:
    assert {len(row) for row in table.rows} == {len(table.header)}


def test_json_is_spread_to_a_depth(tmp_path):
  value = {"a": {"b": {"c": [1, 2]}, "d": {}}, "e": None}
  for depth, lines in ((0, 1), (1, 4), (2, 7), (None, 12)):
    json_store.write_json(tmp_path / "x.json", value, depth=depth)
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == value
    assert len(text.splitlines()) == lines, depth


class _Machine:
  """In place of the processes: leaves results, stops where it is told to."""

  def __init__(self, stop_at: int = -1):
    self.commands: list[str] = []
    self.stop_at = stop_at

  def run(self, stage: stages.Stage, log_path: pathlib.Path) -> stages.Outcome:
    del log_path
    if len(self.commands) == self.stop_at:
      return stages.Outcome(130, 0.0, 0, 2)
    self.commands.append(stage.command)
    folder = stage.done.parent
    with run_directory.open_run(folder, stage.name, {}, graceful=False) as run:
      run.finish(_evaluation(len(self.commands) / 100))
    return stages.Outcome(0, 0.0, 0, None)


def test_it_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
  flags.FLAGS.mark_as_parsed()
  asked = []

  def cpu_ratios(preset, given, names, rounds, turn):
    asked.append(names)
    row = {"ratio": 1.25, "cpu_ms": 80.0, "parameters": 7}
    return dict.fromkeys(names, row)

  monkeypatch.setattr(ablation, "cpu_ratios", cpu_ratios)
  path = tmp_path / "found.json"
  monkeypatch.setattr(sys, "argv", ["verb", "--flag"])
  made = []
  for machine in (_Machine(stop_at=5), _Machine(), _Machine()):
    monkeypatch.setattr(stages, "run", machine.run)
    with flagsaver.flagsaver(
      **{"workdir": str(tmp_path / "runs"), "data_dir": "d0,d1"},
      **{"seeds": "3,4", "recipes": "own_tokens", "updates": 100},
      **{"json": str(path), "preset": "tiny", "set": ["train.batch_size=4"]},
    ):
      made.append((benchmark_ablation.main(), machine.commands))
    if machine.stop_at > 0:  # the second seed's present recipe was not measured
      assert list(
        json.loads(path.read_text())["recipes"]["present"]["seeds"]
      ) == ["3"]
  assert [code for code, _ in made] == [130, 0, 0]
  assert [len(commands) for _, commands in made] == [5, 3, 0]
  first = made[0][1]
  assert "--data_dir=d0" in first[0] and "--seed=3" in first[0]
  assert "train.steps=100" in first[0] and "train.batch_size=4" in first[1]
  assert "train.steps=80" in first[2] and "error_share=0.1" in first[2]
  assert "detail=quick" in first[3] and "--data_dir=d1" in first[4]
  result = json.loads(path.read_text())["recipes"]
  # The eighth command against the sixth, and the fourth against the second.
  assert result["own_tokens"]["less_present"]["moved exact"][0] > 0
  assert set(result["own_tokens"]["seeds"]) == {"3", "4"}
  assert "own_tokens" in capsys.readouterr().out
  # A further recipe joins; other updates would be another comparison.
  machine = _Machine()
  monkeypatch.setattr(stages, "run", machine.run)
  same = {"workdir": str(tmp_path / "runs"), "set": ["train.batch_size=4"]}
  more = {"recipes": "own_tokens,block_mix", "data_dir": "d0,d1", **same}
  with flagsaver.flagsaver(**more, seeds="3,4", updates=100):
    assert benchmark_ablation.main() == 0
  assert ["block_mix" in text for text in machine.commands] == [True] * 4
  assert asked == [["own_tokens"], ["block_mix"]]
  with (
    flagsaver.flagsaver(**more, seeds="3,4", updates=101),
    pytest.raises(ValueError, match="updates"),
  ):
    benchmark_ablation.main()


@pytest.mark.parametrize(
  ("data", "seeds", "words"),
  [("a", "0,x", "--seeds=0,x"), ("a,b", "0", "2 directories")],
)
def test_seeds_and_their_records(data, seeds, words):
  assert benchmark_ablation._data_by_seed("a", "5,6") == {5: "a", 6: "a"}
  assert benchmark_ablation._data_by_seed("a,b", "5,6") == {5: "a", 6: "b"}
  with pytest.raises(ValueError, match=words):
    benchmark_ablation._data_by_seed(data, seeds)
