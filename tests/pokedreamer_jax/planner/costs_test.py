"""A game's cost is that of the tokens in its trace."""

import pytest

from pokedreamer_jax.planner import costs
from pokedreamer_jax.planner import trace


def test_tokens_of_all_calls_are_charged_at_each_price():
  calls = ((1_000_000, 0), (0, 500_000), (500_000, 500_000))
  lines = tuple(
    {"kind": "call", "tokens_in": tokens_in, "tokens_out": tokens_out}
    for tokens_in, tokens_out in calls
  )
  game = trace.Trace({}, (*lines, {"kind": "end", "tokens_in": 9}), "", True)
  found = costs.of_trace(game, {"a": (2.0, 10.0), "b": (0.5, 0.0)})
  # 1.5 million in, 1 million out.
  assert found == {"a": pytest.approx(13.0), "b": pytest.approx(0.75)}
  assert set(costs.of_trace(game)) >= {"gpt-5-mini", "gemini-2.5-flash"}
