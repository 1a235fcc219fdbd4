"""A trace in place of a planner: the same goals on the same env steps.

With the same game, policy and seed that is the same game bit for bit, whatever
named the goals. Each request's state is compared with the one it was made of.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import trace as trace_lib


class Replay:
  """Goes through a trace once, with one game."""

  def __init__(self, trace: trace_lib.Trace):
    self._calls = list(trace.calls)
    self._next = 0
    self._digests: dict[int, str] = {
      line["asked_step"]: line["state_sha256"] for line in trace.calls
    }
    self._whole = trace.whole
    self._last_step = max(
      [line.get("env_step", 0) for line in trace.lines]
      + [line["done_step"] for line in trace.calls],
      default=0,
    )
    self._told = {"differs": False, "ends": False}

  def compare(self, state: schema.State) -> str:
    """One line, once, where the game is not that of the trace; else ""."""
    step = state.env_step
    expected = self._digests.get(step)
    if expected is not None and not self._told["differs"]:
      if requests.state_digest(state) != expected:
        self._told["differs"] = True
        return f"replay: the game differs from its trace at env step {step}"
    over = step > self._last_step and not self._whole
    if over and not self._told["ends"]:
      self._told["ends"] = True
      return f"replay: the trace was cut after env step {self._last_step}"
    return ""

  def due(
    self, step: int, writer: trace_lib.Writer
  ) -> Iterator[tuple[goal_specs.Goal, Mapping[str, Any]]]:
    """Goals that were applied on a step, each with the line of its call.

    Args:
      step: env step.
      writer: gets the lines of calls that were done by then, as they are.
    """
    while (
      self._next < len(self._calls)
      and self._calls[self._next]["done_step"] <= step
    ):
      line = self._calls[self._next]
      self._next += 1
      _copy(line, writer)
      if line["applied_step"] is not None:
        goal = goal_specs.parse(line["reply"]["goal"], free_text=False)
        yield goal, line

  def copy_rest(self, writer: trace_lib.Writer) -> None:
    """Writes the lines of calls that this game did not come to."""
    for line in self._calls[self._next :]:
      _copy(line, writer)
    self._next = len(self._calls)


def _copy(line: Mapping[str, Any], writer: trace_lib.Writer) -> None:
  writer.write(**line)
