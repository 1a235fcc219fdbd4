"""How often each milestone was tried: what led nowhere, or had its time."""

from pokedreamer_jax.planner import knowledge as knowledge_lib
from pokedreamer_jax.planner import offline_config

Milestone = knowledge_lib.Milestone


class Tries:
  """Counts tries of one game; steps are env steps."""

  def __init__(self, config: offline_config.OfflineConfig):
    """Nothing was tried yet."""
    self._config = config
    self._failures: dict[Milestone, int] = {}
    self._timed: dict[Milestone, int] = {}
    self._spent: dict[Milestone, int] = {}  # since the last try
    self._pursued: Milestone | None = None
    self._since = 0  # env step up to which time is counted

  @property
  def of_levels(self) -> bool:
    """Whether a level is pursued."""
    return self._pursued is not None and self._pursued.goal.kind == "level"

  def pursue(self, milestone: Milestone | None) -> None:
    """From here on; None is something else, or what others named."""
    self._pursued = milestone

  def at(self, env_step: int) -> None:
    """Counts the time up to a step."""
    milestone, steps = self._pursued, env_step - self._since
    self._since = env_step
    if milestone is not None:
      spent = self._spent.get(milestone, 0) + steps
      timed, self._spent[milestone] = divmod(spent, self._config.try_env_steps)
      self._timed[milestone] = self._timed.get(milestone, 0) + timed

  def went_on(self, env_step: int) -> None:
    """At a step something went on: what is pursued has its whole time again."""
    self._since = env_step
    if self._pursued is not None:
      self._spent[self._pursued] = 0

  def failed(self, env_step: int) -> None:
    """At a step what is pursued has led nowhere: one try, with its time."""
    self.went_on(env_step)
    if self._pursued is not None:
      failures = self._failures.get(self._pursued, 0)
      self._failures[self._pursued] = failures + 1

  def of(self, milestone: Milestone) -> int:
    """How often it was tried; some failures are one try."""
    failures = self._failures.get(milestone, 0) // self._config.tries
    return failures + self._timed.get(milestone, 0)

  def is_given_up(self, milestone: Milestone) -> bool:
    """Whether it was tried so often that others come before it."""
    return self.of(milestone) >= self._config.most_tries
