"""What the repository's `benchmarks/` hold of one very model, for its card.

Rows there bear the mark of the world model that they were measured on; numbers
of another one of the same preset are not this one's.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import pathlib
from typing import Any

from experiments.reports import text_tables
from pokedreamer_jax import json_files

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"
_STEPS = ("5", "15", "50")
_MOST_BYTES = 16 << 20


def of_world_model(
  config: Mapping[str, Any], mark: Mapping[str, Any]
) -> list[tuple[str, text_tables.Table]]:
  """File and table of every row of `compare --json` on a world model.

  Args:
    config: of an exported model; a policy's names its world model.
    mark: of its run's parameters, before rounding.

  Returns:
    Nothing where the package is without the repository.
  """
  mine = dict((config.get("inputs") or {}).get("world_model") or mark)
  found = []
  for path in sorted(FOLDER.glob("*.json")):
    for row in _rows(json_files.read(path, _MOST_BYTES, allow_nan=True)):
      if dict(row["world_model"]) == mine:
        found.append((path.name, _table(row)))
  return found


def _rows(values: Any) -> Iterator[Mapping[str, Any]]:
  """The rows that `compare` wrote, wherever they stand."""
  if isinstance(values, dict):
    if isinstance(values.get("world_model"), dict) and "all" in values:
      yield values
    else:
      for value in values.values():
        yield from _rows(value)
  elif isinstance(values, list):
    for value in values:
      yield from _rows(value)


def _table(row: Mapping[str, Any]) -> text_tables.Table:
  names = {"exact": "exact", "read_tiles": "tiles read"}
  header = ["open loop"]
  header += [f"{shown} @{s}" for shown in names.values() for s in _STEPS]
  lines = []
  for line, by_step in row["all"].items():
    cells = [by_step.get(s, {}).get(name) for name in names for s in _STEPS]
    shown = ["-" if cell is None else f"{cell:.2f}" for cell in cells]
    lines.append([line, *shown])
  return text_tables.Table(
    title="Dreams against the game",
    header=header,
    rows=lines,
    kinds=["strong"] * len(lines),
    note=f"{row['windows']} windows of {row['episodes']} held-out episodes.",
  )
