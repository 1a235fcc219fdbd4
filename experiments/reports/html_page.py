"""A self-contained HTML page: text, tables, inline images and SVG curves.

No script, no network: one file that can be copied off a server and opened.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import html
import math

_STYLE = """
:root { --ink: #1d2329; --faint: #66707b; --line: #dfe3e8; --paper: #ffffff;
  --back: #f4f5f7; --good: #1f7a46; --bad: #b3412e; --accent: #2f5d9b;
  --code: #f0f2f4; --grid: #e6e9ed; --c0: #2f5d9b; --c1: #c26a2d;
  --c2: #3f8f5f; --c3: #8a4f9e; --c4: #66707b; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --faint: #9aa4af; --line: #333a42; --paper: #1b1f24;
    --back: #121519; --good: #2a8f56; --bad: #c4533f; --accent: #86b3ee;
    --code: #14171b; --grid: #2b3138; --c0: #86b3ee; --c1: #eba05f;
    --c2: #73c795; --c3: #c495d8; --c4: #9aa4af; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 20px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 0 0 12px; }
h3 { font-size: 15px; margin: 18px 0 6px; }
.lead { color: var(--faint); margin: 0 0 20px; }
section { background: var(--paper); border: 1px solid var(--line);
  border-radius: 10px; padding: 20px 22px; margin: 16px 0; }
p { margin: 0 0 12px; } p:last-child { margin-bottom: 0; }
.note { color: var(--faint); font-size: 14px; }
table { border-collapse: collapse; font-size: 14px; width: 100%;
  font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; margin: 0 0 12px; }
th, td { padding: 6px 8px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.faint td { color: var(--faint); }
tr.strong td { font-weight: 600; }
ul.verdicts { list-style: none; margin: 0; padding: 0; }
ul.verdicts li { display: grid; grid-template-columns: 62px 1fr; gap: 12px;
  padding: 8px 0; border-bottom: 1px solid var(--line); }
ul.verdicts li:last-child { border-bottom: 0; }
.mark { font-size: 12px; font-weight: 700; border-radius: 5px; height: 22px;
  line-height: 22px; text-align: center; color: #fff; margin-top: 2px; }
.yes { background: var(--good); } .no { background: var(--bad); }
.unknown { background: var(--faint); }
figure { margin: 0 0 14px; } figure:last-child { margin-bottom: 0; }
figcaption { color: var(--faint); font-size: 14px; margin-top: 6px; }
img, video { display: block; max-width: 100%; border-radius: 6px; }
.charts { display: grid; gap: 18px 26px;
  grid-template-columns: repeat(auto-fill, minmax(290px, 1fr)); }
.chart-title { font-size: 13px; font-weight: 600; margin-bottom: 2px; }
pre { background: var(--code); border-radius: 6px; padding: 12px;
  margin: 0 0 12px; overflow-x: auto;
  font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace; }
details summary { cursor: pointer; color: var(--accent); }
details[open] summary { margin-bottom: 10px; }
svg { fill: var(--faint); } svg .grid { stroke: var(--grid); }
.first figure { margin: 0 auto 18px; max-width: 900px; }
.first video, .first img { width: 100%; min-width: 0;
  image-rendering: pixelated; }
.numbers { display: grid; gap: 12px 28px; margin: 0 0 18px;
  grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); }
.number b { display: block; font-size: 40px; line-height: 1.1;
  font-weight: 650; letter-spacing: -0.02em; }
.number span { display: block; }
.number i { display: block; color: var(--faint); font-style: normal;
  font-size: 14px; }
.sentence { font-size: 18px; max-width: 62em; }
.caution { border-left: 4px solid var(--c1); padding-left: 12px; }
@media (max-width: 640px) {
  main { padding: 14px 8px 40px; } section { padding: 14px 12px; }
  figure.picture { overflow-x: auto; } .picture img { min-width: 860px; }
  h1 { font-size: 22px; } .number b { font-size: 30px; }
  .numbers { grid-template-columns: 1fr 1fr; } .sentence { font-size: 16px; }
  ul.verdicts li { grid-template-columns: 46px 1fr; gap: 8px; } }
"""


@dataclasses.dataclass(frozen=True)
class TableRow:
  """Cells of one row; `kind` is "", "faint" (a reference) or "strong"."""

  cells: Sequence[str]
  kind: str = ""


def page(title: str, lead: str, sections: Sequence[str]) -> str:
  """The whole document; `sections` are pieces made below."""
  return (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><main>"
    f'<h1>{_text(title)}</h1><p class="lead">{_text(lead)}</p>'
    + "\n".join(sections)
    + "</main></body></html>\n"
  )


def section(title: str, *parts: str) -> str:
  """A card with a heading."""
  return f"<section><h2>{_text(title)}</h2>{''.join(parts)}</section>"


def first(*parts: str) -> str:
  """The card that is seen first; it has no heading."""
  return f'<section class="first">{"".join(parts)}</section>'


def numbers(items: Sequence[tuple[str, str, str]]) -> str:
  """Large numbers: each its value, what it counts, and what is beside it."""
  body = "".join(
    f'<div class="number"><b>{_text(value)}</b><span>{_text(what)}</span>'
    f"<i>{_text(beside)}</i></div>"
    for value, what, beside in items
  )
  return f'<div class="numbers">{body}</div>'


def sentence(text: str, caution: bool = False) -> str:
  """A paragraph in larger letters; one of caution is marked."""
  kind = "sentence caution" if caution else "sentence"
  return f'<p class="{kind}">{_text(text)}</p>'


def heading(text: str) -> str:
  """A heading inside a card."""
  return f"<h3>{_text(text)}</h3>"


def paragraph(text: str, note: bool = False) -> str:
  """A paragraph; a note is small and faint."""
  return f"<p{' class=note' if note else ''}>{_text(text)}</p>"


def table(header: Sequence[str], rows: Sequence[TableRow]) -> str:
  """A table; the first column is text, the others are numbers."""
  head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
  body = "".join(
    f'<tr class="{row.kind}">'
    + "".join(f"<td>{_text(cell)}</td>" for cell in row.cells)
    + "</tr>"
    for row in rows
  )
  return (
    f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
    f"<tbody>{body}</tbody></table></div>"
  )


def verdicts(items: Sequence[tuple[bool | None, str]]) -> str:
  """A list of statements marked yes, no or unknown (None)."""
  marks = {True: ("yes", "yes"), False: ("no", "no"), None: ("unknown", "n/a")}
  body = "".join(
    f'<li><span class="mark {marks[holds][0]}">{marks[holds][1]}</span>'
    f"<span>{_text(text)}</span></li>"
    for holds, text in items
  )
  return f'<ul class="verdicts">{body}</ul>'


def image(uri: str, caption: str) -> str:
  """An image given as a data URI."""
  text = _text(caption)
  return (
    f'<figure class="picture"><img src="{uri}" alt="{text}">'
    f"<figcaption>{text}</figcaption></figure>"
  )


def clip(uri: str, caption: str) -> str:
  """A clip given as a data URI: MP4 plays as video, WebP as an image."""
  if not uri.startswith("data:video/"):
    return image(uri, caption)
  return (
    f'<figure><video src="{uri}" autoplay loop muted playsinline controls>'
    f"</video><figcaption>{_text(caption)}</figcaption></figure>"
  )


def code(text: str) -> str:
  """Preformatted text, such as commands."""
  return f"<pre>{_text(text)}</pre>"


def details(summary: str, *parts: str) -> str:
  """Parts that open on a click."""
  body = "".join(parts)
  return f"<details><summary>{_text(summary)}</summary>{body}</details>"


def charts(items: Sequence[str]) -> str:
  """Charts side by side."""
  return f'<div class="charts">{"".join(items)}</div>'


def chart(
  title: str,
  curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
  x_label: str = "",
  bands: Mapping[str, Sequence[Sequence[float]]] | None = None,
) -> str:
  """A line chart as inline SVG.

  Args:
    title: above the chart.
    curves: name -> (x values, y values); values that are not finite are left
      out. Several curves get a legend. An axis of positive values over more
      than a decade and a half is logarithmic, and the title says so.
    x_label: below the axis.
    bands: name of a curve -> (lowest, highest y values) at its x values, shown
      behind it; of an axis that is not logarithmic.
  """
  bands = bands or {}
  points = {
    name: [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(y)]
    for name, (xs, ys) in curves.items()
  }
  points = {name: line for name, line in points.items() if line}
  logarithmic = is_logarithmic([y for line in points.values() for _, y in line])
  title += ", logarithmic" if logarithmic else ""
  head = f'<div class="chart"><div class="chart-title">{_text(title)}</div>'
  if not points:
    return f'{head}<div class="note">no values</div></div>'
  if all(len(line) == 1 for line in points.values()):
    said = "; ".join(
      f"{_number(line[0][1])} at {_number(line[0][0])} {x_label}"
      for line in points.values()
    )
    return f'{head}<div class="note">{_text(said)}</div></div>'
  around = {
    name: [
      *zip(curves[name][0], low, strict=True),
      *zip(curves[name][0][::-1], high[::-1], strict=True),
    ]
    for name, (low, high) in bands.items()
    if len(curves[name][0]) == len(low) == len(high) > 1 and not logarithmic
  }
  return f"{head}{_svg(points, x_label, logarithmic, around)}</div>"


def is_logarithmic(values: Sequence[float]) -> bool:
  """Whether an axis of them is drawn so: all but a few would lie on one line.

  The least of a hundred is left out: one value near zero is no decade.
  """
  ordered = sorted(values)
  if not ordered:
    return False
  low = ordered[len(ordered) // 100]
  return ordered[0] > 0 and ordered[-1] / low > _MOST_RATIO


_MOST_RATIO = 30.0  # greatest beside least that an even axis shows
_COLOURS = tuple(f"var(--c{i})" for i in range(5))
_WIDTH, _HEIGHT = 330, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 8, 34


def _svg(
  points: Mapping[str, list[tuple[float, float]]],
  x_label: str,
  logarithmic: bool = False,
  around: Mapping[str, list[tuple[float, float]]] | None = None,
) -> str:
  around = around or {}
  if logarithmic:
    points = {
      name: [(x, math.log10(y)) for x, y in line]
      for name, line in points.items()
    }
  every = [point for line in points.values() for point in line]
  x_low, x_high = _spread([x for x, _ in every])
  x_ticks = [t for t in _ticks([x_low, x_high]) if x_low <= t <= x_high]
  ys = [y for _, y in every]
  ys += [y for line in around.values() for _, y in line]
  y_ticks = _decades(ys) if logarithmic else _ticks(ys)

  def place(x: float, y: float) -> tuple[float, float]:
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    x_share = (x - x_low) / (x_high - x_low)
    y_share = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
    return _LEFT + x_share * width, _TOP + (1 - y_share) * height

  parts = [
    f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" '
    'font-family="system-ui, sans-serif" font-size="11">'
  ]
  for tick in y_ticks:
    _, y = place(x_low, tick)
    parts.append(
      f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
      'class="grid"/>'
      f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
      f"{_number(10**tick if logarithmic else tick)}</text>"
    )
  for tick in x_ticks:
    x, y = place(tick, y_ticks[0])
    parts.append(
      f'<text x="{x:.1f}" y="{y + 15:.1f}" text-anchor="'
      f'{"end" if x > _WIDTH - _RIGHT - 12 else "middle"}">'
      f"{_number(tick)}</text>"
    )
  parts.append(
    f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 4}" '
    f'text-anchor="middle">{_text(x_label)}</text>'
  )
  for index, (name, line) in enumerate(points.items()):
    colour = _COLOURS[index % len(_COLOURS)]
    if name in around:
      edge = (place(*point) for point in around[name])
      shape = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)
      parts.append(
        f'<polygon points="{shape}" style="fill:{colour};opacity:.18"/>'
      )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*p) for p in line))
    parts.append(
      f'<polyline points="{path}" style="fill:none;stroke:{colour}" '
      'stroke-width="1.6" stroke-linejoin="round"/>'
    )
    if len(line) == 1:
      x, y = place(*line[0])
      at = f'cx="{x:.1f}" cy="{y:.1f}" r="3"'
      parts.append(f'<circle {at} style="fill:{colour}"/>')
    if len(points) > 1:
      parts.append(
        f'<text x="{_WIDTH - _RIGHT - 4}" y="{_TOP + 12 + 14 * index}" '
        f'text-anchor="end" style="fill:{colour}">{_text(name)}</text>'
      )
  return "".join([*parts, "</svg>"])


def _decades(values: Sequence[float]) -> list[float]:
  """Whole powers of ten that enclose logarithms, at most seven."""
  low, high = math.floor(min(values)), math.ceil(max(values))
  step = max(1, math.ceil((high - low) / 6))
  last = low + max(step, math.ceil((high - low) / step) * step)
  return [float(power) for power in range(low, last + 1, step)]


def _ticks(values: Sequence[float]) -> list[float]:
  """Three to six round numbers that enclose `values`."""
  low, high = _spread(values)
  raw = (high - low) / 4
  power = 10.0 ** math.floor(math.log10(raw))
  step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw)
  first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
  return [index * step for index in range(first, last + 1)]


def _spread(values: Sequence[float]) -> tuple[float, float]:
  """Least and greatest, moved apart where they are the same."""
  low, high = min(values), max(values)
  if high - low < 1e-12 * max(abs(low), abs(high), 1.0):
    pad = abs(low) * 0.5 or 1.0
    return low - pad, high + pad
  return low, high


def _number(value: float) -> str:
  if abs(value) >= 10000:
    return f"{value / 1000:g}k"
  return f"{value:.4g}" if abs(value) > 1e-12 else "0"


def _text(text: str) -> str:
  return html.escape(str(text))
