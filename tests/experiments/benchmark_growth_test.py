"""Laws of curves, records that are what they say, and bad input."""

import numpy as np
import pytest

from data_tools.records import generations
from data_tools.records import loader
from experiments import benchmark_growth
from experiments.speed import growth_jobs


def test_exponents_are_those_of_power_laws():
  sizes = [10, 100, 1000]
  assert growth_jobs.law(sizes, [3.0 * s**1.5 for s in sizes]) == (
    pytest.approx(1.5)
  )
  # A fixed cost hides at small sizes what the end shows.
  values = [100.0 + 0.01 * s**2 for s in sizes]
  assert growth_jobs.law(sizes, values) < 1.1
  assert growth_jobs.last_step(sizes, values) > 1.5
  assert np.isnan(growth_jobs.law([10], [1.0]))


def test_what_grows_worse_than_linear_is_marked():
  rows = {
    size: {"good_s": 2.0 * size, "bad_s": 1e-3 * size**1.3}
    for size in (10, 100, 1000)
  }
  good, bad = benchmark_growth.lines(benchmark_growth.curves("steps", rows))
  assert good.startswith("good_s against steps") and "WORSE" not in good
  assert bad.startswith("bad_s against steps") and "WORSE" in bad


def test_synthetic_records_are_whole_and_all_different(tmp_path):
  records = growth_jobs.Records(str(tmp_path))
  steps = growth_jobs.EPISODE_STEPS + 100
  written = records.write(steps)
  generation = generations.freeze(tmp_path)
  assert not generation.skipped
  assert (generation.num_steps, generation.num_episodes) == (steps, 2)
  assert written["bytes"] < 1000 * steps  # packed, as played ones are
  index = loader.EpisodeIndex(generation, "all")
  one, two = (index.read(i, 0, 100, ["frame"])["frame"] for i in (0, 1))
  assert (one != two).any()
  found = records.read()
  assert found["steps"] == steps
  assert all(found[f"{name}_s"] > 0 for name in ("freeze", "batch"))


@pytest.mark.parametrize("text", ["", "10,x", "0"])
def test_sizes_are_checked(text):
  with pytest.raises(ValueError, match="--steps"):
    benchmark_growth.sizes("steps", text)


def test_parts_are_checked():
  with pytest.raises(ValueError, match="--parts: 'disk'"):
    benchmark_growth._parts("data,disk")
