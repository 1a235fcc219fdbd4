"""How a stage tells the process that started it how far it has come.

A pipe beside stdout, a JSON object a line; the newest line counts. Nothing here
holds a stage up: where nobody reads, a line is left out.
"""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import functools
import json
import os
import select
import stat
import threading
from typing import Any

from pokedreamer_jax import json_files

# `PID:DESCRIPTOR`: of the process that reads, and of the pipe in the stage.
# What a stage starts inherits the variable, not the pipe.
VARIABLE = "POKEDREAMER_PROGRESS"

_MOST_BYTES = 4096  # so many are written whole or not at all (PIPE_BUF)


class Sender:
  """The stage's end."""

  def __init__(self, descriptor: int):
    self._descriptor: int | None = descriptor
    os.set_inheritable(descriptor, False)
    os.set_blocking(descriptor, False)

  def send(self, told: Mapping[str, Any]) -> None:
    """Tells something JSON-ready, if there is room now."""
    line = json.dumps(dict(told)).encode() + b"\n"
    if self._descriptor is None or len(line) > _MOST_BYTES:
      return
    try:
      os.write(self._descriptor, line)
    except BlockingIOError:
      return
    except OSError:  # nobody reads any more
      self._descriptor = None


@functools.cache
def sender() -> Sender | None:
  """The pipe that this process was given; None where there is none."""
  parent, _, descriptor = os.environ.get(VARIABLE, "").partition(":")
  if parent != str(os.getppid()) or not descriptor.isdecimal():
    return None
  try:
    if not stat.S_ISFIFO(os.fstat(int(descriptor)).st_mode):
      return None
    return Sender(int(descriptor))
  except (OSError, OverflowError):
    return None


class Receiver:
  """The other end: a thread calls `told` with each object that comes.

  Used as a context manager around the stage; `descriptor` goes to the process
  with `pass_fds`, `variable` to its environment.
  """

  def __init__(self, told: Callable[[dict[str, Any]], None]):
    self._told = told
    self._in, self.descriptor = os.pipe()
    self._closed = threading.Event()
    self._thread = threading.Thread(target=self._read, daemon=True)

  @property
  def variable(self) -> dict[str, str]:
    """What the environment of the stage needs."""
    return {VARIABLE: f"{os.getpid()}:{self.descriptor}"}

  def __enter__(self) -> "Receiver":
    self._thread.start()
    return self

  def __exit__(self, *error: object) -> None:
    # A process that the stage left behind may hold its end open.
    self._closed.set()
    self._thread.join()
    for descriptor in (self._in, self.descriptor):
      os.close(descriptor)

  def _read(self) -> None:
    rest = b""
    while True:
      ready, _, _ = select.select([self._in], [], [], 0.1)
      if not ready:
        if self._closed.is_set():
          return
        continue
      *lines, rest = (rest + os.read(self._in, 65536)).split(b"\n")
      rest = rest[-_MOST_BYTES:]
      for line in lines:
        with contextlib.suppress(ValueError):  # a stage may tell anything
          self._told(json_files.parse_object(line, "progress"))
