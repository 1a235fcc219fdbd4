"""Memory of this process, and of one with everything that it started."""

from collections.abc import Callable
import os
import pathlib
import resource
import sys
import threading
from typing import Any

_PAGE_BYTES = resource.getpagesize()
# Kilobytes on Linux, bytes on macOS.
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


def peak_mib() -> float:
  """Most memory that this process has had, in MiB."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak * _MAXRSS_BYTES / 2**20


def most_bytes(pid: int) -> int | None:
  """Most memory that another process has had since it began its program.

  What the system says of a child that has ended counts its parent as well,
  from before the child began its program.

  Returns:
    None where the process has ended, or the kernel does not tell.
  """
  return _status_bytes(pid, "VmHWM")


def anonymous_bytes(pid: int) -> int | None:
  """Memory of one process that no file backs, now, in bytes.

  What a program allocates is of this kind; libraries, which other processes
  map too, are not.

  Returns:
    None where the process has ended, or the kernel does not tell.
  """
  return _status_bytes(pid, "RssAnon")


def _status_bytes(pid: int, name: str) -> int | None:
  try:
    text = (pathlib.Path("/proc") / str(pid) / "status").read_text()
  except OSError:
    return None
  for line in text.splitlines():
    if line.startswith(f"{name}:"):
      return int(line.split()[1]) * 1024
  return None


def tree_memory_bytes(pid: int) -> int | None:
  """Memory of a process and its descendants now, in bytes.

  Shared pages count once where the kernel tells (PSS), else once per process.

  Returns:
    None where there is no `/proc`.
  """
  if not pathlib.Path("/proc/self").exists():
    return None
  return sum(_memory_bytes(member) for member in _tree(pid))


class PeakMemory:
  """Samples a process tree in a thread; `peak_bytes` is the largest sum.

  Without `/proc` (macOS) it is the largest single child that has ended.
  """

  def __init__(
    self,
    pid: int,
    every_s: float = 0.5,
    told: Callable[[int], None] | None = None,
  ):
    """Begins to sample when it is entered.

    Args:
      pid: root of the tree.
      every_s: seconds between samples.
      told: takes each sum, in the thread.
    """
    self._pid = pid
    self._told = told
    self._every_s = every_s
    self._closed = threading.Event()
    self._thread = threading.Thread(target=self._sample, daemon=True)
    self.peak_bytes = 0

  def __enter__(self) -> "PeakMemory":
    self._thread.start()
    return self

  def __exit__(self, *error: Any) -> None:
    self._closed.set()
    self._thread.join()
    if self.peak_bytes == 0:
      largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
      self.peak_bytes = largest * _MAXRSS_BYTES

  def _sample(self) -> None:
    while True:
      found = tree_memory_bytes(self._pid)
      if found is not None:
        self.peak_bytes = max(self.peak_bytes, found)
        if self._told is not None:
          self._told(found)
      if self._closed.wait(self._every_s):
        return


def disk_bytes(directory: str | pathlib.Path) -> int:
  """Bytes that the files below a directory take on disk."""
  total = 0
  for path in pathlib.Path(directory).rglob("*"):
    try:
      if not path.is_symlink():
        total += path.lstat().st_blocks * 512
    except FileNotFoundError:  # deleted meanwhile
      continue
  return total


def _tree(pid: int) -> list[int]:
  """The process and its descendants."""
  children: dict[int, list[int]] = {}
  for path in pathlib.Path("/proc").glob("[0-9]*"):
    try:
      stat = (path / "stat").read_text()
    except OSError:  # ended meanwhile
      continue
    # The name, in brackets, may hold spaces and brackets itself.
    parent = int(stat.rpartition(")")[2].split()[1])
    children.setdefault(parent, []).append(int(path.name))
  found, waiting = [], [pid]
  while waiting:
    member = waiting.pop()
    found.append(member)
    waiting += children.get(member, [])
  return found


def _memory_bytes(pid: int) -> int:
  folder = pathlib.Path("/proc") / str(pid)
  try:
    for line in (folder / "smaps_rollup").read_text().splitlines():
      if line.startswith("Pss:"):
        return int(line.split()[1]) * 1024
  except OSError:
    pass
  try:
    return int((folder / "statm").read_text().split()[1]) * _PAGE_BYTES
  except OSError:  # ended meanwhile
    return 0


def children_cpu_s() -> float:
  """CPU seconds of the processes that this one started and that live still.

  0 where the system does not tell of them.
  """
  ticks = 0
  own = str(os.getpid())
  for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    try:
      # The name, in brackets, may hold anything.
      words = stat.read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
      continue
    if words[1] == own:
      ticks += int(words[11]) + int(words[12])
  return ticks / os.sysconf("SC_CLK_TCK")
