"""A trace in place of a planner: the same goals on the same env steps.

With the same game, policy and seed that is the same game bit for bit, whatever
named the goals. Each request's state is compared with the one it was made of.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import leading
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import trace as trace_lib

# Fields of states that traces which do not say so may lack: they came later.
_LATER = ("enemy_species", "enemy_is_new")


@dataclasses.dataclass(frozen=True)
class Due:
  """A goal that is pursued from a step on."""

  errand: leading.Errand
  goal: goal_specs.Goal
  line: Mapping[str, Any]  # of kind call or lead


class Replay:
  """Goes through a trace once, with one game."""

  def __init__(self, trace: trace_lib.Trace):
    self._lines = [
      line for line in trace.lines if line["kind"] in ("call", "lead")
    ]
    self._next = 0
    # Where an errand was done for good; None where traces tell of goals alone.
    self._finished: set[int] | None = None
    if "state_fields" in trace.start:
      self._finished = {
        line["env_step"]
        for line in trace.lines
        if line["kind"] == "errand" and line["outcome"] == "reached"
      }
    self._digests: dict[int, str] = {
      line.get("asked_step", line.get("env_step")): line["state_sha256"]
      for line in self._lines
    }
    self.state_fields = trace.start.get("state_fields")  # None: not told
    self._fields = _may_be_of(self.state_fields)
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
      # An older trace is of one of these; which, its first digest tells.
      self._fields = [
        fields
        for fields in self._fields
        if requests.state_digest(state, fields) == expected
      ]
      if not self._fields:
        self._told["differs"] = True
        return f"replay: the game differs from its trace at env step {step}"
    over = step > self._last_step and not self._whole
    if over and not self._told["ends"]:
      self._told["ends"] = True
      return f"replay: the trace was cut after env step {self._last_step}"
    return ""

  def finishes(self, step: int) -> bool:
    """Whether an errand that is done on a step ended there, not went on."""
    return self._finished is None or step in self._finished

  def due(self, step: int, writer: trace_lib.Writer) -> Iterator[Due]:
    """Goals that were named or applied on a step.

    Args:
      step: env step.
      writer: gets the lines that were due by then, as they are.
    """
    while self._next < len(self._lines):
      line = self._lines[self._next]
      if line.get("done_step", line.get("env_step")) > step:
        return
      self._next += 1
      _copy(line, writer)
      if line["kind"] == "lead":
        yield _due(line, line["errand"], line["at"], line["goal"])
      elif line["applied_step"] is not None:
        reply = line["reply"]
        pursued = line.get("pursued") or reply["goal"]
        yield _due(line, reply["goal"], reply.get("at"), pursued)

  def copy_rest(self, writer: trace_lib.Writer) -> None:
    """Writes the lines that this game did not come to."""
    for line in self._lines[self._next :]:
      _copy(line, writer)
    self._next = len(self._lines)


def _may_be_of(told: Sequence[str] | None) -> list[Sequence[str]]:
  """Which fields digests may be of."""
  if told is None:
    old = [name for name in requests.STATE_FIELDS if name not in _LATER]
    return [requests.STATE_FIELDS, old]
  return [[name for name in told if name in requests.STATE_FIELDS]]


def _due(
  line: Mapping[str, Any], errand: str, at: Sequence[int] | None, goal: str
) -> Due:
  named = goal_specs.parse(errand, free_text=False)
  cell = None if at is None else (at[0], at[1], at[2])
  pursued = goal_specs.parse(goal, free_text=False)
  return Due(leading.Errand(named, cell), pursued, line)


def _copy(line: Mapping[str, Any], writer: trace_lib.Writer) -> None:
  writer.write(**line)
