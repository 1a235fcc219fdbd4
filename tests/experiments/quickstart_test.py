"""The quickstart's frame: what runs, what is skipped, how it stops."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap

from absl.testing import absltest
from absl.testing import parameterized

# A stage that appends its name to `order`, and does as its mode says.
_FAKE = """
import pathlib
import sys
import time

from experiments.runs import cli
from experiments.runs import run_directory

cli.define_run_flags()
_NAME = cli.string("name", "", "Stage.")
_MODE = cli.string("mode", "", "What to do.")


def main():
  workdir = cli.workdir()
  with open(workdir.parent / "order", "a") as file:
    file.write(_NAME.value + "\\n")
  run = run_directory.open_run(workdir, _NAME.value, {})
  print("hello from", _NAME.value)
  if _MODE.value == "fail" and not (workdir.parent / "mended").exists():
    run_directory.read_config("/nowhere")
  if _MODE.value == "late" and not (workdir.parent / "mended").exists():
    print("ready", flush=True)
    while not run.stop_requested:
      time.sleep(0.05)
  if _MODE.value == "slow" and not (workdir.parent / "mended").exists():
    print("ready", flush=True)
    for _ in range(600):
      time.sleep(0.05)
      if run.stop_requested:
        raise run.stopped("step 7 of 9")
  block = bytearray(64 * 2**20)
  time.sleep(0.7 if _MODE.value == "large" else 0.0)
  run.finish({"name": _NAME.value, "bytes": len(block)})


if __name__ == "__main__":
  cli.run_main(main)
"""

# Runs the stages given as JSON, as the quickstart does.
_DRIVER = """
import json
import pathlib
import sys

from experiments.runs import cli
from experiments.runs import plans
from experiments.runs import run_directory
from experiments.runs import stages

cli.string("plan", "", "JSON.")
cli.define_run_flags()


def main():
  run = run_directory.open_run(cli.workdir(), "quickstart", {}, graceful=False)
  plan = [
    stages.Stage(name, name.title(), "fake_stage", tuple(arguments),
                 pathlib.Path(done) if done else None)
    for name, arguments, done in json.loads(cli.required("plan"))
  ]
  return plans.carry_out(plan, run, ["a note"])


if __name__ == "__main__":
  cli.run_main(main)
"""


class RunPlanTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.workdir = self.folder / "work"
    (self.folder / "fake_stage.py").write_text(textwrap.dedent(_FAKE))
    (self.folder / "driver.py").write_text(textwrap.dedent(_DRIVER))

  def start(self, modes):
    """Starts a quickstart of stages given as name -> mode."""
    plan = [
      (
        name,
        [
          f"--workdir={self.workdir / name}",
          f"--name={name}",
          f"--mode={mode}",
        ],
        str(self.workdir / name / "result.json"),
      )
      for name, mode in modes.items()
    ]
    return subprocess.Popen(
      [
        *(sys.executable, "-m", "driver"),
        *(f"--plan={json.dumps(plan)}", f"--workdir={self.workdir}"),
      ],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      env=os.environ
      | {"PYTHONPATH": os.pathsep.join([str(self.folder), *sys.path])},
    )

  def run_stages(self, modes):
    with self.start(modes) as process:
      output, _ = process.communicate(timeout=60)
    return process.returncode, output

  def order(self):
    return (self.workdir / "order").read_text().split()

  def test_runs_in_order_and_never_again(self):
    modes = {"one": "large", "two": "", "report": ""}
    code, output = self.run_stages(modes)
    self.assertEqual(code, 0, output)
    self.assertEqual(self.order(), ["one", "two", "report"])
    self.assertIn(f"$ python -m fake_stage --workdir={self.workdir}", output)
    self.assertIn("hello from two", output)
    log = (self.workdir / "log.txt").read_text()
    self.assertIn("hello from two", log)
    costs = json.loads((self.workdir / "costs.json").read_text())
    self.assertGreater(costs["stages"]["one"]["peak_bytes"], 64 * 2**20)
    self.assertGreater(costs["stages"]["one"]["wall_s"], 0.5)
    self.assertEqual(costs["notes"], ["a note"])
    code, output = self.run_stages(modes)
    self.assertEqual(code, 0, output)
    self.assertLen(self.order(), 3)
    self.assertEqual(output.count("done already"), 3)

  def test_only_what_is_missing_runs_and_the_report_again(self):
    modes = {"one": "", "two": "", "report": ""}
    self.run_stages(modes)
    (self.workdir / "two" / "result.json").unlink()
    self.run_stages(modes)
    self.assertEqual(self.order()[3:], ["two", "report"])

  def test_a_failed_stage_ends_it_and_is_where_it_goes_on(self):
    modes = {"one": "", "two": "fail", "three": ""}
    code, output = self.run_stages(modes)
    self.assertEqual(code, 2)
    self.assertIn("Error: /nowhere: not a run directory", output)
    self.assertIn("two ended with exit code 2", output)
    self.assertIn("python -m driver", output)
    self.assertEqual(self.order(), ["one", "two"])
    (self.workdir / "mended").touch()
    code, _ = self.run_stages(modes)
    self.assertEqual(code, 0)
    self.assertEqual(self.order(), ["one", "two", "two", "three"])

  @parameterized.parameters((signal.SIGINT, 130), (signal.SIGTERM, 143))
  def test_a_signal_reaches_the_stage_once_and_it_saves(self, number, expected):
    modes = {"one": "", "two": "slow", "three": ""}
    with self.start(modes) as process:
      lines = iter(process.stdout.readline, "")
      seen = [next(line for line in lines if line == "ready\n")]
      process.send_signal(number)
      seen += list(lines)
      process.wait(timeout=30)
    output = "".join(seen)
    self.assertEqual(process.returncode, expected, output)
    self.assertIn("saved at step 7 of 9", output)
    self.assertEqual(output.count("To continue:"), 1)
    self.assertRegex(output, r"To continue: \S*python -m driver")
    (self.workdir / "mended").touch()
    code, _ = self.run_stages(modes)
    self.assertEqual(code, 0)
    self.assertEqual(self.order(), ["one", "two", "two", "three"])

  def test_a_signal_counts_even_if_the_stage_ends_well(self):
    modes = {"one": "late", "two": ""}
    with self.start(modes) as process:
      lines = iter(process.stdout.readline, "")
      next(line for line in lines if line == "ready\n")
      process.send_signal(signal.SIGINT)
      output = "".join(lines)
      process.wait(timeout=30)
    self.assertEqual(process.returncode, 130, output)
    self.assertEqual(self.order(), ["one"])
    self.assertTrue((self.workdir / "one" / "result.json").exists())


if __name__ == "__main__":
  absltest.main()
