"""What is written and counted about a game's planner: trace, log, numbers."""

from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import budget as budget_lib
from pokedreamer_jax.planner import caller
from pokedreamer_jax.planner import leading
from pokedreamer_jax.planner import llm
from pokedreamer_jax.planner import offline
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import trace as trace_lib

Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Asked:
  """A request and why it was made."""

  step: int
  reason: str
  request: schema.Request


class Ledger:
  """Writes each line before what it says has an effect."""

  def __init__(
    self,
    writer: trace_lib.Writer,
    log: Log,
    planner: caller.Planner | None,
    budget: budget_lib.Budget | None,
  ):
    self.writer, self._log = writer, log
    self._planner, self._budget = planner, budget
    self._done: Counter[str] = Counter()
    self._asked: Counter[str] = Counter()
    self._outcomes: dict[str, Counter[str]] = {}  # by kind of goal
    self._errands: dict[str, Counter[str]] = {}  # by kind of errand
    self._led: Counter[str] = Counter()  # goals that the driver named

  def start(
    self,
    replayed: bool,
    knowledge_sha256: str,
    config: Any,
    about: Mapping[str, Any],
    state_fields: Sequence[str] | None = requests.STATE_FIELDS,
  ) -> None:
    """The first line; `state_fields` are None where a replay does not know."""
    name = self._planner.name if self._planner else offline.NAME
    self.writer.write(
      "start",
      format=trace_lib.FORMAT,
      **({"state_fields": list(state_fields)} if state_fields else {}),
      planner="replay" if replayed else name,
      model=self._planner.model if self._planner else "",
      knowledge_sha256=knowledge_sha256,
      config=dataclasses.asdict(config),
      about=dict(about),
    )

  def note(self, text: str, step: int) -> None:
    """One line for a person, and the same in the trace."""
    self.writer.write("note", env_step=step, text=text)
    self._log(f"env step {step}: {text}")

  def goal(self, ended: schema.LastGoal, step: int) -> None:
    """A goal has ended."""
    _add(self._outcomes, ended)
    self.writer.write("goal", env_step=step, **dataclasses.asdict(ended))

  def errand(self, ended: schema.LastGoal, step: int) -> None:
    """An errand has ended."""
    _add(self._errands, ended)
    self.writer.write("errand", env_step=step, **dataclasses.asdict(ended))

  def led(self, reason: str) -> None:
    """The driver named a goal; its line is written."""
    self._led[reason] += 1

  def lead(
    self,
    errand: leading.Errand,
    goal: goal_specs.Goal,
    reason: str,
    state: schema.State,
  ) -> None:
    """The driver names a goal on the way to an errand."""
    self.led(reason)
    self.writer.write(
      "lead",
      env_step=state.env_step,
      state_sha256=requests.state_digest(state),
      reason=reason,
      goal=str(goal),
      errand=str(errand.goal),
      at=None if errand.at is None else list(errand.at),
    )

  def count(self, reason: str, done: str = "") -> None:
    """A planner was asked; or, with `done`, somebody else's line says so."""
    if done != "interim":  # then nobody was asked but the one who bridges
      self._asked[reason] += 1
    if done:
      self._done[done] += 1

  def call(
    self,
    asked: Asked,
    answer: llm.Answer,
    latency_s: float,
    done: str,
    reply: schema.Reply | None,
    step: int,
    pursued: goal_specs.Goal | None = None,
  ) -> None:
    """What came of a request.

    Args:
      asked: the request.
      answer: of the planner; without a reply where it was not asked or failed.
      latency_s: until it was taken.
      done: of `trace.DONE`.
      reply: what is applied on this step; None for nothing.
      step: this env step.
      pursued: the goal from here on, where something is applied.
    """
    self._done[done] += 1
    planner, said = self._planner, reply or answer.reply
    cost = None
    if self._budget:
      cost = self._budget.cost_of(answer.tokens_in, answer.tokens_out)
    self.writer.write(
      "call",
      number=self._done.total(),
      trigger=asked.reason,
      asked_step=asked.step,
      state_sha256=requests.state_digest(asked.request.state),
      request_sha256=requests.digest(asked.request),
      planner=planner.name if planner else offline.NAME,
      model=planner.model if planner else "",
      answered_by=planner.name if planner and answer.reply else offline.NAME,
      latency_s=round(latency_s, 4),
      attempts=answer.attempts,
      tokens_in=answer.tokens_in,
      tokens_out=answer.tokens_out,
      cost_usd=cost,
      fault=answer.fault,
      reply=said.to_trace() if said else None,
      done=done,
      done_step=step,
      applied_step=None if reply is None else step,
      pursued=None if pursued is None else str(pursued),
    )

  def summary(self) -> dict[str, Any]:
    """JSON-ready numbers."""
    budget = self._budget
    return {
      "asked": dict(sorted(self._asked.items())),
      "done": dict(sorted(self._done.items())),
      "led": dict(sorted(self._led.items())),
      "outcomes": {k: dict(v) for k, v in sorted(self._outcomes.items())},
      "errands": {k: dict(v) for k, v in sorted(self._errands.items())},
      "calls": budget.calls if budget else 0,
      "tokens_in": budget.tokens_in if budget else 0,
      "tokens_out": budget.tokens_out if budget else 0,
      "cost_usd": budget.cost_usd if budget else 0.0,
    }


def _add(counts: dict[str, Counter[str]], ended: schema.LastGoal) -> None:
  kind = goal_specs.parse(ended.goal or "no goal", free_text=False).kind
  counts.setdefault(kind, Counter())[ended.outcome] += 1
