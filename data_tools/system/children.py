"""Processes of our own that never import the program that starts them.

`multiprocessing` runs the caller's main module again in each new process, so
a script without a `__main__` guard, or one that comes from standard input,
breaks there. A `Child` is a fresh interpreter instead that runs one function
of an importable module. It ends when its parent does; should it die, the last
line that it wrote to stderr is at hand.

What the two say to each other is pickled by `multiprocessing.connection`, over
a pair of sockets that no third process can reach.
"""

import atexit
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import mmap
import multiprocessing
from multiprocessing import connection as connections
import os
import subprocess
import sys
import tempfile
import threading
from typing import IO
from typing import Any
import weakref

from data_tools.system import parents

_MOST_WORDS_BYTES = 4096
# Before anything else: these signals reach the whole process group, or all of a
# job (SLURM, systemd), and the parent decides what they mean.
_PROGRAM = """
import signal, sys
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
  signal.signal(number, signal.SIG_IGN)
sys.path[:] = {path!r}
from data_tools.system import children
children._run({descriptor}, {parent}, {by_main_thread})
"""
_living: "weakref.WeakSet[Child]" = weakref.WeakSet()


class Child:
  """A process that runs `target(connection, *args)`.

  Attributes:
    connection: to what the target was given; it reads EOF once this end is
      closed or the parent is gone.
    name: for messages.
  """

  def __init__(
    self,
    target: Callable[..., None],
    *args: Any,
    name: str = "child process",
    memory: "Sequence[Memory]" = (),
  ):
    """Starts it.

    Args:
      target: a function of an importable module.
      *args: of the target, after the connection; they are pickled.
      name: for messages.
      memory: what is among `args`, to be shared.

    Raises:
      ValueError: the target belongs to the main module.
      OSError: no process can be started.
    """
    if target.__module__ == "__main__":
      raise ValueError(
        f"{target.__qualname__}: it belongs to the main module, which a child "
        "process does not import; expected a function of another one"
      )
    self.name = name
    self._stderr: IO[bytes] = tempfile.TemporaryFile()
    self.connection, theirs = multiprocessing.Pipe()
    program = _PROGRAM.format(
      path=[os.path.abspath(entry) for entry in sys.path],
      descriptor=theirs.fileno(),
      parent=os.getpid(),
      by_main_thread=threading.current_thread() is threading.main_thread(),
    )
    try:
      self._process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stderr=self._stderr,
        pass_fds=[theirs.fileno(), *(block.descriptor for block in memory)],
      )
    except BaseException:
      self.connection.close()
      self._stderr.close()
      raise
    finally:
      theirs.close()
    _living.add(self)
    with contextlib.suppress(OSError):  # it is dead; who listens hears so
      self.connection.send((target, args))

  @property
  def pid(self) -> int:
    """Its number."""
    return self._process.pid

  @property
  def exitcode(self) -> int | None:
    """None while it runs; minus the number of the signal that ended it."""
    return self._process.poll()

  def is_alive(self) -> bool:
    """Whether it runs."""
    return self._process.poll() is None

  def join(self, timeout_s: float | None = None) -> None:
    """Waits for its end."""
    with contextlib.suppress(subprocess.TimeoutExpired):
      self._process.wait(timeout_s)

  def kill(self) -> None:
    """Ends it at once."""
    self._process.kill()

  def close(self, patience_s: float = 0.0) -> None:
    """Closes the connection and makes sure that the process ends.

    What it wrote to stderr is shown then, if nobody asked for it before.

    Args:
      patience_s: how long it may take to end by itself.
    """
    self.connection.close()
    self.join(patience_s)
    self.kill()
    self._process.wait()
    self.last_words()
    self._stderr.close()
    _living.discard(self)

  def how_it_ended(self) -> str:
    """Such as "died with exit code 1: MemoryError"; waits for the end."""
    self._process.wait()
    words = self.last_words()
    return f"died with exit code {self.exitcode}" + (f": {words}" * bool(words))

  def last_words(self) -> str:
    """The last line that it wrote to stderr; all of it is shown here.

    Empty where it wrote nothing since the last call.
    """
    if self._stderr.closed:
      return ""
    text = _drain(self._stderr)
    if text:
      with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


class Memory:
  """Bytes that a process shares with its children, unnamed and zeroed.

  Give it to a `Child` as argument and in `memory`; `view` is writable on both
  sides, and the bytes go with the last one who holds it.
  """

  def __init__(self, size_bytes: int):
    """Reserves `size_bytes`, at least 1."""
    self.size_bytes = size_bytes
    if hasattr(os, "memfd_create"):
      self.descriptor = os.memfd_create("pokedreamer")
    else:
      with tempfile.TemporaryFile() as file:
        self.descriptor = os.dup(file.fileno())
    os.ftruncate(self.descriptor, size_bytes)
    self.view = mmap.mmap(self.descriptor, size_bytes)
    self._closing = weakref.finalize(self, os.close, self.descriptor)

  def __getstate__(self) -> tuple[int, int]:
    return self.descriptor, self.size_bytes

  def __setstate__(self, state: tuple[int, int]) -> None:
    # In a child: `pass_fds` keeps the number.
    self.descriptor, self.size_bytes = state
    self.view = mmap.mmap(self.descriptor, self.size_bytes)


def imap(
  function: Callable[[Any], Any], tasks: Sequence[Any], workers: int
) -> Iterator[Any]:
  """`map` over child processes, in order, as results come.

  Args:
    function: of an importable module.
    tasks: what it is called with, one after the other.
    workers: processes at most.

  Raises:
    ValueError: the function raised one; the text is its.
    RuntimeError: it raised something else, or a process died.
  """
  hired: list[Child] = []
  done: dict[int, Any] = {}
  at: dict[connections.Connection, tuple[Child, int]] = {}
  waiting = iter(range(len(tasks)))
  try:
    for number in range(min(workers, len(tasks))):
      child = Child(_answer_all, function, name=f"process {number}")
      hired.append(child)
      _hand_out(child, waiting, tasks, at)
    for number in range(len(tasks)):
      while number not in done:
        for connection in connections.wait(list(at)):
          child, which = at.pop(connection)  # type: ignore[call-overload]
          try:
            kind, value = child.connection.recv()
          except (EOFError, OSError):
            raise RuntimeError(f"{child.name} {child.how_it_ended()}") from None
          if kind != "ok":
            raise (ValueError if kind == "ValueError" else RuntimeError)(value)
          done[which] = value
          _hand_out(child, waiting, tasks, at)
      yield done.pop(number)
  finally:
    for child in hired:
      child.close()


def living() -> list[Child]:
  """The children that have been started and run."""
  return [child for child in _living if child.is_alive()]


def explain(error: Exception) -> tuple[str, str]:
  """Kind ("ValueError" or "RuntimeError") and one line, to send to a parent."""
  text = " ".join(str(error).split())
  if isinstance(error, ValueError):
    return "ValueError", text or "ValueError"
  return "RuntimeError", f"{type(error).__name__}: {text}".removesuffix(": ")


def _hand_out(child, waiting, tasks, at) -> None:
  if (which := next(waiting, None)) is not None:
    at[child.connection] = (child, which)
    with contextlib.suppress(OSError):
      child.connection.send(tasks[which])


def _answer_all(connection: connections.Connection, function) -> None:
  """The other side of `imap`."""
  with contextlib.suppress(EOFError, ConnectionError):
    while True:
      task = connection.recv()
      try:
        answer = ("ok", function(task))
      except Exception as error:
        answer = explain(error)
      connection.send(answer)


def _run(descriptor: int, parent: int, by_main_thread: bool) -> None:
  """What a child does; called by the program above alone."""
  parents.end_with_parent(parent, by_main_thread)
  connection = connections.Connection(descriptor)
  try:
    target, args = connection.recv()
  except EOFError:
    return
  target(connection, *args)


def _drain(file: IO[bytes]) -> str:
  """What was written since the last call, its end if it is much."""
  # The child writes through the same open file, so the position is shared:
  # it stands at the end, and reading by `pread` leaves it there.
  size = os.fstat(file.fileno()).st_size
  start = max(0, size - _MOST_WORDS_BYTES)
  text = os.pread(file.fileno(), size - start, start)
  os.ftruncate(file.fileno(), 0)
  os.lseek(file.fileno(), 0, os.SEEK_SET)
  return text.decode("utf-8", "replace")


@atexit.register
def _end_all() -> None:
  for child in living():
    child.kill()
