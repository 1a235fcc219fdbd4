"""A configuration as a TOML file that explains itself, and back.

    python -m experiments.train_rssm --preset=tiny --print_config > mine.toml
    python -m experiments.train_rssm --config=mine.toml ...

A file may leave out what is as in its preset.
"""

from collections.abc import Mapping
import dataclasses
import json
import os
import tomllib
from typing import Any

from pokedreamer_jax import json_files
from pokedreamer_jax.config import comments
from pokedreamer_jax.config import run as config_lib

_MOST_BYTES = 1 << 20  # a whole configuration has some 20 KiB


def text(config: config_lib.Config, about: str = "") -> str:
  """The file of a configuration; every field with its comment.

  Args:
    config: what is written, whole.
    about: lines for the head of the file.
  """
  lines = [f"# {line}".rstrip() for line in about.splitlines()]
  whole = dataclasses.fields(config)
  is_part = lambda field: dataclasses.is_dataclass(getattr(config, field.name))
  lines += _fields(config, [f for f in whole if not is_part(f)])
  for field in filter(is_part, whole):
    part = getattr(config, field.name)
    lines += ["", f"# {comments.of_class(type(part))}", f"[{field.name}]"]
    lines += _fields(part, dataclasses.fields(part))
  return "\n".join(lines) + "\n"


def read(path: str | os.PathLike) -> dict[str, Any]:
  """The values that a file gives, by field and by the fields of parts.

  Names and types are for `overrides.with_values` to check.

  Raises:
    ValueError: no such file, no TOML, or too large; one line.
  """
  try:
    data = json_files.read_bytes(path, _MOST_BYTES)
  except FileNotFoundError:
    raise ValueError(f"{path}: No such file") from None
  try:
    return tomllib.loads(data.decode("utf-8"))
  except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
    why = " ".join(str(error).split())
    raise ValueError(
      f"{path}: no TOML ({why}), expected a file as --print_config writes it"
    ) from None


def _fields(node: Any, fields: Any) -> list[str]:
  kind: type = type(node)
  told = comments.of_fields(kind)
  lines = []
  for field in fields:
    lines += [f"# {line}" for line in told.get(field.name, ())]
    lines.append(f"{field.name} = {_value(getattr(node, field.name))}")
  return lines


def _value(value: Any) -> str:
  if isinstance(value, str):
    # As JSON, but for the one character that TOML wants escaped as well.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
  if isinstance(value, bool):
    return "true" if value else "false"
  return repr(value)


def preset_of(values: Mapping[str, Any], path: str | os.PathLike) -> str | None:
  """The preset that a file's values begin with; None where it says none.

  Raises:
    ValueError: it is no text.
  """
  preset = values.get("preset")
  if preset is not None and not isinstance(preset, str):
    raise ValueError(f"{path}: preset: {preset!r:.60}, expected a text")
  return preset
