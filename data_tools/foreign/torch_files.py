"""State dictionaries of PyTorch files, read without PyTorch.

Such a file is a zip archive of raw tensors and one pickle that names them,
none of them compressed. The pickle is interpreted by `inert_pickles`, and
nothing in the file can run. What was asked for must be known to its last bit;
what lies beside it is left alone, whatever it is.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
import os
from typing import Any

import numpy as np

from data_tools.foreign import inert_pickles
from data_tools.foreign import numpy_pickles
from data_tools.foreign import torch_pickles
from data_tools.foreign import zip_files

MOST_PICKLE_BYTES = 32 << 20  # whatever is no tensor lies in it
MOST_BYTES = 512 << 20  # of all tensors and their storages together

_MOST_NUMBER = 1 << 63
_MOST_SHOWN = 10  # names in a message
# What the format before PyTorch 1.6 begins with: a pickled number.
_OLD_FORMAT = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
# What wrappers put before or between the names of a module's tensors.
_PARALLEL, _COMPILED = "module.", "_orig_mod"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """What was asked for of a checkpoint, and what lies beside it."""

  tensors: dict[str, np.ndarray]  # by `part.name`
  # Finite numbers that the checkpoint itself holds, such as its epoch: floats,
  # and integers of 8 bytes. Their names are whatever the file says.
  numbers: dict[str, int | float]
  others: dict[str, str]  # what else it has, which was not read: kinds by name
  remarks: list[str]  # what was changed on the way, a line each


def read_state_dict(
  source: str | os.PathLike | bytes, name: str = ""
) -> dict[str, np.ndarray]:
  """Tensors by name of a file that `torch.save(module.state_dict())` wrote.

  Args:
    source: a path, or the file itself.
    name: what messages call it.

  Raises:
    ValueError: damaged, too large, or it holds anything but named tensors.
  """
  with _open(source, name) as archive:
    folder, whole = _read_pickle(archive)
    table = torch_pickles.dictionary(whole, archive.name, "the file")
    return dict(_read_tensors(archive, folder, table))


def read_checkpoint(
  source: str | os.PathLike | bytes, parts: Sequence[str], name: str = ""
) -> Checkpoint:
  """Some state dictionaries of a checkpoint, a dictionary of many things.

  Whatever else lies in it, such as an optimiser's state, is not read. Names
  that wrappers made longer are shortened, and numbers of bfloat16 become the
  same numbers as float32; the remarks tell of both.

  Args:
    source: a path, or the file itself.
    parts: keys of the state dictionaries.
    name: what messages call it.

  Raises:
    ValueError: as in `read_state_dict`, or a part is not there.
  """
  with _open(source, name) as archive:
    folder, pickle = _read_pickle(archive)
    whole = torch_pickles.dictionary(pickle, archive.name)
    table: dict[str, Any] = {}
    shortened: dict[str, list[str]] = {}
    for part in parts:
      if not torch_pickles.is_dictionary(whole.get(part)):
        found = ", ".join(map(zip_files.shown, [*whole][:_MOST_SHOWN]))
        raise ValueError(
          f"{archive.name}: no state dictionary {part!r} in [{found}]"
        )
      inner = torch_pickles.dictionary(whole.pop(part), archive.name, part)
      inner, taken = _unwrapped(inner, f"{archive.name}: {part}")
      if taken:
        shortened.setdefault(taken, []).append(part)
      table |= {f"{part}.{key}": value for key, value in inner.items()}
    remarks = [
      f"{taken} taken off the tensors' names in {', '.join(which)}"
      for taken, which in shortened.items()
    ]
    numbers = {
      key: number
      for key, value in whole.items()
      if (number := numpy_pickles.number(value)) is not None
      and -_MOST_NUMBER <= number < _MOST_NUMBER
      and math.isfinite(number)
    }
    others = {
      key: inert_pickles.describe(value)
      for key, value in whole.items()
      if key not in numbers
    }
    tensors = dict(_read_tensors(archive, folder, table, remarks))
    return Checkpoint(tensors, numbers, others, remarks)


def _unwrapped(
  table: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], str]:
  """The tensors under the module's own names, and what was taken off."""
  # Taken off wherever a module was compiled, which may be within another.
  names = {
    key: ".".join(p for p in key.split(".") if p != _COMPILED) for key in table
  }
  taken = [f"{_COMPILED}."] if any(k != n for k, n in names.items()) else []
  while names and all(n.startswith(_PARALLEL) for n in names.values()):
    names = {key: n.removeprefix(_PARALLEL) for key, n in names.items()}
    taken.append(_PARALLEL)
  if len(set(names.values())) != len(names):
    raise ValueError(f"{where}: two tensors have one name without {taken}")
  return {names[k]: v for k, v in table.items()}, " and ".join(taken)


def _open(source: str | os.PathLike | bytes, name: str) -> zip_files.Archive:
  """The archive; the format that PyTorch had before is named."""
  if isinstance(source, bytes):
    name, begin = name or "PyTorch file", source[:64]
  else:
    name = name or str(source)
    with zip_files.open_regular(source, name=name) as file:
      begin = file.read(64)
  if _OLD_FORMAT in begin:
    raise ValueError(
      f"{name}: written in the format before PyTorch 1.6; convert it with "
      "torch.save(torch.load(OLD, map_location='cpu'), NEW, "
      "_use_new_zipfile_serialization=True)"
    )
  return zip_files.Archive(source, name, deflated=False)


def _read_pickle(archive: zip_files.Archive) -> tuple[str, Any]:
  """The folder in the archive, and what the pickle in it describes."""
  folder, data = _find_pickle(archive)
  return folder, torch_pickles.interpret(data, archive.name)


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


def _read_tensors(
  archive: zip_files.Archive,
  folder: str,
  table: dict[str, Any],
  remarks: list[str] | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
  if len(table) > torch_pickles.MOST_TENSORS:
    raise ValueError(f"{archive.name}: {len(table)} tensors, too many")
  left = MOST_BYTES
  storages: dict[str, bytes] = {}  # tensors may share one
  widened = 0
  for name, described in table.items():
    called = zip_files.shown(name)
    tensor = torch_pickles.tensor(described, archive.name, name)
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
      raise ValueError(f"{archive.name}: {called} passes its storage's end")
    if empty:
      view = np.zeros(tensor.shape, storage.dtype)
    else:
      if entry not in storages:
        storages[entry] = archive.read(entry, MOST_BYTES)
      raw = np.frombuffer(storages[entry], storage.dtype, length)
      strides = [step * itemsize for step in tensor.stride]
      view = np.lib.stride_tricks.as_strided(
        raw[tensor.offset :], tensor.shape, strides, writeable=False
      )
    widened += storage.bfloat16
    yield name, _widen(view) if storage.bfloat16 else view.copy()
  if widened and remarks is not None:
    remarks.append(f"{widened} tensors of bfloat16 read as float32, exactly")


def _widen(bits: np.ndarray) -> np.ndarray:
  """Numbers of bfloat16, the upper halves of such as float32."""
  return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
