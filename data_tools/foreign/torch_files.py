"""State dictionaries of PyTorch files, read without PyTorch.

Such a file is a zip archive of raw tensors and one pickle that names them,
none of them compressed. The pickle is interpreted by `torch_pickles`, and
nothing in the file can run.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import math
from typing import Any

import numpy as np

from data_tools.foreign import torch_pickles
from data_tools.foreign import zip_files

MOST_PICKLE_BYTES = 4 << 20
MOST_BYTES = 512 << 20  # of all tensors and their storages together


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
  with zip_files.Archive(source, name, deflated=False) as archive:
    folder, pickle = _find_pickle(archive)
    table = torch_pickles.interpret(pickle, archive.name)
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
    Tensors by `part.name`, and the finite numbers by name that the checkpoint
    itself holds, such as its epoch: floats, and integers of 8 bytes. Their
    names are whatever the file says.

  Raises:
    ValueError: as in `read_state_dict`, or a part is not there.
  """
  with zip_files.Archive(source, name, deflated=False) as archive:
    folder, pickle = _find_pickle(archive)
    whole = torch_pickles.interpret(pickle, archive.name, nested=True)
    table: dict[str, Any] = {}
    for part in parts:
      if not isinstance(whole.get(part), dict):
        found = ", ".join(zip_files.shown(str(key)) for key in [*whole][:10])
        raise ValueError(
          f"{archive.name}: no state dictionary {part!r} in [{found}]"
        )
      table |= {f"{part}.{key}": value for key, value in whole[part].items()}
    numbers = {
      key: value
      for key, value in whole.items()
      if isinstance(key, str)
      and type(value) in (int, float)  # truth values are no numbers
      and math.isfinite(value)
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


def _read_tensors(
  archive: zip_files.Archive, folder: str, table: dict[str, Any]
) -> Iterator[tuple[str, np.ndarray]]:
  if len(table) > torch_pickles.MOST_TENSORS:
    raise ValueError(f"{archive.name}: {len(table)} tensors, too many")
  left = MOST_BYTES
  storages: dict[str, bytes] = {}  # tensors may share one
  for name, tensor in table.items():
    called = zip_files.shown(name)
    if not isinstance(tensor, torch_pickles.Tensor):
      raise ValueError(f"{archive.name}: refused: {called} is no tensor")
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
