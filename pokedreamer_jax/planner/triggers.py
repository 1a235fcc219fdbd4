"""When a planner is asked anew, each reason with a hysteresis.

  start        no goal has been named yet
  reached      an errand is done; several within a gap ask once
  progress     a badge or a story flag; several within a gap ask once, and what
               goes to and fro counts against the most so far
  area         a map that this game had not seen: once each
  out of time  a goal was pursued for so long: once, then after as long again;
               this and the next two begin anew where the driver names the next
               goal of an errand (`leading.py`)
  stagnant     the value of the goal has not risen for so long, battles not
               counted: once a goal, until it rises again
  still        the player could walk and stood on one cell for so long, and
               nobody was asked meanwhile: each time as long again
  stuck        no progress for N env steps: at N, 2 N, ...
  meets        a wild creature of a species that this game has not owned, and
               something to catch it with: once a battle
  battle       a battle is over for some rows, and the first creature came out
               of it hurt and was not before, or the last call is not recent

Steps are env steps.
"""

import dataclasses

from pokedreamer_jax.planner import progress
from pokedreamer_jax.planner import schema

# Of several on one step the first is told.
ORDER = (
  *("start", "reached", "progress", "area", "out of time", "stagnant"),
  *("still", "stuck", "meets", "battle"),
)


@dataclasses.dataclass(frozen=True)
class TriggerConfig:
  """Env steps and thresholds of the reasons."""

  stuck_env_steps: int = 500
  # A goal's time: of demonstrated errands in the great vale one in a hundred
  # takes more than 153 steps.
  goal_env_steps: int = 200
  stagnant_env_steps: int = 100
  # A step is one env step; who stands so long pushes against a wall.
  still_env_steps: int = 30
  stagnant_rise: float = 0.02  # of a value in 0 to 1; a smaller rise is none
  gap_env_steps: int = 10  # between calls after events that come in rows
  reached_gap_env_steps: int = 2  # short, since no goal is pursued meanwhile
  battle_gap_env_steps: int = 200  # since the last call, whatever it was for
  battle_quiet_env_steps: int = 3  # rows without a battle end one
  hurt_share: float = 0.45  # of full HP, or less, is hurt

  def __post_init__(self):
    for field in dataclasses.fields(self):
      if field.name.endswith("_env_steps") and getattr(self, field.name) < 1:
        raise ValueError(
          f"triggers.{field.name}: {getattr(self, field.name)}, expected at "
          "least 1"
        )
    for name in ("stagnant_rise", "hurt_share"):
      if not 0 <= getattr(self, name) <= 1:
        raise ValueError(
          f"triggers.{name}: {getattr(self, name)}, expected 0 to 1"
        )


class Triggers:
  """Watches one game; reasons wait until somebody is asked."""

  def __init__(self, config: TriggerConfig | None = None):
    self._config = config or TriggerConfig()
    self._waiting = {"start"}
    self._asked_at: int | None = None
    self._progress_at = -1  # the last that a planner should know of
    self._stuck_at = 0  # steps without progress at the last call for it
    self._goal_at: int | None = None  # when the goal was given, or its time
    self._best: float | None = None  # value of the goal
    self._best_at = 0
    self._is_stagnant = False
    self._cell: tuple[int, int, int] | None = None
    self._still = 0  # rows with control on it
    self._in_battle = False
    self._quiet = 0
    self._met = False  # in this battle somebody new
    self._was_hurt = False  # after the battle before, or since
    self.battle_over = False  # on this row

  def update(
    self, moment: progress.Moment, reached: bool, value: float | None
  ) -> str | None:
    """Takes the next row; says why somebody is to be asked now.

    Args:
      moment: the row.
      reached: whether arriving there did the errand.
      value: of the goal, 0 to 1; None where it is not known.

    Returns:
      A reason of `ORDER` or None. It is told until `asked`.
    """
    step = moment.state.env_step
    for gain in moment.gains:
      if gain in progress.REPLAN:
        self._waiting.add(progress.REPLAN[gain])
        self._progress_at = step
    if reached:
      self._waiting.add("reached")
      self._goal_at = None
    self._watch_time(step)
    if moment.state.in_battle != "none":
      self._best_at = step  # nobody gets nearer meanwhile
    self._watch_value(step, value)
    self._watch_still(step, moment.state)
    self._watch_stuck(moment.state.steps_without_progress)
    self._watch_battle(step, moment.state)
    return next(
      (reason for reason in ORDER if self._is_due(reason, step)), None
    )

  def asked(self, step: int, alone: str | None = None) -> None:
    """Somebody is asked on this step: what waited is told.

    Args:
      step: env step.
      alone: the only reason that is told, while others wait for an answer; None
        tells all of them.
    """
    self._waiting &= self._waiting - {alone} if alone else set()
    self._asked_at = step

  def given(self, step: int, seen: int, anew: bool = True) -> None:
    """A goal is named on this step.

    What came up while an answer was awaited is answered by it, but for
    progress that whoever answered did not know of: that is asked about next.

    Args:
      step: env step.
      seen: the last env step that the answer knew of.
      anew: whether it is another one than before; else its time goes on.
    """
    if anew or self._goal_at is None:
      self._goal_at = step
      self._best, self._best_at, self._is_stagnant = None, step, False
    kept = set(progress.REPLAN.values()) if self._progress_at > seen else set()
    self._waiting &= kept

  def led(self, step: int) -> None:
    """The next goal of the same errand is named on this step, by nobody."""
    self._goal_at, self._still = step, 0
    self._best, self._best_at, self._is_stagnant = None, step, False
    self._waiting -= {"out of time", "stagnant", "still"}

  def tells(self, reason: str) -> bool:
    """Whether a reason of `ORDER` waits to be told."""
    return reason in self._waiting

  def tell(self, reason: str) -> None:
    """A reason of `ORDER` that somebody else saw."""
    self._waiting.add(reason)

  def _is_due(self, reason: str, step: int) -> bool:
    if reason not in self._waiting:
      return False
    gap = {
      "reached": self._config.reached_gap_env_steps,
      "progress": self._config.gap_env_steps,
      "area": self._config.gap_env_steps,
    }.get(reason, 0)
    return self._asked_at is None or step - self._asked_at >= gap

  def _watch_time(self, step: int) -> None:
    if self._goal_at is None:
      return
    if step - self._goal_at >= self._config.goal_env_steps:
      self._waiting.add("out of time")
      self._goal_at = step  # as long again before it is said again

  def _watch_value(self, step: int, value: float | None) -> None:
    if value is None or self._goal_at is None:
      return
    rise = self._config.stagnant_rise
    if self._best is None or value > self._best + rise:
      self._best, self._best_at, self._is_stagnant = value, step, False
    elif (
      not self._is_stagnant
      and step - self._best_at >= self._config.stagnant_env_steps
    ):
      self._waiting.add("stagnant")
      self._is_stagnant = True

  def _watch_still(self, step: int, state: schema.State) -> None:
    cell = (state.map_id, state.y, state.x)
    if cell != self._cell or state.in_battle != "none":
      self._cell, self._still = cell, 0
      self._waiting.discard("still")
    self._still += state.has_control
    most = self._config.still_env_steps
    asked = self._asked_at is not None and step - self._asked_at < most
    if self._still >= most and not asked:
      self._waiting.add("still")

  def _watch_stuck(self, without_progress: int) -> None:
    most = self._config.stuck_env_steps
    if without_progress < most:
      self._stuck_at = 0
      self._waiting.discard("stuck")
    elif without_progress - self._stuck_at >= most:
      self._waiting.add("stuck")
      self._stuck_at = without_progress

  def _watch_battle(self, step: int, state: schema.State) -> None:
    self.battle_over = False
    is_hurt = progress.is_hurt(state, self._config.hurt_share)
    if state.in_battle != "none":
      self._in_battle, self._quiet = True, 0
      if state.enemy_is_new and state.capture_items and not self._met:
        self._waiting.add("meets")
        self._met = True
      return
    self._waiting.discard("meets")
    if not self._in_battle:
      self._was_hurt &= is_hurt
      return
    self._quiet += 1
    if self._quiet >= self._config.battle_quiet_env_steps:
      self._in_battle, self._met, self.battle_over = False, False, True
      recent = (
        self._asked_at is not None
        and step - self._asked_at < self._config.battle_gap_env_steps
      )
      if not recent or (is_hurt and not self._was_hurt):
        self._waiting.add("battle")
      self._was_hurt = is_hurt
