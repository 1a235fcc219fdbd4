"""Overrides of a configuration, `part.field=value`, as `--set` takes them."""

from collections.abc import Sequence
import dataclasses
import math
from typing import Any

from pokedreamer_jax.config import run as config_lib


def apply(
  config: config_lib.Config, overrides: Sequence[str]
) -> config_lib.Config:
  """`config` with the fields that are named changed, all at once.

  Fields bound one another, so only the outcome is checked, and the order does
  not matter; of two values for one field the later holds.

  Raises:
    ValueError: an unknown field (the valid names are listed), or a value of
      the wrong type or out of bounds.
  """
  changes: dict[str, Any] = {}
  for item in overrides:
    path, equals, text = item.partition("=")
    if not equals:
      raise ValueError(f"--set {item!r}: expected part.field=value")
    *parts, name = path.strip().split(".")
    node: Any = config
    inner = changes
    for part in parts:
      node = _field(node, part, path)
      if not dataclasses.is_dataclass(node):
        raise ValueError(f"--set {path}: {part!r} has no fields")
      inner = inner.setdefault(part, {})
    inner[name] = _value(_field(node, name, path), text.strip(), path)
  return _changed(config, changes)


def _field(node: Any, name: str, path: str) -> Any:
  valid = [field.name for field in dataclasses.fields(node)]
  if name not in valid:
    raise ValueError(f"--set {path}: unknown {name!r}, expected one of {valid}")
  return getattr(node, name)


def _value(old: Any, text: str, path: str) -> Any:
  if dataclasses.is_dataclass(old):
    inner = [field.name for field in dataclasses.fields(old)]
    raise ValueError(f"--set {path}: name a field of it, one of {inner}")
  return _parse(text, type(old), path)


def _changed(node: Any, changes: dict[str, Any]) -> Any:
  """`node` with new values by field, and by the fields of its parts."""
  return dataclasses.replace(
    node,
    **{
      name: _changed(getattr(node, name), value)
      if isinstance(value, dict)
      else value
      for name, value in changes.items()
    },
  )


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
