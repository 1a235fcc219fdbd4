"""Showing never ends the work or holds it up."""

import io
import os
import pathlib
import pty
import signal
import subprocess
import sys
import time

import pytest

from experiments.outputs import screen

_STAGE = '''
"""Says much, and does a little work."""
import os
import time

from experiments.runs import cli
from experiments.runs import progress
from experiments.runs import run_directory

cli.string("workdir", None, "Directory.")
_LINES = cli.integer("lines", 2000, "How many.")
_WAIT = cli.boolean("wait", False, "Wait for a signal.")


def main():
  print("first", flush=True)
  with run_directory.open_run(cli.workdir(), "stage", {}) as run:
    with progress.Progress("work", _LINES.value, every_s=0.1) as bar:
      for number in range(_LINES.value):
        run.log(f"line {number} " + "x" * 100)
        bar.update(number)
    if _WAIT.value:
      (run.path / "ready").touch()
      while not run.stop_requested:
        time.sleep(0.02)
      raise run.stopped("line 7")
    run.finish({"lines": _LINES.value})


if __name__ == "__main__":
  cli.run_main(main)
'''

_TELLER = '''
"""Its outcome is what it prints."""
from experiments.runs import cli


def main():
  for number in range(5000):
    print(number, "x" * 50)  # more than a pipe holds
    if number == 0:
      print("", end="", flush=True)


if __name__ == "__main__":
  cli.run_main(main)
'''


@pytest.fixture
def start(tmp_path):
  """Starts a program with the streams given; killed at the end."""
  (tmp_path / "stage.py").write_text(_STAGE.lstrip())
  (tmp_path / "teller.py").write_text(_TELLER.lstrip())
  started = []

  def call(*arguments, before="", **streams):
    # The shell prepares: forking with jax in this process would warn.
    command = ["sh", "-c", f'{before} exec "$@"', "sh"]
    path = os.pathsep.join([str(tmp_path), *sys.path])
    process = subprocess.Popen(
      [*command, sys.executable, "-m", *arguments],
      env=os.environ | {"PYTHONPATH": path} | streams.pop("environment", {}),
      **streams,
    )
    started.append(process)
    return process

  yield call
  for process in started:
    process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
      if stream is not None:
        stream.close()


def _check_complete(workdir, process, stderr=b"", lines=2000, code=0):
  assert process.wait(timeout=60) == code, stderr
  assert b"Traceback" not in stderr and b"Exception ignored" not in stderr
  log = (workdir / "log.txt").read_text()
  assert log.count("\nline ") + log.startswith("line ") == lines
  return [line for line in log.splitlines() if line.startswith("Note:")]


def test_a_reader_that_leaves(tmp_path, start):
  process = start("stage", f"--workdir={tmp_path / 'w'}", stdout=-1, stderr=-1)
  assert process.stdout.readline() == b"first\n"
  process.stdout.close()
  stderr = process.stderr.read()
  (note,) = _check_complete(tmp_path / "w", process, stderr)
  assert "stdout: Broken pipe" in note


def test_both_streams_closed_from_the_beginning(tmp_path, start):
  process = start(
    "stage",
    f"--workdir={tmp_path / 'w'}",
    before="exec <&- >&- 2>&-;",
  )
  assert _check_complete(tmp_path / "w", process) == []


def test_an_output_without_room(tmp_path, start):
  with open("/dev/full", "wb") as full:
    process = start(
      "stage", f"--workdir={tmp_path / 'w'}", stdout=full, stderr=-1
    )
  stderr = process.stderr.read()
  (note,) = _check_complete(tmp_path / "w", process, stderr)
  assert "stdout: No space left on device" in note


def test_a_terminal_that_is_closed(tmp_path, start):
  master, slave = pty.openpty()
  process = start(
    "stage", f"--workdir={tmp_path / 'w'}", stdout=slave, stderr=slave
  )
  os.close(slave)
  assert os.read(master, 5) == b"first"
  os.close(master)
  (note,) = _check_complete(tmp_path / "w", process)
  assert "stdout: Input/output error" in note


def test_a_reader_that_stands_still_holds_nothing_up(tmp_path, start):
  process = start("stage", f"--workdir={tmp_path / 'w'}", stdout=-1, stderr=-1)
  began_s = time.monotonic()
  (note,) = _check_complete(tmp_path / "w", process)
  assert time.monotonic() - began_s < 30
  assert "stdout: nobody reads on" in note
  seen = process.stdout.read()
  assert seen.startswith(b"first\n") and seen.count(b"\nline ") < 2000


def test_a_reader_that_comes_back_is_told_what_it_missed(tmp_path):
  del tmp_path
  reading, writing = os.pipe()
  notes = []
  stream = screen.Stream(writing, "stdout")
  with screen.hurry(notes.append):
    stream.write("x" * 200_000 + "\n")
    assert len(notes) == 1
    seen = os.read(reading, 1 << 20)
    stream.write("again\n")
    stream.write("é\udce9\n")
    text = os.read(reading, 1 << 20).decode()
  left_out = 200_001 - len(seen)
  assert text == (
    f"\n[{left_out} bytes left out: nobody read on]\nagain\né\\udce9\n"
  )
  os.close(reading)
  os.close(writing)


def test_an_outcome_waits_for_its_reader(start):
  process = start("teller", stdout=-1, stderr=-1)
  time.sleep(2.5)  # longer than a run would wait, and its pipe is full
  stdout, stderr = process.communicate(timeout=60)
  assert stdout.split()[::2] == [str(n).encode() for n in range(5000)]
  assert (process.returncode, stderr) == (0, b"")


def test_an_outcome_whose_reader_has_seen_enough(start):
  process = start("teller", stdout=-1, stderr=-1)
  process.stdout.readline()
  process.stdout.close()
  assert process.stderr.read() == b""
  assert process.wait() == 0


def test_an_outcome_that_is_lost_is_a_failure(start):
  with open("/dev/full", "wb") as full:
    process = start("teller", stdout=full, stderr=-1)
  assert process.stderr.read().startswith(b"Error: stdout: the disk is full")
  assert process.wait() == 1


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_that_are_no_text_are_shown(tmp_path, start, encoding):
  process = start(
    "stage",
    b"--workdir=" + os.fsencode(tmp_path) + b"/caf\xe9",
    stdout=-1,
    stderr=-1,
    environment={"PYTHONIOENCODING": f"{encoding}:strict"},
  )
  stdout, stderr = process.communicate(timeout=60)
  assert (process.returncode, stdout) == (2, b"first\n")
  (line,) = stderr.splitlines()
  assert b"caf\\udce9: its name is no UTF-8" in line


@pytest.mark.parametrize(
  ("signals", "code"),
  [
    ([signal.SIGHUP], 129),
    # A shell and the kernel both tell of a terminal that is gone.
    ([signal.SIGHUP, signal.SIGHUP], 129),
    ([signal.SIGTERM, signal.SIGHUP], 143),
  ],
)
def test_the_end_of_a_terminal_saves(tmp_path, start, signals, code):
  workdir = tmp_path / "w"
  process = start(
    "stage", f"--workdir={workdir}", "--lines=3", "--wait", stdout=-1, stderr=-1
  )
  _await(workdir / "ready")
  for number in signals:
    process.send_signal(number)
  _, stderr = process.communicate(timeout=60)
  assert process.returncode == code
  assert b"saved at line 7" in stderr and b"Traceback" not in stderr


def test_a_run_that_is_to_outlive_its_terminal_does(tmp_path, start):
  workdir = tmp_path / "w"
  process = start(
    "stage",
    f"--workdir={workdir}",
    "--lines=3",
    "--wait",
    stdout=-1,
    stderr=-1,
    before="trap '' HUP;",  # as nohup does
  )
  _await(workdir / "ready")
  process.send_signal(signal.SIGHUP)
  with pytest.raises(subprocess.TimeoutExpired):
    process.wait(timeout=0.3)
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=60)
  assert process.returncode == 143


def test_streams_of_no_file_are_left_alone(monkeypatch):
  text = io.StringIO()
  monkeypatch.setattr(sys, "stdout", text)
  with screen.guarded():
    assert sys.stdout is text
  assert sys.stdout is text


def _await(path: pathlib.Path):
  for _ in range(600):
    if path.exists():
      return
    time.sleep(0.05)
  raise AssertionError(f"{path} never came")
