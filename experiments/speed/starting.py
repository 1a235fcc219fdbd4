"""How long a command takes until it says something.

Processor time beside that of the clock: other jobs on a machine make the clock
run, and what a command itself does stays as it is.
"""

from collections.abc import Sequence
import dataclasses
import os
import pathlib
import select
import signal
import subprocess
import sys
import time

_ENDS_S = 30.0  # for a command that was asked to end


@dataclasses.dataclass(frozen=True)
class Start:
  """A command up to its first output.

  Attributes:
    wall_s: by the clock; None where it said nothing up to its end or the
      limit.
    cpu_s: user and system time of the process up to then; None where the
      system does not tell while it runs.
    whole_wall_s: to its end, or to where it was ended.
    whole_cpu_s: the same of it and the processes that it waited for.
    code: its exit code; None where it was ended after its first output.
    line: the first line that it said.
  """

  wall_s: float | None
  cpu_s: float | None
  whole_wall_s: float
  whole_cpu_s: float
  code: int | None
  line: str


def measure(
  command: Sequence[str],
  *,
  to_end: bool,
  folder: str | os.PathLike | None = None,
  limit_s: float = 300.0,
) -> Start:
  """Starts a command without a terminal and waits for what it says.

  Args:
    command: program and arguments.
    to_end: waits for its end; else it is ended after its first output.
    folder: where it is called; it finds the packages of this process.
    limit_s: how long it may take; then it is ended.
  """
  began = time.perf_counter()
  process = subprocess.Popen(
    command,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    start_new_session=True,
    cwd=folder,
    env=os.environ
    | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
  )
  assert process.stdout is not None
  pipe = process.stdout.fileno()
  wall = cpu = code = None
  said = b""
  asked = False  # to end
  deadline = began + limit_s
  while True:
    left = deadline - time.perf_counter()
    if left <= 0 and not asked:
      deadline, asked = _stop(process, signal.SIGTERM), True
      wall = cpu = None
      continue
    if left <= 0:
      deadline = _stop(process, signal.SIGKILL)
      continue
    if not select.select([pipe], [], [], left)[0]:
      continue
    piece = os.read(pipe, 65536)
    if not piece:
      break
    if not said:
      wall, cpu = time.perf_counter() - began, _cpu_s(process.pid)
      if not to_end:
        deadline, asked = _stop(process, signal.SIGTERM), True
    said = (said + piece)[:4096]
  _, status, used = os.wait4(process.pid, 0)
  process.returncode = os.waitstatus_to_exitcode(status)
  process.stdout.close()
  whole = time.perf_counter() - began
  code = None if asked else process.returncode
  line = said.decode("utf-8", "replace").strip().partition("\n")[0]
  return Start(wall, cpu, whole, used.ru_utime + used.ru_stime, code, line)


def _stop(process: subprocess.Popen, how: signal.Signals) -> float:
  """Ends a command and what it started; until when it has time for that."""
  try:
    os.killpg(process.pid, how)
  except ProcessLookupError:  # it has ended by itself
    pass
  return time.perf_counter() + _ENDS_S


def _cpu_s(pid: int) -> float | None:
  """User and system time of a process that runs, where Linux tells."""
  try:
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
  except OSError:
    return None
  fields = text.rpartition(")")[2].split()
  return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
