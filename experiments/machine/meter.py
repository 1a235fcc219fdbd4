"""How fast updates are, and what memory they take."""

from collections.abc import Callable
import sys
import time

from experiments.machine import processes

PREFIX = "machine/"  # of what a clock or this machine decides

_GIB = 2**30


class Meter:
  """Counts updates between two looks at the clock.

  The first updates of a process compile, and what is done beside updates
  (saving, validating) is none of theirs: `restart` begins anew behind it. Read
  it when the last update has ended, not when it was sent.
  """

  def __init__(self, clock: Callable[[], float] = time.monotonic):
    """Begins with the first updates, which are not counted."""
    self._clock = clock
    self._begun = False
    self.restart()

  def restart(self) -> None:
    """Forgets what was counted."""
    self._updates = 0
    self._since_s = self._clock()

  def count(self, updates: int) -> None:
    """Takes updates that were sent off."""
    if not self._begun:
      self._begun = True
      self.restart()
      return
    self._updates += updates

  def read(self, rows: int = 0) -> dict[str, float]:
    """Metrics since the last restart; no speed where nothing was counted.

    Args:
      rows: env steps, recorded or dreamt, that an update learns from.

    Returns:
      `machine/` with `update_s`, `updates_per_s`, `rows_per_s`, `memory_gib`
      (the most of this process) and `device_gib` (the most of an accelerator).
    """
    found = {"memory_gib": processes.peak_mib() / 1024}
    passed_s = self._clock() - self._since_s
    if self._updates and passed_s > 0:
      found["update_s"] = passed_s / self._updates
      found["updates_per_s"] = self._updates / passed_s
      if rows:
        found["rows_per_s"] = rows * self._updates / passed_s
    most = _device_bytes()
    if most:
      found["device_gib"] = most / _GIB
    return {f"{PREFIX}{name}": value for name, value in found.items()}


def _device_bytes() -> int:
  """Most memory of any one accelerator; 0 where none tells."""
  jax = sys.modules.get("jax")
  if jax is None:
    return 0
  stats = [device.memory_stats() or {} for device in jax.local_devices()]
  return max((each.get("peak_bytes_in_use", 0) for each in stats), default=0)
