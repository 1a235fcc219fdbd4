"""Real processes: a parent that is killed, and what becomes of its child."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests import conftest

# The child stands still in native code that lets no other thread run, or lets.
_CHILD = """
import ctypes, os, sys, time
from data_tools.system import parents
parents.end_with_parent(int(sys.argv[1]), sys.argv[2] == "main")
print(os.getpid(), flush=True)
if sys.argv[3] == "deaf":
  ctypes.PyDLL(None).sleep(60)
time.sleep(60)
"""
_PARENT = """
import os, subprocess, sys, threading, time
def start():
  subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid()),
                    *sys.argv[2:]])
if sys.argv[2] == "main":
  start()
else:
  thread = threading.Thread(target=start)
  thread.start()
  thread.join()
time.sleep(60)
"""


def _alive(number):
  try:
    with open(f"/proc/{number}/stat") as file:
      return file.read().rpartition(")")[2].split()[0] != "Z"
  except (FileNotFoundError, ProcessLookupError):
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("how", [("main", "deaf"), ("thread", "hears")])
def test_a_child_ends_with_its_parent_and_not_before(how):
  with subprocess.Popen(
    [sys.executable, "-c", _PARENT, _CHILD, *how],
    stdout=subprocess.PIPE,
    text=True,
    cwd=conftest.ROOT,
  ) as parent:
    child = int(parent.stdout.readline())
    try:
      time.sleep(0.7)  # the thread that started it may have ended
      assert _alive(child)
      parent.kill()
      parent.wait()
      end_s = time.monotonic() + 10
      while _alive(child) and time.monotonic() < end_s:
        time.sleep(0.05)
      assert not _alive(child)
    finally:
      if _alive(child):
        os.kill(child, signal.SIGKILL)


def test_a_child_whose_parent_is_gone_already_ends_at_once():
  result = subprocess.run(
    [sys.executable, "-c", _CHILD, "1", "main", "hears"],
    capture_output=True,
    cwd=conftest.ROOT,
    timeout=30,
  )
  assert result.returncode == 1 and not result.stdout
