"""Decisions under a slow planner are told from those without one."""

import numpy as np
import pytest

from experiments import benchmark_agent
from experiments.speed import acting_parts
from pokedreamer_jax.planner import server


def test_only_a_decision_that_the_driver_makes_late_is_late_by_a_call():
  times = benchmark_agent._Times(
    driver=[0.1, 9.0, 9.0, 9.0, 0.1],
    driver_cpu=[0.1, 9.0, 0.1, 9.0, 0.1],
    policy=[8.0, 8.0, 8.0, 8.0, 30.0],
    at_call=[True, True, True, False, True],
  )
  found = benchmark_agent._numbers(times)
  # The second alone: the third waited for the machine, the fourth is at no
  # call, and the last is late without its driver.
  assert found["late_by_a_call"] == 1
  assert (found["late"], found["at_calls_late"]) == (4, 3)
  assert found["driver_cpu_most_ms"] == 9.0
  assert found["most_ms"] == pytest.approx(30.1)


@pytest.mark.parametrize(
  ("rate", "p99", "by_call", "words"),
  [
    (61, 16.6, 0, "debug: fast enough"),
    (59, 9, 0, "NOT"),
    (200, 17, 0, "NOT"),
    (200, 9, 1, "NOT"),
  ],
)
def test_rate_p99_and_none_late_by_a_call_are_wanted(rate, p99, by_call, words):
  row = {"model": "debug", "planner": "slow", "decisions_per_s": rate}
  row |= {"p99_ms": p99, "late_by_a_call": by_call}
  none = row | {"planner": "none", "decisions_per_s": 1}
  (said,) = benchmark_agent.verdicts([none, row])
  assert words in said


def test_calls_are_made_and_answered_meanwhile(monkeypatch):
  monkeypatch.setattr(benchmark_agent, "_TURN", 150)
  agent = acting_parts.fresh_agent("debug", acting_parts.GOALS)
  critic = acting_parts.fresh_critic(agent.config)
  with server.running(always="slow", slow_s=0.05) as (url, behaviour):
    none, slow = benchmark_agent.measure(agent, critic, url, 300)
  assert (none["planner"], none["calls"], none["at_calls"]) == ("none", 0, 0)
  assert slow["planner"] == "slow" and slow["calls"] >= 1
  assert len(behaviour.seen) >= slow["calls"]
  assert 0 < slow["at_calls"] < slow["decisions"]
  assert none["decisions"] == slow["decisions"] == 300
  # Its screenshot is in what was sent.
  assert "iVBORw0KGgo" in str(behaviour.seen[0])
  assert np.isfinite(slow["driver_cpu_p99_ms"])
