"""Run directories: resume, refusal with a diff, metrics that never double."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from experiments.runs import metrics
from experiments.runs import run_directory

_CONFIG = {"seed": 0, "train": {"steps": 10, "batch_size": 8}}


class RunDirectoryTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(
      self.enterContext(tempfile.TemporaryDirectory())
    )
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in handlers.items():
      self.addCleanup(signal.signal, number, handler)

  def open(self, config=None, stage="stage", free=("train.steps",)):
    run = run_directory.open_run(
      self.directory, stage, config or _CONFIG, free=free
    )
    self.addCleanup(run.close)
    return run

  def test_the_same_configuration_resumes(self):
    first = self.open()
    self.assertFalse(first.finished)
    first.finish({"score": 1.5})
    first.close()
    again = self.open()
    self.assertTrue(again.finished)
    self.assertEqual(again.result, {"score": 1.5})
    meta = json.loads((self.directory / "meta.json").read_text())
    self.assertLen(meta["starts"], 2)
    self.assertIn("jax", meta["starts"][0]["versions"])

  def test_another_configuration_is_refused_field_by_field(self):
    self.open().close()
    before = (self.directory / "config.json").read_bytes()
    other = {"seed": 1, "train": {"steps": 20, "batch_size": 4, "clip": 2}}
    with self.assertRaises(ValueError) as caught:
      self.open(other)
    text = str(caught.exception)
    self.assertIn("seed: there 0, asked for 1", text)
    self.assertIn("train.batch_size: there 8, asked for 4", text)
    self.assertIn("train.clip: there 'absent', asked for 2", text)
    self.assertNotIn("train.steps", text)  # free to change
    self.assertEqual((self.directory / "config.json").read_bytes(), before)

  def test_another_stage_is_refused(self):
    self.open(stage="clone").close()
    with self.assertRaisesRegex(ValueError, "there 'clone', asked for 'play'"):
      self.open(stage="play")

  def test_a_changed_free_field_reopens_a_finished_run(self):
    run = self.open()
    run.finish({})
    run.close()
    longer = {"seed": 0, "train": {"steps": 50, "batch_size": 8}}
    self.assertFalse(self.open(longer).finished)
    self.assertEqual(
      run_directory.read_config(self.directory)["train"]["steps"], 50
    )

  def test_a_field_that_an_older_directory_lacks_is_its_default(self):
    whole = {"seed": 0, "train": {"steps": 10, "agc": 0.3, "burn_in": 0}}
    older = {"seed": 0, "train": {"steps": 10}}
    run = self.open(older)
    run.finish({"score": 1.0})
    run.close()
    before = (self.directory / "config.json").read_bytes()
    again = self.open(whole)
    self.assertTrue(again.finished)
    again.close()
    # What names its checkpoints by this file still finds them.
    self.assertEqual((self.directory / "config.json").read_bytes(), before)
    other = {"seed": 0, "train": {"steps": 10, "agc": 0.5, "burn_in": 0}}
    with self.assertRaisesRegex(ValueError, "train.agc: there 0.3, asked for"):
      self.open(other)
    # The other way round it is a difference: what the field did is lost.
    self.open({"seed": 0, "train": {"steps": 11, "agc": 0.3}}).close()
    with self.assertRaisesRegex(ValueError, "train.agc: there 0.3, .*'absent'"):
      self.open(older)

  def test_metrics_after_the_restored_step_go(self):
    run = self.open()
    for step in range(6):
      run.metrics(step, {"loss": 1.0 / (step + 1), "bad": float("nan")})
    run.close()
    again = self.open()
    again.truncate_metrics(2)
    again.metrics(3, {"loss": 0.5})
    rows = metrics.read(self.directory / "metrics.jsonl")
    self.assertEqual([row["step"] for row in rows], [0, 1, 2, 3])
    self.assertEqual(rows[3]["loss"], 0.5)
    self.assertEqual(rows[0]["bad"], "nan")
    times_s = [row["time_s"] for row in rows]
    self.assertEqual(times_s, sorted(times_s))

  def test_a_line_cut_short_is_dropped(self):
    self.open().close()
    path = self.directory / "metrics.jsonl"
    path.write_text('{"step": 0, "time_s": 0.1, "loss": 2.0}\n{"step": 1, "ti')
    run = self.open()
    run.metrics(1, {"loss": 1.0})
    steps, values = metrics.curve(metrics.read(path), "loss")
    self.assertEqual((steps, values), ([0, 1], [2.0, 1.0]))

  @parameterized.parameters((signal.SIGINT, 130), (signal.SIGTERM, 143))
  def test_a_signal_asks_to_stop(self, number, exit_code):
    run = self.open()
    self.assertFalse(run.stop_requested)
    os.kill(os.getpid(), number)
    self.assertTrue(run.stop_requested)
    stopped = run.stopped("update 3 of 10")
    self.assertEqual(stopped.exit_code, exit_code)
    self.assertIn("saved at update 3 of 10", str(stopped))

  def test_an_engine_that_says_it_twice_means_it_once(self):
    run = self.open()
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)  # would end this process
    self.assertEqual(run.stop_signal, signal.SIGTERM)

  @parameterized.parameters(
    (signal.SIGINT, 0.0), (signal.SIGTERM, run_directory._ECHO_S + 1)
  )
  def test_a_person_who_asks_again_is_not_kept_waiting(self, number, after_s):
    run = self.open()
    os.kill(os.getpid(), number)
    with (
      mock.patch.object(time, "monotonic", lambda: run._asked_s + after_s),
      mock.patch.object(os, "kill") as kill,
    ):
      run._request_stop(number, None)
    kill.assert_called_once_with(os.getpid(), number)
    self.assertEqual(signal.getsignal(number), signal.SIG_DFL)

  def test_two_processes_cannot_share_a_directory(self):
    script = (
      "import sys, time\n"
      "from experiments.runs import run_directory\n"
      "run_directory.open_run(sys.argv[1], 'stage', {'a': 1})\n"
      "print('open', flush=True)\n"
      "time.sleep(60)\n"
    )
    with subprocess.Popen(
      [sys.executable, "-c", script, str(self.directory)],
      stdout=subprocess.PIPE,
      text=True,
      env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as other:
      self.assertEqual(other.stdout.readline(), "open\n")
      with self.assertRaisesRegex(ValueError, "another process"):
        self.open({"a": 1})
      other.kill()  # even so, the directory is free again
      other.wait()
    self.open({"a": 1})

  def test_read_config_wants_a_run_directory(self):
    with self.assertRaisesRegex(ValueError, "not a run directory"):
      run_directory.read_config(self.directory)


if __name__ == "__main__":
  absltest.main()
