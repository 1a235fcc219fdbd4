"""One process at a time: a lock on a file, freed however the process ends."""

import errno
import fcntl
import os
import sys

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class Taken(Exception):
  """Another process holds the lock."""


class Lock:
  """A lock that is held until `close`, or the end of the process.

  Some file systems have none (Lustre without `-o flock`, shares of other
  systems): `works` is False there, a line on stderr says so, and whoever asked
  has to be careful.
  """

  def __init__(self, path: str | os.PathLike):
    """Takes the lock.

    Raises:
      Taken: another process holds it.
      OSError: the file cannot be made.
    """
    self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    self.works = True
    try:
      fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      os.close(self._descriptor)
      raise Taken from None
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        os.close(self._descriptor)
        raise
      self.works = False
      print(
        f"{os.path.dirname(path)}: no locks on this file system "
        f"({error.strerror}); see to it that nothing else writes there",
        file=sys.stderr,
        flush=True,
      )

  def close(self) -> None:
    """Frees the lock."""
    os.close(self._descriptor)

  def __enter__(self) -> "Lock":
    return self

  def __exit__(self, *error: object) -> None:
    self.close()
