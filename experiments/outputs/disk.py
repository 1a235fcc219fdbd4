"""A disk that is full: how it shows, and where."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import errno
import logging
import os
import pathlib
import re
import sys
import threading
import traceback
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LITTLE_BYTES = 4 << 20  # less than this is a disk without room

_told: list[bool] = []


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
  """Errors of reading and writing name `path`, as those of opening do."""
  try:
    yield
  except OSError as error:
    if error.filename is not None or error.errno is None:
      raise
    raise OSError(error.errno, error.strerror, str(path)) from None


def is_full(error: BaseException | None) -> bool:
  """Whether a disk ran full somewhere below, in a library's words too."""
  return any(_of_full(item) for item in _chain(error))


@contextlib.contextmanager
def one_voice() -> Iterator[None]:
  """Within, the threads of libraries do not tell of a full disk as well.

  Each would tell with its traceback, and some of what follows from it; what
  they raise to the main thread is enough. Where that ends for another reason,
  what was held back is shown after all.
  """
  held: list[str] = []
  hooks = sys.unraisablehook, threading.excepthook
  loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]

  def follows(error: BaseException | None) -> bool:
    known = is_full(error) or str(error) == "Event loop is closed"
    if known and error is not None:
      held.append("".join(traceback.format_exception(error)))
    return known

  def of_callback(arguments: Any) -> None:
    if not follows(arguments.exc_value):
      hooks[0](arguments)

  def of_thread(arguments: threading.ExceptHookArgs) -> None:
    if not follows(arguments.exc_value):
      hooks[1](arguments)

  def is_other(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    if _is_told_of(text):
      held.append(text + "\n")
      return False
    return not (record.exc_info and follows(record.exc_info[1]))

  sys.unraisablehook, threading.excepthook = of_callback, of_thread
  for logger in loggers:
    logger.addFilter(is_other)
  _told.clear()
  try:
    yield
  finally:
    if not _told:  # else it goes on until the process has ended
      sys.unraisablehook, threading.excepthook = hooks
      for logger in loggers:
        logger.removeFilter(is_other)
      sys.stderr.write("".join(held))


def mark_told() -> None:
  """Says that a full disk is what ended the process, and that it was told."""
  _told.append(True)


def told() -> bool:
  """Whether `mark_told` was called within `one_voice`."""
  return bool(_told)


def describe(
  error: BaseException, places: Sequence[str | os.PathLike] = ()
) -> str:
  """What ran full, and where, in one line.

  Args:
    error: for which `is_full` holds.
    places: directories that were written to, where the error names none.
  """
  found = [item for item in _chain(error) if _of_full(item)]
  reasons = [e.strerror for e in found if isinstance(e, OSError) and e.strerror]
  number = next(
    (
      number
      for number in _FULL
      if any(os.strerror(number) in str(item) for item in found)
    ),
    errno.ENOSPC,
  )
  reason = reasons[0] if reasons else os.strerror(number)
  place = _place(found) or next(
    (os.fspath(p) for p in places if _room(p) is not None), None
  )
  if place is None:
    place = os.fspath(places[0]) if places else os.getcwd()
  # The kernel's words do not tell what is missing; ours do.
  room = _room(place) if _is_told_of(reason) else None
  return f"{place}: {reason}" + (f" ({room})" if room else "")


def _is_told_of(text: str) -> bool:
  return any(os.strerror(number) in text for number in _FULL)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
  seen: set[int] = set()
  waiting = [error]
  while waiting:
    item = waiting.pop(0)
    if item is None or id(item) in seen:
      continue
    seen.add(id(item))
    yield item
    waiting += [item.__cause__, item.__context__]
    if isinstance(item, BaseExceptionGroup):
      waiting += item.exceptions


def _of_full(error: BaseException) -> bool:
  if getattr(error, "errno", None) in _FULL:
    return True
  return _is_told_of(str(error))


def _place(errors: Sequence[BaseException]) -> str | None:
  """The file or folder that an error speaks of."""
  for error in errors:
    if getattr(error, "filename", None):
      return os.fsdecode(getattr(error, "filename"))  # noqa: B009
  for error in errors:  # a library's words
    for path in re.findall(r"/[^\s'\"`,;\]\)]+", str(error)):
      if _existing(path) != pathlib.Path("/"):
        return path.rstrip(".:")
  return None


def _room(place: str | os.PathLike) -> str | None:
  """What a disk without room lacks; None where it has some."""
  try:
    status = os.statvfs(_existing(place))
  except OSError:
    return None
  if status.f_files and not status.f_favail:
    return f"all {status.f_files} inodes are used: too many small files"
  free = status.f_bavail * status.f_frsize
  return f"{free >> 20} MiB are free" if free < _LITTLE_BYTES else None


def _existing(path: str | os.PathLike) -> pathlib.Path:
  """The path, or the nearest folder above it that exists."""
  found = pathlib.Path(path).absolute()
  while not found.exists() and found != found.parent:
    found = found.parent
  return found
