"""Child processes, and that none of them imports the program of its parent."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from data_tools.system import children
from tests import conftest


def double(number):
  if number < 0:
    raise ValueError(f"number: {number}, expected at least 0")
  if number == 13:
    os._exit(3)
  return 2 * number


def complain(connection):
  del connection
  sys.stderr.write("a warning\nno memory left\n")
  sys.exit(4)


def fill(connection, memory):
  memory.view[:3] = b"abc"
  connection.send(len(memory.view))


def hold(connection, path):
  pathlib.Path(path).write_text(str(os.getpid()))
  while True:  # deaf: reads nothing
    time.sleep(0.1)


def test_results_come_in_order_from_several_processes():
  assert list(children.imap(double, range(7), 3)) == [0, 2, 4, 6, 8, 10, 12]
  assert children.living() == []


def test_what_goes_wrong_there_is_raised_here():
  with pytest.raises(ValueError, match="number: -1, expected at least 0"):
    list(children.imap(double, [1, -1], 2))
  with pytest.raises(RuntimeError, match="died with exit code 3"):
    list(children.imap(double, [13], 1))
  assert children.living() == []


def test_a_child_that_dies_leaves_its_last_words(capfd):
  child = children.Child(complain)
  assert child.how_it_ended() == "died with exit code 4: no memory left"
  child.close()
  assert capfd.readouterr().err == "a warning\nno memory left\n"


def test_memory_is_shared():
  memory = children.Memory(8)
  child = children.Child(fill, memory, memory=[memory])
  assert child.connection.recv() == 8
  assert memory.view[:] == b"abc\0\0\0\0\0"
  child.close(5)
  assert child.exitcode == 0


def test_a_function_of_the_main_module_is_refused(monkeypatch):
  monkeypatch.setattr(double, "__module__", "__main__")
  with pytest.raises(ValueError, match="double: it belongs to the main module"):
    children.Child(double)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_deaf_child_ends_with_its_parent(tmp_path, stopped):
  code = (
    "import time; from data_tools.system import children\n"
    "from tests.data_tools.system import children_test\n"
    f"children.Child(children_test.hold, {str(tmp_path / 'pid')!r})\n"
    "time.sleep(60)"
  )
  parent = subprocess.Popen([sys.executable, "-c", code], cwd=conftest.ROOT)
  pid = int(_wait_for(lambda: (tmp_path / "pid").read_text()))
  if stopped:  # as one that hangs in native code
    os.kill(pid, signal.SIGSTOP)
  parent.kill()
  parent.wait()
  _wait_for(lambda: not _is_running(pid))


_PROGRAM = """
import numpy as np
from data_tools.envs import vector_env
envs = vector_env.VectorEnv(num_envs=2, num_workers=2, episode_length=8)
envs.reset(seed=0)
frames, *_ = envs.step(np.array([1, 2]))
print("frames", frames.shape)
envs.close()
"""


@pytest.mark.parametrize("how", ["script", "stdin", "-c", "-i"])
def test_environments_work_in_programs_without_a_guard(tmp_path, how):
  arguments = {"script": [str(tmp_path / "program.py")], "stdin": ["-"]}.get(
    how, [how, _PROGRAM][: 2 if how == "-c" else 1]
  )
  (tmp_path / "program.py").write_text(_PROGRAM)
  result = subprocess.run(
    [sys.executable, *arguments],
    input=_PROGRAM if how in ("stdin", "-i") else None,
    capture_output=True,
    text=True,
    cwd=tmp_path,
    env=os.environ | {"PYTHONPATH": str(conftest.ROOT)},
  )
  assert "frames (2, 144, 160, 3)" in result.stdout, result.stderr
  assert "Traceback" not in result.stderr
  assert result.returncode == 0


def _wait_for(condition, most_s=20.0):
  end = time.monotonic() + most_s
  while time.monotonic() < end:
    try:
      if value := condition():
        return value
    except (OSError, ValueError):
      pass
    time.sleep(0.05)
  raise AssertionError("it did not come in time")


def _is_running(pid):
  try:
    state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
  except OSError:
    return False
  return state.split()[0] not in "ZX"
