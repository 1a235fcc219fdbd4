"""The stages of a plan on a terminal, drawn anew twice a second.

All stages with their times, the one that runs with a bar and the curve of its
loss, and one total with what is left of it. Where that is not possible, in
`plans.py`, lines come one after the other.
"""

import codecs
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
import re
import threading
import time
from typing import Any
from typing import TextIO

from experiments.runs import progress
from experiments.runs import sparkline
from experiments.runs import stages
from experiments.runs import time_left

# What a stage says that is worth more than a moment.
_LASTING = ("Note:", "Error:", "Stopping")
_KEPT_LINES = 200  # of a stage, shown where it fails
_SHOWN_ON_FAILURE = 12
_COUNTED = re.compile(r"\d+/\d+ ")
_CURVES = ("loss", "reward", "return")  # first of these that is told
_FEWEST_ROWS = 3  # of stages, however low the terminal


@dataclasses.dataclass
class _Now:
  """What is known of the stage that runs."""

  told: dict[str, Any] = dataclasses.field(default_factory=dict)
  labels: set[str] = dataclasses.field(default_factory=set)  # of progress
  curves: dict[str, dict[int, float]] = dataclasses.field(default_factory=dict)
  lines: list[str] = dataclasses.field(default_factory=list)  # it said
  rest: str = ""  # of a line without its end
  memory_bytes: int = 0
  decoder: codecs.IncrementalDecoder = dataclasses.field(
    default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
  )

  def is_progress(self, line: str) -> bool:
    """Whether a line says what the bar shows: `label: 3/20 ...`."""
    return any(
      line.startswith(label) and _COUNTED.match(line, len(label))
      for label in self.labels
    )


class View:
  """A `stages.Watcher` of one plan after the other's stages.

  Used as a context manager around all of them, with `begin` before each stage
  and `end` after it.
  """

  def __init__(
    self,
    plan: Sequence[stages.Stage],
    measured_s: Mapping[str, float],
    costs: Mapping[str, Mapping[str, float]],
    stream: TextIO,
  ):
    """Draws nothing before it is entered.

    Args:
      plan: all stages, those that are done too.
      measured_s: by stage, see `time_left.TimeLeft`.
      costs: `wall_s` and `peak_bytes` of what an earlier process did.
      stream: a terminal.
    """
    self._plan = list(plan)
    self._costs = {name: dict(cost) for name, cost in costs.items()}
    pending = [stage.name for stage in stages.pending(plan)]
    self._left = time_left.TimeLeft(measured_s, pending)
    self._done = {stage.name for stage in plan if stage.name not in pending}
    self._stream = stream
    self._lock = threading.RLock()
    self._running: stages.Stage | None = None
    self._began_s = self._stage_began_s = time.monotonic()
    self._before_s = sum(cost["wall_s"] for cost in self._costs.values())
    self._peak_bytes = max(
      (int(cost["peak_bytes"]) for cost in self._costs.values()), default=0
    )
    self._now = _Now()

  def __enter__(self) -> "View":
    from rich import console
    from rich import live

    self.console = console.Console(file=self._stream, highlight=False)
    self._live = live.Live(
      console=self.console,
      get_renderable=self._render,
      refresh_per_second=2,
      redirect_stdout=False,
      redirect_stderr=False,
      vertical_overflow="crop",
    )
    self._live.start()
    return self

  def __exit__(self, *error: object) -> None:
    self._live.stop()

  def begin(self, stage: stages.Stage) -> None:
    """A stage begins."""
    with self._lock:
      self._now = _Now()
      self._running = stage
      self._stage_began_s = time.monotonic()

  def end(self, stage: stages.Stage, outcome: stages.Outcome) -> None:
    """It has ended; where that was no good end, its last lines are shown."""
    badly = bool(outcome.exit_code) or outcome.signal is not None
    with self._lock:
      self._running = None
      self._costs[stage.name] = {
        "wall_s": outcome.wall_s,
        "peak_bytes": outcome.peak_bytes,
      }
      self._peak_bytes = max(self._peak_bytes, outcome.peak_bytes)
      if not badly:
        self._done.add(stage.name)
        self._left.ended(stage.name, outcome.wall_s)
      shown = _SHOWN_ON_FAILURE if outcome.signal is None else 2
      lines = self._now.lines[-shown:] if badly else []
    self.lasting(*(line for line in lines if not line.startswith(_LASTING)))

  def lasting(self, *lines: str) -> None:
    """Shows lines above, where they stay; words are not broken."""
    from rich import text

    # Never with the lock held: who draws holds the console's and wants ours.
    for line in lines:
      self.console.print(text.Text(line))

  def said(self, data: bytes) -> None:
    text = self._now.rest + self._now.decoder.decode(data)
    *lines, self._now.rest = text.split("\n")
    for line in lines:
      line = "".join(c if c.isprintable() else " " for c in line).rstrip()
      with self._lock:
        if not line or self._now.is_progress(line):
          continue
        self._now.lines = [*self._now.lines, line][-_KEPT_LINES:]
      if line.startswith(_LASTING):
        self.lasting(line)

  def told(self, state: Mapping[str, Any]) -> None:
    with self._lock:
      self._now.told = dict(state)
      self._now.labels.add(f"{state.get('label')}: ")
      values = state.get("values") or {}
      name = next((name for name in _CURVES if name in values), None)
      if name is not None and isinstance(values[name], (int, float)):
        done, value = int(state.get("done", 0)), float(values[name])
        curve = self._now.curves.setdefault(name, {})
        if done not in curve and math.isfinite(value):
          curve[done] = value

  def took(self, memory_bytes: int) -> None:
    with self._lock:
      self._now.memory_bytes = max(self._now.memory_bytes, memory_bytes)
      self._peak_bytes = max(self._peak_bytes, memory_bytes)

  # Drawing.

  def _render(self) -> Any:
    from rich import console

    with self._lock:
      running = self._of_running()
      total = self._total()
      # One row stays free: the cursor's.
      rows = self.console.height - len(running) - len(total) - 1
      return console.Group(*self._stages(rows), *running, *total)

  def _stages(self, rows: int) -> list[Any]:
    """A line each; where there are more than `rows`, the first and last less.

    What is done goes first, then what is far away.
    """
    lines = [self._stage(stage) for stage in self._plan]
    rows = max(rows, _FEWEST_ROWS)
    if len(lines) <= rows:
      return lines
    at = next(
      (i for i, s in enumerate(self._plan) if s.name not in self._done),
      len(lines),
    )
    first = min(max(at - 1, 0), len(lines) - (rows - 2))
    last = first + rows - 2
    above = self._row("", f"{first} stages before", "", "") if first else None
    left = len(lines) - last
    below = self._row("", f"{left} more to come", "", "") if left else None
    return [line for line in (above, *lines[first:last], below) if line]

  def _stage(self, stage: stages.Stage) -> Any:
    cost = self._costs.get(stage.name, {})
    wall_s, memory = cost.get("wall_s", 0.0), int(cost.get("peak_bytes", 0))
    if self._running is stage:
      elapsed_s = time.monotonic() - self._stage_began_s
      shown = clock(elapsed_s), _gib(self._now.memory_bytes)
      return self._row(self._mark("▶", ">"), stage.title, *shown, "bold")
    if stage.name in self._done:
      shown = clock(wall_s) if wall_s else "", _gib(memory)
      return self._row(self._mark("✓", "+"), stage.title, *shown, "green")
    expected_s = self._left.of_stage(stage.name)
    about = "" if expected_s is None else f"about {clock(expected_s)}"
    return self._row(self._mark("·", "-"), stage.title, about, "", "dim")

  def _row(
    self, mark: str, title: str, time_text: str, memory: str, style: str = "dim"
  ) -> Any:
    from rich import text

    width = self.console.width - 1
    right = f"{time_text:>12}{memory:>10}"
    room = max(width - len(right) - 4, 8)
    line = f" {mark:<1} {_cut(title, room):<{room}}{right}"
    return text.Text(line[:width], style, no_wrap=True)

  def _of_running(self) -> list[Any]:
    """Bar, values and curve of the stage that runs, and what it said last."""
    from rich import text

    stage, told = self._running, self._now.told
    width = self.console.width - 1
    lines: list[str] = [""]
    styles = [""]

    def add(line: str, style: str = "") -> None:
      lines.append(_cut(line, width))
      styles.append(style)

    if stage is None:
      return []
    if told:
      done, total = int(told["done"]), max(int(told["total"]), 1)
      count = f"{done:,}/{total:,} {told['unit']}"
      rate = f"  {progress.number(told['per_s'])}/s" if told["per_s"] else ""
      left_s = time_left.rest_s(told)
      left = f"  {clock(left_s)} left" if left_s else ""
      after = f"  {count}{rate}{left}"
      bar = self._bar(done / total, max(min(width - len(after) - 4, 40), 6))
      add(f"   {bar}{after}", "cyan")
      values = [f"{n} {_value(v)}" for n, v in told["values"].items()]
      if told["phase"]:
        add(f"   {told['phase']}")
      elif values:
        add("   " + _fitting(values, width - 3))
      for name, curve in self._now.curves.items():
        add(f"   {name} {self._curve(curve, width - len(name) - 4)}", "magenta")
    elif self._now.lines:
      add(f"   {self._now.lines[-1]}", "dim")
    return [
      text.Text(line, style, no_wrap=True)
      for line, style in zip([*lines, ""], [*styles, ""], strict=True)
    ]

  def _total(self) -> list[Any]:
    from rich import text

    spent_s = self._before_s + time.monotonic() - self._began_s
    running = self._running.name if self._running else ""
    left_s = self._left.in_all(
      running, time.monotonic() - self._stage_began_s, self._now.told
    )
    width = self.console.width - 1
    after = f"  {clock(spent_s)}"
    if left_s is not None and self._pending:
      after += f" of about {clock(spent_s + left_s)}, {clock(left_s)} left"
    share = len(self._done) / max(len(self._plan), 1)
    if left_s is not None:
      share = spent_s / max(spent_s + left_s, 1e-9)
    if self._peak_bytes:
      after += f", {_gib(self._peak_bytes)} at most"
    bar = self._bar(share, max(min(width - len(after) - 8, 40), 6))
    return [
      text.Text(_cut(f"In all {bar}{after}", width), "bold", no_wrap=True)
    ]

  @property
  def _pending(self) -> bool:
    return len(self._done) < len(self._plan)

  def _bar(self, share: float, width: int) -> str:
    full = round(min(max(share, 0.0), 1.0) * width)
    return self._mark("━", "#") * full + self._mark("─", ".") * (width - full)

  def _curve(self, curve: Mapping[int, float], width: int) -> str:
    values = [curve[step] for step in sorted(curve)]
    ends = f" {progress.number(values[0])} to {progress.number(values[-1])}"
    room = min(width - len(ends), 48)
    return sparkline.draw(values, room, self._plain_text) + ends

  def _mark(self, sign: str, plain: str) -> str:
    return plain if self._plain_text else sign

  @property
  def _plain_text(self) -> bool:
    """Whether the terminal knows letters of ASCII alone."""
    return not self.console.encoding.lower().startswith("utf")


def clock(seconds: float) -> str:
  """As `8:19` or `1:02:03`."""
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f"{hours}:{minutes:02d}:{rest:02d}"
  return f"{minutes}:{rest:02d}"


def _gib(count: int) -> str:
  return f"{count / 2**30:.1f} GiB" if count else ""


def _value(value: float | str) -> str:
  return value if isinstance(value, str) else f"{value:.4g}"


def _fitting(parts: Sequence[str], width: int) -> str:
  """As many parts as fit on a line; none is cut."""
  line = ""
  for part in parts:
    longer = f"{line}   {part}" if line else part
    if len(longer) > width:
      break
    line = longer
  return line


def _cut(line: str, width: int) -> str:
  """A line of at most `width`, ended between two words."""
  if len(line) <= width:
    return line
  kept = line[: width - 3]
  if " " in kept.strip():
    kept = kept[: kept.rindex(" ")]
  return kept.rstrip() + "..."
