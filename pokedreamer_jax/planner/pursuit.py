"""The errand that is done, the goal on its way, and what became of both."""

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import leading
from pokedreamer_jax.planner import ledger as ledger_lib
from pokedreamer_jax.planner import progress
from pokedreamer_jax.planner import schema

NONE = goal_specs.NONE
# Why a planner is asked about an errand that led nowhere -> what became of it.
FAILED = {
  "out of time": "out of time",
  "stagnant": "stagnant",
  "still": "stagnant",
}


class Pursuit:
  """One errand and one goal at a time; the end of each is written.

  The goal is what the policy pursues, on the way to the errand or the errand's
  own. Planners hear of errands alone.
  """

  def __init__(self, ledger: ledger_lib.Ledger):
    self._ledger = ledger
    self._since = 0  # the goal
    self._errand_since = 0
    self.goal = NONE
    self.errand = leading.NOTHING
    self.given_at = -1  # env step on which a planner named something last
    self.last = schema.LastGoal(None, "none", 0, None)  # errand
    self.last_ended_at = -1  # env step

  def give(
    self,
    errand: leading.Errand,
    goal: goal_specs.Goal,
    reason: str,
    asked_step: int,
    moment: progress.Moment,
  ) -> None:
    """A planner named an errand, which is done from this row on.

    Args:
      errand: may be the one that is done.
      goal: the first on its way.
      reason: why a planner was asked.
      asked_step: when.
      moment: the row.
    """
    step = moment.state.env_step
    # An interim one is not what a planner was asked about.
    failed = reason in FAILED and self._errand_since <= asked_step
    outcome = FAILED[reason] if failed else "replaced"
    if self.goal != goal:
      self.end(outcome, moment)
    if self.errand != errand:
      self.finish(outcome, moment)
    self._begin(errand, goal, step)
    self.given_at = step

  def lead(
    self,
    errand: leading.Errand,
    goal: goal_specs.Goal,
    reason: str,
    moment: progress.Moment,
  ) -> None:
    """The driver names the next goal; `reason` is of `trace.LED`."""
    self.end(FAILED.get(reason, "replaced"), moment)
    if self.errand != errand:
      self.finish("replaced", moment)
    self._begin(errand, goal, moment.state.env_step)

  def end(self, outcome: str, moment: progress.Moment) -> None:
    """The goal ends, if there is one."""
    if self.goal == NONE:
      return
    ended = self._became(self.goal, self._since, outcome, moment)
    self._ledger.goal(ended, moment.state.env_step)
    self.goal = NONE

  def finish(self, outcome: str, moment: progress.Moment) -> None:
    """The errand ends, if there is one, and so does its goal."""
    self.end("reached" if self._is_own_end(outcome) else "replaced", moment)
    if self.errand == leading.NOTHING:
      return
    goal, since = self.errand.goal, self._errand_since
    self.last = self._became(goal, since, outcome, moment)
    self._ledger.errand(self.last, moment.state.env_step)
    self.last_ended_at = moment.state.env_step
    self.errand = leading.NOTHING

  def last_for(self, reason: str, moment: progress.Moment) -> schema.LastGoal:
    """What a request says of the last errand.

    Where a planner is asked since the present one led nowhere, that is it.
    """
    if reason in FAILED and self.errand != leading.NOTHING:
      goal, since = self.errand.goal, self._errand_since
      return self._became(goal, since, FAILED[reason], moment)
    return self.last

  def _begin(
    self, errand: leading.Errand, goal: goal_specs.Goal, step: int
  ) -> None:
    if self.errand != errand:
      self.errand, self._errand_since = errand, step
    if self.goal != goal:
      self.goal, self._since = goal, step

  def _is_own_end(self, outcome: str) -> bool:
    """Whether the goal is the errand's own, and was reached."""
    return outcome == "reached" and self.goal == self.errand.goal

  def _became(
    self,
    goal: goal_specs.Goal,
    since: int,
    outcome: str,
    moment: progress.Moment,
  ) -> schema.LastGoal:
    steps = moment.state.env_step - since
    return schema.LastGoal(str(goal), outcome, steps, moment.place)
