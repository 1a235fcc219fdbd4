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

from data_tools import roms
from experiments import quickstart
from experiments import stages
from pokedreamer_jax import presets

# A stage that appends its name to `order`, and does as its mode says.
_FAKE = """
import pathlib
import sys
import time

from experiments import cli
from experiments import run_directory

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

from experiments import cli
from experiments import quickstart
from experiments import run_directory
from experiments import stages

cli.string("plan", "", "JSON.")
cli.define_run_flags()


def main():
  run = run_directory.open_run(cli.workdir(), "quickstart", {}, graceful=False)
  plan = [
    stages.Stage(name, name.title(), "fake_stage", tuple(arguments),
                 pathlib.Path(done) if done else None)
    for name, arguments, done in json.loads(cli.required("plan"))
  ]
  return quickstart.run_plan(plan, run, ["a note"])


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
    self.assertIn("To continue: python -m driver", output)
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


class PlanTest(parameterized.TestCase):
  def plan(self, kind, rom_path=None):
    overrides, notes = quickstart.adapt(kind)
    config = presets.make("debug", overrides)
    arguments = ["--preset=debug", *(f"--set={item}" for item in overrides)]
    plan = quickstart.make_plan(
      pathlib.Path("runs/q"), kind, rom_path, arguments, config
    )
    return {stage.name: stage for stage in plan}, notes

  def test_the_practice_cartridge_takes_the_whole_path(self):
    plan, notes = self.plan("practice")
    self.assertEqual(
      list(plan),
      [
        *("doctor", "collect", "world_model", "dreams", "clone", "policy"),
        *("policy_scratch", "play", "video", "report"),
      ],
    )
    self.assertEmpty(notes)
    self.assertIn("--clone=runs/q/clone", plan["policy"].arguments)
    self.assertIn("--clone=", plan["policy_scratch"].arguments)
    self.assertIn("--player=demonstrator", plan["play"].arguments)

  def test_pokemon_red_has_no_demonstrator(self):
    plan, notes = self.plan("pokemon_red", "red.gb")
    self.assertNotIn("clone", plan)
    self.assertNotIn("policy", plan)
    self.assertIn("no clone", notes[0])
    self.assertIn("--clone=", plan["policy_scratch"].arguments)
    for name in ("collect", "play", "video", "doctor"):
      self.assertIn("--rom=red.gb", plan[name].arguments)
      self.assertNotIn("demonstrator", plan[name].command)
    mix = next(a for a in plan["collect"].arguments if "policy_mix" in a)
    self.assertNotIn("demonstrator", mix)

  def test_an_unknown_game_has_frames_only(self):
    plan, notes = self.plan("unknown", "other.gb")
    self.assertEqual(
      list(plan),
      ["doctor", "collect", "world_model", "dreams", "video", "report"],
    )
    self.assertIn("frames only", notes[0])
    self.assertIn("--set=world_model.ram=off", plan["world_model"].arguments)
    self.assertIn("--checkpoint=runs/q/world_model", plan["video"].arguments)

  @parameterized.parameters(
    (["collect.policy_mix=wizard=1"], "wizard"),
    (["world_model.tokens=mood:4"], "mood"),
    (["collect.policy_mix=random=1"], "nobody to clone"),
    (["collect.episode_length=19"], "expected at least 20"),
  )
  def test_what_a_late_stage_would_refuse_is_refused_first(self, items, named):
    config = presets.make("debug", items)
    with self.assertRaisesRegex(ValueError, named):
      quickstart.check(config, roms.resolve(None))

  def test_commands_are_the_ordinary_entry_points(self):
    for stage in self.plan("practice")[0].values():
      self.assertStartsWith(stage.command, "python -m experiments.")
      module = stage.module.rpartition(".")[2]
      root = pathlib.Path(stages.__file__).parent
      self.assertTrue((root / f"{module}.py").exists(), stage.module)


if __name__ == "__main__":
  absltest.main()
