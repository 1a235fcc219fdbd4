"""Decisions are timed one by one, from the host and back to it."""

import time
from unittest import mock

import numpy as np
import pytest

from experiments import benchmark_acting
from experiments.runs import inputs
from experiments.speed import acting_parts
from pokedreamer_jax.config import presets

_S = 0.1  # of the two decisions that take so long


def test_a_slow_decision_shows_in_the_p99_and_not_in_the_p50():
  seen = []

  def make_act(config, world_params, actor_params, greedy):
    assert (world_params, actor_params, greedy) == ("world", "actor", True)

    def act(state, frame, ram, is_first, key):
      assert ram["map_id"].shape == is_first.shape == (3,)
      seen.append((frame[0, 0, 0], is_first.any()))
      if len(seen) in (acting_parts.WARM_UP + k for k in (7, 90)):
        time.sleep(_S)
      return state, np.zeros(3, np.int32)

    return act

  agent = inputs.Agent(presets.make("debug"), "world", "actor")
  with mock.patch("pokedreamer_jax.behaviour.acting.make_act", make_act):
    row = acting_parts.measure(agent, 3, 100, greedy=True)
  assert len(seen) == acting_parts.WARM_UP + 100
  assert [first for _, first in seen] == [True] + [False] * (len(seen) - 1)
  assert len({frame for frame, _ in seen}) > 8
  assert row["p50_ms"] < 1e3 * _S / 2 < row["p99_ms"] <= row["most_ms"]
  assert row["decisions_per_s"] < 100 / (2 * _S)
  assert row["actions_per_s"] == pytest.approx(3 * row["decisions_per_s"])
  assert row["cpu_ms"] < 1e3 * _S  # sleep is no work


@pytest.mark.parametrize(
  ("rate", "p99", "words"),
  [(61, 16.6, "tiny: fast enough"), (59, 9, "NOT"), (200, 17, "NOT")],
)
def test_both_numbers_are_wanted_of_one_player(rate, p99, words):
  row = {"model": "tiny", "players": 1, "decisions_per_s": rate, "p99_ms": p99}
  many = row | {"players": 8, "decisions_per_s": 1}
  (said,) = benchmark_acting.verdicts([row, many])
  assert words in said
