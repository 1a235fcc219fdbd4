import json

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest

from experiments import benchmark_training
from experiments.speed import training_speed
from experiments.speed import turns
from pokedreamer_jax import specs


@pytest.mark.slow  # it compiles without a cache, to tell how long that takes
def test_a_round_of_a_small_model(tmp_path, capsys):
  flags.FLAGS.mark_as_parsed()
  path = tmp_path / "speed.json"
  with flagsaver.flagsaver(
    presets="debug", rounds=2, updates=1, json=str(path), batches="debug=2x3"
  ):
    benchmark_training.main()
  row = json.loads(path.read_text())["models"]["debug"]
  assert row["batch"] == [2, 3]
  assert row["repeats"] == 2
  assert row["compile_s"] > 0 and row["flops"] > 1e6
  assert row["frames_per_s"] == pytest.approx(6 * row["updates_per_s"])
  assert 0 < row["share_of_peak"] < 1
  assert "debug" in capsys.readouterr().out


def test_a_recorded_run_is_held_against_updates_in_units_of_the_peak():
  timings = lambda update, peak: benchmark_training._timings(
    turns, {"tiny": [[update, update]] * 3}, {"tiny": [peak] * 3}
  )
  recorded = {"timings": timings(1.0, 100e9)}
  # The machine has half of its speed, and the update a third.
  (line,) = turns.changes(recorded, timings(3.0, 50e9))
  assert line.startswith("tiny: SLOWER, 1.50")
  (line,) = turns.changes(recorded, timings(2.0, 50e9))
  assert line.startswith("tiny: as before")


@pytest.mark.parametrize("text", ["v2", "v2=3", "v2=0x4", "v2=axb"])
def test_sizes_are_checked(text):
  with pytest.raises(ValueError, match="--batches"):
    benchmark_training._sizes(text, ["v2"])


def test_the_batch_is_what_the_loader_gives():
  batch = training_speed.random_batch(2, 5)
  assert batch.pop("first_action_tm1").shape == (2,)
  for row in range(2):
    assert specs.check_steps({k: v[row] for k, v in batch.items()}) == 5
  assert len(np.unique(batch["frame"])) > 100


def test_ratios_are_of_neighbours_in_time():
  # Round two was slow for both: the ratio stays.
  ours, theirs = [[1.0, 1.0], [4.0, 4.0]], [[2.0, 2.0], [8.0, 8.0]]
  ratio = training_speed.median_ratio(ours, theirs)
  assert (ratio["ratio"], ratio["ratio_low"], ratio["ratio_high"]) == (2, 2, 2)
