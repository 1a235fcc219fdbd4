"""A stage goes on whatever becomes of what it prints."""

import os
import pathlib
import signal
import subprocess
import sys
import time

from experiments.runs import stages

_TALKER = """
for number in range(20_000):
  print(number, "x" * 60)
"""

_PARENT = """
import pathlib, sys
from experiments.runs import cli, stages

log = pathlib.Path(sys.argv.pop())

def main():
  stage = stages.Stage("it", "It", "waiter", (), None)
  outcome = stages.run(stage, log)
  print(outcome.exit_code, outcome.signal, flush=True)
  return 0

cli.run_main(main)
"""

_WAITER = """
import signal, sys, time
signal.signal(signal.SIGHUP, lambda *_: sys.exit(7))
print("waiting", flush=True)
time.sleep(60)
"""


def test_a_log_without_room_holds_no_stage_up(tmp_path, monkeypatch, capfd):
  (tmp_path / "talker.py").write_text(_TALKER)
  monkeypatch.setenv("PYTHONPATH", str(tmp_path))
  stage = stages.Stage("it", "It", "talker", (), None)
  outcome = stages.run(stage, pathlib.Path("/dev/full"))
  assert (outcome.exit_code, outcome.signal) == (0, None)
  seen = capfd.readouterr()
  assert seen.out.count("\n") == 20_000
  assert seen.err.count("No space left on device") == 1


def test_the_end_of_a_terminal_reaches_the_stage(tmp_path):
  (tmp_path / "waiter.py").write_text(_WAITER)
  (tmp_path / "parent.py").write_text(_PARENT)
  with subprocess.Popen(
    [sys.executable, "-m", "parent", str(tmp_path / "log.txt")],
    stdout=subprocess.PIPE,
    env=os.environ
    | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
  ) as process:
    assert process.stdout.readline() == b"waiting\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGHUP)
    assert process.stdout.read() == b"7 %d\n" % signal.SIGHUP
  assert process.returncode == 0
