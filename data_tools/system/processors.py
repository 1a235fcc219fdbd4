"""How many processors this process may use, not how many the machine has."""

import os
import pathlib


def available(root: str | os.PathLike = "/") -> int:
  """Processors, less what affinity and the container's quota take away.

  Args:
    root: where `proc` and `sys` lie.
  """
  try:
    count = len(os.sched_getaffinity(0))
  except AttributeError:  # macOS
    count = os.cpu_count() or 1
  for quota, period in _quotas(pathlib.Path(root)):
    if quota > 0 and period > 0:
      count = min(count, max(1, quota // period))
  return count


def _quotas(root: pathlib.Path) -> list[tuple[int, int]]:
  """Microseconds of processor time in so many, of every group above us."""
  groups = root / "sys/fs/cgroup"
  found = []
  for folder in _folders(root, groups):
    found.append(_numbers(folder / "cpu.max"))  # version 2
  for name in ("cpu", "cpu,cpuacct"):  # version 1
    quota = _numbers(groups / name / "cpu.cfs_quota_us")
    period = _numbers(groups / name / "cpu.cfs_period_us")
    found.append(quota + period)
  return [(item[0], item[1]) for item in found if len(item) == 2]


def _folders(root: pathlib.Path, groups: pathlib.Path) -> list[pathlib.Path]:
  """The group of this process, and those that it lies in."""
  try:
    lines = (root / "proc/self/cgroup").read_text().splitlines()
  except (OSError, ValueError):
    lines = []
  own = [line[3:].lstrip("/") for line in lines if line.startswith("0::")]
  folder = groups / (own[0] if own and ".." not in own[0] else "")
  folders = [folder]
  while folder != groups:
    folder = folder.parent
    folders.append(folder)
  return folders


def _numbers(path: pathlib.Path) -> list[int]:
  try:
    return [int(word) for word in path.read_text().split()]
  except (OSError, ValueError):  # absent, or "max": no limit
    return []
