"""The screen, which must neither end the work nor hold it up.

`guarded` puts a stream of ours in the place of stdout and stderr. Who reads
them may go away (a pager that was left, a terminal that was closed), the file
behind them may fill a disk, or nobody reads on: what cannot be shown is left
out, and that it was is told once to whoever listens, a run's `log.txt`.

While a run is open (`hurry`) nothing waits for a reader: its lines are in
`log.txt` as well. Without one, what is printed is the outcome, and waits.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import errno
import io
import os
import select
import stat
import sys
import threading
import time
from typing import Any
from typing import TextIO
from typing import cast

_PATIENCE_S = 1.0  # that a hurried process waits for a reader, once
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, errno.ECONNRESET)
# A pipe that can be written to takes so many bytes without waiting (PIPE_BUF).
_PIECE_BYTES = 512
_MOST_HELD_BYTES = 1 << 16  # of a line without end

_listener: Callable[[str], None] | None = None
_untold: list[str] = []
_hurried = 0
_lock = threading.Lock()


class Stream(io.TextIOBase):
  """Text to a file descriptor; no error of writing leaves it."""

  def __init__(self, descriptor: int, name: str, encoding: str = "utf-8"):
    """Begins with nothing held.

    Args:
      descriptor: where to write; it is not closed.
      name: of the stream, for remarks.
      encoding: what it cannot hold is written as `\\xe9`.
    """
    super().__init__()
    self._descriptor = descriptor
    self._name = name
    self._encoding = encoding
    self._mutex = threading.RLock()
    self._held = b""
    self._stuck = False
    self._left_out = 0  # bytes, since it is stuck
    self._told = False
    self.lost = False  # something that its reader wanted
    mode = os.fstat(descriptor).st_mode
    self._waits = not stat.S_ISREG(mode)

  @property
  def encoding(self) -> str:  # type: ignore[override]
    return self._encoding

  @property
  def errors(self) -> str:  # type: ignore[override]
    return "backslashreplace"

  @property
  def buffer(self) -> "_Bytes":
    """The same for bytes."""
    return _Bytes(self)

  def fileno(self) -> int:
    return self._descriptor

  def isatty(self) -> bool:
    return os.isatty(self._descriptor)

  def writable(self) -> bool:
    return True

  def write(self, text: str) -> int:
    self.write_bytes(text.encode(self._encoding, "backslashreplace"))
    return len(text)

  def write_bytes(self, data: bytes) -> None:
    """Shows whole lines at once; the rest waits for its end, or `flush`."""
    with self._mutex:
      self._held += data
      end = self._held.rfind(b"\n") + 1
      if len(self._held) - end > _MOST_HELD_BYTES:
        end = len(self._held)
      ready, self._held = self._held[:end], self._held[end:]
      self._send(ready)

  def flush(self) -> None:
    with self._mutex:
      ready, self._held = self._held, b""
      self._send(ready)

  def _send(self, data: bytes) -> None:
    view = memoryview(data)
    while view:
      try:
        if not self._is_ready():
          self._left_out += len(view)
          return
        if self._left_out:
          count, self._left_out = self._left_out, 0
          note = f"\n[{count} bytes left out: nobody read on]\n"
          view = memoryview(note.encode() + bytes(view))
        view = view[os.write(self._descriptor, view[:_PIECE_BYTES]) :]
      except BlockingIOError:
        continue
      except OSError as error:
        self._give_up(error)
        return

  def _is_ready(self) -> bool:
    """Whether something can be written now, or soon."""
    if not self._waits:
      return True
    poll = select.poll()
    poll.register(self._descriptor, select.POLLOUT)
    deadline_s = time.monotonic() + (0 if self._stuck else _PATIENCE_S)
    while True:
      if poll.poll(0 if self._stuck and _hurried else 100):
        self._stuck = False
        return True  # or closed, which writing will tell
      if _hurried and time.monotonic() >= deadline_s:
        if not self._stuck:
          self._stuck = True
          self._tell("nobody reads on; what is shown is in log.txt alone")
        return False

  def _give_up(self, error: OSError) -> None:
    if error.errno in _GONE:
      # Libraries, children and the interpreter's end write there as well.
      with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._descriptor)
        os.close(nowhere)
      self._waits = False
    else:
      self.lost = True
    if not self._told:
      self._told = True
      self._tell(f"{error.strerror}; what is shown is left out from here on")

  def _tell(self, text: str) -> None:
    line = f"Note: {self._name}: {text}"
    with _lock:
      listener = _listener
      if listener is None:
        _untold.append(line)
    if listener is not None:  # it may show something itself
      listener(line)


class _Bytes(io.RawIOBase):
  """What `sys.stdout.buffer` is to those who copy bytes."""

  def __init__(self, stream: Stream):
    super().__init__()
    self._stream = stream

  def write(self, data: Any) -> int:
    self._stream.write_bytes(bytes(data))
    return len(data)

  def flush(self) -> None:
    self._stream.flush()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
  """Within, stdout and stderr are safe."""
  _open_missing()
  before = sys.stdout, sys.stderr
  sys.stdout = _guard(before[0], 1, "stdout")
  sys.stderr = _guard(before[1], 2, "stderr")
  try:
    yield
  finally:
    for stream in (sys.stdout, sys.stderr):
      with contextlib.suppress(OSError, ValueError):
        stream.flush()
    sys.stdout, sys.stderr = before


def is_lively(stream: TextIO) -> bool:
  """Whether it is a terminal on which lines can be drawn anew."""
  term = os.environ.get("TERM", "").lower()
  return stream.isatty() and term not in ("dumb", "unknown")


def lost_outcome() -> bool:
  """Whether stdout missed what was printed, and no log has it.

  A reader that went away wanted no more; a full disk is something else.
  """
  stream = sys.stdout
  return isinstance(stream, Stream) and stream.lost and bool(_untold)


@contextlib.contextmanager
def hurry(listener: Callable[[str], None]) -> Iterator[None]:
  """Nothing waits for a reader within; remarks go to `listener`.

  Args:
    listener: takes a line, in any thread; raises nothing.
  """
  global _listener, _hurried
  with _lock:
    before, _listener = _listener, listener
    told, _untold[:] = list(_untold), []
    _hurried += 1
  for line in told:
    listener(line)
  try:
    yield
  finally:
    with _lock:
      _listener = before
      _hurried -= 1


def tell_at_once(text: bytes) -> None:
  """A line on stderr from a signal handler, if it can be written now."""
  with contextlib.suppress(OSError, ValueError):
    if select.select([], [2], [], 0)[1]:
      os.write(2, text)


def _guard(stream: TextIO | None, number: int, name: str) -> TextIO:
  if isinstance(stream, Stream):
    return stream
  if stream is None:  # closed when this process began
    return open(os.devnull, "w", encoding="utf-8")
  try:
    with contextlib.suppress(OSError):
      stream.flush()
    if stream.fileno() != number:
      return stream
    encoding = stream.encoding or "utf-8"
    return cast(TextIO, Stream(number, name, encoding))
  except (AttributeError, OSError, ValueError):
    return stream  # none of a file, such as a test's


def _open_missing() -> None:
  """Makes the three standard descriptors lead somewhere.

  Where one is closed, the next file that is opened, a checkpoint perhaps,
  would take its number, and whatever a library prints.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      descriptor = os.open(os.devnull, os.O_RDWR)
      if descriptor != number:  # cannot be: the lowest free one is taken
        os.dup2(descriptor, number)
        os.close(descriptor)
      os.set_inheritable(number, True)
