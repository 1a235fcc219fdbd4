"""Calls into native code that may never come back, with a time limit.

Python cannot interrupt native code: neither Ctrl-C nor an alarm is heard
before it returns. PyBoy lets other threads run meanwhile, so a call that runs
in a thread of its own can be waited for with a limit, and Ctrl-C is heard. A
call over the limit cannot be ended: its thread works on, and takes one
processor, until the process ends.
"""

from collections.abc import Callable
import queue
import threading
import time
from typing import Any

_LOOK_S = 0.5
_PATIENCE_S = 0.5  # with a call that Ctrl-C came into


class Passed(Exception):
  """A call took longer than its limit, and still runs."""


class Caller:
  """Makes calls one at a time, in a thread of its own.

  The limit is of processor time, so that a machine that sleeps, stops the
  process or has much else to do does not count; where the system does not tell
  it (macOS), of time.
  """

  def __init__(self) -> None:
    self._thread: threading.Thread | None = None
    self._stuck = False

  @property
  def stuck(self) -> bool:
    """Whether a call is over its limit: nothing may touch what it uses."""
    return self._stuck

  def call(
    self, limit_s: float, function: Callable[..., Any], *arguments: Any
  ) -> Any:
    """What the function returns or raises; 13 us more than a plain call.

    Raises:
      Passed: the limit is over, in this call or in an earlier one.
    """
    if self._stuck:
      raise Passed
    # A process that was forked has the object, and not the thread.
    if self._thread is None or not self._thread.is_alive():
      self._start()
    self._stuck = True  # until the answer is there
    answer: list[tuple[Any, BaseException | None]] = []
    self._calls.put((answer, function, arguments))
    try:
      self._wait(limit_s, answer)
    except Passed:
      raise
    except BaseException:  # Ctrl-C: raised once the call is over, as always
      try:
        self._wait(min(limit_s, _PATIENCE_S), answer)
        self._stuck = False
      except Passed:
        pass
      raise
    self._stuck = False
    value, error = answer[0]
    if error is not None:
      raise error
    return value

  def close(self) -> None:
    """Ends the thread, unless it is stuck."""
    if self._thread is not None and not self._stuck:
      self._calls.put(None)
      self._thread = None

  def _start(self) -> None:
    self._calls: queue.SimpleQueue = queue.SimpleQueue()
    self._ready: queue.SimpleQueue = queue.SimpleQueue()
    self._thread = threading.Thread(
      target=_work, args=(self._calls, self._ready), daemon=True
    )
    self._thread.start()

  def _wait(self, limit_s: float, answer: list) -> None:
    end_s: float | None = None
    # Ctrl-C may come when the queue has said so and before it is heard, and
    # leave a word there that the next call hears: the answer alone counts.
    while not answer:
      try:
        self._ready.get(timeout=min(limit_s, _LOOK_S))
      except queue.Empty:
        used_s = self._used_s()
        if end_s is None:  # the first look is as good as the beginning
          end_s = used_s + limit_s
        elif used_s >= end_s and not answer:
          raise Passed from None

  def _used_s(self) -> float:
    assert self._thread is not None and self._thread.ident is not None
    try:
      clock = time.pthread_getcpuclockid(self._thread.ident)
      return time.clock_gettime(clock)
    except (AttributeError, OSError):
      return time.monotonic()


def _work(calls: queue.SimpleQueue, ready: queue.SimpleQueue) -> None:
  while (item := calls.get()) is not None:
    answer, function, arguments = item
    try:
      answer.append((function(*arguments), None))
    except BaseException as error:
      answer.append((None, error))
    ready.put(None)
    del item, answer, function, arguments  # nothing is kept while waiting
