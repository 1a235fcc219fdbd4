"""Steps of several sessions together: one call of the one program."""

import asyncio
import collections
from concurrent import futures

from experiments.dreaming import models

_Waiting = tuple[models.Work, asyncio.Future]


class Batcher:
  """Collects work until the stepper is free; everybody waits for its own."""

  def __init__(self, stepper: models.Stepper):
    """The stepper is called by one thread alone, one call at a time."""
    self._stepper = stepper
    self._waiting: collections.deque[_Waiting] = collections.deque()
    self._thread = futures.ThreadPoolExecutor(1, "dream")
    self._task: asyncio.Task | None = None
    self.calls = self.works = 0

  async def run(self, work: models.Work) -> models.Outcome:
    """What becomes of one session's work."""
    answer = asyncio.get_running_loop().create_future()
    self._waiting.append((work, answer))
    if self._task is None or self._task.done():
      self._task = asyncio.create_task(self._run_all())
    return await answer

  def close(self) -> None:
    """Ends the thread once its call is over."""
    self._thread.shutdown(wait=False, cancel_futures=True)

  async def _run_all(self) -> None:
    loop = asyncio.get_running_loop()
    while self._waiting:
      count = min(len(self._waiting), self._stepper.players)
      taken = [self._waiting.popleft() for _ in range(count)]
      works = [work for work, _ in taken]
      try:
        outcomes = await loop.run_in_executor(
          self._thread, self._stepper.run, works
        )
      except BaseException as error:
        for _, answer in taken:
          if not answer.done():
            answer.set_exception(error)
        if not isinstance(error, Exception):
          raise
        continue
      self.calls += 1
      self.works += count
      for (_, answer), outcome in zip(taken, outcomes, strict=True):
        if not answer.done():  # who asked may be gone
          answer.set_result(outcome)
