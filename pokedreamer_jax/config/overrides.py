"""Overrides of a configuration, `part.field=value`, as `--set` takes them."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import decimal
import difflib
import math
from typing import Any

from pokedreamer_jax import json_files
from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib

_MOST_DIGITS = 18  # of a whole number that is written with an exponent


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
    for i, part in enumerate(parts):
      node = _field(config, node, parts[: i + 1], path)
      if not dataclasses.is_dataclass(node):
        raise ValueError(f"--set {path}: {part!r} has no fields")
      inner = inner.setdefault(part, {})
    old = _field(config, node, [*parts, name], path)
    inner[name] = _value(old, text.strip(), path)
  return _changed(config, changes)


def with_values(
  config: config_lib.Config, values: Mapping[str, Any], source: str
) -> config_lib.Config:
  """`config` with values by field, and by the fields of its parts.

  Args:
    config: what holds where `values` say nothing.
    values: as a file gives them.
    source: what errors begin with, such as the file.

  Raises:
    ValueError: an unknown field, or a value of the wrong type or out of bounds.
  """
  try:
    return _changed(config, _checked(config, config, values, []))
  except ValueError as error:
    raise ValueError(f"{source}: {error}") from None


def _checked(
  config: config_lib.Config, node: Any, values: Any, path: list[str]
) -> dict[str, Any]:
  if not isinstance(values, Mapping):
    raise ValueError(
      f"{'.'.join(path)}: {values!r:.60}, expected its fields, one of "
      f"{[field.name for field in dataclasses.fields(node)]}"
    )
  kinds = {field.name: field.type for field in dataclasses.fields(node)}
  found = {}
  for name, value in values.items():
    here = [*path, name]
    old = _known(config, node, here)
    if dataclasses.is_dataclass(old):
      found[name] = _checked(config, old, value, here)
      continue
    if kinds[name] is int and isinstance(value, float) and value.is_integer():
      value = int(value)  # 1e4
    found[name] = json_files.typed(kinds[name], value, ".".join(here))
  return found


def _field(
  config: config_lib.Config, node: Any, parts: list[str], path: str
) -> Any:
  try:
    return _known(config, node, parts)
  except ValueError as error:
    raise ValueError(f"--set {path}: {error}") from None


def _known(config: config_lib.Config, node: Any, parts: list[str]) -> Any:
  """The value of the last of `parts` in `node`, which the others lead to."""
  name = parts[-1]
  valid = [field.name for field in dataclasses.fields(node)]
  if name in valid:
    return getattr(node, name)
  close = difflib.get_close_matches(name, valid, 1)
  meant = [".".join([*parts[:-1], *close])] if close else []
  # Perhaps a field of another part.
  meant += [
    path
    for path in paths(config)
    if path.rpartition(".")[-1] == name and path not in meant
  ]
  hint = specs.did_you_mean(meant[:1])
  if len(meant) > 1:
    hint = f" (did you mean {' or '.join(map(repr, meant[:3]))}?)"
  raise ValueError(f"unknown {name!r}{hint}, expected one of {valid}")


def paths(node: Any) -> Iterator[str]:
  """Every field that holds a value, as `part.field`."""
  for field in dataclasses.fields(node):
    value = getattr(node, field.name)
    if dataclasses.is_dataclass(value):
      yield from (f"{field.name}.{path}" for path in paths(value))
    else:
      yield field.name


def value_at(node: Any, path: str) -> Any:
  """The value of one of `paths`."""
  for name in path.split("."):
    node = getattr(node, name)
  return node


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
    value = whole(text) if kind is int else kind(text)
  except ValueError:
    raise ValueError(
      f"--set {path}: {text!r}, expected {kind.__name__}"
    ) from None
  if kind is float and not math.isfinite(value):
    raise ValueError(f"--set {path}: {text!r}, expected a finite number")
  return value


def whole(text: str) -> int:
  """A whole number, also one like 1e4; flags take it as well.

  Raises:
    ValueError: it is none.
  """
  if "e" not in text.lower():
    return int(text)
  try:
    number = decimal.Decimal(text)
  except decimal.InvalidOperation:
    raise ValueError from None
  if not 0 <= number.adjusted() < _MOST_DIGITS or number != int(number):
    raise ValueError
  return int(number)
