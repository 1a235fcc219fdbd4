"""Verbs that are run to their end, with what they took and what they held."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

from experiments.machine import processes

_LOOK_S = 0.05
_END_S = 20.0  # to leave in an orderly way


@dataclasses.dataclass(frozen=True)
class Ran:
  """What a verb took from its start to its end."""

  wall_s: float
  cpu_s: float  # user and system, of what it started too
  peak_mib: float  # the most of its own process, as seen at looks; 0: unknown


def run(
  verb: str,
  arguments: Sequence[str],
  log: pathlib.Path,
  watch: Callable[[int], None] | None = None,
  environment: Mapping[str, str] | None = None,
  codes: Sequence[int] = (0,),
) -> Ran:
  """Runs `python -m experiments.VERB` in a process of its own.

  Args:
    verb: its name.
    arguments: of its command line.
    log: file that takes what it says.
    watch: called every twentieth of a second with the number of the process.
    environment: that it has beside that of this process.
    codes: exit codes that are no failure.

  Raises:
    RuntimeError: it failed; the line ends with the last thing that it said.
  """
  packages = os.pathsep.join(map(os.path.abspath, sys.path))
  began = time.perf_counter()
  with log.open("wb") as said:
    process = subprocess.Popen(
      [sys.executable, "-m", f"experiments.{verb}", *arguments],
      stdin=subprocess.DEVNULL,
      stdout=said,
      stderr=subprocess.STDOUT,
      env=os.environ | {"PYTHONPATH": packages} | dict(environment or {}),
    )
    try:
      done = most = 0
      while not done:
        done, status, used = os.wait4(process.pid, os.WNOHANG)
        if not done:
          most = max(most, processes.most_bytes(process.pid) or 0)
          if watch is not None:
            watch(process.pid)
          time.sleep(_LOOK_S)
      process.returncode = os.waitstatus_to_exitcode(status)
    finally:
      if process.returncode is None:  # this process is being stopped
        _end(process)
  if process.returncode not in codes:
    words = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
    raise RuntimeError(
      f"{verb} ended with {process.returncode}, it said last: {words[-1]}"
    )
  return Ran(
    time.perf_counter() - began,
    used.ru_utime + used.ru_stime,
    most / 2**20,
  )


@contextlib.contextmanager
def ending_in_order() -> Iterator[None]:
  """SIGTERM raises SystemExit within it, so that nothing is left behind.

  Measurements write gigabytes and start trainings of an hour.
  """
  before = signal.signal(
    signal.SIGTERM, lambda number, frame: sys.exit(128 + number)
  )
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)


def _end(process: subprocess.Popen) -> None:
  process.terminate()
  try:
    process.wait(_END_S)
  except subprocess.TimeoutExpired:
    process.kill()
    process.wait()
