"""Whether a reply is a goal: the one door between a planner and the game.

Whatever a service, a screen or a text says, what comes out of here is a `Reply`
with a goal that can be judged, on a map that was named in the request, or
`Refused` with a line for each fault. Words of a reply are data: nothing reads
them but a person.
"""

from collections.abc import Sequence
from typing import Any
import unicodedata

import numpy as np

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax import json_files
from pokedreamer_jax.planner import json_schema
from pokedreamer_jax.planner import schema

MOST_BYTES = 16384
_SCHEMA = schema.reply_schema()
_VECTOR_TOLERANCE = 1e-4  # of numbers that were printed and read again


class Refused(ValueError):
  """A reply that is no goal; one line a fault, in `faults` each."""

  def __init__(self, faults: Sequence[str]):
    super().__init__("; ".join(faults))
    self.faults = tuple(faults)


def read(text: str | bytes, request: schema.Request) -> schema.Reply:
  """The goal that a reply names.

  Args:
    text: one JSON object of `schemas/reply.json`, UTF-8, nothing around it.
    request: what was asked; it names the maps that there are, and the state.

  Raises:
    Refused: too long, no such object, or a goal that cannot be pursued here.
  """
  data = text.encode("utf-8", "replace") if isinstance(text, str) else text
  if len(data) > MOST_BYTES:
    raise Refused([f"reply: {len(data)} bytes, at most {MOST_BYTES}"])
  try:
    value = json_files.parse(data, "reply")
  except ValueError as error:
    raise Refused([_ascii(str(error))]) from None
  return from_json(value, request)


def from_json(value: Any, request: schema.Request) -> schema.Reply:
  """`read` of a value that JSON gave."""
  faults = json_schema.check(value, _SCHEMA, "reply")
  if faults:
    raise Refused(faults)
  faults = _text_faults(value)
  goal = _goal(value, request, faults)
  if goal is None or faults:
    raise Refused(faults)
  faults += _vector_faults(value.get("goal_embedding"), goal)
  faults += goal_faults(goal, request)
  if faults:
    raise Refused(faults)
  return schema.Reply(goal, " ".join(value["rationale"].split()))


def goal_faults(
  goal: goal_specs.Goal, request: schema.Request, name: str = "reply.goal"
) -> list[str]:
  """Why a goal cannot be pursued in the state of a request; none if it can."""
  state = request.state
  maps = {known.map_id for known in request.maps}
  if goal.map_id is not None and goal.map_id not in maps:
    return [
      f"{name}: map {goal.map_id} is unknown, expected one of {sorted(maps)}"
    ]
  holds = {
    "map": goal.map_id == state.map_id,
    "tile": (goal.map_id, goal.y, goal.x) == (state.map_id, state.y, state.x),
    "own": (goal.number or 0) <= state.dex_owned,
    "level": (goal.number or 0) <= max(state.party_level[:1], default=0),
    "badge": goal.number in state.badges,
  }
  if holds.get(goal.kind):
    return [f"{name}: {str(goal)!r} holds already, expected another goal"]
  return []


def _text_faults(value: dict[str, Any]) -> list[str]:
  faults = []
  if not (value["goal"].isascii() and value["goal"].isprintable()):
    faults.append(
      f"reply.goal: {value['goal']!a:.60}, expected printable ASCII"
    )
  # Marks that turn or hide text are in C, as lone surrogates are.
  hidden = sorted(
    {
      f"U+{ord(c):04X}"
      for c in value["rationale"]
      if unicodedata.category(c).startswith("C") and c not in "\n\t"
    }
  )
  if hidden:
    faults.append(
      f"reply.rationale: holds {hidden[:5]}, expected printable characters"
    )
  return faults


def _goal(
  value: dict[str, Any], request: schema.Request, faults: list[str]
) -> goal_specs.Goal | None:
  """The goal of the words, on which a predicate agrees; else adds faults."""
  names = {known.map_id: known.name for known in request.maps}
  predicate, goal = value.get("predicate"), None
  try:
    goal = None if predicate is None else goal_specs.Goal(**predicate)
  except ValueError as error:
    faults.append(_ascii(f"reply.predicate: {error}"))
    return None
  try:
    said = goal_specs.parse(value["goal"], names, free_text=False)
  except ValueError as error:
    faults.append(_ascii(f"reply.goal: {error}"))
    return None
  if said.kind not in goal_specs.PREDICATES:
    faults.append(f"reply.goal: {str(said)!r} is none, expected a goal")
    return None
  if goal is not None and said != goal:
    faults.append(
      f"reply.goal: {str(said)!r} is not its predicate {str(goal)!r}"
    )
    return None
  return said


def _vector_faults(
  vector: list[float] | None, goal: goal_specs.Goal
) -> list[str]:
  """A vector may be left out; one that is given has to be the goal's."""
  if vector is None:
    return []
  expected = goal_embeddings.embed_goal(goal)
  if np.abs(np.asarray(vector) - expected).max() <= _VECTOR_TOLERANCE:
    return []
  return [
    f"reply.goal_embedding: not the vector of {str(goal)!r}, expected it or "
    "null"
  ]


def _ascii(text: str) -> str:
  """One line, short, and ASCII whatever is in it."""
  line = " ".join(text.split()).encode("ascii", "backslashreplace").decode()
  return line if len(line) <= 300 else line[:300] + "..."
