"""One planner asked in a thread of its own, one request at a time.

Who asks never waits: `ask` hands a request over, `poll` says what came of it.
An answer that does not come by its deadline is given up; while the planner is
still at it nobody can ask again, so that there never are two calls.
"""

from collections.abc import Callable
import queue
import threading
from typing import Protocol

import numpy as np

from pokedreamer_jax.planner import llm
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema

_CLOSE_S = 5.0
# A planner keeps its deadline itself; this much later it is taken for hanging.
_GRACE_S = 1.0


class Planner(Protocol):
  """What is asked; `llm.LlmPlanner` is one."""

  name: str
  model: str

  def ask(self, request: schema.Request, deadline_s: float) -> llm.Answer:
    """Answers within the deadline; called in another thread."""

  def close(self) -> None:
    """Closes what is open; called in that thread."""


class Caller:
  """Owns the thread."""

  def __init__(
    self, planner: Planner, deadline_s: float, clock: Callable[[], float]
  ):
    """Starts nothing yet.

    Args:
      planner: asked in the thread.
      deadline_s: of each request.
      clock: seconds, monotonic.
    """
    self.planner = planner
    self._deadline_s, self._clock = deadline_s, clock
    self._asked: queue.SimpleQueue = queue.SimpleQueue()
    self._answers: queue.SimpleQueue = queue.SimpleQueue()
    self._thread: threading.Thread | None = None
    self._number = 0  # of the latest request
    self._since: float | None = None  # when it was asked; None: given up
    self._at_work = False
    self._answer: llm.Answer | None = None

  @property
  def is_free(self) -> bool:
    """Whether nothing is asked and the planner is not still at it."""
    self._take()
    return self._since is None and not self._at_work

  @property
  def waits(self) -> bool:
    """Whether an answer is awaited."""
    return self._since is not None

  def ask(self, request: schema.Request, frame: np.ndarray | None) -> None:
    """Hands a request over.

    Args:
      request: without a screenshot.
      frame: `[144, 40]` uint8, packed; copied. Made a picture in the thread.

    Raises:
      RuntimeError: another one is under way.
    """
    if not self.is_free:
      raise RuntimeError("planner: asked while another request is under way")
    if self._thread is None:
      # A planner that hangs does not keep the process.
      self._thread = threading.Thread(
        target=self._work, name="planner", daemon=True
      )
      self._thread.start()
    self._number += 1
    self._since, self._at_work = self._clock(), True
    picture = None if frame is None else frame.copy()
    self._asked.put((self._number, request, picture))

  def poll(self) -> tuple[llm.Answer, float] | None:
    """The answer and its seconds, once; None while it is awaited."""
    self._take()
    if self._since is None:
      return None
    latency_s = self._clock() - self._since
    answer, self._answer = self._answer, None
    if answer is None and latency_s > self._deadline_s + _GRACE_S:
      answer = llm.Answer(None, f"no reply within {self._deadline_s:g} s")
    if answer is None:
      return None
    self._since = None
    return answer, latency_s

  def close(self) -> bool:
    """Ends the thread; says whether it ended in time."""
    if self._thread is None:
      return True
    self._asked.put(None)
    self._thread.join(_CLOSE_S)
    return not self._thread.is_alive()

  def _take(self) -> None:
    """Takes what the thread has; keeps it where it is still awaited."""
    try:
      number, answer = self._answers.get_nowait()
    except queue.Empty:
      return
    self._at_work = False
    if number == self._number and self._since is not None:
      self._answer = answer

  def _work(self) -> None:
    while True:
      asked = self._asked.get()
      if asked is None:
        self.planner.close()
        return
      number, request, frame = asked
      try:
        if frame is not None:
          request = requests.with_screen(request, frame)
        answer = self.planner.ask(request, self._deadline_s)
      except Exception as error:  # whatever it is, the game goes on
        answer = llm.Answer(
          None, f"the planner failed ({type(error).__name__})"
        )
      self._answers.put((number, answer))
