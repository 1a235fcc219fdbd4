"""Puts evaluations of world models side by side, averaged over seeds.

    python -m experiments.compare --run=given=runs/a0,runs/a1,runs/a2 \
      --run=off=runs/b0,runs/b1,runs/b2 [--json=FILE]

Every `--run` names a row and the run directories of `experiments.evaluate
--what=world_model` that it averages, one per seed. Cells are the mean over
seeds and, in brackets, the lowest and the highest of them. Runs of one row are
refused where they were measured differently: another number of windows, other
horizons or seen tokens.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
from typing import Any

from experiments import cli
from experiments import run_directory
from experiments import summary

Results = dict[str, list[dict[str, Any]]]  # name of a row -> one per seed

_LINES = ("dream (sampled)", "dream (most likely)", "emulator, other luck")
_MODES = ("overworld", "dialog", "battle")
_METRICS = {
  "pixels": ("pixels", 3),
  "exact": ("exact", 2),
  "tiles": ("tiles", 2),
  "read_tiles": ("tiles read", 2),
  "map": ("map", 2),
}
_SAME = ("windows", "context", "horizon", "ram", "detail", "held_out")
_STAGE = "evaluate_world_model"

_RUN = cli.repeated("run", "NAME=DIR,DIR,...: a row and its seeds.")
_JSON = cli.string("json", "", "Also write the numbers to this file.")


def main() -> None:
  """Flags to tables."""
  results = {}
  for item in _RUN.value or ():
    name, equals, text = item.partition("=")
    if not equals or not name or name in results:
      raise ValueError(f"--run={item}: expected NAME=DIR,DIR,... once a name")
    results[name] = [_read(directory) for directory in text.split(",")]
  if not results:
    raise ValueError("--run is required")
  for name, seeds in results.items():
    _check_alike(name, seeds)
  shown = tables(results)
  print("\n".join(summary.plain_tables(shown)))
  if _JSON.value:
    path = pathlib.Path(_JSON.value)
    run_directory.write_json(path, numbers(results))
    print(f"wrote {path}")


def tables(results: Results) -> list[summary.Table]:
  """One step ahead by mode, all windows, and those that no luck changes."""
  shown = [_one_step(results), _open_loop("All windows", results, None)]
  if any("calm" in seed for seeds in results.values() for seed in seeds):
    note = "Only windows in which other luck changes no pixel up to the step."
    shown.append(_open_loop("Calm windows", results, "calm", note))
  return shown


def numbers(results: Results) -> dict[str, Any]:
  """What the tables show, per seed, ready for JSON."""
  return {
    name: [
      {
        "world_model": seed["world_model"],
        "windows": seed["windows"],
        "episodes": seed["episodes"],
        "ram": seed["ram"],
        "one_step": _ahead(seed),
        "all": _shown_lines(seed),
        "calm": _shown_lines(seed["calm"]) if "calm" in seed else None,
      }
      for seed in seeds
    ]
    for name, seeds in results.items()
  }


def _read(directory: str) -> dict[str, Any]:
  stage = run_directory.read_stage(directory)
  if stage != _STAGE:
    raise ValueError(f"{directory}: a run of {stage}, expected {_STAGE}")
  result = run_directory.read_result(directory)
  if not result:
    raise ValueError(f"{directory}: the evaluation is not complete")
  model = run_directory.read_config(directory)["world_model"]
  return {"world_model": model, "directory": directory, **result}


def _check_alike(name: str, seeds: Sequence[Mapping[str, Any]]) -> None:
  first = seeds[0]
  for seed in seeds[1:]:
    for field in _SAME:
      if seed[field] != first[field]:
        raise ValueError(
          f"--run={name}: {field} is {seed[field]!r} in {seed['directory']}, "
          f"expected {first[field]!r} as in {first['directory']}"
        )


def _ahead(result: Mapping[str, Any]) -> dict[str, float]:
  """Numbers one step ahead by mode: of every row, and of calm windows."""
  shown = {"moved overworld exact": result["one_step"]["moved_overworld_exact"]}
  calm = result.get("calm", {}).get("mode", {})
  for mode, part in result["breakdown"]["mode"].items():
    for metric in ("pixels", "exact"):
      if metric in part["one_step"]:
        shown[f"{mode} {metric}"] = part["one_step"][metric]["mean"]
  for mode, part in calm.items():
    for metric in ("pixels", "exact"):
      value = part["lines"][_LINES[0]]["1"].get(metric)
      if value is not None:
        shown[f"calm {mode} {metric}"] = value
  return shown


def _one_step(results: Results) -> summary.Table:
  header = ["one step ahead", "moved overworld exact"]
  header += [
    f"{mode} {what}" for mode in _MODES for what in ("pixels", "exact")
  ]
  rows = []
  for name, seeds in results.items():
    ahead = [_ahead(seed) for seed in seeds]
    cells = [
      _spread(
        [seed.get(column) for seed in ahead], 3 if "pixels" in column else 2
      )
      for column in header[1:]
    ]
    rows.append([name, *cells])
  counts = ", ".join(f"{name} {len(seeds)}" for name, seeds in results.items())
  note = (
    "Means over seeds [lowest highest]; seeds: "
    f"{counts}. The sampled frame; the model sees the rows up to the one "
    "before. Calm: only windows in which other luck changes no pixel."
  )
  return summary.Table("One step ahead", header, rows, [""] * len(rows), note)


def _open_loop(
  title: str, results: Results, part: str | None, note: str = ""
) -> summary.Table:
  """Rows: runs and lines; columns: metrics at every step."""
  runs = {
    name: [_shown_lines(seed[part] if part else seed) for seed in seeds]
    for name, seeds in results.items()
    if all(part in seed for seed in seeds if part)
  }
  steps = list(next(iter(runs.values()))[0][_LINES[0]])
  header = ["open loop"]
  header += [f"{title} @{k}" for title, _ in _METRICS.values() for k in steps]
  rows, kinds = [], []
  for name, seeds in runs.items():
    for line in _LINES:
      cells = [
        _spread(
          [seed.get(line, {}).get(k, {}).get(m) for seed in seeds], digits
        )
        for m, (_, digits) in _METRICS.items()
        for k in steps
      ]
      if set(cells) != {"-"}:
        rows.append([f"{name}: {line.removeprefix('dream ')}", *cells])
        kinds.append("faint" if line == _LINES[-1] else "strong")
  return summary.Table(title, header, rows, kinds, note, group=len(steps))


def _shown_lines(part: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
  """Line -> step -> metric -> mean."""
  return {
    line: {
      step: {m: row[m] for m in _METRICS if row.get(m) is not None}
      for step, row in part["lines"][line].items()
    }
    for line in _LINES
    if line in part["lines"]
  }


def _spread(values: Sequence[float | None], decimals: int) -> str:
  """As `0.53 [0.51 0.56]`; "-" where a seed has no such number."""
  if any(value is None for value in values):
    return "-"
  known = [value for value in values if value is not None]
  mean = f"{sum(known) / len(known):.{decimals}f}"
  if len(known) == 1:
    return mean
  low, high = f"{min(known):.{decimals}f}", f"{max(known):.{decimals}f}"
  return f"{mean} [{low} {high}]"


if __name__ == "__main__":
  cli.run_main(main)
