"""Overrides of a configuration, `part.field=value`, as `--set` takes them."""

from collections.abc import Sequence
import dataclasses
import math
from typing import Any

from pokedreamer_jax import config as config_lib


def apply(
  config: config_lib.Config, overrides: Sequence[str]
) -> config_lib.Config:
  """`config` with the fields that are named changed, one after the other.

  Raises:
    ValueError: an unknown field (the valid names are listed), or a value of
      the wrong type or out of bounds.
  """
  for item in overrides:
    path, equals, text = item.partition("=")
    if not equals:
      raise ValueError(f"--set {item!r}: expected part.field=value")
    config = _set(config, path.strip().split("."), text.strip(), path)
  return config


def _set(node: Any, names: list[str], text: str, path: str) -> Any:
  valid = [field.name for field in dataclasses.fields(node)]
  name = names[0]
  if name not in valid:
    raise ValueError(f"--set {path}: unknown {name!r}, expected one of {valid}")
  value = getattr(node, name)
  if dataclasses.is_dataclass(value):
    if len(names) == 1:
      inner = [field.name for field in dataclasses.fields(value)]
      raise ValueError(f"--set {path}: name a field of it, one of {inner}")
    new = _set(value, names[1:], text, path)
  elif len(names) > 1:
    raise ValueError(f"--set {path}: {name!r} has no fields")
  else:
    new = _parse(text, type(value), path)
  return dataclasses.replace(node, **{name: new})


def _parse(text: str, kind: type, path: str) -> Any:
  if kind is bool:
    if text.lower() not in ("true", "false"):
      raise ValueError(f"--set {path}: {text!r}, expected true or false")
    return text.lower() == "true"
  try:
    value = kind(text)
  except ValueError:
    raise ValueError(
      f"--set {path}: {text!r}, expected {kind.__name__}"
    ) from None
  if kind is float and not math.isfinite(value):
    raise ValueError(f"--set {path}: {text!r}, expected a finite number")
  return value
