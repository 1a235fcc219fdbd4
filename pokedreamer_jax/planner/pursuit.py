"""The goal that is pursued, and what became of the one before."""

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import ledger as ledger_lib
from pokedreamer_jax.planner import progress
from pokedreamer_jax.planner import schema

NONE = goal_specs.NONE
# Why a planner is asked about a goal that led nowhere -> what became of it.
_FAILED = {
  "out of time": "out of time",
  "stagnant": "stagnant",
  "still": "stagnant",
}


class Pursuit:
  """One goal at a time; its end is written."""

  def __init__(self, ledger: ledger_lib.Ledger):
    self._ledger = ledger
    self._since = 0
    self.goal = NONE
    self.given_at = -1  # env step on which a planner named it last
    self.last = schema.LastGoal(None, "none", 0, None)

  def give(
    self,
    goal: goal_specs.Goal,
    reason: str,
    asked_step: int,
    moment: progress.Moment,
  ) -> None:
    """A goal is pursued from this row on.

    Args:
      goal: may be the one that is pursued.
      reason: why a planner was asked.
      asked_step: when.
      moment: the row.
    """
    step = moment.state.env_step
    if self.goal not in (goal, NONE):
      # An interim goal is not the one that a planner was asked about.
      failed = reason in _FAILED and self._since <= asked_step
      self.end(_FAILED[reason] if failed else "replaced", moment)
    if self.goal != goal:
      self.goal, self._since = goal, step
    self.given_at = step

  def end(self, outcome: str, moment: progress.Moment) -> None:
    """The goal ends, if there is one; none is pursued then."""
    if self.goal == NONE:
      return
    self.last = self._became(outcome, moment)
    self._ledger.goal(self.last, moment.state.env_step)
    self.goal = NONE

  def last_for(self, reason: str, moment: progress.Moment) -> schema.LastGoal:
    """What a request says of the last goal.

    Where a planner is asked since the present one led nowhere, that is it.
    """
    if reason in _FAILED and self.goal != NONE:
      return self._became(_FAILED[reason], moment)
    return self.last

  def _became(self, outcome: str, moment: progress.Moment) -> schema.LastGoal:
    steps = moment.state.env_step - self._since
    return schema.LastGoal(str(self.goal), outcome, steps, moment.place)
