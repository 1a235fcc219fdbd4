"""Running entry points one after the other: as commands that are shown.

A stage is a subprocess of its own. What it prints goes to a log, and to the
screen or to who watches it; Ctrl-C, SIGTERM and SIGHUP are passed on, and the
stage decides how to stop.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import site
import subprocess
import sys
import threading
import time
from typing import IO
from typing import Any
from typing import Protocol

from experiments.machine import processes
from experiments.runs import cli
from experiments.runs import progress_pipe
from experiments.runs import run_directory

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Stage:
  """One entry point with its arguments.

  Attributes:
    name: short and unique, such as `world_model`.
    title: for people.
    module: such as `experiments.train_rssm`.
    arguments: its flags.
    done: a file that exists once the stage is complete; None runs it always.
  """

  name: str
  title: str
  module: str
  arguments: tuple[str, ...]
  done: pathlib.Path | None

  @property
  def finished(self) -> bool:
    """Whether it need not run."""
    return self.done is not None and self.done.exists()

  @property
  def command(self) -> str:
    """What to type to run it by hand."""
    return cli.command_line(self.module, self.arguments)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How a stage ended."""

  exit_code: int
  wall_s: float
  peak_bytes: int  # memory of it and all it started, at the largest
  signal: int | None  # the first signal passed on to it


class Watcher(Protocol):
  """Shows a stage in place of its lines. Called from other threads."""

  def said(self, data: bytes) -> None:
    """Takes what the stage prints, in pieces."""

  def told(self, state: Mapping[str, Any]) -> None:
    """Takes how far it is, as `progress.Progress.told` says it."""

  def took(self, memory_bytes: int) -> None:
    """Takes the memory of the stage and all it started, now."""


def run(
  stage: Stage, log_path: pathlib.Path, watcher: Watcher | None = None
) -> Outcome:
  """Runs a stage to its end; only from the main thread.

  Args:
    stage: what to run.
    log_path: the file that its output is appended to.
    watcher: who shows it; None shows what it prints.
  """
  show = _show if watcher is None else watcher.said
  environment = os.environ | {
    run_directory.PARENT_VARIABLE: str(os.getpid()),
    "PYTHONUNBUFFERED": "1",
    "COLUMNS": str(shutil.get_terminal_size((96, 24)).columns),
    "PYTHONPATH": _search_path(),
  }
  environment.pop(progress_pipe.VARIABLE, None)
  began_s = time.monotonic()
  with contextlib.ExitStack() as stack:
    log = stack.enter_context(open(log_path, "ab", buffering=0))
    receiver = None
    if watcher is not None:
      receiver = stack.enter_context(progress_pipe.Receiver(watcher.told))
      environment |= receiver.variable
    # In a group of its own, so that Ctrl-C reaches it once, through us.
    process = subprocess.Popen(
      [sys.executable, "-m", stage.module, *stage.arguments],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      env=environment,
      process_group=0,
      pass_fds=() if receiver is None else (receiver.descriptor,),
    )
    assert process.stdout is not None
    with _Forwarding(process) as forwarding:
      copier = threading.Thread(
        target=_copy, args=(process.stdout, log, show), daemon=True
      )
      copier.start()
      took = None if watcher is None else watcher.took
      with processes.PeakMemory(process.pid, told=took) as memory:
        exit_code = _wait(process)
      copier.join()
    process.stdout.close()
  return Outcome(
    exit_code=exit_code,
    wall_s=time.monotonic() - began_s,
    peak_bytes=memory.peak_bytes,
    signal=forwarding.first,
  )


def _search_path() -> str:
  """PYTHONPATH with which a stage finds this project, wherever it is run."""
  # Where it is installed it is found anyway, and the libraries beside it must
  # not come before the standard ones.
  installed = str(_ROOT) in map(os.path.realpath, site.getsitepackages())
  own = None if installed else str(_ROOT)
  return os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH")]))


def pending(stages: Sequence[Stage]) -> list[Stage]:
  """The stages that are not complete."""
  return [stage for stage in stages if not stage.finished]


class _Forwarding:
  """Passes signals on to a process while it runs."""

  def __init__(self, process: subprocess.Popen):
    self._process = process
    self._old: dict[int, Any] = {}
    self.first: int | None = None

  def __enter__(self) -> "_Forwarding":
    for number in run_directory.STOPPING:
      if signal.getsignal(number) == signal.SIG_IGN:
        continue  # nohup
      self._old[number] = signal.signal(number, self._forward)
    return self

  def __exit__(self, *error: object) -> None:
    for number, handler in self._old.items():
      signal.signal(number, handler)

  def _forward(self, number: int, frame: object) -> None:
    del frame
    if self.first is None:
      self.first = number
    self._process.send_signal(number)


def _wait(process: subprocess.Popen) -> int:
  """The exit code; 128 + number if a signal ended it, as in a shell."""
  while True:
    try:
      code = process.wait(timeout=0.2)
      return code if code >= 0 else 128 - code
    except subprocess.TimeoutExpired:
      continue  # gives signal handlers a turn


def _show(piece: bytes) -> None:
  sys.stdout.buffer.write(piece)
  sys.stdout.buffer.flush()


def _copy(
  source: IO[bytes], log: IO[bytes], show: Callable[[bytes], None]
) -> None:
  """Reads to the end whatever happens: the stage would wait for a reader."""
  failed = False
  while piece := os.read(source.fileno(), 65536):
    show(piece)
    try:
      log.write(piece)
    except OSError as error:
      if not failed:
        failed = True
        cli.say(f"Note: {log.name}: {error.strerror}; lines are missing there")
