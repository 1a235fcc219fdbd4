"""Entry points: one clear line and an exit code for whatever goes wrong."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap

from absl.testing import absltest
from absl.testing import parameterized

_STAGE = '''
"""A stage that does nothing much."""
import os
import signal

from experiments.runs import cli
from experiments.runs import run_directory

cli.define_run_flags()
_COUNT = cli.integer("count", 1, "How many.")
_MODE = cli.string("mode", "", "What to do.")


def main():
  config = cli.make_config()
  run = run_directory.open_run(cli.workdir(), "stage", {"seed": config.seed})
  if _MODE.value == "stop":
    os.kill(os.getpid(), signal.SIGINT)
    if run.stop_requested:
      raise run.stopped("step 3 of 9")
  if _MODE.value == "fault":
    raise RuntimeError("a fault of the program")
  if _MODE.value == "library":
    import json
    json.loads("{")
  if _MODE.value == "diverged":
    run.check_finite(7, {"loss/total": 1.0, "param/norm": float("nan")})
  if _MODE.value == "disk":
    with open("/dev/full", "w") as file:
      file.write("x")
  if _MODE.value == "library_disk":
    try:
      raise TypeError("thread 7: No space left on device [28]")
    except TypeError as error:
      raise RuntimeError("saving failed") from error
  if _MODE.value == "pipe":
    raise BrokenPipeError(32, "Broken pipe")
  if _MODE.value == "fail":
    return cli.EXIT_FAILED
  print("count", _COUNT.value, config.preset)


if __name__ == "__main__":
  cli.run_main(main)
'''


class CliTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(
      self.enterContext(tempfile.TemporaryDirectory())
    )
    (self.directory / "stage.py").write_text(textwrap.dedent(_STAGE).lstrip())
    self.workdir = self.directory / "run"

  def run_stage(self, *arguments):
    path = os.pathsep.join([str(self.directory), *sys.path])
    return subprocess.run(
      [sys.executable, "-m", "stage", *arguments],
      capture_output=True,
      text=True,
      env=os.environ | {"PYTHONPATH": path},
    )

  def test_flags_reach_main(self):
    done = self.run_stage(f"--workdir={self.workdir}", "--count=3")
    self.assertEqual(done.stdout, "count 3 tiny\n", done.stderr)
    self.assertEqual(done.returncode, 0)

  def test_whole_numbers_may_have_an_exponent(self):
    done = self.run_stage(f"--workdir={self.workdir}", "--count=1e4")
    self.assertEqual(done.stdout, "count 10000 tiny\n", done.stderr)

  def test_a_flag_that_there_is_is_not_met_with_all_others(self):
    done = self.run_stage(f"--workdir={self.workdir}", "--count=1.5")
    self.assertEqual(
      done.stderr, "Error: flag --count=1.5: expected a whole number\n"
    )

  @parameterized.parameters(
    (["--workdir=W", "--typo=1"], ["typo", "--count", "--preset"]),
    (["--workdir=W", "--count=x"], ["count", "x"]),
    (["--workdir=W", "stray"], ["stray"]),
    ([], ["--workdir"]),
    (["--workdir=W", "--preset=huge"], ["huge", "tiny", "debug"]),
    (["--workdir=W", "--set=train.typo=1"], ["typo", "batch_size"]),
    (["--workdir=W", "--set=train.steps=many"], ["train.steps", "many", "int"]),
    (["--workdir=W", "--seed=-1"], ["--seed=-1", "4294967295"]),
    (["--workdir=/proc/nowhere"], ["/proc/nowhere"]),
  )
  def test_bad_input_gets_one_line(self, arguments, expected):
    arguments = [a.replace("=W", f"={self.workdir}") for a in arguments]
    done = self.run_stage(*arguments)
    self.assertEqual(done.returncode, 2, done.stderr)
    self.assertLen(done.stderr.splitlines(), 1)
    for word in expected:
      self.assertIn(word, done.stderr)

  def test_another_configuration_shows_the_difference(self):
    self.run_stage(f"--workdir={self.workdir}")
    done = self.run_stage(f"--workdir={self.workdir}", "--seed=4")
    self.assertEqual(done.returncode, 2)
    self.assertIn("seed: there 0, asked for 4", done.stderr)
    self.assertNotIn("Traceback", done.stderr)

  def test_a_stopped_stage_says_how_to_go_on(self):
    arguments = [f"--workdir={self.workdir}", "--mode=stop"]
    done = self.run_stage(*arguments)
    self.assertEqual(done.returncode, 130)
    self.assertIn("saved at step 3 of 9", done.stderr)
    self.assertIn(f"python -m stage {' '.join(arguments)}", done.stderr)

  @parameterized.parameters("disk", "library_disk")
  def test_a_full_disk_says_how_to_go_on(self, mode):
    arguments = [f"--workdir={self.workdir}", f"--mode={mode}"]
    done = self.run_stage(*arguments)
    self.assertEqual(done.returncode, 1, done.stderr)
    self.assertNotIn("Traceback", done.stderr)
    self.assertIn("No space left on device", done.stderr.splitlines()[0])
    self.assertIn(f"python -m stage {' '.join(arguments)}", done.stderr)

  def test_a_run_that_diverged_is_one_line(self):
    done = self.run_stage(f"--workdir={self.workdir}", "--mode=diverged")
    self.assertEqual(done.returncode, 1)
    self.assertLen(done.stderr.splitlines(), 1)
    self.assertIn("update 7: param/norm not finite", done.stderr)

  @parameterized.parameters("fault", "library", "pipe")
  def test_a_fault_keeps_its_traceback(self, mode):
    done = self.run_stage(f"--workdir={self.workdir}", f"--mode={mode}")
    self.assertEqual(done.returncode, 1)
    self.assertIn("Traceback", done.stderr)

  def test_main_chooses_the_exit_code(self):
    done = self.run_stage(f"--workdir={self.workdir}", "--mode=fail")
    self.assertEqual(done.returncode, 1)

  def test_help_lists_the_flags(self):
    done = self.run_stage("--help")
    self.assertEqual(done.returncode, 0)
    self.assertIn("A stage that does nothing much.", done.stdout)
    self.assertIn("--count", done.stdout)

  def test_help_that_nobody_reads_to_its_end_is_no_fault(self):
    path = os.pathsep.join([str(self.directory), *sys.path])
    process = subprocess.Popen(
      [sys.executable, "-m", "stage", "--help"],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      env=os.environ | {"PYTHONPATH": path},
    )
    process.stdout.close()
    self.assertEqual(process.stderr.read(), "")
    process.stderr.close()
    self.assertEqual(process.wait(), 0)

  def test_an_orphaned_stage_stops(self):
    # The parent dies without a word; the stage must not go on alone.
    script = self.directory / "orphan.py"
    script.write_text(
      "import time\nfrom experiments.runs import cli\n"
      "def main():\n  print('up', flush=True)\n  time.sleep(60)\n"
      "if __name__ == '__main__':\n  cli.run_main(main)\n"
    )
    parent = (
      "import os, subprocess, sys, time\n"
      "from experiments.runs import run_directory\n"
      "os.environ[run_directory.PARENT_VARIABLE] = str(os.getpid())\n"
      "child = subprocess.Popen([sys.executable, sys.argv[1]],"
      " stdout=subprocess.PIPE, text=True)\n"
      "child.stdout.readline()\n"
      "print(child.pid, flush=True)\n"
      "time.sleep(60)\n"
    )
    with subprocess.Popen(
      [sys.executable, "-c", parent, str(script)],
      stdout=subprocess.PIPE,
      text=True,
      env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
      child = int(process.stdout.readline())
      process.send_signal(signal.SIGKILL)
    self.assertTrue(_ends(child), f"process {child} went on")


def _ends(pid: int) -> bool:
  import time

  for _ in range(100):
    try:
      with open(f"/proc/{pid}/stat") as file:
        if file.read().split()[2] == "Z":
          return True
    except FileNotFoundError:
      return True
    time.sleep(0.1)
  return False


if __name__ == "__main__":
  absltest.main()
