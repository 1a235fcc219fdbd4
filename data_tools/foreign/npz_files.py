"""The published system's `transitions_%04d.npz` files, read and written.

Columns of a file, by step: `obs` `[N, 144, 160, 3]` uint8, `actions`,
`rewards`, `episode_starts`, and in files with memory fields `map_ids xs ys
facings badges in_battles dialog_opens party_hps party_max_hps`. Files are read
and written a few steps at a time, so memory does not grow with them, and
without pickles. The steps of consecutive files follow one another: an episode
goes on in the next file where that does not begin with an episode start.
"""

from collections.abc import Iterator
import dataclasses
import hashlib
import os
import pathlib
import re
import struct
from typing import IO
import zipfile

import numpy as np

from data_tools.foreign import zip_files
from data_tools.game import frame_codec
from data_tools.records import shards
from pokedreamer_jax import specs
from pokedreamer_jax import whole_files

PATTERN = "transitions_*.npz"
STEPS_PER_FILE = 10_000  # of the published collector
MOST_STEPS = 1 << 20  # of one file that is read
PARTY = 6

_NAME = re.compile(r"transitions_(\d+)\.npz")
_MOST_HEADER_BYTES = 4096
# How the length of an array's header is written, by version of the format.
_LENGTHS = {(1, 0): "<H", (2, 0): "<I"}
_HEADER = re.compile(
  r"\{\s*'descr':\s*'([<>|=]?[biufcSUVOmM][0-9]{0,3})',\s*"
  r"'fortran_order':\s*(True|False),\s*'shape':\s*\(([0-9, ]*)\),?\s*\}\s*"
)
_MOST_DIGITS = 18  # of a number in a shape


@dataclasses.dataclass(frozen=True)
class Column:
  """One array of a file: shape of a step and dtype."""

  shape: tuple[int, ...]
  dtype: str


BASIC_COLUMNS = {
  "obs": Column((specs.FRAME_HEIGHT, specs.FRAME_WIDTH, 3), "uint8"),
  "actions": Column((), "uint8"),
  "rewards": Column((), "float32"),
  "episode_starts": Column((), "bool"),
}
RAM_COLUMNS = {
  "map_ids": Column((), "uint8"),
  "xs": Column((), "uint8"),
  "ys": Column((), "uint8"),
  "facings": Column((), "uint8"),  # as in memory: 0 down, 4 up, 8 left, 12
  "badges": Column((), "uint8"),
  "in_battles": Column((), "bool"),
  "dialog_opens": Column((), "bool"),
  "party_hps": Column((PARTY,), "int16"),
  "party_max_hps": Column((PARTY,), "int16"),
}


@dataclasses.dataclass(frozen=True)
class File:
  """A checked file."""

  path: pathlib.Path
  number: int  # in its name
  steps: int
  has_ram: bool
  sha256: str


def find(
  directory: str | os.PathLike, max_files: int | None = None
) -> list[File]:
  """The files of a folder in order of their numbers, looked into and named.

  Args:
    directory: where they lie.
    max_files: take the first ones only.

  Raises:
    ValueError: no such file, or one is damaged, too long or of another kind.
  """
  if max_files is not None and max_files < 1:
    raise ValueError(f"max_files: {max_files}, expected at least 1")
  numbered = [
    (int(match[1]), path)
    for path in pathlib.Path(directory).glob(PATTERN)
    if (match := _NAME.fullmatch(path.name))
  ]
  if not numbered:
    raise ValueError(f"no {PATTERN} in {directory}")
  return [_check(path, n) for n, path in sorted(numbered)[:max_files]]


def read(file: File, slab: int) -> Iterator[dict[str, np.ndarray]]:
  """Columns `[n, ...]` of consecutive steps, `n` at most `slab`.

  `obs` comes packed, `[n, 144, 40]`.

  Raises:
    ValueError: a foreign colour or an impossible value, with file and index;
      or the file is damaged, which may show only behind its last rows.
  """
  with zip_files.Archive(file.path) as archive:
    columns = _open_columns(archive)
    for start in range(0, file.steps, slab):
      count = min(slab, file.steps - start)
      rows = {
        name: reader.read(count, start) for name, reader in columns.items()
      }
      _check_values(file, start, rows)
      rows["obs"] = _pack(file, start, rows["obs"])
      yield rows
    for reader in columns.values():
      reader.finish()


class Writer:
  """Writes one file a few steps at a time; it appears whole or not at all.

  Use as a context manager.
  """

  def __init__(self, path: str | os.PathLike, steps: int, has_ram: bool):
    """Opens a temporary file beside `path`.

    Args:
      path: of the finished file.
      steps: how many will be written.
      has_ram: whether memory fields are among the columns.
    """
    self._path = pathlib.Path(path)
    self._temporary = self._path.with_name(
      self._path.name + shards.TEMPORARY_SUFFIX
    )
    self._steps = steps
    self._columns = BASIC_COLUMNS | (RAM_COLUMNS if has_ram else {})
    self._small: list[dict[str, np.ndarray]] = []
    self._zip = zipfile.ZipFile(
      self._temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=4
    )
    self._frames: IO[bytes] = self._zip.open("obs.npy", "w", force_zip64=True)
    _write_header(self._frames, BASIC_COLUMNS["obs"], steps)

  def write(self, rows: dict[str, np.ndarray]) -> None:
    """Adds steps: columns `[n, ...]`, `obs` packed."""
    self._frames.write(frame_codec.unpack_rgb(rows["obs"]).tobytes())
    self._small.append({k: v for k, v in rows.items() if k != "obs"})

  def __enter__(self) -> "Writer":
    return self

  def __exit__(self, error_type, error, trace) -> None:
    try:
      self._frames.close()
      if error_type is None:
        for name, column in self._columns.items():
          if name != "obs":
            self._write_small(name, column)
      self._zip.close()
      if error_type is None:
        shards.publish(self._temporary, self._path)
    finally:
      self._temporary.unlink(missing_ok=True)

  def _write_small(self, name: str, column: Column) -> None:
    array = np.concatenate([rows[name] for rows in self._small])
    if array.shape != (self._steps, *column.shape):
      raise ValueError(
        f"{self._path}: {name} {list(array.shape)}, expected {self._steps} rows"
      )
    with self._zip.open(f"{name}.npy", "w") as file:
      _write_header(file, column, self._steps)
      file.write(array.astype(column.dtype).tobytes())


class _ColumnReader:
  """Reads one array of an archive row by row."""

  def __init__(self, archive: zip_files.Archive, name: str, column: Column):
    self._name = f"{archive.name}: {name}"
    self._archive = archive
    self._file = archive.open(f"{name}.npy")
    with archive.errors():
      shape, fortran, self._dtype = _read_header(self._file, self._name)
    expected = np.dtype(column.dtype)
    if self._dtype != expected or shape[1:] != column.shape or not shape:
      hint = ""
      if name == "obs" and shape[1:3] == (36, 40):
        hint = "; these frames were shrunk, which cannot be undone"
      raise ValueError(
        f"{self._name}: {self._dtype}{list(shape)}, expected "
        f"{expected}{['N', *column.shape]}{hint}"
      )
    if fortran and len(shape) > 1:
      raise ValueError(f"{self._name}: Fortran order, expected C order")
    self.steps = shape[0]
    self._shape = column.shape
    self._row_bytes = int(np.prod(column.shape, dtype=int)) * expected.itemsize

  def read(self, count: int, start: int) -> np.ndarray:
    """The next `count` rows; `start` is the number of the first."""
    with self._archive.errors():
      data = self._file.read(count * self._row_bytes)
    if len(data) != count * self._row_bytes:
      raise ValueError(f"{self._name}: ends within the rows from {start} on")
    return np.frombuffer(data, self._dtype).reshape(count, *self._shape)

  def finish(self) -> None:
    """Looks for the end, where the archive's checksum is compared."""
    with self._archive.errors():
      more = self._file.read(1)
    if more:
      raise ValueError(f"{self._name}: goes on behind its {self.steps} rows")


def _read_header(file: IO[bytes], name: str) -> tuple[tuple, bool, np.dtype]:
  """Shape, whether in Fortran order, and dtype.

  Not numpy's own reader: it reads a header of any length before it looks at
  the length, and has Python parse what it read.
  """
  try:
    version = np.lib.format.read_magic(file)
    if version not in _LENGTHS:
      raise ValueError(f"format version {version}")
    form = _LENGTHS[version]
    (length,) = struct.unpack(form, file.read(struct.calcsize(form)))
    if length > _MOST_HEADER_BYTES:
      raise ValueError(
        f"a header of {length} bytes, at most {_MOST_HEADER_BYTES} allowed"
      )
    match = _HEADER.fullmatch(file.read(length).decode("latin1"))
    if not match:
      raise ValueError("its header is not understood")
    dtype = np.dtype(match[1])
    if dtype.hasobject:
      raise ValueError("it holds pickled objects, which are never read")
    sizes = [size.strip() for size in match[3].split(",") if size.strip()]
    if any(len(size) > _MOST_DIGITS for size in sizes):
      raise ValueError("its header is not understood")
    shape = tuple(map(int, sizes))
  except (ValueError, TypeError, struct.error) as error:
    line = zip_files.one_line(error)
    raise ValueError(f"{name}: no plain array: {line}") from error
  return shape, match[2] == "True", dtype


def _write_header(file: IO[bytes], column: Column, steps: int) -> None:
  header = {
    "descr": np.lib.format.dtype_to_descr(np.dtype(column.dtype)),
    "fortran_order": False,
    "shape": (steps, *column.shape),
  }
  np.lib.format.write_array_header_1_0(file, header)


def _open_columns(archive: zip_files.Archive) -> dict[str, _ColumnReader]:
  columns = dict(BASIC_COLUMNS)
  present = [name for name in RAM_COLUMNS if f"{name}.npy" in archive.names]
  if present:
    if missing := sorted(set(RAM_COLUMNS) - set(present)):
      raise ValueError(f"{archive.name}: memory fields without {missing}")
    columns |= RAM_COLUMNS
  return {
    name: _ColumnReader(archive, name, column)
    for name, column in columns.items()
  }


def _check(path: pathlib.Path, number: int) -> File:
  with zip_files.Archive(path) as archive:
    columns = _open_columns(archive)
    steps = {name: reader.steps for name, reader in columns.items()}
    length = steps["obs"]
    if set(steps.values()) != {length}:
      raise ValueError(f"{path}: columns of unequal length: {steps}")
    if not 0 < length <= MOST_STEPS:
      raise ValueError(f"{path}: {length} steps, expected 1 to {MOST_STEPS}")
  _, sha256 = whole_files.file_digest(path)
  return File(path, number, length, "map_ids" in columns, sha256)


def _check_values(file: File, start: int, rows: dict[str, np.ndarray]) -> None:
  """Refuses what no game can have, with file and index."""
  flags = [name for name, values in rows.items() if values.dtype == bool]
  for name, wrong, allowed in (
    # Other bytes pass as true, until something is calculated with them.
    *((name, rows[name].view(np.uint8) > 1, "bytes 0 and 1") for name in flags),
    ("actions", rows["actions"] >= specs.NUM_ACTIONS, "0 to 7"),
    ("rewards", ~np.isfinite(rows["rewards"]), "finite numbers"),
    ("party_hps", rows.get("party_hps", np.zeros(1)) < 0, "0 and more"),
    ("party_max_hps", rows.get("party_max_hps", np.zeros(1)) < 0, "0 and more"),
  ):
    if wrong.any():
      at = int(np.argwhere(wrong)[0][0])
      raise ValueError(
        f"{file.path}: {name}[{start + at}] is {rows[name][at]}, allowed are "
        f"{allowed}"
      )


def _pack(file: File, start: int, frames: np.ndarray) -> np.ndarray:
  """Packs RGB frames `[n, 144, 160, 3]`; exact, or an error."""
  grey = frames[..., 0]
  levels = frame_codec.GREY_LEVELS
  known = np.isin(grey, levels) & (frames == grey[..., None]).all(axis=-1)
  if known.all():
    return frame_codec.pack_grey(grey)
  at = int(np.argmin(known.all(axis=(1, 2))))
  foreign = np.unique(frames[at][~known[at]], axis=0)
  raise ValueError(
    f"{file.path}: obs[{start + at}] has {len(foreign)} foreign colours, as "
    f"{', '.join(str(tuple(c)) for c in foreign[:3].tolist())}; allowed are "
    f"the greys {levels.tolist()} of a four-shade Game Boy"
  )


def content_digest(files: list[File]) -> str:
  """Names exactly these files in this order, wherever they lie."""
  text = "\n".join(f"{file.number} {file.sha256}" for file in files)
  return hashlib.sha256(f"npz 1\n{text}".encode()).hexdigest()[:16]
