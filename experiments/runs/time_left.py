"""How much longer the stages of a plan take, in seconds.

What was measured elsewhere is scaled by how long the stages here took beside
it; a loop of updates tells better itself.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

# A machine may be so much faster or slower than the one that was measured.
_LEAST_PACE, _MOST_PACE = 0.1, 20.0
_SHORT_S = 5.0  # stages below it say nothing of a machine
_SETTLED = 0.05  # share of its updates from which on a loop knows its rate


class TimeLeft:
  """Of stages that are run in order."""

  def __init__(self, measured_s: Mapping[str, float], pending: Sequence[str]):
    """Begins with the stages that are not done.

    Args:
      measured_s: by stage, as measured elsewhere; some may be missing.
      pending: names of the stages to run.
    """
    self._measured_s = dict(measured_s)
    self._pending = list(pending)
    self._took_s = self._expected_s = 0.0

  @property
  def pace(self) -> float:
    """How much longer stages take here than measured; 1 before any is done."""
    if self._expected_s < _SHORT_S:
      return 1.0
    pace = self._took_s / self._expected_s
    return min(max(pace, _LEAST_PACE), _MOST_PACE)

  def of_stage(self, name: str) -> float | None:
    """Expected seconds of a whole stage; None where nobody measured it."""
    measured_s = self._measured_s.get(name)
    return None if measured_s is None else measured_s * self.pace

  def ended(self, name: str, wall_s: float) -> None:
    """Takes that a stage is done."""
    if name in self._pending:
      self._pending.remove(name)
    measured_s = self._measured_s.get(name, 0.0)
    if measured_s >= _SHORT_S:
      self._took_s += wall_s
      self._expected_s += measured_s

  def in_all(
    self,
    running: str = "",
    elapsed_s: float = 0.0,
    told: Mapping[str, Any] | None = None,
  ) -> float | None:
    """Seconds until all is done; None where a stage to come was not measured.

    Args:
      running: the stage that runs, if one does.
      elapsed_s: since it began.
      told: how far it is, as `progress.Progress.told` says it.
    """
    total_s = 0.0
    for name in self._pending:
      if name == running:
        left_s = self._of_running(name, elapsed_s, told or {})
      else:
        left_s = self.of_stage(name)
      if left_s is None:
        return None
      total_s += left_s
    return total_s

  def _of_running(
    self, name: str, elapsed_s: float, told: Mapping[str, Any]
  ) -> float | None:
    whole_s = self.of_stage(name)
    by_clock_s = None if whole_s is None else max(whole_s - elapsed_s, 0.0)
    by_rate_s = rest_s(told)
    if by_rate_s is None:
      return by_clock_s
    if told.get("unit") == "updates":  # of these a stage has one loop
      return by_rate_s
    return max(by_rate_s, by_clock_s or 0.0)


def rest_s(told: Mapping[str, Any]) -> float | None:
  """Seconds until a loop is done, as its rate tells; None for too early."""
  done, total, per_s = (
    float(told.get(name) or 0) for name in ("done", "total", "per_s")
  )
  if per_s <= 0 or done < _SETTLED * total:
    return None
  return max(total - done, 0.0) / per_s
