"""State dictionaries of PyTorch files, read without PyTorch.

Such a file is a zip archive of raw tensors and one pickle that names them.
The pickle is not unpickled: the few opcodes that a dictionary of tensors needs
are interpreted here, and the names of functions in it are only compared. No
other opcode, name or call is accepted, so nothing in the file can run.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import math
import pickletools
from typing import Any

import numpy as np

from data_tools import zip_files

MOST_PICKLE_BYTES = 4 << 20
MOST_TENSORS = 10_000
MOST_RANK = 8
MOST_BYTES = 512 << 20  # of all tensors and their storages together

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


def read_state_dict(
  source: str | bytes, name: str = ""
) -> dict[str, np.ndarray]:
  """Tensors by name of a file that `torch.save(module.state_dict())` wrote.

  Args:
    source: a path, or the file itself.
    name: what messages call it.

  Raises:
    ValueError: damaged, too large, or it holds anything but named tensors.
  """
  with zip_files.Archive(source, name) as archive:
    folder, pickle = _find_pickle(archive)
    table = _interpret(pickle, archive.name, _Machine())
    return dict(_read_tensors(archive, folder, table))


def read_checkpoint(
  source: str | bytes, parts: Sequence[str], name: str = ""
) -> tuple[dict[str, np.ndarray], dict[str, int | float]]:
  """Some state dictionaries of a checkpoint, a dictionary of many things.

  Whatever else lies in it, such as an optimiser's state, is not read.

  Args:
    source: a path, or the file itself.
    parts: keys of the state dictionaries.
    name: what messages call it.

  Returns:
    Tensors by `part.name`, and the finite numbers that the checkpoint itself
    holds, such as its epoch.

  Raises:
    ValueError: as in `read_state_dict`, or a part is not there.
  """
  with zip_files.Archive(source, name) as archive:
    folder, pickle = _find_pickle(archive)
    whole = _interpret(pickle, archive.name, _NestedMachine())
    table: dict[str, Any] = {}
    for part in parts:
      if not isinstance(whole.get(part), dict):
        found = sorted(map(str, whole))[:10]
        raise ValueError(
          f"{archive.name}: no state dictionary {part!r} in {found}"
        )
      table |= {f"{part}.{key}": value for key, value in whole[part].items()}
    numbers = {
      str(key): value
      for key, value in whole.items()
      if isinstance(value, int | float) and math.isfinite(value)
    }
    return dict(_read_tensors(archive, folder, table)), numbers


def _find_pickle(archive: zip_files.Archive) -> tuple[str, bytes]:
  """The folder in the archive, and the pickle in it."""
  pickles = [e for e in archive.names if e.endswith("/data.pkl")]
  if len(pickles) != 1 or pickles[0].count("/") != 1:
    raise ValueError(f"{archive.name}: no PyTorch file (no single data.pkl)")
  folder = pickles[0].removesuffix("data.pkl")
  if f"{folder}byteorder" in archive.names:
    if archive.read(f"{folder}byteorder", 16) != b"little":
      raise ValueError(f"{archive.name}: tensors are not little-endian")
  return folder, archive.read(pickles[0], MOST_PICKLE_BYTES)


@dataclasses.dataclass(frozen=True)
class _Global:
  name: str  # "module name", in `_ALLOWED`


@dataclasses.dataclass(frozen=True)
class _Storage:
  key: str
  dtype: np.dtype
  length: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  stride: tuple[int, ...]


class _Refused(ValueError):
  """Something in the pickle that a state dictionary does not need."""


_MARK = object()


def _interpret(data: bytes, name: str, machine: "_Machine") -> dict[str, Any]:
  """The dictionary that a pickle describes, tensors as `_Tensor`."""
  try:
    for opcode, argument, _ in pickletools.genops(data):
      machine.run(opcode.name, argument)
  except _Refused as error:
    raise ValueError(f"{name}: refused: {error}") from None
  except Exception as error:  # a damaged pickle breaks anywhere
    line = " ".join(str(error).split()) or type(error).__name__
    raise ValueError(f"{name}: damaged pickle: {line}") from error
  if not isinstance(machine.result, dict):
    raise ValueError(f"{name}: refused: no dictionary of tensors")
  return machine.result


class _Machine:
  """The opcodes of a pickled dictionary of tensors; no other is known."""

  _KEYS: tuple[type, ...] = (str,)

  def __init__(self) -> None:
    self.result: Any = None
    self._stack: list[Any] = []
    self._memo: dict[int, Any] = {}

  def run(self, opcode: str, argument: Any) -> None:
    stack = self._stack
    if opcode in _VALUES:
      stack.append(argument)
    elif opcode in _CONSTANTS:
      stack.append(_CONSTANTS[opcode]())
    elif opcode == "GLOBAL":
      if argument not in _ALLOWED:
        raise _Refused(f"the pickle names {argument.replace(' ', '.')!r}")
      stack.append(_Global(argument))
    elif opcode in ("BINPUT", "LONG_BINPUT"):
      self._memo[argument] = stack[-1]
    elif opcode in ("BINGET", "LONG_BINGET"):
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
    elif opcode != "PROTO":
      raise _Refused(f"the pickle uses opcode {opcode}")

  def _to_mark(self) -> list[Any]:
    at = max(i for i, value in enumerate(self._stack) if value is _MARK)
    values = self._stack[at + 1 :]
    del self._stack[at:]
    return values

  def _tuple(self, length: int | None) -> None:
    if length is None:
      self._stack.append(tuple(self._to_mark()))
    else:
      values = self._stack[-length:]
      del self._stack[-length:]
      self._stack.append(tuple(values))

  def _set_items(self, pairs: list[Any]) -> None:
    table = self._stack[-1]
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
      if not isinstance(table, dict) or not isinstance(key, self._KEYS):
        raise _Refused("a dictionary with keys that are no text")
      table[key] = value


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
  "MARK": lambda: _MARK,
}
_TUPLES = {"TUPLE": None, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _storage(identity: Any) -> _Storage:
  match identity:
    case ("storage", _Global(name), str(key), str(), int(length)):
      if name in _DTYPES and key.isascii() and key.isdigit():
        return _Storage(key, _DTYPES[name], length)
  raise _Refused("a storage of a kind that is not known")


def _reduce(function: Any, arguments: Any) -> Any:
  """What the three calls of a state dictionary give; no other is known."""
  match function, arguments:
    case _Global("collections OrderedDict"), ():
      return {}
    case _Global("torch._utils _rebuild_parameter"), (_Tensor() as data, *_):
      return data
    case (
      _Global("torch._utils _rebuild_tensor_v2"),
      (_Storage() as storage, int(offset), tuple(shape), tuple(stride), *_),
    ):
      numbers = (offset, *shape, *stride)
      if (
        len(shape) != len(stride)
        or len(shape) > MOST_RANK
        or not all(isinstance(n, int) and 0 <= n < 1 << 48 for n in numbers)
      ):
        raise _Refused("a tensor with a malformed shape")
      return _Tensor(storage, offset, shape, stride)
  raise _Refused("a call that builds no tensor")


def _read_tensors(
  archive: zip_files.Archive, folder: str, table: dict[str, Any]
) -> Iterator[tuple[str, np.ndarray]]:
  if len(table) > MOST_TENSORS:
    raise ValueError(f"{archive.name}: {len(table)} tensors, too many")
  left = MOST_BYTES
  storages: dict[str, bytes] = {}  # tensors may share one
  for name, tensor in table.items():
    if not isinstance(tensor, _Tensor):
      raise ValueError(f"{archive.name}: refused: {name!r} is no tensor")
    storage, itemsize = tensor.storage, tensor.storage.dtype.itemsize
    entry = f"{folder}data/{storage.key}"
    left -= math.prod(tensor.shape) * itemsize
    if entry not in storages:
      left -= archive.size(entry)
    if left < 0:
      raise ValueError(
        f"{archive.name}: tensors of more than {MOST_BYTES >> 20} MiB"
      )
    length = archive.size(entry) // itemsize
    last = tensor.offset + sum(
      (n - 1) * step
      for n, step in zip(tensor.shape, tensor.stride, strict=True)
    )
    empty = 0 in tensor.shape
    if length != storage.length or (not empty and last >= length):
      raise ValueError(f"{archive.name}: {name!r} passes its storage's end")
    if empty:
      yield name, np.zeros(tensor.shape, storage.dtype)
      continue
    if entry not in storages:
      storages[entry] = archive.read(entry, MOST_BYTES)
    raw = np.frombuffer(storages[entry], storage.dtype, length)
    strides = [step * itemsize for step in tensor.stride]
    view = np.lib.stride_tricks.as_strided(
      raw[tensor.offset :], tensor.shape, strides, writeable=False
    )
    yield name, view.copy()
