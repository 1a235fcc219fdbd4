"""Files that somebody names, and names that are to last.

A pipe, a terminal or a device where a file is expected would be waited for or
read without end: only regular files are opened.
"""

import errno
import io
import os
import pathlib
import stat
import time

TEMPORARY_SUFFIX = ".tmp"
# Nobody keeps a file open for so long: its writer is gone.
ABANDONED_S = 6 * 3600.0

# What file systems without such a call answer.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)


def open_regular(path: str | os.PathLike) -> io.BufferedReader:
  """Opens a file for reading bytes; never waits for a writer.

  Raises:
    OSError: as `open`; also for what is no regular file.
  """
  descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
  try:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
      raise OSError(errno.EINVAL, "no regular file", os.fspath(path))
    return os.fdopen(descriptor, "rb")
  except BaseException:
    os.close(descriptor)
    raise


def read(path: str | os.PathLike, most_bytes: int) -> bytes:
  """The bytes of a regular file.

  Raises:
    OSError: as `open_regular`; also for a file larger than `most_bytes`.
  """
  with open_regular(path) as file:
    data = file.read(most_bytes + 1)
  if len(data) > most_bytes:
    raise OSError(
      errno.EFBIG, f"larger than {most_bytes >> 20} MiB", os.fspath(path)
    )
  return data


def sync_folder(folder: str | os.PathLike) -> None:
  """Makes the names in a folder last; nothing where that cannot be asked."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  except OSError as error:
    if error.errno not in _NO_FOLDER_SYNC:
      raise
  finally:
    os.close(descriptor)


def is_older(path: pathlib.Path, seconds: float) -> bool:
  """Whether a file was last written so long ago.

  A date as far in the future is a wrong clock's, and counts as well.

  Raises:
    FileNotFoundError: it is gone.
  """
  return abs(time.time() - path.stat().st_mtime) > seconds


def remove_abandoned(folder: pathlib.Path, pattern: str = "*") -> list[str]:
  """Removes temporary files that a killed process left; returns the names."""
  removed = []
  for path in sorted(folder.glob(pattern + TEMPORARY_SUFFIX)):
    try:
      if is_older(path, ABANDONED_S):
        path.unlink()
        removed.append(path.name)
    except FileNotFoundError:
      pass  # another was quicker
  return removed
