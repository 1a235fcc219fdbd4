"""Laws of curves, against numpy and by what is known of them."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from experiments.speed import growth_laws


def test_exponents_are_those_of_power_laws():
  sizes = [10, 100, 1000]
  exponent, low, high = growth_laws.law(sizes, [3.0 * s**1.5 for s in sizes])
  assert [exponent, low, high] == pytest.approx([1.5] * 3)
  # A fixed cost hides at small sizes what the end shows.
  values = [100.0 + 0.01 * s**2 for s in sizes]
  assert growth_laws.law(sizes, values)[0] < 1.1
  assert growth_laws.last_step(sizes, values) > 1.5


@pytest.mark.parametrize("count", [3, 4, 7, 12])
def test_exponents_and_intervals_are_those_of_a_regression(count):
  rng = np.random.default_rng(count)
  sizes = np.sort(rng.uniform(1, 1e6, count))
  values = sizes**0.7 * np.exp(rng.normal(0, 0.3, count))
  exponent, low, high = growth_laws.law(sizes, values)
  slope = np.polyfit(np.log(sizes), np.log(values), 1)[0]
  assert exponent == pytest.approx(slope)
  fit = stats.linregress(np.log(sizes), np.log(values))
  half = fit.stderr * stats.t.ppf(0.975, count - 2)
  assert (high - low) / 2 == pytest.approx(half, rel=1e-4)
  assert (high + low) / 2 == pytest.approx(slope)


def test_too_few_points_have_no_law():
  assert all(map(math.isnan, growth_laws.law([10], [1.0])))
  assert all(map(math.isnan, growth_laws.law([10, 20], [1.0, 0.0])))
  exponent, *interval = growth_laws.law([10, 20], [1.0, 4.0])
  assert exponent == pytest.approx(2.0) and all(map(math.isnan, interval))


def test_quantiles_are_those_of_student():
  free = range(1, len(growth_laws._STUDENT) + 1)
  assert growth_laws._STUDENT == pytest.approx(
    [stats.t.ppf(0.975, each) for each in free], abs=1e-4
  )


def test_what_grows_worse_than_linear_is_marked():
  rows = {
    size: {"good_s": 2.0 * size, "bad_s": 1e-3 * size**1.3}
    for size in (1000, 10, 100)
  }
  curves = growth_laws.curves("steps", rows)
  assert curves["good_s against steps"]["sizes"] == [10, 100, 1000]
  good, bad = growth_laws.lines(curves)
  assert good.startswith("good_s against steps") and "WORSE" not in good
  assert bad.startswith("bad_s against steps") and "WORSE" in bad


def test_a_leak_is_found_below_noise_and_a_filling_buffer_is_none():
  rng = np.random.default_rng(0)
  updates = np.arange(50, 10_050, 50)
  noise = rng.normal(0, 1e6, len(updates))
  filled = 5e8 * (1 - np.exp(-updates / 200))
  growth, low, high = growth_laws.drift(updates, filled + noise)
  assert low < 0 < high and abs(growth) < 200
  growth, low, high = growth_laws.drift(
    updates, filled + noise + 1000.0 * updates
  )
  assert 0 < low < 1000 < high and growth == pytest.approx(1000, rel=0.2)


def test_intervals_hold_the_drift_of_walks_as_often_as_they_say():
  rng = np.random.default_rng(1)
  updates, held = np.arange(1, 201), 0
  for _ in range(300):
    walk = np.cumsum(rng.normal(0.5, 1.0, len(updates)))
    _, low, high = growth_laws.drift(updates, walk)
    held += low <= 0.5 <= high
  assert 0.90 < held / 300


def test_a_short_series_has_no_drift():
  with pytest.raises(ValueError, match="49 samples"):
    growth_laws.drift(range(49), range(49))


def test_what_is_not_known_is_null_in_json():
  curve = {
    "exponent": 1.0,
    "interval": (math.nan, 2.0),
    "all": [{"a": math.nan}],
  }
  found = growth_laws.as_json(curve)
  assert found == {
    "exponent": 1.0,
    "interval": [None, 2.0],
    "all": [{"a": None}],
  }
  json.dumps(found, allow_nan=False)
