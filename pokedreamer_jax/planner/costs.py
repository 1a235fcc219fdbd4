"""What a game would cost at published prices, calculated from its trace."""

from collections.abc import Mapping

from pokedreamer_jax.planner import budget
from pokedreamer_jax.planner import trace as trace_lib


def of_trace(
  trace: trace_lib.Trace,
  prices: Mapping[str, tuple[float, float]] = budget.PRICES,
) -> dict[str, float]:
  """USD of all its calls, by model.

  What the trace counts is what was sent and received: a model that thinks
  before it answers is charged for that too, and says so where it was asked.

  Args:
    trace: of a game with a language model, or a server that counts tokens.
    prices: USD for a million tokens in and out, by model.
  """
  tokens_in = sum(line["tokens_in"] for line in trace.calls)
  tokens_out = sum(line["tokens_out"] for line in trace.calls)
  return {
    model: budget.Prices(*each).cost_usd(tokens_in, tokens_out)
    for model, each in prices.items()
  }
