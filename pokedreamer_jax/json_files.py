"""Reading JSON that may be damaged, huge or no file at all; standard library.

Everything that the project reads back goes through here: run directories,
manifests, stamps, logs. Whatever the bytes are, the answer is a value within
the limits or one line with the file and what is wrong with it.
"""

from collections.abc import Callable
import dataclasses
import json
import math
import os
import pathlib
import stat
import typing
from typing import Any
from typing import TypeVar

Made = TypeVar("Made")

_TYPES: dict[Any, str] = {
  **{type(None): "null", bool: "true or false", int: "a whole number"},
  **{float: "a number", str: "a text", list: "a list", dict: "an object"},
  **{tuple: "a list"},
}

MOST_BYTES = 256 << 20  # a manifest of 10,000 episodes has 8 MB
MOST_DEPTH = 64  # objects and lists within each other
_MOST_DIGITS = 400  # of a number; the largest float has 309


def read(
  path: str | os.PathLike,
  most_bytes: int = MOST_BYTES,
  allow_nan: bool = False,
) -> Any:
  """The value that a JSON file holds.

  Args:
    path: a regular file.
    most_bytes: what it may have.
    allow_nan: takes the words NaN, Infinity and -Infinity, which Python writes
      for measured numbers that are none.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: no regular file, unreadable, too large, no text, or no JSON
      within the limits; one line that begins with the path.
  """
  return parse(read_bytes(path, most_bytes), str(path), allow_nan)


def read_object(
  path: str | os.PathLike,
  most_bytes: int = MOST_BYTES,
  allow_nan: bool = False,
) -> dict[str, Any]:
  """`read`, where an object is expected.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: as `read`, or it is a value of another type.
  """
  return as_object(read(path, most_bytes, allow_nan), str(path))


def read_bytes(path: str | os.PathLike, most_bytes: int) -> bytes:
  """The bytes of a regular file; a pipe or a device is not waited for.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: no regular file, unreadable or too large.
  """
  path = pathlib.Path(path)
  try:
    _check_regular(path, os.stat(path))
    # Should a pipe take its place now, opening it does not wait either.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
      _check_regular(path, os.fstat(descriptor))
      data = file.read(most_bytes + 1)
  except FileNotFoundError:
    raise
  except OSError as error:
    raise ValueError(f"{path}: {error.strerror}") from None
  if len(data) > most_bytes:
    raise ValueError(f"{path}: larger than {_size(most_bytes)}")
  return data


def parse(data: bytes | str, name: str, allow_nan: bool = False) -> Any:
  """The value of a JSON text.

  Args:
    data: the text; bytes are UTF-8.
    name: what errors begin with.
    allow_nan: as for `read`.

  Raises:
    ValueError: no UTF-8, no JSON, nested too deep, a number too long or out of
      range, or a name that stands twice in an object.
  """
  try:
    text = data if isinstance(data, str) else data.decode("utf-8")
    value = json.loads(
      text,
      object_pairs_hook=_unique,
      parse_int=_int,
      parse_float=_float,
      parse_constant=float if allow_nan else _refuse,
    )
    _check_depth(value)
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{name}: damaged JSON (no UTF-8 at byte {error.start})"
    ) from None
  except RecursionError:
    raise ValueError(
      f"{name}: damaged JSON (nested deeper than {MOST_DEPTH})"
    ) from None
  except ValueError as error:
    raise ValueError(f"{name}: damaged JSON ({error})") from None
  return value


def parse_object(
  data: bytes | str, name: str, allow_nan: bool = False
) -> dict[str, Any]:
  """`parse`, where an object is expected."""
  return as_object(parse(data, name, allow_nan), name)


def as_object(value: Any, name: str) -> dict[str, Any]:
  """`value`, which has to be an object.

  Raises:
    ValueError: it is something else.
  """
  if not isinstance(value, dict):
    raise ValueError(
      f"{name}: damaged JSON ({_kind(value)}, expected an object)"
    )
  return value


def as_list(value: Any, name: str) -> list[Any]:
  """`value`, which has to be a list.

  Raises:
    ValueError: it is something else.
  """
  if not isinstance(value, list):
    raise ValueError(f"{name}: damaged JSON ({_kind(value)}, expected a list)")
  return value


def fill(cls: type[Made], values: Any, name: str) -> Made:
  """A dataclass from an object of its fields, by name.

  Raises:
    ValueError: no object, fields that are unknown or missing, or a value of
      another type than its field's.
  """
  fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
  values = as_object(values, name)
  unknown = sorted(values.keys() - fields.keys())
  if unknown:
    raise ValueError(
      f"{name}: damaged (unknown {unknown}, valid are {sorted(fields)})"
    )
  missing = [
    field.name
    for field in fields.values()
    if field.default is dataclasses.MISSING
    and field.default_factory is dataclasses.MISSING
    and field.name not in values
  ]
  if missing:
    raise ValueError(f"{name}: damaged (it lacks {missing})")
  try:
    return cls(
      **{
        key: typed(fields[key].type, value, key)
        for key, value in values.items()
      }
    )
  except ValueError as error:
    raise ValueError(f"{name}: damaged ({error})") from None


def typed(kind: Any, value: Any, name: str) -> Any:
  """`value`, if it has the type `kind`; a whole number is a float as well.

  Raises:
    ValueError: it has another type, or is a number that is not finite.
  """
  kind = typing.get_origin(kind) or kind
  if kind is float and type(value) is int:
    value = float(value)
  if type(value) is not kind:
    raise ValueError(f"{name}: {value!r:.60}, expected {_TYPES[kind]}")
  if kind is float and not math.isfinite(value):
    raise ValueError(f"{name}: {value!r}, expected a finite number")
  return value


def _check_regular(path: pathlib.Path, status: os.stat_result) -> None:
  if not stat.S_ISREG(status.st_mode):
    kinds: list[tuple[Callable[[int], bool], str]] = [
      (stat.S_ISDIR, "a directory"),
      (stat.S_ISFIFO, "a pipe"),
      (stat.S_ISSOCK, "a socket"),
    ]
    found = [text for is_kind, text in kinds if is_kind(status.st_mode)]
    raise ValueError(
      f"{path}: {(*found, 'a device')[0]}, expected a regular file"
    )


def _check_depth(value: Any) -> None:
  """Level by level, so that nothing recurses here."""
  level: list[Any] = [[value]]
  for _ in range(MOST_DEPTH + 1):
    inner: list[Any] = []
    for item in level:
      children = item.values() if isinstance(item, dict) else item
      inner += [c for c in children if isinstance(c, (dict, list))]
    if not inner:
      return
    level = inner
  raise RecursionError


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise ValueError(f"{twice[:40]!r} stands twice in an object")
  return found


def _int(text: str) -> int:
  if len(text) > _MOST_DIGITS:
    raise ValueError(f"a number of {len(text)} digits")
  return int(text)


def _float(text: str) -> float:
  value = float(text)
  if not math.isfinite(value):
    raise ValueError(f"{text[:40]}: out of range")
  return value


def _refuse(text: str) -> float:
  raise ValueError(f"{text}, expected a finite number")


def _kind(value: Any) -> str:
  return _TYPES[type(value)]


def _size(count: int) -> str:
  return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count} bytes"
