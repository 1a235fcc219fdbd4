"""A process of its own that answers one question after the other.

Measurements need it: memory is counted per process, and frameworks keep
threads that would disturb each other.
"""

from collections.abc import Callable
import contextlib
import multiprocessing
from multiprocessing import connection as connections
from typing import Any

_END_S = 20.0  # to leave in an orderly way


class AskedProcess:
  """Calls methods of an object that lives in a spawned process."""

  def __init__(self, make: Callable[..., Any], *args: Any):
    """Starts the process.

    Args:
      make: makes the object there, a module's function or class; where the
        object has `close`, it is called at the end.
      *args: of `make`.
    """
    context = multiprocessing.get_context("spawn")
    self._connection, child = context.Pipe()
    # No daemon: what is measured may start processes of its own. It ends when
    # the parent does, whose end of the pipe is then closed.
    self._process = context.Process(target=_answer, args=(child, make, args))
    self._process.start()
    child.close()

  def send(self, method: str, *args: Any) -> None:
    """Asks without waiting; `answer` has to follow."""
    self._connection.send((method, args))

  def answer(self) -> Any:
    """The answer to the oldest question.

    Raises:
      RuntimeError: the method failed, or the process died.
    """
    try:
      kind, value = self._connection.recv()
    except EOFError:
      self._process.join()
      raise RuntimeError(
        f"measuring process died, exit code {self._process.exitcode}"
      ) from None
    if kind != "ok":
      raise RuntimeError(f"measuring process: {value}")
    return value

  def ask(self, method: str, *args: Any) -> Any:
    """Calls a method there and waits for what it returns."""
    self.send(method, *args)
    return self.answer()

  def __enter__(self) -> "AskedProcess":
    return self

  def __exit__(self, *error: object) -> None:
    with contextlib.suppress(OSError):
      self._connection.send(None)
    self._process.join(_END_S)
    self._process.kill()
    self._connection.close()


def _answer(
  connection: connections.Connection, make: Callable[..., Any], args: tuple
) -> None:
  with contextlib.suppress(EOFError, ConnectionError):  # the parent is gone
    target: Any = None
    failure: Exception | None = None
    try:
      target = make(*args)
    except Exception as error:  # told at the first question
      failure = error
    while (question := connection.recv()) is not None:
      method, arguments = question
      try:
        if failure is not None:
          raise failure
        connection.send(("ok", getattr(target, method)(*arguments)))
      except Exception as error:
        connection.send(("failed", f"{type(error).__name__}: {error}"))
    if hasattr(target, "close"):
      target.close()
