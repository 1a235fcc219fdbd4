"""Progress that never looks hung: a bar on a terminal, else plain lines.

A background thread speaks at least every few seconds, also while the main
thread compiles or waits for a device. A stage of a plan tells the plan as well
(`experiments/runs/progress_pipe.py`), which shows all of its stages together.
"""

from collections.abc import Callable
import math
import sys
import threading
import time
from typing import Any
from typing import TextIO

from experiments.outputs import screen
from experiments.runs import progress_pipe

_RATE_WINDOW_S = 20.0
_FEW = 5  # of so few units, a rate says nothing


class Progress:
  """Shows how far a loop of known length has come.

  Use as a context manager:

      with progress.Progress("world model", 5000, "updates") as bar:
        bar.compiling(about_s=15)
        for step in range(start, 5000):
          ...
          bar.update(step + 1, loss=0.12)
  """

  def __init__(
    self,
    label: str,
    total: int,
    unit: str = "steps",
    start: int = 0,
    every_s: float = 5.0,
    stream: TextIO | None = None,
  ):
    """Sets up the display; nothing is shown before `__enter__`.

    Args:
      label: what is running.
      total: how many units make it complete.
      unit: plural noun of what is counted.
      start: units done in an earlier process.
      every_s: seconds between plain lines.
      stream: where to write; stdout by default.
    """
    self._label = label
    self._total = total
    self._unit = unit
    self._done = start
    self._every_s = every_s
    self._stream = stream or sys.stdout
    self._plan = progress_pipe.sender()
    self._values: dict[str, Any] = {}
    self._phase: tuple[str, float | None, float] | None = None
    self._marks: list[tuple[float, int]] = []
    self._lock = threading.Lock()
    self._closed = threading.Event()
    self._last_line_s = time.monotonic()
    self._thread: threading.Thread | None = None
    self._bar: Any = None
    self._task: Any = None

  def __enter__(self) -> "Progress":
    if screen.is_lively(self._stream):
      self._start_bar()
    self._thread = threading.Thread(target=self._speak, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, *error: object) -> None:
    self._closed.set()
    if self._thread is not None:
      self._thread.join()
    self._tell_plan()
    if self._bar is not None:
      self._refresh_bar()
      self._bar.stop()
    else:
      self._print(self._text())

  def compiling(self, about_s: float | None = None) -> None:
    """Announces compilation; it lasts until the next `update`.

    Args:
      about_s: how long it takes on a laptop, in seconds.
    """
    self.phase("compiling", about_s)

  def phase(self, name: str, about_s: float | None = None) -> None:
    """Announces something that holds the loop up, until the next `update`."""
    with self._lock:
      self._phase = (name, about_s, time.monotonic())
    self._tell_plan()
    if self._bar is None:
      self._print(self._text())
    else:
      self._refresh_bar()

  def update(self, done: int, **values: float | str) -> None:
    """Tells that `done` units are complete.

    Args:
      done: units complete since the very beginning.
      **values: shown beside; numbers are rounded. Kept until replaced.
    """
    now = time.monotonic()
    with self._lock:
      self._phase = None
      self._done = done
      self._values.update(values)
      self._marks.append((now, done))
      while now - self._marks[0][0] > _RATE_WINDOW_S and len(self._marks) > 2:
        self._marks.pop(0)

  def rate(self) -> float:
    """Units per second lately; 0 before two updates."""
    with self._lock:
      return self._rate()

  def _rate(self) -> float:
    if len(self._marks) < 2:
      return 0.0
    # From the first completed unit on, so that compiling is not counted.
    (first_s, first), (last_s, last) = self._marks[0], self._marks[-1]
    return (last - first) / max(last_s - first_s, 1e-9)

  def _text(self) -> str:
    """The line a plain stream sees."""
    with self._lock:
      head = f"{self._label}: {self._done}/{self._total} {self._unit}"
      if self._phase is not None:
        return f"{head}, {self._phase_text()}"
      parts = [head]
      rate = self._rate()
      if rate > 0 and self._total > _FEW:
        parts.append(f"{number(rate)}/s")
        if self._done < self._total:
          parts.append(f"{duration((self._total - self._done) / rate)} left")
      parts += [f"{name} {_value(v)}" for name, v in self._values.items()]
      return ", ".join(parts)

  def _phase_text(self) -> str:
    assert self._phase is not None
    name, about_s, began_s = self._phase
    about = "" if about_s is None else f" (about {duration(about_s)})"
    elapsed_s = time.monotonic() - began_s
    passed = f", {duration(elapsed_s)} so far" if elapsed_s >= 1 else ""
    return f"{name}{about}{passed}"

  def told(self) -> dict[str, Any]:
    """The same for programs, JSON-ready.

    `label done total unit`; `per_s` lately, 0 where nothing is known; `phase`,
    words for what holds the loop up; `values`, numbers and texts by name.
    """
    with self._lock:
      return {
        "label": self._label,
        "done": self._done,
        "total": self._total,
        "unit": self._unit,
        "per_s": self._rate() if self._total > _FEW else 0.0,
        "phase": self._phase_text() if self._phase is not None else "",
        "values": {
          name: value if isinstance(value, str) else _finite(float(value))
          for name, value in self._values.items()
        },
      }

  def _tell_plan(self) -> None:
    if self._plan is not None:
      self._plan.send(self.told())

  def _speak(self) -> None:
    while not self._closed.wait(min(self._every_s, 0.5)):
      self._tell_plan()
      if self._bar is not None:
        self._refresh_bar()
      elif time.monotonic() - self._last_line_s >= self._every_s:
        self._print(self._text())

  def _print(self, text: str) -> None:
    self._last_line_s = time.monotonic()
    print(text, file=self._stream, flush=True)

  def _start_bar(self) -> None:
    from rich import console
    from rich import progress

    self._bar = progress.Progress(
      progress.TextColumn("{task.description}"),
      progress.BarColumn(bar_width=24),
      progress.TextColumn("{task.fields[text]}"),
      console=console.Console(file=self._stream),
      auto_refresh=False,
    )
    self._task = self._bar.add_task(
      self._label, total=self._total, completed=self._done, text=""
    )
    self._bar.start()

  def _refresh_bar(self) -> None:
    text = self._text().removeprefix(f"{self._label}: ")
    self._bar.update(self._task, completed=self._done, text=text)
    self._bar.refresh()


class Heartbeat:
  """Says that something without a count is still running.

  with progress.Heartbeat("evaluation"):
    ...
  """

  def __init__(
    self,
    label: str,
    every_s: float = 5.0,
    say: Callable[[str], None] | None = None,
  ):
    self._label = label
    self._every_s = every_s
    self._say = say or (lambda text: print(text, flush=True))
    self._closed = threading.Event()
    self._thread = threading.Thread(target=self._speak, daemon=True)

  def __enter__(self) -> "Heartbeat":
    self._began_s = time.monotonic()
    self._thread.start()
    return self

  def __exit__(self, *error: object) -> None:
    self._closed.set()
    self._thread.join()

  def _speak(self) -> None:
    while not self._closed.wait(self._every_s):
      elapsed_s = time.monotonic() - self._began_s
      self._say(f"{self._label}: {duration(elapsed_s)} so far")


def duration(seconds: float) -> str:
  """As `42 s`, `8 min 19 s` or `2 h 05 min`."""
  seconds = round(seconds)
  if seconds < 90:
    return f"{seconds} s"
  if seconds < 90 * 60:
    return f"{seconds // 60} min {seconds % 60:02d} s"
  return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def number(value: float) -> str:
  """With three digits, or whole."""
  return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _finite(value: float) -> float | str:
  """A number that JSON can hold, or its name."""
  return value if math.isfinite(value) else str(value)


def _value(value: float | str) -> str:
  return value if isinstance(value, str) else f"{float(value):.4g}"
