"""Goals, events and calls of one game along its env steps, as inline SVG."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import html
from typing import Any

_WIDTH, _LEFT, _RIGHT = 1060, 84, 24
_LANE = 30  # pixels of a lane
_GAP = 12
_AXIS = 26
# Outcome of a goal -> colour, in the order of the legend.
OUTCOMES = {
  "reached": "#1f7a46",
  "out of time": "#b3412e",
  "stagnant": "#d98a3a",
  "replaced": "#a9b2bd",
}
# What was done with an answer -> colour.
DONE = {
  "applied": "#2f5d9b",
  "interim": "#8fb0d8",
  "fallback": "#d98a3a",
  "passed": "#b3412e",
  "held": "#6b8f4e",
  "unanswered": "#66707b",
}
EVENTS = {
  "badges": "#b3412e",
  "trainer_wins": "#2f5d9b",
  "species": "#8a4f9e",
  "new_maps": "#3f8f5f",
}


@dataclasses.dataclass(frozen=True)
class Event:
  """Something that was gained."""

  env_step: int
  term: str  # of `EVENTS`
  text: str


@dataclasses.dataclass(frozen=True)
class Span:
  """A stretch of a game, from one env step up to another."""

  start: int
  end: int
  colour: str
  text: str


def draw(
  steps: int,
  goals: Sequence[Mapping[str, Any]],
  calls: Sequence[Mapping[str, Any]],
  events: Sequence[Event],
  above: Mapping[str, Sequence[Span]] | None = None,
) -> str:
  """The picture.

  Args:
    steps: env steps of the game.
    goals: lines of a trace that say how goals ended.
    calls: its lines of calls.
    events: in any order.
    above: further lanes by name, which come first.

  Returns:
    SVG; what it names is escaped.
  """
  lanes = [
    (name, [_bar(s.start, s.end, steps, s.colour, _said(s)) for s in spans])
    for name, spans in (above or {}).items()
  ]
  lanes += [
    ("goals", [_goal(line, steps) for line in goals]),
    ("events", [_event(event, steps) for event in events]),
  ]
  if calls or not above:
    lanes.append(("planner", [_call(line, steps) for line in calls]))
  height = len(lanes) * (_LANE + _GAP) + _AXIS
  parts = [
    f'<svg viewBox="0 0 {_WIDTH} {height}" width="100%" '
    'font-family="system-ui, sans-serif" font-size="12" fill="#66707b">'
  ]
  for number, (name, marks) in enumerate(lanes):
    top = number * (_LANE + _GAP)
    parts.append(
      f'<g transform="translate(0 {top})"><rect x="{_LEFT}" width='
      f'"{_WIDTH - _LEFT - _RIGHT}" height="{_LANE}" fill="#f0f2f4"/>'
      f'<text x="0" y="{_LANE // 2 + 4}">{name}</text>{"".join(marks)}</g>'
    )
  bottom = height - _AXIS
  for tick in _ticks(steps):
    parts.append(
      f'<text x="{_x(tick, steps):.1f}" y="{bottom + 14}" '
      f'text-anchor="middle">{tick:,}</text>'
    )
  return "".join([*parts, "</svg>"])


def legend() -> str:
  """What the colours mean, as HTML."""
  rows = (("goals", OUTCOMES), ("events", EVENTS), ("planner", DONE))
  lines = []
  for lane, colours in rows:
    marks = "".join(
      f'<span style="color:{colour}">&#9632;</span> '
      f"{html.escape(name.replace('_', ' '))}&ensp;"
      for name, colour in colours.items()
    )
    lines.append(f"<p class=note>{lane}: {marks}</p>")
  return "".join(lines)


def _x(env_step: float, steps: int) -> float:
  return _LEFT + (_WIDTH - _LEFT - _RIGHT) * env_step / max(1, steps)


def _bar(start: float, end: float, steps: int, colour: str, text: str) -> str:
  left = _x(start, steps)
  width = max(2.0, _x(end, steps) - left)
  # Neighbours are parted by a line, as far as there is room for one.
  stroke = ' stroke="#ffffff" stroke-width="0.5"' if width > 4 else ""
  return (
    f'<rect x="{left:.1f}" width="{width:.1f}" height="{_LANE}" '
    f'fill="{colour}"{stroke}>'
    f"<title>{html.escape(text)}</title></rect>"
  )


def _said(span: Span) -> str:
  return f"{span.start}-{span.end} {span.text}"


def _goal(line: Mapping[str, Any], steps: int) -> str:
  end, outcome = line["env_step"], line["outcome"]
  start = end - line["env_steps"]
  text = f"{start}-{end} {line['goal']}: {outcome}"
  return _bar(start, end, steps, OUTCOMES.get(outcome, "#66707b"), text)


def _call(line: Mapping[str, Any], steps: int) -> str:
  reply = line["reply"]
  said = reply["goal"] if reply else line["fault"] or "nothing"
  text = (
    f"{line['asked_step']}-{line['done_step']} {line['trigger']}: {said} "
    f"({line['done']}, {line['answered_by']}, {line['latency_s']:.1f} s)"
  )
  colour = DONE.get(line["done"], "#66707b")
  return _bar(line["asked_step"], line["done_step"], steps, colour, text)


def _event(event: Event, steps: int) -> str:
  wide = event.term == "badges"
  left = _x(event.env_step, steps)
  mark = (
    f'<rect x="{left - 1:.1f}" y="{0 if wide else 8}" '
    f'width="{3 if wide else 2}" height="{_LANE if wide else _LANE - 16}" '
    f'fill="{EVENTS[event.term]}"><title>{event.env_step} '
    f"{html.escape(event.text)}</title></rect>"
  )
  return mark


def _ticks(steps: int) -> list[int]:
  """Some six round numbers."""
  raw = max(1, steps) / 6
  size = 1
  while size * 10 <= raw:
    size *= 10
  step = next((size * m for m in (1, 2, 5, 10) if size * m >= raw), size)
  return list(range(0, steps + 1, step))
