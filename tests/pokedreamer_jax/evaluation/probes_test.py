"""Probes find what is in the features, where it is, and nothing else."""

import json

import jax
import numpy as np

from pokedreamer_jax.evaluation import probes
from pokedreamer_jax.world_model import model as world_model


def _rows(count, seed):
  """Badges stand in the tokens, money in `deter` as a product of two signs."""
  rng = np.random.default_rng(seed)
  rows = {name: rng.integers(0, 3, count) for name in probes.TARGETS}
  signs = rng.choice([-1.0, 1.0], size=(count, 2))
  rows["money"] = np.where(signs.prod(axis=1) > 0, 700, 300)
  rows["capture_items"] = np.zeros(count, int)
  noise = rng.normal(size=(count, 4)) * 0.1
  hot = np.eye(3)[rows["badges"]]
  count_up = np.eye(3)[rows["dex_owned"]]
  return rows, world_model.State(
    deter=np.concatenate([signs, noise], axis=1),
    stoch=count_up,
    tokens=np.concatenate([hot, np.ones((count, 1))], axis=1),
  )


def test_each_part_gives_what_it_holds():
  (rows, state), (truth, held_out) = _rows(600, 0), _rows(300, 1)
  found = probes.measure(
    *(jax.random.key(0), state, rows, held_out, truth),
    *(np.arange(300) // 30, 50),
  )
  json.dumps(found, allow_nan=False)
  assert (found["training_rows"], found["rows"]) == (600, 300)
  share = lambda name, kind, part: found["targets"][name]["probes"][kind][part][
    "mean"
  ]
  for kind in probes.KINDS:
    for part in ("all", "tokens"):
      assert share("badges", kind, part) == 1.0
    assert share("badges", kind, "without tokens") < 0.5
    assert share("dex_owned", kind, "stoch") == 1.0
    assert share("dex_owned", kind, "deter") < 0.5
    assert share("event_flags", kind, "all") < 0.5
    assert share("capture_items", kind, "all") == 1.0  # the only class
  # No line parts the product of two signs.
  assert share("money", "linear", "deter") < 0.65
  assert share("money", "hidden layer", "deter") > 0.95
  assert found["targets"]["money"]["classes"] == 2
  most = np.bincount(rows["badges"]).argmax()
  np.testing.assert_allclose(
    found["targets"]["badges"]["majority"]["mean"],
    (truth["badges"] == most).mean(),
  )


def test_many_values_are_parted_into_bins_of_equal_numbers():
  values = np.random.default_rng(0).permutation(np.arange(1000, 2000))
  classes = probes._classes(values)
  assert len(classes) == 16 and classes[0] == 1000
  numbers = probes._numbers(classes, values)
  counts = np.bincount(numbers)
  assert counts.min() > 55 and counts.max() < 70
  few = probes._classes(np.array([3, 3, 9, 5]))
  assert few.tolist() == [3, 5, 9]
  held_out = np.array([2, 3, 4, 5, 8, 9, 100])
  assert probes._numbers(few, held_out).tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_a_model_without_tokens_is_probed_without_them():
  rows, state = _rows(100, 0)
  state = state.replace(tokens=np.zeros((100, 0)))
  found = probes.measure(
    *(jax.random.key(0), state, rows, state, rows, np.arange(100), 20)
  )
  for kinds in found["targets"].values():
    for parts in kinds["probes"].values():
      assert set(parts) == {"all", "without tokens", "deter", "stoch"}
