"""Zip archives from elsewhere, read within limits.

What an archive says of itself is not believed: its table of entries is read up
to a size, an entry that says it is larger than the caller allows is not read,
and of any other no more than one byte beyond what it says, which is refused.
Entries are stored or deflated; the other methods of the format unpack without
a bound. Whatever is wrong ends in one `ValueError` that names the archive.
"""

from collections.abc import Iterator
import contextlib
import copy
import io
import os
import struct
from typing import IO
import zipfile
import zlib

from data_tools.system import files

MOST_ENTRIES = 4096
MOST_TABLE_BYTES = 1 << 20

_MOST_SHOWN = 80  # characters of a name in a message
_MOST_LINE = 300  # characters of somebody else's message

# What the standard library raises for damaged, encrypted and odd archives.
_DAMAGED = (
  *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
  *(NotImplementedError, RuntimeError, UnicodeDecodeError),
)


class Archive:
  """An open archive; use as a context manager, or `close` it."""

  def __init__(
    self,
    source: str | os.PathLike | bytes,
    name: str = "",
    deflated: bool = True,
  ):
    """Reads the table of entries.

    Args:
      source: a path, or the archive itself.
      name: what messages call it; by default, the path.
      deflated: whether entries may be deflated; otherwise they are stored.

    Raises:
      ValueError: no zip archive, too many entries, or one name twice.
    """
    self.name = name or str(source if not isinstance(source, bytes) else "zip")
    self._methods = {zipfile.ZIP_STORED: "stored"}
    if deflated:
      self._methods[zipfile.ZIP_DEFLATED] = "deflated"
    if isinstance(source, bytes):
      file = _TableReader(io.BytesIO(source))
    else:
      file = _TableReader(files.open_regular(source).detach())
    try:
      with self.errors():
        self._zip = zipfile.ZipFile(file)
        self._entries = _entries(self._zip)
      file.limited = False
      self._end = file.seek(0, os.SEEK_END)
    except BaseException:
      file.close()
      raise
    self._file = file

  @property
  def names(self) -> list[str]:
    """Names of the entries, in the archive's order."""
    return list(self._entries)

  def size(self, entry: str) -> int:
    """Bytes that the entry says it has.

    Raises:
      ValueError: there is no such entry.
    """
    if entry not in self._entries:
      raise ValueError(f"{self.name}: no entry {shown(entry)}")
    return self._entries[entry].file_size

  def read(self, entry: str, most_bytes: int) -> bytes:
    """A whole entry.

    Raises:
      ValueError: missing, damaged, larger than `most_bytes`, of another size
        than it says, or packed in a way that is not read.
    """
    size = self.size(entry)
    if size > most_bytes:
      raise ValueError(
        f"{self.name}: entry {shown(entry)} has {size} bytes, at most "
        f"{most_bytes} allowed"
      )
    # As a file, an entry ends where it says it does, whatever follows.
    with self._open(entry, size + 1) as file, self.errors():
      data = file.read(size + 1)
    if len(data) != size:
      raise ValueError(
        f"{self.name}: entry {shown(entry)} has not the {size} bytes that it "
        "says"
      )
    return data

  def open(self, entry: str) -> IO[bytes]:
    """An entry as a file that ends where the entry says, or before.

    Read it under `errors`, and never more at once than fits in memory.

    Raises:
      ValueError: missing, damaged, or packed in a way that is not read.
    """
    return self._open(entry, self.size(entry))

  def _open(self, entry: str, size: int) -> IO[bytes]:
    info = copy.copy(self._entries[entry])
    if info.compress_type not in self._methods:
      raise ValueError(
        f"{self.name}: entry {shown(entry)} is packed by method "
        f"{info.compress_type}, expected {' or '.join(self._methods.values())}"
      )
    with self.errors():
      if not 0 <= info.header_offset < self._end:
        raise zipfile.BadZipFile(f"entry {shown(entry)} lies outside of it")
      if (
        info.compress_type == zipfile.ZIP_STORED
        and info.compress_size != info.file_size
      ):
        raise zipfile.BadZipFile(f"entry {shown(entry)} is of two sizes")
      info.file_size = size
      return self._zip.open(info)

  @contextlib.contextmanager
  def errors(self) -> Iterator[None]:
    """Turns what a damaged archive raises into a `ValueError`."""
    try:
      yield
    except _DAMAGED as error:
      raise ValueError(
        f"{self.name}: damaged zip archive: {one_line(error)}"
      ) from error

  def close(self) -> None:
    self._zip.close()
    self._file.close()

  def __enter__(self) -> "Archive":
    return self

  def __exit__(self, *error: object) -> None:
    self.close()


class _TableReader(io.BufferedReader):
  """A file of which, while `limited`, little is read at once.

  The library reads the table of entries at once, however large, and makes an
  object of every entry before anybody may count them.
  """

  limited = True

  def read(self, size: int | None = -1, /) -> bytes:
    if self.limited and size is not None and size > MOST_TABLE_BYTES:
      raise zipfile.BadZipFile(
        f"a table of {size} bytes, at most {MOST_TABLE_BYTES} allowed"
      )
    return super().read(size)


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
  table = archive.infolist()
  if len(table) > MOST_ENTRIES:
    raise zipfile.BadZipFile(
      f"{len(table)} entries, at most {MOST_ENTRIES} allowed"
    )
  entries = {entry.filename: entry for entry in table}
  if len(entries) != len(table):
    raise zipfile.BadZipFile("an entry's name occurs twice")
  return entries


def shown(name: str) -> str:
  """A name out of a file for a message: quoted, escaped and not long."""
  return repr(name if len(name) <= _MOST_SHOWN else name[:_MOST_SHOWN] + "...")


def one_line(error: Exception) -> str:
  """What an error says: one line, not long, without control characters."""
  line = " ".join(str(error)[:_MOST_LINE].split()) or type(error).__name__
  return "".join(c if c.isprintable() else "?" for c in line)
