"""Named start states on disk: the compressed machine, and its stamp.

`NAME.state.xz` holds the state, `NAME.state.json` says what it belongs to and
how it was made. PyBoy loads a state of another game without complaint, so the
stamp is what refuses one.
"""

import dataclasses
import hashlib
import json
import lzma
import os
import pathlib
import re
from typing import Any

from data_tools.system import files
from pokedreamer_jax import json_files
from pokedreamer_jax import whole_files

STATE_SUFFIX, STAMP_SUFFIX = ".state.xz", ".state.json"
MOST_STATE_BYTES = 4 << 20  # a state of the largest cartridge has 0.4
FORMAT = 1

_XZ_MAGIC = b"\xfd7zXZ\0"
_MOST_STAMP_BYTES = 4 << 20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclasses.dataclass(frozen=True)
class Stamp:
  """What a state belongs to."""

  name: str
  rom_sha1: str
  pyboy_version: str
  state_sha1: str  # of the state, uncompressed
  made_by: dict[str, Any]  # how: for a person, and to make it again


def state_path(directory: str | os.PathLike, name: str) -> pathlib.Path:
  """Where a state of this name lies.

  Raises:
    ValueError: the name is no plain file name.
  """
  if not _NAME.fullmatch(name):
    raise ValueError(
      f"state name {name!r}: expected letters, digits, '_', '-' and '.', at "
      "most 64"
    )
  return pathlib.Path(directory) / (name + STATE_SUFFIX)


def write(
  directory: str | os.PathLike, stamp: Stamp, state: bytes
) -> pathlib.Path:
  """Writes a state and its stamp, each whole or not at all.

  Returns:
    The path of the state.

  Raises:
    ValueError: the stamp is not this state's, or the name is no file name.
  """
  path = state_path(directory, stamp.name)
  if sha1(state) != stamp.state_sha1:
    raise ValueError(f"state {stamp.name}: its stamp names another state")
  path.parent.mkdir(parents=True, exist_ok=True)
  text = json.dumps(stamp_values(stamp), indent=1)
  # The stamp last: a state without one is refused, so nothing is half there.
  _stamp_path(path).unlink(missing_ok=True)
  _replace(path, lzma.compress(state, lzma.FORMAT_XZ, preset=6))
  _replace(_stamp_path(path), (text + "\n").encode())
  return path


def read(
  path: str | os.PathLike,
  rom_sha1: str | None = None,
  pyboy_version: str | None = None,
) -> bytes:
  """Bytes of a state file, compressed or as PyBoy writes it.

  Args:
    path: the file; a stamp beside it is compared where there is one. A state
      as PyBoy writes it needs none: nothing is known of where it came from.
    rom_sha1: the ROM that is to be played; None does not ask.
    pyboy_version: the emulator that is to play it; None does not ask.

  Raises:
    ValueError: unreadable, damaged, changed since it was stamped, of another
      ROM or emulator, or compressed and without a stamp.
  """
  path = pathlib.Path(path)
  data = _read(path, "save state", MOST_STATE_BYTES)
  compressed = data.startswith(_XZ_MAGIC)
  if compressed:
    data = _unpack(path, data)
  stamp = read_stamp(path)
  if stamp is None:
    if compressed and rom_sha1 is not None:
      raise ValueError(
        f"save state {path}: its stamp {_stamp_path(path).name} is missing, "
        "so nobody knows its ROM"
      )
    return data
  for field, stamped, here in (
    ("state SHA-1", stamp.state_sha1, sha1(data)),
    ("ROM SHA-1", stamp.rom_sha1, rom_sha1),
    ("PyBoy version", stamp.pyboy_version, pyboy_version),
  ):
    if here is not None and stamped != here:
      raise ValueError(
        f"save state {path}: {field} {here}, its stamp says {stamped}; make "
        "it again with python -m experiments.make_state"
      )
  return data


def read_stamp(path: str | os.PathLike) -> Stamp | None:
  """The stamp of a state file; None where there is none.

  Raises:
    ValueError: the stamp is damaged or of another format.
  """
  stamp_path = _stamp_path(pathlib.Path(path))
  if not stamp_path.exists():
    return None
  what = f"stamp {stamp_path}"
  data = json_files.parse(_read(stamp_path, "stamp", _MOST_STAMP_BYTES), what)
  data = whole_files.unseal(json_files.as_object(data, what), what)
  version = data.pop("format", None)
  if version != FORMAT:
    raise ValueError(
      f"{what}: damaged (format {version!r:.40}, this program reads {FORMAT})"
    )
  return json_files.fill(Stamp, data, what)


def stamp_values(stamp: Stamp) -> dict[str, Any]:
  """What the file of a stamp holds."""
  return whole_files.seal({"format": FORMAT} | dataclasses.asdict(stamp))


def sha1(state: bytes) -> str:
  """Name of a state."""
  return hashlib.sha1(state).hexdigest()


def _stamp_path(path: pathlib.Path) -> pathlib.Path:
  stem = path.name.removesuffix(".xz").removesuffix(".state")
  return path.with_name(stem + STAMP_SUFFIX)


def _read(path: pathlib.Path, what: str, most_bytes: int) -> bytes:
  try:
    return files.read(path, most_bytes)
  except OSError as error:
    raise ValueError(f"{what} {path}: {error.strerror}") from None


def _unpack(path: pathlib.Path, data: bytes) -> bytes:
  unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256 << 20)
  try:
    unpacked = unpacker.decompress(data, MOST_STATE_BYTES + 1)
  except lzma.LZMAError as error:
    raise ValueError(f"save state {path}: damaged ({error})") from None
  if not unpacker.eof:
    raise ValueError(
      f"save state {path}: incomplete, or over {MOST_STATE_BYTES >> 20} MiB"
    )
  return unpacked


def _replace(path: pathlib.Path, data: bytes) -> None:
  temporary = path.with_name(path.name + ".tmp")
  try:
    with open(temporary, "wb") as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)
