"""The trace of a game's planner: one JSON object a line, written as it happens.

Each line is one append, so that after a kill the file is whole up to its last
line; a line is written before what it says has an effect. `read` gives back
whole lines alone and says what it left out.

  start   format, planner, model, knowledge_sha256, config, state_fields (that
          digests are of; absent in older traces), and about the game whatever
          its caller wants to find again
  call    number, trigger, asked_step, state_sha256, request_sha256, planner,
          model, latency_s, attempts, tokens_in, tokens_out, cost_usd, fault,
          answered_by, reply (goal, rationale, predicate; null for none), done
          (of `DONE`), done_step, applied_step (null: nothing was applied),
          pursued: the goal from there on, on the way to what the reply names
          (in older traces absent: it is what the reply names)
  lead    env_step, state_sha256, reason (of `LED`), goal, errand, at: the
          driver named a goal on the way to an errand, and asked nobody
  goal    env_step, goal, outcome, env_steps, stopped_at: an ended goal
  errand  the same of an errand, which is what planners name
  note    env_step, text: what the log said
  end     numbers of the game

Steps are env steps of the game, from 0. Keys of services are in no line.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import itertools
import json
import os
import pathlib
from typing import Any

from pokedreamer_jax import goal_specs
from pokedreamer_jax import json_files

FORMAT = 1
KINDS = ("start", "call", "lead", "goal", "errand", "note", "end")
# What was done with a reply: its goal was applied; it was void when it came;
# the offline planner answered in its place; the game ended first. An interim
# goal is that planner's while an answer is awaited and nothing is pursued. What
# comes while something is done for a battle alone is held until that is over.
DONE = ("applied", "passed", "fallback", "unanswered", "interim", "held")
# Why the driver named a goal: the one before was reached, or led nowhere; the
# game is on another map than the way, or goes on with what a battle held up.
LED = ("reached", "out of time", "stagnant", "still", "strayed", "resumed")
_MOST_BYTES = 1 << 30


class Writer:
  """Appends lines to a trace."""

  def __init__(self, path: str | os.PathLike | None):
    """Begins a file; None writes nowhere.

    Raises:
      FileExistsError: there is one already, which is another game's.
      OSError: it cannot be made.
    """
    self._descriptor = -1
    if path is not None:
      flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
      self._descriptor = os.open(path, flags, 0o644)

  def write(self, kind: str, **values: Any) -> None:
    """Appends one line.

    Raises:
      OSError: the disk is full, or another.
    """
    if self._descriptor < 0:
      return
    text = json.dumps({"kind": kind, **values}, allow_nan=False)
    view = memoryview(text.encode("ascii") + b"\n")
    size = os.fstat(self._descriptor).st_size
    try:
      while view:
        view = view[os.write(self._descriptor, view) :]
    except OSError:
      os.ftruncate(self._descriptor, size)  # half a line would hide the next
      raise

  def close(self) -> None:
    """Makes what was written last."""
    if self._descriptor >= 0:
      os.fsync(self._descriptor)
      os.close(self._descriptor)
      self._descriptor = -1


@dataclasses.dataclass(frozen=True)
class Trace:
  """The lines of a trace."""

  start: Mapping[str, Any]
  lines: tuple[Mapping[str, Any], ...]  # of all kinds but `start`
  remark: str  # what was left out, in one line; "" for nothing
  whole: bool  # its game came to its end

  @property
  def calls(self) -> list[Mapping[str, Any]]:
    """Lines of calls."""
    return [line for line in self.lines if line["kind"] == "call"]


def read(path: str | os.PathLike) -> Trace:
  """Reads a trace back.

  Raises:
    FileNotFoundError: there is none.
    ValueError: no trace, or a line that is no line of one: damage, since a
      kill leaves half a line at the end alone.
  """
  path = pathlib.Path(path)
  *whole, last = json_files.read_bytes(path, _MOST_BYTES).split(b"\n")
  remark = ""
  lines = [_line(path, i, text) for i, text in enumerate(whole, 1)]
  if last:  # without its end: the writer was killed amid it
    remark = f"{path}: half of line {len(whole) + 1} left out, as by a kill"
  if not lines or lines[0]["kind"] != "start":
    raise ValueError(f"{path}: no trace (it does not begin with its start)")
  if lines[0].get("format") != FORMAT:
    raise ValueError(
      f"{path}: format {lines[0].get('format')!r:.40}, expected {FORMAT}"
    )
  _check_fields(path, lines[0].get("state_fields"))
  _check_order(path, lines)
  return Trace(
    start=lines[0],
    lines=tuple(lines[1:]),
    remark=remark,
    whole=lines[-1]["kind"] == "end",
  )


def _line(path: pathlib.Path, number: int, text: bytes) -> dict[str, Any]:
  name = f"{path}: line {number}"
  value = json_files.parse_object(text, name)
  if value.get("kind") not in KINDS:
    raise ValueError(f"{name}: kind {value.get('kind')!r:.40}, not of a trace")
  if value["kind"] == "call":
    _check_call(name, value)
  if value["kind"] == "lead":
    _check(name, value, _LEAD)
    _check_goals(name, (value["goal"], value["errand"]))
    _check_cell(name, value["at"])
  return value


def _check_call(name: str, line: dict[str, Any]) -> None:
  _check(name, line, _CALL)
  if line["done"] not in DONE:
    raise ValueError(f"{name}: done is {line['done']!r:.40}")
  if line["applied_step"] is None:
    return
  if line["applied_step"] < line["asked_step"] or line["reply"] is None:
    raise ValueError(f"{name}: applied before it was asked, or without a reply")
  named = line["reply"].get("goal")
  _check_goals(name, (named, line.get("pursued") or named))
  _check_cell(name, line["reply"].get("at"))


def _check(
  name: str, line: dict[str, Any], expected: Mapping[str, tuple[type, ...]]
) -> None:
  for key, kinds in expected.items():
    if key not in line or type(line[key]) not in kinds:
      raise ValueError(f"{name}: {key} is {line.get(key)!r:.40}")


def _check_goals(name: str, goals: Sequence[Any]) -> None:
  for words in goals:
    try:
      goal_specs.parse(words, free_text=False)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
      raise ValueError(f"{name}: no goal ({error})") from None


def _check_cell(name: str, cell: Any) -> None:
  if cell is None:
    return
  whole = isinstance(cell, list) and [type(n) for n in cell] == [int] * 3
  if not whole or not all(0 <= n <= 255 for n in cell):
    raise ValueError(f"{name}: at is {cell!r:.40}, expected map, row, column")


_LEAD: dict[str, tuple[type, ...]] = {
  "env_step": (int,),
  "state_sha256": (str,),
  "reason": (str,),
  "goal": (str,),
  "errand": (str,),
  "at": (list, type(None)),
}
_CALL: dict[str, tuple[type, ...]] = {
  "asked_step": (int,),
  "done_step": (int,),
  "applied_step": (int, type(None)),
  "state_sha256": (str,),
  "trigger": (str,),
  "done": (str,),
  "reply": (dict, type(None)),
}


def _check_fields(path: pathlib.Path, fields: Any) -> None:
  if fields is None:
    return
  if not isinstance(fields, list) or {type(name) for name in fields} != {str}:
    raise ValueError(f"{path}: state_fields is {fields!r:.40}, expected names")


def _check_order(path: pathlib.Path, lines: list[dict[str, Any]]) -> None:
  """Goals are applied in the order of their steps, one a step at most."""
  steps = [
    line["applied_step"]
    for line in lines
    if line["kind"] == "call" and line["applied_step"] is not None
  ]
  if any(b <= a for a, b in itertools.pairwise(steps)):
    raise ValueError(f"{path}: damaged (its goals are not in order)")
