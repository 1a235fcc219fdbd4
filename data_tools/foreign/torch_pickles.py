"""Pickled dictionaries of PyTorch tensors, interpreted and never unpickled.

The few opcodes that such a dictionary needs are carried out here, and the
names of functions in it are only compared. No other opcode, name or call is
accepted, so nothing in a pickle can run. Neither can it take long or fill the
memory: its instructions are counted, and what others have built makes none
costlier.
"""

import dataclasses
import math
import pickletools
from typing import Any

import numpy as np

from data_tools.foreign import zip_files

MOST_INSTRUCTIONS = 1 << 20
MOST_TENSORS = 10_000  # or other entries of one dictionary
MOST_RANK = 8
MOST_KEY_LENGTH = 256

_MOST_COUNT = 1 << 48  # of elements; offsets and strides too
_MOST_NUMBER_BYTES = 8
_MOST_STORAGE_DIGITS = 20

_DTYPES: dict[str, np.dtype] = {
  "torch FloatStorage": np.dtype("<f4"),
  "torch DoubleStorage": np.dtype("<f8"),
  "torch HalfStorage": np.dtype("<f2"),
  "torch LongStorage": np.dtype("<i8"),
  "torch IntStorage": np.dtype("<i4"),
  "torch ByteStorage": np.dtype("u1"),
  "torch BoolStorage": np.dtype("?"),
}
_ORDERED_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_ALLOWED = {_ORDERED_DICT, _TENSOR, _PARAMETER, *_DTYPES}


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
  """Where the elements of tensors lie, as the pickle says."""

  key: str  # digits: its name in the archive
  dtype: np.dtype
  length: int  # elements


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


@dataclasses.dataclass(frozen=True, slots=True)
class _Global:
  name: str  # "module name", in `_ALLOWED`


class _Refused(ValueError):
  """Something in the pickle that a state dictionary does not need."""


def interpret(data: bytes, name: str, nested: bool = False) -> dict[str, Any]:
  """The dictionary that a pickle describes.

  Args:
    data: the pickle.
    name: what messages call the file that it is of.
    nested: whether lists, fractions and numbered keys are allowed too, as
      optimisers' states have them.

  Returns:
    The dictionary, with strings of at most `MOST_KEY_LENGTH` characters as
    its keys (with `nested`, integers too), and tensors as `Tensor`. What the
    values are is not looked at.

  Raises:
    ValueError: damaged, too long, or it holds what is not allowed.
  """
  machine = _NestedMachine() if nested else _Machine()
  try:
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
      if count == MOST_INSTRUCTIONS:
        raise _Refused(f"the pickle has over {MOST_INSTRUCTIONS} instructions")
      machine.run(opcode.name, argument)
  except _Refused as error:
    raise ValueError(f"{name}: refused: {error}") from None
  except Exception as error:  # a damaged pickle breaks anywhere
    raise ValueError(
      f"{name}: damaged pickle: {zip_files.one_line(error)}"
    ) from error
  if not isinstance(machine.result, dict):
    raise ValueError(f"{name}: refused: no dictionary of tensors")
  return machine.result


class _Machine:
  """The opcodes of a pickled dictionary of tensors; no other is known."""

  _KEYS: tuple[type, ...] = (str,)

  def __init__(self) -> None:
    self.result: Any = None
    self._stack: list[Any] = []
    # What lay on the stack below every mark: to go back to the last one takes
    # no search.
    self._below: list[list[Any]] = []
    self._memo: dict[int, Any] = {}

  def run(self, opcode: str, argument: Any) -> None:
    stack = self._stack
    if opcode in _VALUES:
      stack.append(_value(opcode, argument))
    elif opcode in _CONSTANTS:
      stack.append(_CONSTANTS[opcode]())
    elif opcode == "MARK":
      self._below.append(stack)
      self._stack = []
    elif opcode == "GLOBAL":
      if argument not in _ALLOWED:
        called = zip_files.shown(argument.replace(" ", "."))
        raise _Refused(f"the pickle names {called}")
      stack.append(_Global(argument))
    elif opcode in ("BINPUT", "LONG_BINPUT"):
      self._memo[argument] = stack[-1]
    elif opcode in ("BINGET", "LONG_BINGET"):
      if argument not in self._memo:
        raise _Refused(f"the pickle recalls {argument}, which it never kept")
      stack.append(self._memo[argument])
    elif opcode in _TUPLES:
      self._tuple(_TUPLES[opcode])
    elif opcode == "SETITEM":
      self._set_items([stack.pop(-2), stack.pop()])
    elif opcode == "SETITEMS":
      self._set_items(self._to_mark())
    elif opcode == "BINPERSID":
      stack.append(_storage(stack.pop()))
    elif opcode == "REDUCE":
      arguments = stack.pop()
      stack.append(_reduce(stack.pop(), arguments))
    elif opcode == "BUILD":
      stack.pop()  # attributes of the dictionary: versions of its modules
      if not isinstance(stack[-1], dict):
        raise _Refused("the pickle sets attributes of an object")
    elif opcode == "STOP":
      (self.result,) = stack
      if self._below:
        raise _Refused("the pickle ends within a mark")
    elif opcode != "PROTO":
      raise _Refused(f"the pickle uses opcode {opcode}")

  def _to_mark(self) -> list[Any]:
    values, self._stack = self._stack, self._below.pop()
    return values

  def _tuple(self, length: int | None) -> None:
    if length is None:
      values = self._to_mark()
    elif length > len(self._stack):
      raise _Refused("a tuple of more than there is")
    else:
      values = self._stack[-length:]
      del self._stack[-length:]
    self._stack.append(tuple(values))

  def _set_items(self, pairs: list[Any]) -> None:
    table = self._stack[-1]
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
      if not isinstance(table, dict) or not isinstance(key, self._KEYS):
        raise _Refused("a dictionary with keys that are no text")
      # Equal keys are compared to their ends, and numbers can be made up
      # that all lie in one place of the table.
      if isinstance(key, str) and len(key) > MOST_KEY_LENGTH:
        raise _Refused(f"a key of {len(key)} characters")
      table[key] = value
      if len(table) > MOST_TENSORS:
        raise _Refused(f"a dictionary of more than {MOST_TENSORS} entries")


class _NestedMachine(_Machine):
  """Lists, fractions and numbered keys too, as optimisers' states have."""

  _KEYS = (str, int)

  def run(self, opcode: str, argument: Any) -> None:
    stack = self._stack
    if opcode == "EMPTY_LIST":
      stack.append([])
    elif opcode == "BINFLOAT":
      stack.append(argument)
    elif opcode in ("APPEND", "APPENDS"):
      values = [stack.pop()] if opcode == "APPEND" else self._to_mark()
      stack = self._stack
      if not isinstance(stack[-1], list):
        raise _Refused("the pickle appends to what is no list")
      stack[-1].extend(values)
    else:
      super().run(opcode, argument)


_VALUES = ("BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1")
_CONSTANTS: dict[str, Any] = {
  "NONE": lambda: None,
  "NEWTRUE": lambda: True,
  "NEWFALSE": lambda: False,
  "EMPTY_TUPLE": tuple,
  "EMPTY_DICT": dict,
}
_TUPLES = {"TUPLE": None, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _value(opcode: str, argument: Any) -> Any:
  # Larger ones are no size of a tensor, and no float can be made of them.
  most = 1 << (8 * _MOST_NUMBER_BYTES - 1)
  if opcode == "LONG1" and not -most <= argument < most:
    raise _Refused(f"a number of more than {_MOST_NUMBER_BYTES} bytes")
  return argument


def _storage(identity: Any) -> Storage:
  match identity:
    case ("storage", _Global(name), str(key), str(), int(length)):
      short = len(key) <= _MOST_STORAGE_DIGITS
      if name in _DTYPES and short and key.isascii() and key.isdigit():
        return Storage(key, _DTYPES[name], length)
  raise _Refused("a storage of a kind that is not known")


def _reduce(function: Any, arguments: Any) -> Any:
  """What the three calls of a state dictionary give; no other is known."""
  match function, arguments:
    case _Global("collections OrderedDict"), ():
      return {}
    case _Global("torch._utils _rebuild_parameter"), (Tensor() as data, *_):
      return data
    case (
      _Global("torch._utils _rebuild_tensor_v2"),
      (Storage() as storage, int(offset), tuple(shape), tuple(stride), *_),
    ):
      if (
        len(shape) != len(stride)
        or len(shape) > MOST_RANK
        or not all(
          isinstance(n, int) and 0 <= n < _MOST_COUNT
          for n in (offset, *shape, *stride)
        )
        or math.prod(n for n in shape if n) >= _MOST_COUNT
      ):
        raise _Refused("a tensor with a malformed shape")
      return Tensor(storage, offset, shape, stride)
  raise _Refused("a call that builds no tensor")
