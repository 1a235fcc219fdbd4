"""The JSON files of a run directory, written whole and read whole."""

import json
import os
import pathlib
from typing import Any

from data_tools.system import files
from experiments.outputs import disk
from pokedreamer_jax import json_files
from pokedreamer_jax import whole_files


def write_json(
  path: pathlib.Path, value: Any, depth: int | None = None
) -> None:
  """Writes a JSON file whole or not at all.

  Args:
    path: the file.
    value: what it holds.
    depth: objects within each other that are spread over lines; what lies
      deeper, and every list, stands on one. None spreads all.
  """
  temporary = path.with_name(path.name + ".tmp")
  try:
    with disk.naming(temporary), open(temporary, "w", encoding="utf-8") as file:
      if depth is None:
        json.dump(value, file, indent=2)
      else:
        file.write(_spread(value, depth, ""))
      file.write("\n")
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(path)
  except BaseException:  # a full disk; it has taken enough of it
    temporary.unlink(missing_ok=True)
    raise
  files.sync_folder(path.parent)  # the name lasts as well


def _spread(value: Any, depth: int, indent: str) -> str:
  if not depth or not isinstance(value, dict) or not value:
    return json.dumps(value)
  inner = indent + "  "
  items = [
    f"{inner}{json.dumps(name)}: {_spread(part, depth - 1, inner)}"
    for name, part in value.items()
  ]
  return "{\n" + ",\n".join(items) + f"\n{indent}}}"


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """A JSON object, empty if the file is missing.

  Raises:
    ValueError: it is damaged, or no regular file.
  """
  try:
    # Measured numbers may be none: those of a player that never got there.
    return json_files.read_object(path, allow_nan=True)
  except FileNotFoundError:
    return {}


def read_whole(path: pathlib.Path) -> dict[str, Any]:
  """`read_json` of a sealed file, without its seal.

  Raises:
    ValueError: its values are not those that were written.
  """
  values = read_json(path)
  return whole_files.unseal(values, path) if path.exists() else {}
