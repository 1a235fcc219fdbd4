"""JSON Schema of dataclasses, and values held against it; standard library.

A small part of the language: types, null, enum, limits of numbers, lengths and
lists, objects without other keys.
"""

import dataclasses
import types
import typing
from typing import Any

_MOST_SHOWN = 60  # characters of a value in a fault
_MOST_FAULTS = 8


def of(cls: Any) -> dict[str, Any]:
  """The schema of a dataclass; what may be null, false or empty may be absent.

  Args:
    cls: its fields are `Annotated[type, meaning]`, or with a mapping of JSON
      Schema limits as well, which are of items where the type is a tuple.
  """
  hints = typing.get_type_hints(cls, include_extras=True)
  properties = {}
  for field in dataclasses.fields(cls):
    kind, meaning, *limits = typing.get_args(hints[field.name])
    properties[field.name] = {"description": meaning} | _of_type(
      kind, limits[0] if limits else {}
    )
  made = closed_object(properties)
  made["required"] = [n for n, p in properties.items() if not _is_spared(p)]
  return made


def _is_spared(schema: dict[str, Any]) -> bool:
  kind = schema.get("type", "null")
  return kind in ("null", "boolean", "array") or "null" in kind


def _of_type(kind: Any, limits: dict[str, Any]) -> dict[str, Any]:
  arguments = typing.get_args(kind)
  if isinstance(kind, types.UnionType):
    inner = _of_type(arguments[0], limits)
    if inner["type"] in ("object", "array"):
      return {"anyOf": [inner, {"type": "null"}]}
    return inner | {"type": [inner["type"], "null"]}
  if typing.get_origin(kind) is tuple:
    return {"type": "array", "items": _of_type(arguments[0], limits)}
  if dataclasses.is_dataclass(kind):
    return of(kind)
  return {"type": _JSON_TYPES[kind], **limits}


def closed_object(properties: dict[str, Any]) -> dict[str, Any]:
  """The schema of an object that has these keys and no other."""
  return {
    "type": "object",
    "properties": properties,
    "required": list(properties),
    "additionalProperties": False,
  }


def check(value: Any, schema: dict[str, Any], name: str) -> list[str]:
  """Holds a JSON value against a schema of this module.

  Args:
    value: as read from JSON.
    schema: of the words that this module writes.
    name: what the value is called in faults.

  Returns:
    One line a fault, `_MOST_FAULTS` at most; none where it conforms.
  """
  faults: list[str] = []
  _check(value, schema, name, faults)
  return faults[:_MOST_FAULTS]


def _check(
  value: Any, schema: dict[str, Any], name: str, faults: list[str]
) -> None:
  if len(faults) >= _MOST_FAULTS:
    return
  if "anyOf" in schema:  # something or null
    if value is not None:
      _check(value, schema["anyOf"][0], name, faults)
    return
  kinds = schema["type"]
  kinds = kinds if isinstance(kinds, list) else [kinds]
  kind = _JSON_TYPES.get(type(value), "?")
  if kind not in kinds and not (kind == "integer" and "number" in kinds):
    faults.append(f"{name}: {_show(value)}, expected {' or '.join(kinds)}")
  elif "enum" in schema and value not in schema["enum"]:
    faults.append(f"{name}: {_show(value)}, expected one of {schema['enum']}")
  elif kind in ("integer", "number"):
    low, high = schema.get("minimum"), schema.get("maximum")
    # NaN is in no range.
    if (low is not None and not value >= low) or (
      high is not None and not value <= high
    ):
      faults.append(f"{name}: {value!r:.40}, expected {low} to {high}")
  elif kind == "string" and len(value) > schema.get("maxLength", len(value)):
    faults.append(
      f"{name}: {len(value)} characters, at most {schema['maxLength']}"
    )
  elif kind == "array":
    low, high = schema.get("minItems", 0), schema.get("maxItems", len(value))
    if not low <= len(value) <= high:
      faults.append(f"{name}: {len(value)} items, expected {low} to {high}")
      return
    for i, item in enumerate(value):
      _check(item, schema["items"], f"{name}[{i}]", faults)
  elif kind == "object":
    known = schema["properties"]
    unknown = sorted(value.keys() - known.keys())
    if unknown:
      faults.append(f"{name}: unknown {_show(unknown)}, valid {sorted(known)}")
    faults += [
      f"{name}: lacks {key!r}" for key in schema["required"] if key not in value
    ]
    for key, inner in known.items():
      if key in value:
        _check(value[key], inner, f"{name}.{key}", faults)


_JSON_TYPES: dict[type, str] = {
  **{type(None): "null", bool: "boolean", int: "integer", float: "number"},
  **{str: "string", list: "array", tuple: "array", dict: "object"},
}


def _show(value: Any) -> str:
  """A value in a fault: short, and ASCII whatever is in it."""
  text = ascii(value)
  return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."
