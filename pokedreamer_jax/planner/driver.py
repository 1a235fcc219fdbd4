"""Both systems' meeting point: a row in, at times a goal out, never a wait.

`Driver.step` is called once for each env step. The offline planner answers in
that step; a language model is asked in a thread, and what it says is applied on
a later step, which the trace records, so that the trace alone plays the same
game again. While one is awaited and nothing is done, the offline planner gives
an interim errand. What fails is answered by it too; after several failures in a
row it takes over for a while. Each failure is one log line.

Planners name errands. The goals on the way are the driver's own (`leading.py`),
whoever named the errand, and so is going on with it where a goal of the way led
nowhere once, the game has strayed, or a battle for which a planner named
something else is over.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import os
import time
from typing import Any

import numpy as np

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import budget as budget_lib
from pokedreamer_jax.planner import caller as caller_lib
from pokedreamer_jax.planner import knowledge as knowledge_lib
from pokedreamer_jax.planner import leading
from pokedreamer_jax.planner import ledger as ledger_lib
from pokedreamer_jax.planner import llm
from pokedreamer_jax.planner import offline as offline_lib
from pokedreamer_jax.planner import offline_config
from pokedreamer_jax.planner import passing
from pokedreamer_jax.planner import progress as progress_lib
from pokedreamer_jax.planner import pursuit as pursuit_lib
from pokedreamer_jax.planner import replay as replay_lib
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import trace as trace_lib
from pokedreamer_jax.planner import triggers as triggers_lib
from pokedreamer_jax.planner import walking

_NO_ANSWER = llm.Answer(None)
# Asked for these, the same errand again is begun anew from where the game is.
_ANEW = (*pursuit_lib.FAILED, "stuck")
# Asked for these in a battle, an errand may be for that battle alone.
_FOR_BATTLES = ("meets", *_ANEW)


@dataclasses.dataclass(frozen=True)
class DriverConfig:
  """How calls are made and judged."""

  deadline_s: float = 20.0  # of a request: tries, pauses and repair
  # An older answer is void (`passing.py`). A call of 5 s takes a thousand env
  # steps at full speed, in real time twelve.
  most_age_env_steps: int = 2000
  most_failures: int = 3  # in a row: then the offline planner takes over
  rest_env_steps: int = 5000  # for so long; then one more call is tried
  # Cells between the goals on the way to an errand, for policies that read how
  # far off a cell is (`leading.STRIDE`); 0: they are led from map to map.
  stride: int = 0
  switches: schema.Switches = dataclasses.field(default_factory=schema.Switches)
  triggers: triggers_lib.TriggerConfig = dataclasses.field(
    default_factory=triggers_lib.TriggerConfig
  )
  offline: offline_config.OfflineConfig = dataclasses.field(
    default_factory=offline_config.OfflineConfig
  )

  def __post_init__(self):
    if not 0 < self.deadline_s < 600:
      raise ValueError(
        f"driver.deadline_s: {self.deadline_s}, expected above 0, below 600"
      )
    for name in ("most_age_env_steps", "most_failures", "rest_env_steps"):
      if getattr(self, name) < 1:
        raise ValueError(
          f"driver.{name}: {getattr(self, name)}, expected at least 1"
        )
    if self.stride < 0:
      raise ValueError(f"driver.stride: {self.stride}, expected at least 0")


class Driver:
  """Gives one game its goals."""

  def __init__(
    self,
    knowledge: knowledge_lib.Knowledge,
    config: DriverConfig | None = None,
    *,
    planner: caller_lib.Planner | None = None,
    budget: budget_lib.Budget | None = None,
    replay: replay_lib.Replay | None = None,
    map_names: Mapping[int, str] | None = None,
    trace_path: str | os.PathLike | None = None,
    about: Mapping[str, Any] | None = None,
    log: ledger_lib.Log = lambda line: None,
    reach: requests.Reach | None = None,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Nothing is asked yet.

    Args:
      knowledge: from records; may be empty.
      config: how calls are made.
      planner: asked in a thread; None for the offline one alone.
      budget: of the planner.
      replay: gives the goals instead of any planner.
      map_names: map -> name.
      trace_path: a new file; None for none.
      about: of the game, for the first line of the trace; JSON-ready.
      log: takes lines for a person.
      reach: tells how near goals are, in the calling thread.
      clock: seconds, monotonic.

    Raises:
      ValueError: a planner and a replay.
      FileExistsError: there is a trace already.
    """
    if planner is not None and replay is not None:
      raise ValueError("driver: a planner and a replay, expected one")
    self._config = config or DriverConfig()
    self._knowledge = knowledge
    self.reach = reach  # may be set until the first step
    self._budget, self._replay = budget, replay
    self._progress = progress_lib.Progress(map_names)
    self._triggers = triggers_lib.Triggers(self._config.triggers)
    walks, offline = walking.Walks(knowledge), self._config.offline
    self._offline = offline_lib.OfflinePlanner(knowledge, offline, walks)
    self._guide = leading.Guide(
      knowledge, walks, self._config.stride, offline.enough_items
    )
    self._caller = None
    if planner is not None:
      self._caller = caller_lib.Caller(planner, self._config.deadline_s, clock)
    writer = trace_lib.Writer(trace_path)
    self._ledger = ledger_lib.Ledger(writer, log, planner, budget)
    self._ledger.start(
      replay is not None,
      knowledge.sha256,
      self._config,
      about or {},
      replay.state_fields if replay else requests.STATE_FIELDS,
    )
    self._pursuit = pursuit_lib.Pursuit(self._ledger)
    self._asked: ledger_lib.Asked | None = None
    self._gained: set[str] = set()  # since it was asked
    self._failures = 0
    self._rests_until = 0
    self._refusals: set[str] = set()  # budgets whose end the log knows
    self._goal_steps = 0
    # What goes on when a battle is over, for which something else was named.
    self._held_up: leading.Errand | None = None
    self._of_battle = False  # whether what was named last is for a battle

  @property
  def goal(self) -> goal_specs.Goal:
    """What is pursued now; none where nothing is."""
    return self._pursuit.goal

  @property
  def errand(self) -> goal_specs.Goal:
    """What a planner named, and `goal` leads to."""
    return self._pursuit.errand.goal

  def step(
    self,
    row: Mapping[str, np.ndarray],
    reached: bool = False,
    value: float | None = None,
    frame: np.ndarray | None = None,
    done: bool = False,
  ) -> goal_specs.Goal | None:
    """Takes the row of the next env step; returns at once.

    Args:
      row: `progress.FIELDS` of the game, `[...]` each; copied.
      reached: whether arriving at the row reached `goal`.
      value: of `goal`, 0 to 1; None where it is not known.
      frame: the row's `[144, 40]` uint8, for the screenshot; None for none.
      done: whether arriving at the row reached `errand`, which may be another.

    Returns:
      The goal from now on where it is another than before, else None.

    Raises:
      ValueError: fields are missing, or a second episode begins.
      OSError: the trace cannot be written.
    """
    before = self.goal
    moment = self._progress.update(row)
    if not moment.state.game_running:
      return None
    reached = reached and self.goal != goal_specs.NONE
    done = self.errand != goal_specs.NONE and (
      done or (reached and self.goal == self.errand)
    )
    if reached:
      self._pursuit.end("reached", moment)
    if done and self._ends_errand(moment.state):
      self._pursuit.finish("reached", moment)
    if self._replay is not None:
      self._follow(self._replay, moment)
    else:
      self._pursue(moment, value, frame)
    self._goal_steps += self.goal != goal_specs.NONE
    return None if self.goal == before else self.goal

  def _ends_errand(self, state: schema.State) -> bool:
    """Whether an errand that is done has ended, and does not go on."""
    if self._replay is not None:
      return self._replay.finishes(state.env_step)
    return not self._guide.goes_on(state)

  def summary(self) -> dict[str, Any]:
    """JSON-ready numbers of the game so far."""
    moment = self._progress.moment
    return {
      "env_steps": moment.state.env_step + 1 if moment else 0,
      "env_steps_with_goal": self._goal_steps,
      **self._ledger.summary(),
      "knowledge": dataclasses.asdict(self._config.switches),
    }

  def close(self) -> None:
    """Ends the game: what is still awaited is noted, the trace is finished."""
    moment = self._progress.moment
    step = moment.state.env_step if moment else 0
    if self._caller is not None:
      if self._asked is not None:
        answer = llm.Answer(None, "the game ended first")
        self._ledger.call(self._asked, answer, 0.0, "unanswered", None, step)
      if not self._caller.close():
        self._ledger.note("planner: still at a call, left behind", step)
    if moment is not None:
      self._pursuit.end("replaced", moment)
    if self._replay is not None:
      self._replay.copy_rest(self._ledger.writer)
    self._ledger.writer.write("end", **self.summary())
    self._ledger.writer.close()

  def _pursue(
    self,
    moment: progress_lib.Moment,
    value: float | None,
    frame: np.ndarray | None,
  ) -> None:
    """Leads on, or asks; what was reached has ended by now."""
    done = self._pursuit.last_ended_at == moment.state.env_step
    resumes = done and self._held_up is not None
    reason = self._triggers.update(moment, done and not resumes, value)
    self._gained.update(moment.gains)
    if self._held_up is not None and (resumes or self._triggers.battle_over):
      self._resume(self._held_up, "resumed", moment)
    reason = self._collect(moment) or reason
    self._lead(moment)
    was_given = self._pursuit.given_at == moment.state.env_step
    waits = self._caller is not None and self._caller.waits
    if reason in pursuit_lib.FAILED and not was_given:
      reason = None if self._again(reason, moment) else reason
    if waits and self._triggers.tells("meets"):  # whatever waits as well
      reason = "meets"
    if reason == "meets" and self._has_enough(moment.state):
      reason = None
    if reason and not was_given and (not waits or reason == "meets"):
      self._ask(reason, moment, frame)
    if self._asked is not None and self.goal == goal_specs.NONE:
      self._bridge(self._asked, moment)

  def _has_enough(self, state: schema.State) -> bool:
    """Whether species that it meets are let go."""
    return state.dex_owned >= self._config.offline.enough_species

  def _lead(self, moment: progress_lib.Moment) -> None:
    """Names the next goal of the errand, where the one before is over."""
    errand, state = self._pursuit.errand, moment.state
    if errand == leading.NOTHING:
      return
    if self.goal == goal_specs.NONE:
      goal = self._guide.onward(state, reached=True)
      self._name(errand, goal, "reached", moment)
    elif self.goal != errand.goal and self._guide.has_strayed(state):
      goal = self._guide.onward(state)
      if goal != self.goal:
        self._name(errand, goal, "strayed", moment)

  def _again(self, reason: str, moment: progress_lib.Moment) -> bool:
    """Names another goal after one that led nowhere, if there is one."""
    errand = self._pursuit.errand
    if errand == leading.NOTHING:
      return False
    if self._held_up is not None:
      # What was named for a battle did not end it either: in turn with that.
      self._resume(self._held_up, reason, moment)
      return True
    goal = self._guide.again(moment.state, self.goal)
    if goal is None:
      return False
    self._name(errand, goal, reason, moment)
    return True

  def _resume(
    self, errand: leading.Errand, reason: str, moment: progress_lib.Moment
  ) -> None:
    """Goes on with what a battle held up."""
    self._held_up, self._of_battle = None, False
    goal = self._guide.begin(errand, moment.state)
    self._name(errand, goal, reason, moment)

  def _name(
    self,
    errand: leading.Errand,
    goal: goal_specs.Goal,
    reason: str,
    moment: progress_lib.Moment,
  ) -> None:
    """The driver's own goal, from here on."""
    self._ledger.lead(errand, goal, reason, moment.state)
    self._pursuit.lead(errand, goal, reason, moment)
    self._triggers.led(moment.state.env_step)

  def _ask(
    self,
    reason: str,
    moment: progress_lib.Moment,
    frame: np.ndarray | None,
  ) -> None:
    """Asks whoever answers now."""
    step = moment.state.env_step
    request = requests.make(
      self._progress,
      self._knowledge,
      reason,
      self.errand,
      self._pursuit.last_for(reason, moment),
      self._config.switches,
      self.reach,
    )
    asked = ledger_lib.Asked(step, reason, request)
    waits = self._asked is not None  # for an answer to something else
    self._triggers.asked(step, reason if waits else None)
    self._ledger.count(reason)
    # Whom one meets is a standing order: a battle is over before a service
    # has said so.
    if self._caller is None or reason == "meets":
      self._answer_offline(asked, _NO_ANSWER, 0.0, "applied", moment)
      return
    fault = self._refusal(self._caller, step)
    if fault:
      answer = llm.Answer(None, fault)
      self._answer_offline(asked, answer, 0.0, "fallback", moment)
      return
    self._asked = asked
    self._gained.clear()
    self._caller.ask(request, frame)

  def _refusal(self, caller: caller_lib.Caller, step: int) -> str:
    """Why the planner is not asked now; "" where it is."""
    if step < self._rests_until:
      return "the offline planner has taken over"
    if not caller.is_free:
      return "the call before is still under way"
    refusal = self._budget.refusal() if self._budget else ""
    if refusal and refusal not in self._refusals:
      self._refusals.add(refusal)
      self._ledger.note(f"planner: budget ({refusal}), offline answers", step)
    return f"budget: {refusal}" if refusal else ""

  def _collect(self, moment: progress_lib.Moment) -> str | None:
    """Takes an answer that has come; says why to ask again, if it is old."""
    polled = self._caller.poll() if self._caller else None
    if polled is None or self._asked is None:
      return None
    (answer, latency_s), asked = polled, self._asked
    self._asked = None
    step = moment.state.env_step
    if answer.reply is None:
      self._fail(asked, answer, latency_s, moment)
      return None
    self._failures = 0
    if answer.repaired:
      self._ledger.note(f"planner: repaired ({answer.repaired})", step)
    void = passing.why(
      answer.reply.goal,
      asked.request,
      moment.state,
      self._gained,
      self._knowledge,
      self._config.most_age_env_steps,
    )
    if void:
      self._ledger.call(asked, answer, latency_s, "passed", None, step)
      self._ledger.note(f"planner: a reply was dropped: {void}", step)
      return "passed"
    reply = self._placed(answer.reply)
    older = asked.step < self._pursuit.given_at
    apart = older or asked.reason not in _FOR_BATTLES
    if apart and self._of_battle and _fights(moment.state):
      self._held_up = leading.Errand(reply.goal, reply.at)
      self._offline.passed_over()
      self._ledger.call(asked, answer, latency_s, "held", None, step)
      return None
    self._give(asked, answer, latency_s, "applied", reply, moment)
    return None

  def _placed(self, reply: schema.Reply) -> schema.Reply:
    """A reply with where demonstrations did it, if planners may know."""
    if not self._config.switches.walkthrough:
      return reply
    undone = requests.undone(self._knowledge, self._progress)
    at = next((m.at for m in undone if m.goal == reply.goal), None)
    return dataclasses.replace(reply, at=at)

  def _bridge(
    self, asked: ledger_lib.Asked, moment: progress_lib.Moment
  ) -> None:
    """The offline planner's errand until the answer to `asked` is there."""
    state = moment.state
    # Nothing is done at the start alone, and where an errand was.
    reason = "start" if self._pursuit.given_at < 0 else "reached"
    request = dataclasses.replace(asked.request, state=state, trigger=reason)
    reply = self._offline.answer(request, self._progress)
    interim = ledger_lib.Asked(state.env_step, reason, request)
    self._give(
      *(interim, _NO_ANSWER, 0.0, "interim", reply, moment), asked.step
    )

  def _fail(
    self,
    asked: ledger_lib.Asked,
    answer: llm.Answer,
    latency_s: float,
    moment: progress_lib.Moment,
  ) -> None:
    """The offline planner answers in place of one that did not."""
    step = moment.state.env_step
    self._failures += 1
    self._ledger.note(f"planner: {answer.fault}; offline answers", step)
    if self._failures >= self._config.most_failures:
      self._failures = 0
      self._rests_until = step + self._config.rest_env_steps
      self._ledger.note(
        f"planner: {self._config.most_failures} failures in a row, the "
        f"offline planner takes over until env step {self._rests_until}",
        step,
      )
    self._answer_offline(asked, answer, latency_s, "fallback", moment)

  def _answer_offline(
    self,
    asked: ledger_lib.Asked,
    answer: llm.Answer,
    latency_s: float,
    done: str,
    moment: progress_lib.Moment,
  ) -> None:
    """The offline planner's errand, for the moment that is now."""
    request = dataclasses.replace(asked.request, state=moment.state)
    reply = self._offline.answer(request, self._progress)
    # Whoever is awaited knows nothing of what came up since it was asked.
    seen = self._asked.step if self._asked else moment.state.env_step
    self._give(asked, answer, latency_s, done, reply, moment, seen)

  def _give(
    self,
    asked: ledger_lib.Asked,
    answer: llm.Answer,
    latency_s: float,
    done: str,
    reply: schema.Reply,
    moment: progress_lib.Moment,
    seen: int | None = None,
  ) -> None:
    """Does what a planner named from here on.

    Args:
      asked: what it answers.
      answer: of the planner; without a reply where somebody else answers.
      latency_s: until it was taken.
      done: of `trace.DONE`.
      reply: what is named.
      moment: the row.
      seen: the last env step that whoever named it knew of; None is that of
        `asked`.
    """
    state, pursuit = moment.state, self._pursuit
    errand = leading.Errand(reply.goal, reply.at)
    now = answer.reply is None  # by the offline planner, of this very row
    known = state if now else asked.request.state
    if not now:
      self._offline.passed_over()
    self._hold_up(errand, asked.reason, _fights(state) and _fights(known))
    goal = self.goal
    goes_on = errand == pursuit.errand and asked.reason not in _ANEW
    if not goes_on or goal == goal_specs.NONE:
      goal = self._guide.begin(errand, state)
    self._ledger.call(
      asked, answer, latency_s, done, reply, state.env_step, goal
    )
    anew = goal != self.goal
    pursuit.give(errand, goal, asked.reason, asked.step, moment)
    self._triggers.given(
      state.env_step, asked.step if seen is None else seen, anew
    )

  def _hold_up(
    self, errand: leading.Errand, reason: str, in_battle: bool
  ) -> None:
    """Keeps what is done now, if `errand` is named for a battle alone.

    Args:
      errand: what is named.
      reason: why somebody was asked.
      in_battle: whether the game is in one, and was when that was said.
    """
    before = self._pursuit.errand
    self._of_battle = of_battle = in_battle and reason in _FOR_BATTLES
    if not of_battle or errand == self._held_up:
      self._held_up = None
    elif self._held_up is None and before not in (leading.NOTHING, errand):
      self._held_up = before

  def _follow(
    self, replay: replay_lib.Replay, moment: progress_lib.Moment
  ) -> None:
    """The goals of a trace, on the steps on which they were named."""
    step = moment.state.env_step
    differs = replay.compare(moment.state)
    if differs:
      self._ledger.note(differs, step)
    for due in replay.due(step, self._ledger.writer):
      line = due.line
      if line["kind"] == "lead":
        self._ledger.led(line["reason"])
        self._pursuit.lead(due.errand, due.goal, line["reason"], moment)
        continue
      reason = line["trigger"]
      self._ledger.count(reason, line["done"])
      asked = line["asked_step"]
      self._pursuit.give(due.errand, due.goal, reason, asked, moment)


def _fights(state: schema.State) -> bool:
  return state.in_battle in ("wild", "trainer")
