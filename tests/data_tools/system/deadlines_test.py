import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from data_tools.system import deadlines
from tests import conftest


def _spin(until):
  while not until.is_set():
    pass
  return "done"


def test_a_call_gives_what_the_function_gives_and_raises_what_it_raises():
  caller = deadlines.Caller()
  assert caller.call(1.0, divmod, 7, 2) == (3, 1)
  with pytest.raises(ZeroDivisionError):
    caller.call(1.0, divmod, 7, 0)
  assert caller.call(1.0, divmod, 7, 2) == (3, 1)
  caller.close()


def test_a_call_over_its_limit_is_left_alone_and_nothing_else_is_called():
  caller = deadlines.Caller()
  enough = threading.Event()
  with pytest.raises(deadlines.Passed):
    caller.call(0.2, _spin, enough)
  assert caller.stuck
  with pytest.raises(deadlines.Passed):
    caller.call(0.2, pytest.fail, "was called beside another")
  enough.set()


@pytest.mark.skipif(sys.platform != "linux", reason="no clock of a thread")
def test_a_process_that_waits_or_is_stopped_uses_up_no_limit():
  caller = deadlines.Caller()
  assert caller.call(0.2, lambda: time.sleep(0.7) or "awake") == "awake"
  caller.close()


def test_ctrl_c_is_heard_after_the_call_and_the_next_call_works():
  caller = deadlines.Caller()
  enough = threading.Event()
  mine = os.getpid()
  threading.Timer(0.1, os.kill, [mine, signal.SIGINT]).start()
  threading.Timer(0.3, enough.set).start()
  start_s = time.monotonic()
  with pytest.raises(KeyboardInterrupt):
    caller.call(10.0, _spin, enough)
  assert 0.25 < time.monotonic() - start_s < 5
  assert caller.call(1.0, divmod, 7, 2) == (3, 1)
  caller.close()


def test_ctrl_c_is_heard_in_a_call_that_never_ends():
  caller = deadlines.Caller()
  enough = threading.Event()
  threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
  with pytest.raises(KeyboardInterrupt):
    caller.call(3600.0, _spin, enough)
  assert caller.stuck
  enough.set()


def test_a_forked_process_makes_calls_too():
  code = (
    "import os\n"
    "from data_tools.system import deadlines\n"
    "caller = deadlines.Caller()\n"
    "caller.call(1.0, len, 'a')\n"
    "if not (child := os.fork()):\n"
    "  os._exit(caller.call(5.0, len, 'abc'))\n"
    "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
  )
  result = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    timeout=20,
  )
  assert result.stdout == "3\n", result.stderr
