"""A process of its own that answers one question after the other.

Measurements need it: memory is counted per process, and frameworks keep
threads that would disturb each other.
"""

from collections.abc import Callable
import contextlib
from multiprocessing import connection as connections
from typing import Any

from data_tools.system import children

_NAME = "measuring process"
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
    self._process = children.Child(_answer, make, args, name=_NAME)
    self._connection = self._process.connection

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
      raise RuntimeError(f"{_NAME} {self._process.how_it_ended()}") from None
    if kind != "ok":
      raise RuntimeError(f"{_NAME}: {value}")
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
    self._process.close(_END_S)


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
