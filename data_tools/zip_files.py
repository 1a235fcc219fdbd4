"""Zip archives from elsewhere, read within limits.

An archive says how large its entries are before it is unpacked; nothing is
read of an entry that says more than the caller allows, and never more than it
said. Whatever is wrong ends in one `ValueError` that names the archive.
"""

from collections.abc import Iterator
import contextlib
import io
import os
import pathlib
from typing import IO
import zipfile
import zlib

MOST_ENTRIES = 4096

# What the standard library raises for damaged, encrypted and odd archives.
_DAMAGED = (
  *(zipfile.BadZipFile, zlib.error, EOFError),
  *(NotImplementedError, RuntimeError, UnicodeDecodeError),
)


class Archive:
  """An open archive; use as a context manager, or `close` it."""

  def __init__(self, source: str | os.PathLike | bytes, name: str = ""):
    """Reads the table of entries.

    Args:
      source: a path, or the archive itself.
      name: what messages call it; by default, the path.

    Raises:
      ValueError: no zip archive, too many entries, or one name twice.
    """
    self.name = name or str(source if not isinstance(source, bytes) else "zip")
    file = (
      io.BytesIO(source)
      if isinstance(source, bytes)
      else pathlib.Path(source).open("rb")
    )
    try:
      with self.errors():
        self._zip = zipfile.ZipFile(file)
      entries = self._zip.infolist()
      if len(entries) > MOST_ENTRIES:
        raise ValueError(
          f"{self.name}: {len(entries)} entries, at most {MOST_ENTRIES} allowed"
        )
      self._sizes = {entry.filename: entry.file_size for entry in entries}
      if len(self._sizes) != len(entries):
        raise ValueError(f"{self.name}: an entry's name occurs twice")
    except BaseException:
      file.close()
      raise
    self._file = file

  @property
  def names(self) -> list[str]:
    """Names of the entries, in the archive's order."""
    return list(self._sizes)

  def size(self, entry: str) -> int:
    """Bytes that the entry says it has.

    Raises:
      ValueError: there is no such entry.
    """
    if entry not in self._sizes:
      raise ValueError(f"{self.name}: no entry {entry!r}")
    return self._sizes[entry]

  def read(self, entry: str, most_bytes: int) -> bytes:
    """A whole entry.

    Raises:
      ValueError: missing, damaged, or larger than `most_bytes`.
    """
    size = self.size(entry)
    if size > most_bytes:
      raise ValueError(
        f"{self.name}: entry {entry} has {size} bytes, at most {most_bytes} "
        "allowed"
      )
    with self.open(entry) as file, self.errors():
      return file.read()

  def open(self, entry: str) -> IO[bytes]:
    """An entry as a file; read it under `errors`."""
    self.size(entry)
    with self.errors():
      return self._zip.open(entry)

  @contextlib.contextmanager
  def errors(self) -> Iterator[None]:
    """Turns what a damaged archive raises into a `ValueError`."""
    try:
      yield
    except _DAMAGED as error:
      line = " ".join(str(error).split()) or type(error).__name__
      raise ValueError(f"{self.name}: damaged zip archive: {line}") from error

  def close(self) -> None:
    self._zip.close()
    self._file.close()

  def __enter__(self) -> "Archive":
    return self

  def __exit__(self, *error: object) -> None:
    self.close()
