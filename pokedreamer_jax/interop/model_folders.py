"""A trained model as a folder that can be given away.

    FOLDER/config.json model.safetensors README.md

`config.json` is that of the run directory it was made from, sealed, with one
more entry, `exported`: name, step, dtype, where it came from, and size and
SHA-256 of the arrays. The arrays are the items of a checkpoint, `item/a/b/c`
for the leaf `c` in the dictionaries `a` and `b`, floats rounded to the dtype;
reading gives float32 again. Under `int8` matrices have a scale for each
column, and all other floats are float16.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import hashlib
import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import json_files
from pokedreamer_jax import whole_files
from pokedreamer_jax.interop import tensor_files

CONFIG = "config.json"
ARRAYS = "model.safetensors"
CARD = "README.md"
EXPORTED = "exported"  # the entry of config.json

INT8 = "int8"
DTYPES: dict[str, Any] = {
  "float16": np.dtype(np.float16),
  "bfloat16": np.dtype(jnp.bfloat16),
  "float32": np.dtype(np.float32),
  INT8: np.dtype(np.float16),  # of what is no matrix
}
_MOST_CONFIG_BYTES = 4 << 20
_SCALE = "//scale"  # behind the name of a matrix: float32, one a column
_INT8_FROM = 1024  # elements; smaller matrices stay float16
_INT8_STEPS = 127

PyTree = Any


def is_one(directory: str | os.PathLike) -> bool:
  """Whether a folder holds a model to give away, not a run."""
  directory = pathlib.Path(directory)
  return (directory / ARRAYS).is_file() and (directory / CONFIG).is_file()


def about(directory: str | os.PathLike) -> dict[str, Any]:
  """The entry `exported`.

  Raises:
    ValueError: it is damaged or missing.
  """
  path = pathlib.Path(directory) / CONFIG
  values = whole_files.unseal(
    json_files.read_object(path, _MOST_CONFIG_BYTES), path
  )
  if EXPORTED not in values:
    raise ValueError(f"{path}: no {EXPORTED!r}, expected an exported model")
  entry = json_files.as_object(values[EXPORTED], f"{path}: {EXPORTED}")
  for name, kind in (
    ("step", int),
    ("dtype", str),
    ("bytes", int),
    ("sha256", str),
  ):
    json_files.typed(kind, entry.get(name), f"{path}: {EXPORTED}.{name}")
  mark = json_files.as_object(entry.get("mark"), f"{path}: {EXPORTED}.mark")
  json_files.typed(str, mark.get("config"), f"{path}: {EXPORTED}.mark.config")
  json_files.typed(int, mark.get("step"), f"{path}: {EXPORTED}.mark.step")
  return entry


def pack(items: Mapping[str, PyTree], dtype: str) -> dict[str, np.ndarray]:
  """The arrays of a file, rounded.

  Args:
    items: name -> nested dictionaries of arrays.
    dtype: one of `DTYPES`.

  Raises:
    ValueError: another dtype, a name with a slash, or numbers that the dtype
      cannot hold.
  """
  if dtype not in DTYPES:
    raise ValueError(f"dtype: {dtype!r}, expected one of {list(DTYPES)}")
  found: dict[str, np.ndarray] = {}
  for name, leaf in _leaves(dict(items)):
    array = np.asarray(leaf)
    if not np.issubdtype(array.dtype, np.floating):
      found[name] = array
      continue
    if array.dtype != np.float32 or not np.isfinite(array).all():
      raise ValueError(
        f"{name}: {array.dtype} with {int((~np.isfinite(array)).sum())} "
        "numbers that are none, expected finite float32"
      )
    if dtype == INT8 and array.ndim > 1 and array.size >= _INT8_FROM:
      scale = np.abs(array).max(axis=tuple(range(array.ndim - 1)))
      scale = (np.where(scale > 0, scale, 1.0) / _INT8_STEPS).astype(np.float32)
      found[name] = np.round(array / scale).astype(np.int8)
      found[name + _SCALE] = scale
      continue
    with np.errstate(over="ignore"):
      rounded = array.astype(DTYPES[dtype])
    if not np.isfinite(rounded.astype(np.float32)).all():
      raise ValueError(
        f"{name}: {np.abs(array).max():.3g} is more than {dtype} holds, "
        "expected bfloat16 or float32"
      )
    found[name] = rounded
  return found


def unpack(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Arrays by name as they are computed with: floats are float32.

  Raises:
    ValueError: a matrix lacks its scale, or a scale its matrix.
  """
  found = {}
  for name, array in arrays.items():
    if name.endswith(_SCALE):
      if name.removesuffix(_SCALE) not in arrays:
        raise ValueError(f"{name}: a scale of nothing")
    elif array.dtype == np.int8:
      scale = arrays.get(name + _SCALE)
      if scale is None or scale.shape != array.shape[-1:]:
        raise ValueError(f"{name}: int8 without a scale for each column")
      found[name] = array.astype(np.float32) * scale
    elif array.dtype in (np.float16, jnp.bfloat16):
      found[name] = array.astype(np.float32)
    else:
      found[name] = array
  return found


def write(
  directory: str | os.PathLike,
  config: Mapping[str, Any],
  items: Mapping[str, PyTree],
  exported: Mapping[str, Any],
) -> dict[str, Any]:
  """Writes arrays and config.json; the card is for others to write.

  Args:
    directory: there already.
    config: of the run directory.
    items: name -> nested dictionaries of arrays.
    exported: `name`, `step`, `dtype`, `mark` and whatever else is known.

  Returns:
    The entry `exported` as written, with `bytes` and `sha256`.

  Raises:
    ValueError: as `pack`.
  """
  directory = pathlib.Path(directory)
  data = tensor_files.encode(
    pack(items, exported["dtype"]), {"format": "pokedreamer_jax"}
  )
  entry = {
    **exported,
    "items": sorted(items),
    "bytes": len(data),
    "sha256": hashlib.sha256(data).hexdigest(),
  }
  tensor_files.write(directory / ARRAYS, data)
  sealed = whole_files.seal({**config, EXPORTED: entry})
  text = json.dumps(sealed, indent=2, allow_nan=False) + "\n"
  tensor_files.write(directory / CONFIG, text.encode())
  return entry


def load_item(
  directory: str | os.PathLike,
  name: str,
  step: int | None = None,
  template: PyTree | None = None,
) -> PyTree:
  """One item as nested dictionaries, as `checkpoints.load_item` gives it.

  Args:
    directory: a model's folder.
    name: such as `params` or `actor`.
    step: the one that the model is of, or None.
    template: nested dictionaries of what is wanted, with shapes and dtypes;
      None for the whole item.

  Raises:
    ValueError: no such step or item, it is damaged, or a leaf differs.
  """
  directory = pathlib.Path(directory)
  entry = about(directory)
  if step not in (None, entry["step"]):
    raise ValueError(f"{directory}: no step {step}, found {[entry['step']]}")
  path = directory / ARRAYS
  data = json_files.read_bytes(path, tensor_files.MOST_BYTES)
  if hashlib.sha256(data).hexdigest() != entry["sha256"]:
    raise ValueError(
      f"{path}: damaged ({len(data)} bytes, and not those that {CONFIG} names)"
    )
  try:
    arrays = unpack(tensor_files.decode(data, str(path)))
  except ValueError as error:
    told = str(error)
    raise ValueError(
      told if told.startswith(str(path)) else f"{path}: {told}"
    ) from None
  mine = {
    key.removeprefix(f"{name}/"): array
    for key, array in arrays.items()
    if key.startswith(f"{name}/")
  }
  if not mine:
    found = sorted({key.partition("/")[0] for key in arrays})
    raise ValueError(f"{directory}: no item {name!r} in {found}")
  if template is not None:
    mine = _only(f"{path}: {name}", mine, template)
  return jax.device_put(_nested(mine), jax.devices()[0])


def _only(
  where: str, arrays: Mapping[str, np.ndarray], template: PyTree
) -> dict[str, np.ndarray]:
  """The leaves that a template names, compared with it."""
  found = {}
  for key, leaf in _leaves(template):
    array = arrays.get(key)
    there = "absent" if array is None else f"{array.dtype}{list(array.shape)}"
    wanted = f"{np.dtype(leaf.dtype)}{list(leaf.shape)}"
    if array is None or there != wanted:
      raise ValueError(f"{where}: {key} is {there}, expected {wanted}")
    found[key] = array
  return found


def _leaves(tree: PyTree) -> Iterator[tuple[str, Any]]:
  """Leaves with the names of their places; dataclasses count as mappings."""
  for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
    keys = [
      str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))))
      for key in path
    ]
    for key in keys:
      if not key or "/" in key:
        raise ValueError(f"{keys}: {key!r}, expected a name without a slash")
    yield "/".join(keys), leaf


def _nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Dictionaries in each other, of names with slashes."""
  tree: dict[str, Any] = {}
  for name, array in arrays.items():
    *folders, last = name.split("/")
    inner = tree
    for folder in folders:
      inner = inner.setdefault(folder, {})
      if not isinstance(inner, dict):
        raise ValueError(f"{name}: lies in an array")
    if last in inner:
      raise ValueError(f"{name}: is an array and holds some")
    inner[last] = array
  return tree
