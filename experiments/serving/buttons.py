"""Which step comes next, and when: held keys, quick presses, who plays.

A page tells which button is held now, each time with a higher number, so that
what arrives late or twice counts for nothing. A press is a step at once; a
button that stays held is a step each time the game itself would have made one.
Times are in seconds and given by the caller.
"""

import collections
import dataclasses
import math

from data_tools.envs import env_rows

STEP_S = 1.0 / env_rows.STEPS_PER_S  # real time
SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # of real time, where nobody presses
_MOST_WAITING = 3  # presses that are not yet steps


@dataclasses.dataclass(frozen=True)
class Press:
  """A step that a person wants."""

  action: int
  number: int = 0  # of what was told; 0 where a button just stays held
  told_s: float = 0.0


class Buttons:
  """What a person holds."""

  def __init__(self) -> None:
    self.held: int | None = None
    self.number = 0  # of what was told last
    self._waiting: collections.deque[Press] = collections.deque()
    self._due_s = math.inf

  @property
  def pressed(self) -> bool:
    """Whether somebody has pressed a button that is no step yet."""
    return bool(self._waiting)

  def tell(self, number: int, held: int | None, now_s: float) -> bool:
    """Takes what is held now; False for what is older than the last."""
    if number <= self.number:
      return False
    self.number = number
    if held is not None and held != self.held:
      if len(self._waiting) < _MOST_WAITING:
        self._waiting.append(Press(held, number, now_s))
      self._due_s = now_s + STEP_S
    self.held = held
    return True

  def take(self, now_s: float) -> Press | None:
    """The step that is due."""
    if self._waiting:
      return self._waiting.popleft()
    if self.held is None or now_s < self._due_s:
      return None
    self._due_s = _next(self._due_s, STEP_S, now_s)
    return Press(self.held)

  def wait_s(self, now_s: float) -> float:
    """Seconds until a step is due; infinite where nothing is held."""
    if self._waiting:
      return 0.0
    return math.inf if self.held is None else max(0.0, self._due_s - now_s)

  def release(self) -> None:
    """Forgets what is held: nobody is there any more."""
    self.held = None
    self.number = 0
    self._waiting.clear()


class Pace:
  """Steps of somebody who needs no buttons, at a speed of real time."""

  def __init__(self) -> None:
    self.speed = 1.0
    self._due_s = -math.inf

  def set_speed(self, speed: float) -> None:
    """Takes one of `SPEEDS`.

    Raises:
      ValueError: it is none.
    """
    if speed not in SPEEDS:
      raise ValueError(f"speed: {speed}, expected one of {list(SPEEDS)}")
    self.speed = speed
    self._due_s = -math.inf

  def take(self, now_s: float) -> bool:
    """Whether a step is due; then the next is a step later."""
    if now_s < self._due_s:
      return False
    self._due_s = _next(self._due_s, STEP_S / self.speed, now_s)
    return True

  def wait_s(self, now_s: float) -> float:
    """Seconds until a step is due."""
    return max(0.0, self._due_s - now_s)


def _next(due_s: float, period_s: float, now_s: float) -> float:
  """When the step after one is due; what was missed is not made up for."""
  on_time_s = due_s + period_s
  return on_time_s if on_time_s > now_s else now_s + period_s
