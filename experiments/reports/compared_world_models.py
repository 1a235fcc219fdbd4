"""World models side by side, averaged over seeds, for `compare`.

Cells are means over the seeds of a row and, in brackets, the lowest and the
highest of them.
"""

from collections.abc import Mapping
from typing import Any

from experiments.reports import text_tables

Results = dict[str, list[dict[str, Any]]]  # name of a row -> one per seed

# What has to be the same in the runs of one row.
SAME = ("windows", "context", "horizon", "ram", "detail", "held_out")

_DREAM = "dream (sampled)"
_SUBJECTS = (_DREAM, "dream (most likely)")
_EMULATOR = ("emulator, other luck", "emulator, other chance")
_KEPT = (*_SUBJECTS, *_EMULATOR, "frozen frame")  # in JSON
_MODES = ("overworld", "dialog", "battle")
_METRICS = {
  "pixels": ("pixels", ".3f"),
  "exact": ("exact", ".2f"),
  "tiles": ("tiles", ".2f"),
  "read_tiles": ("tiles read", ".2f"),
  "read_share": ("readable", ".2f"),
  "map": ("map", ".2f"),
}


def tables(results: Results) -> list[text_tables.Table]:
  """One step ahead by mode, all windows, and those that no luck changes."""
  shown = [_one_step(results), _open_loop("All windows", results, None)]
  if any(all("calm" in seed for seed in each) for each in results.values()):
    note = "Only windows in which other luck changes no pixel up to the step."
    shown.append(_open_loop("Calm windows", results, "calm", note))
  return shown


def numbers(results: Results) -> dict[str, Any]:
  """What the tables show of the lines that are read, per seed, for JSON."""

  def kept(part: Mapping[str, Any]) -> dict[str, Any]:
    lines = _shown_lines(part)
    return {name: lines[name] for name in _KEPT if name in lines}

  return {
    name: [
      {
        "world_model": seed["world_model"],
        "windows": seed["windows"],
        "episodes": seed["episodes"],
        "ram": seed["ram"],
        "one_step": _rounded(_ahead(seed)),
        "all": _rounded(kept(seed)),
        "calm": _rounded(kept(seed["calm"])) if "calm" in seed else None,
      }
      for seed in seeds
    ]
    for name, seeds in results.items()
  }


def _rounded(values: Any) -> Any:
  """Numbers of a tree with four decimals: more of them mean nothing."""
  if isinstance(values, Mapping):
    return {name: _rounded(value) for name, value in values.items()}
  return round(values, 4) if isinstance(values, float) else values


def _rows_by_mode(result: Mapping[str, Any]) -> str:
  calm = result.get("calm", {}).get("mode", {})
  parts = []
  for mode, part in result["breakdown"]["mode"].items():
    if mode in _MODES:
      few = f" ({calm[mode]['counts']['1']} calm)" if mode in calm else ""
      parts.append(f"{part['one_step_rows']} {mode} rows{few}")
  return ", ".join(parts)


def _ahead(result: Mapping[str, Any]) -> dict[str, float]:
  """Numbers one step ahead by mode: of every row, and of calm windows."""
  shown = {}
  if "overworld" in result["breakdown"]["mode"]:
    moved = result["one_step"]["moved_overworld_exact"]
    shown["moved overworld exact"] = moved
  calm = result.get("calm", {}).get("mode", {})
  for mode, part in result["breakdown"]["mode"].items():
    for metric in ("pixels", "exact"):
      if metric in part["one_step"]:
        shown[f"{mode} {metric}"] = part["one_step"][metric]["mean"]
  for mode, part in calm.items():
    for metric in ("pixels", "exact"):
      value = part["lines"][_DREAM]["1"].get(metric)
      if value is not None:
        shown[f"calm {mode} {metric}"] = value
  return shown


def _one_step(results: Results) -> text_tables.Table:
  header = ["one step ahead", "moved overworld exact"]
  header += [
    f"{calm}{mode} {metric}"
    for calm in ("", "calm ")
    for mode in _MODES
    for metric in ("pixels", "exact")
  ]
  rows = []
  for name, seeds in results.items():
    ahead = [_ahead(seed) for seed in seeds]
    cells = [
      text_tables.spread(
        [seed.get(column) for seed in ahead],
        ".3f" if "pixels" in column else ".2f",
      )
      for column in header[1:]
    ]
    rows.append([name, *cells])
  counted = "; ".join(
    f"{name}: {len(seeds)} seeds, in the first " + _rows_by_mode(seeds[0])
    for name, seeds in results.items()
  )
  note = (
    "Sampled frames; mean over seeds [lowest highest]. The model sees the rows "
    "up to the one before. Calm: only windows in which other luck changes no "
    f"pixel. {counted}."
  )
  return text_tables.without_empty(
    text_tables.Table("One step ahead", header, rows, [""] * len(rows), note)
  )


def _open_loop(
  title: str, results: Results, part: str | None, note: str = ""
) -> text_tables.Table:
  """Rows: runs and lines; columns: metrics at every step."""
  runs = {
    name: [_shown_lines(seed[part] if part else seed) for seed in seeds]
    for name, seeds in results.items()
    if all(part in seed for seed in seeds if part)
  }
  first = next(iter(runs.values()))[0]
  steps = list(first[_DREAM])
  header = ["open loop"]
  header += [f"{title} @{k}" for title, _ in _METRICS.values() for k in steps]
  rows, kinds = [], []
  for name, seeds in runs.items():
    for line in seeds[0]:
      cells = [
        text_tables.spread(
          [seed.get(line, {}).get(k, {}).get(m) for seed in seeds], form
        )
        for m, (_, form) in _METRICS.items()
        for k in steps
      ]
      rows.append([f"{name}: {line.removeprefix('dream ')}", *cells])
      kinds.append("strong" if line in _SUBJECTS else "faint")
  return text_tables.without_empty(
    text_tables.Table(title, header, rows, kinds, note, group=len(steps))
  )


def _shown_lines(part: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
  """Line -> step -> metric -> mean."""
  return {
    line: {
      step: {m: round(row[m], 4) for m in _METRICS if row.get(m) is not None}
      for step, row in steps.items()
    }
    for line, steps in part["lines"].items()
  }
