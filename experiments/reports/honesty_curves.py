"""What dreams promised and the game paid while policies were trained."""

from collections.abc import Mapping
import pathlib
from typing import Any

from experiments.reports import html_page
from experiments.reports import text_tables
from experiments.runs import metrics
from experiments.runs import run_directory

_GAINS = {
  "in dreams": "honesty/imagined_gain",
  "in the game": "honesty/real_gain",
}
_SHARES = {
  "realised": "honesty/realised",
  "correlation": "honesty/correlation",
}
_NOTE = (
  "Gains in return, or in the share of goals reached, over the policy that the "
  "training began with, from the same rows of held-out episodes; bands are "
  "95 % intervals over episodes. Nothing is taught by these games."
)
_TITLES = {"policy": "Policy in dreams", "policy_scratch": "From scratch"}


def section(workdir: pathlib.Path) -> str:
  """A picture of each policy that was looked at; "" where none was.

  Args:
    workdir: of a quickstart, of `train_agent`, or of a policy itself.
  """
  parts = []
  for title, folder in _policies(workdir).items():
    rows = looks(folder)
    if rows:
      parts += [html_page.heading(title), html_page.charts(charts(rows))]
  if not parts:
    return ""
  note = html_page.paragraph(_NOTE, note=True)
  return html_page.section("What dreams promised, and games paid", *parts, note)


def charts(rows: list[metrics.Row]) -> list[str]:
  """Gains in dreams against those in the game, and what they have in common.

  Args:
    rows: of `looks`.
  """
  found = []
  for title, names in (
    ("gain over the policy at first", _GAINS),
    ("realised share, correlation", _SHARES),
  ):
    curves = {n: metrics.curve(rows, m) for n, m in names.items()}
    bands = {
      name: [
        metrics.curve(rows, f"{metric}_{end}")[1] for end in ("low", "high")
      ]
      for name, metric in names.items()
    }
    if title != "gain over the policy at first":
      bands = {}  # of a ratio with little below the line, wider than the chart
    found.append(html_page.chart(title, curves, "updates", bands))
  return found


def looks(folder: pathlib.Path) -> list[metrics.Row]:
  """Rows of a policy's metrics at which honesty was measured."""
  rows = metrics.read(folder / metrics.FILE)
  return [row for row in rows if _GAINS["in dreams"] in row]


def table(rows: list[metrics.Row]) -> text_tables.Table:
  """The same as numbers, a row a look."""
  shown = [
    [
      str(row["step"]),
      *(_interval(row, name) for name in (*_GAINS.values(), *_SHARES.values())),
      "parted" if row["honesty/alarm"] else "",
    ]
    for row in rows
  ]
  kinds = ["strong" if row[-1] else "" for row in shown]
  header = ["update", *_GAINS, *_SHARES, ""]
  title = "What dreams promised, and games paid"
  return text_tables.Table(title, header, shown, kinds, _NOTE)


def notes(workdir: pathlib.Path) -> list[str]:
  """A line for each policy whose dreams and games parted."""
  found = []
  for title, folder in _policies(workdir).items():
    honesty = run_directory.read_result(folder).get("honesty")
    if honesty and honesty["alarms"]:
      updates = ", ".join(map(str, honesty["alarms"]))
      ended = "; its training ended there" if honesty["stopped"] else ""
      found.append(
        f"{title}: dreams and game parted at update {updates}: of what dreams "
        f"promised, the game paid less than half{ended}."
      )
  return found


def _policies(workdir: pathlib.Path) -> dict[str, pathlib.Path]:
  """Run directories of policies by what they are called."""
  found = {
    title: workdir / name
    for name, title in _TITLES.items()
    if (workdir / name).is_dir()
  }
  for folder in sorted(workdir.glob("turns/*/policy")):
    found[f"Policy of turn {int(folder.parent.name)}"] = folder
  return found or {"This policy": workdir}


def _interval(row: Mapping[str, Any], name: str) -> str:
  if name not in row:
    return "-"
  low, high = row[f"{name}_low"], row[f"{name}_high"]
  return f"{row[name]:.2f} [{low:.2f}, {high:.2f}]"
