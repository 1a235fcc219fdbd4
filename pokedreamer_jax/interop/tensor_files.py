"""Named arrays in one safetensors file, read within limits.

The format (https://github.com/huggingface/safetensors): the length of a JSON
header, the header with dtype, shape and place of each array, the arrays. It is
read here rather than by the library so that nothing of it is taken on trust:
sizes, names and places are looked at before an array is made, and every byte
belongs to exactly one array.
"""

from collections.abc import Mapping
import json
import math
import os
import pathlib
import secrets
from typing import Any

import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import json_files

MOST_BYTES = 1 << 30  # of a file; the largest world model has 200 MB
MOST_HEADER_BYTES = 1 << 20  # 300 arrays take 40 kB
MOST_AXES = 8
_METADATA = "__metadata__"

_DTYPES: dict[str, Any] = {
  "F32": np.dtype(np.float32),
  "F16": np.dtype(np.float16),
  "BF16": np.dtype(jnp.bfloat16),
  "I8": np.dtype(np.int8),
  "I32": np.dtype(np.int32),
  "I64": np.dtype(np.int64),
  "U8": np.dtype(np.uint8),
  "U16": np.dtype(np.uint16),
  "U32": np.dtype(np.uint32),
  "BOOL": np.dtype(np.bool_),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def encode(
  arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> bytes:
  """The bytes of a file that holds `arrays`, in the order of their names.

  Raises:
    ValueError: an array has a dtype that files do not hold.
  """
  header: dict[str, Any] = {_METADATA: dict(metadata)}
  parts, start = [], 0
  for name in sorted(arrays):
    array = np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape)
    if array.dtype not in _NAMES:
      raise ValueError(
        f"{name}: {array.dtype}, expected one of {sorted(map(str, _NAMES))}"
      )
    parts.append(array.tobytes())
    header[name] = {
      "dtype": _NAMES[array.dtype],
      "shape": list(array.shape),
      "data_offsets": [start, start + array.nbytes],
    }
    start += array.nbytes
  text = json.dumps(header, separators=(",", ":")).encode()
  text += b" " * (-len(text) % 8)
  return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def decode(
  data: bytes, name: str, only: frozenset[str] | None = None
) -> dict[str, np.ndarray]:
  """Arrays by name, views into `data`.

  Args:
    data: a whole file.
    name: what errors begin with.
    only: the arrays that are wanted; all if None. The header is looked at
      whole.

  Raises:
    ValueError: anything but a safetensors file of known dtypes.
  """
  length = int.from_bytes(data[:8], "little")
  if len(data) < 8 or length > min(MOST_HEADER_BYTES, len(data) - 8):
    raise ValueError(
      f"{name}: damaged (a header of {length} bytes in a file of {len(data)})"
    )
  header = json_files.parse_object(data[8 : 8 + length], f"{name}: header")
  header.pop(_METADATA, None)
  body = memoryview(data)[8 + length :]
  places = [(*_place(name, key, header[key]), key) for key in header]
  end = 0
  for start, stop, *_ in sorted(places, key=lambda place: place[:2]):
    if start != end:
      raise ValueError(
        f"{name}: damaged (an array begins at byte {start}, expected {end})"
      )
    end = stop
  if end != len(body):
    raise ValueError(
      f"{name}: damaged ({len(body)} bytes of arrays, its header names {end})"
    )
  found = {}
  for start, stop, dtype, shape, key in places:
    if only is None or key in only:
      found[key] = np.frombuffer(body[start:stop], dtype).reshape(shape)
  return found


def _place(
  name: str, key: str, entry: Any
) -> tuple[int, int, np.dtype, list[int]]:
  """First byte, end, dtype and shape of an entry of the header."""
  entry = json_files.as_object(entry, f"{name}: {key[:80]!r}")
  dtype, shape = entry.get("dtype"), entry.get("shape")
  offsets = entry.get("data_offsets")
  if not isinstance(dtype, str) or dtype not in _DTYPES:
    raise ValueError(
      f"{name}: {key[:80]!r} has dtype {dtype!r:.40}, expected one of "
      f"{list(_DTYPES)}"
    )
  if not _sizes(shape) or len(shape) > MOST_AXES:
    raise ValueError(f"{name}: damaged ({key[:80]!r} has shape {shape!r:.80})")
  if not _sizes(offsets) or len(offsets) != 2:
    raise ValueError(f"{name}: damaged ({key[:80]!r} lies at {offsets!r:.80})")
  start, stop = offsets
  if stop - start != math.prod(shape) * _DTYPES[dtype].itemsize:
    raise ValueError(
      f"{name}: damaged ({key[:80]!r} has {stop - start} bytes for "
      f"{dtype}{shape!r:.80})"
    )
  return start, stop, _DTYPES[dtype], shape


def _sizes(values: Any) -> bool:
  return isinstance(values, list) and all(
    type(value) is int and 0 <= value <= MOST_BYTES for value in values
  )


def write(path: str | os.PathLike, data: bytes) -> None:
  """Writes a file whole or not at all."""
  path = pathlib.Path(path)
  temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
  try:
    with open(temporary, "wb") as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)
