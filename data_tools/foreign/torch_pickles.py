"""Dictionaries of PyTorch tensors in pickles that were interpreted, not run.

`inert_pickles` gives notes of what a pickle would have made; here the notes of
tensors are known, and of the dictionaries that hold them. Whatever else lies
in a pickle is left as it is, so it costs nobody a file.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from data_tools.foreign import inert_pickles
from data_tools.foreign import zip_files

MOST_TENSORS = 10_000  # or other entries of one dictionary
MOST_RANK = 8
MOST_KEY_LENGTH = 256

_MOST_COUNT = 1 << 48  # of elements; offsets and strides too
_MOST_STORAGE_DIGITS = 20

BFLOAT16 = "torch BFloat16Storage"
_DTYPES: dict[str, np.dtype] = {
  "torch FloatStorage": np.dtype("<f4"),
  "torch DoubleStorage": np.dtype("<f8"),
  "torch HalfStorage": np.dtype("<f2"),
  BFLOAT16: np.dtype("<u2"),  # numpy has no such numbers
  "torch LongStorage": np.dtype("<i8"),
  "torch IntStorage": np.dtype("<i4"),
  "torch ByteStorage": np.dtype("u1"),
  "torch BoolStorage": np.dtype("?"),
}
_ORDERED_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
  """Where the elements of tensors lie, as the pickle says."""

  key: str  # digits: its name in the archive
  dtype: np.dtype  # of the elements, those of bfloat16 as 16 bits
  length: int  # elements
  bfloat16: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
  """A view of a storage, as the pickle says; nothing is compared with it.

  No number is negative, and a tensor without its empty axes has fewer than
  2^48 elements.
  """

  storage: Storage
  offset: int  # elements
  shape: tuple[int, ...]
  stride: tuple[int, ...]  # elements, one for every axis


def interpret(data: bytes, name: str) -> Any:
  """What a pickle describes, as `inert_pickles` tells.

  Args:
    data: the pickle.
    name: what messages call the file that it is of.

  Raises:
    ValueError: damaged, too long, or it names what runs programs.
  """
  try:
    return inert_pickles.interpret(data)
  except inert_pickles.Refused as error:
    raise ValueError(f"{name}: refused: {error}") from None
  except ValueError as error:
    raise ValueError(f"{name}: {error}") from error


def dictionary(value: Any, name: str, what: str = "") -> dict[str, Any]:
  """A dictionary of anything by name.

  Args:
    value: out of `interpret`.
    name: what messages call the file.
    what: which of its dictionaries this is; by default the file itself, which
      may hold things without a name: those are left out.

  Raises:
    ValueError: no dictionary, too many entries, or too long a key.
  """
  pairs = _pairs(value)
  if pairs is None:
    raise ValueError(
      f"{name}: refused: {what or 'it'} is {inert_pickles.describe(value)}, no "
      "dictionary of tensors"
    )
  if len(pairs) > MOST_TENSORS:
    raise ValueError(
      f"{name}: refused: a dictionary of more than {MOST_TENSORS} entries"
    )
  table = {}
  for key, entry in pairs:
    if isinstance(key, str):
      # Equal keys are compared to their ends.
      if len(key) > MOST_KEY_LENGTH:
        raise ValueError(f"{name}: refused: a key of {len(key)} characters")
      table[key] = entry
    elif what:
      raise ValueError(
        f"{name}: refused: {what} has a key that is no text but "
        f"{inert_pickles.describe(key)}"
      )
  return table


def is_dictionary(value: Any) -> bool:
  """Whether `dictionary` knows it as one."""
  return _pairs(value) is not None


def tensor(value: Any, name: str, what: str) -> Tensor:
  """A tensor, of which everything is known.

  Raises:
    ValueError: it is something else, or malformed.
  """
  try:
    return _tensor(value)
  except inert_pickles.Refused as error:
    called = zip_files.shown(what)
    raise ValueError(f"{name}: refused: {called} {error}") from None


def _pairs(value: Any) -> list[tuple[Any, Any]] | None:
  if isinstance(value, inert_pickles.Table):
    return value.pairs
  # Its state holds the versions of modules, which change no tensor.
  if inert_pickles.is_call(value, _ORDERED_DICT):
    if value.arguments == () and value.values is None:
      return value.pairs or []
  return None


def _tensor(value: Any) -> Tensor:
  if inert_pickles.is_call(value, _PARAMETER) and value.bare:
    match value.arguments:
      case (data, bool(), _):
        value = data
  if not inert_pickles.is_call(value, _TENSOR):
    raise inert_pickles.Refused(
      f"is no tensor but {inert_pickles.describe(value)}"
    )
  match value.arguments:
    case (
      (stored, int(offset), tuple(shape), tuple(stride), bool(), _)
      # Marks of numbers that stand negated or conjugated would come last.
      | (stored, int(offset), tuple(shape), tuple(stride), bool(), _, None)
    ) if value.bare:
      storage = _storage(stored)
      if (
        len(shape) == len(stride) <= MOST_RANK
        and all(
          type(n) is int and 0 <= n < _MOST_COUNT
          for n in (offset, *shape, *stride)
        )
        and math.prod(n for n in shape if n) < _MOST_COUNT
      ):
        return Tensor(storage, offset, shape, stride)
      raise inert_pickles.Refused("is a tensor with a malformed shape")
  raise inert_pickles.Refused("is a tensor made by a call that is not known")


def _storage(value: Any) -> Storage:
  identity = getattr(value, "identity", None)
  match identity:
    case ("storage", inert_pickles.Global(kind), str(key), str(), int(length)):
      if kind not in _DTYPES:
        called = zip_files.shown(kind.replace(" ", "."))
        raise inert_pickles.Refused(
          f"lies in a storage of a kind that is not known, {called}"
        )
      short = len(key) <= _MOST_STORAGE_DIGITS
      if short and key.isascii() and key.isdigit():
        return Storage(key, _DTYPES[kind], length, kind == BFLOAT16)
  raise inert_pickles.Refused("lies in a storage of a kind that is not known")
