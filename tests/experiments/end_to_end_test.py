"""The whole path, as a user runs it: `quickstart --preset=debug`.

The shorter one, without a policy, is compiled as for a user too; the longer
one in the hurry of `conftest.py`.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from absl.testing import absltest

from data_tools.game import roms
from experiments.reports import video

_STAGES = (
  *("data", "world_model", "clone_all", "clone", "policy", "policy_scratch"),
)


def _quickstart(workdir, *arguments, env=None):
  return subprocess.run(
    [
      *(sys.executable, "-m", "experiments.quickstart"),
      *(f"--workdir={workdir}", "--preset=debug", *arguments),
    ],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    env=env or _environment(),
  )


def _environment():
  return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def _patched_cartridge(folder):
  data = bytearray(roms.resolve(None).read())
  data[-1] ^= 1  # another game, as far as anybody knows
  data[0x14E:0x150] = roms.global_checksum(data)
  path = folder / "other.gb"
  path.write_bytes(data)
  return path


class EndToEndTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder) / "run"

  def test_from_nothing_to_the_report(self):
    done = _quickstart(self.workdir)
    self.assertEqual(done.returncode, 0, done.stdout[-4000:])
    self.assertNotIn("Traceback", done.stdout)
    for stage in _STAGES:
      result = json.loads((self.workdir / stage / "result.json").read_text())
      self.assertNotEmpty(result, stage)
    for stage in _STAGES[1:]:
      steps = self.workdir / stage / "checkpoints"
      self.assertNotEmpty([p for p in steps.iterdir() if p.name.isdigit()])
      rows = (self.workdir / stage / "metrics.jsonl").read_text().splitlines()
      self.assertNotEmpty(rows)
    play = json.loads(
      (self.workdir / "evaluation/play/result.json").read_text()
    )
    self.assertEqual(
      set(play["policies"]),
      {
        *("random", "sticky_random", "demonstrator"),
        *("clone_all", "clone", "policy", "policy_scratch"),
      },
    )
    # Even the wiring preset has a player that wins something.
    returns = {n: p["return"]["mean"] for n, p in play["policies"].items()}
    self.assertGreater(returns["demonstrator"], returns["random"])
    clip = video.read(next((self.workdir / "videos").glob("demo.[mw]*")))
    self.assertGreater(len(clip), 50)
    report = (self.workdir / "report.html").read_text()
    self.assertNotIn("http", report.replace("http-equiv", ""))
    self.assertIn("policy_scratch", report)
    # The wiring was tried: one line says so in place of tables and verdicts.
    panel = done.stdout.rpartition("Result\n")[2]
    self.assertEqual(panel.count("the numbers mean nothing"), 1)
    for mark in ("[yes]", "[NO]", "[n/a]", "Dreams against the game"):
      self.assertNotIn(mark, panel)
    self.assertEqual(report.count("the numbers mean nothing"), 1)
    for text in ("compiling", "Report:", "Next:", "its numbers mean nothing"):
      self.assertIn(text, done.stdout)
    for measured in ("world_model", "play"):
      result = self.workdir / "evaluation" / measured / "result.json"
      warned = json.loads(result.read_text())["warnings"]
      self.assertIn("trained with preset debug", warned[0])
    self.assertIn("Result", (self.workdir / "log.txt").read_text())

    # The code that the README shows works on it.
    readme = pathlib.Path(__file__).parents[2] / "README.md"
    shown = re.search(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    code = shown[1].replace("runs/quickstart", str(self.workdir))
    code += (
      "assert dreamt.reward.shape == (1, 64, 15) and best.shape == (15,)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())

    # All is done: the result again, and nothing runs.
    again = _quickstart(self.workdir)
    self.assertEqual(again.returncode, 0, again.stdout)
    self.assertNotIn("$ python", again.stdout)
    self.assertIn("the numbers mean nothing", again.stdout)

    # On a game whose memory nobody can read the agent is refused.
    rom = _patched_cartridge(self.workdir.parent)
    policy = self.workdir / "policy"
    play = ["--what=play", f"--workdir={self.workdir.parent / 'play'}"]
    for module, *arguments in (
      ("evaluate", *play, f"--player=policy={policy}"),
      ("generate_demo_video", f"--checkpoint={policy}"),
    ):
      refused = subprocess.run(
        [
          *(sys.executable, "-m", f"experiments.{module}", f"--rom={rom}"),
          *arguments,
        ],
        capture_output=True,
        text=True,
        env=_environment(),
      )
      self.assertEqual(refused.returncode, 2, refused.stderr)
      self.assertLen(refused.stderr.splitlines(), 1)
      self.assertIn("unknown game", refused.stderr)

    # Another configuration is refused, and nothing is lost.
    other = _quickstart(self.workdir, "--set=train.batch_size=5")
    self.assertEqual(other.returncode, 2)
    self.assertIn("train.batch_size: there 4, asked for 5", other.stdout)
    self.assertTrue((self.workdir / "report.html").exists())

  def test_an_unknown_game_runs_with_frames_only(self):
    rom = _patched_cartridge(self.workdir.parent)
    env = _environment()
    env.pop("XLA_FLAGS", None)
    done = _quickstart(self.workdir, f"--rom={rom}", env=env)
    self.assertEqual(done.returncode, 0, done.stdout[-4000:])
    self.assertIn("frames only", done.stdout)
    self.assertFalse((self.workdir / "clone").exists())
    self.assertTrue((self.workdir / "report.html").exists())
    self.assertTrue((self.workdir / "evaluation/world_model").exists())


if __name__ == "__main__":
  absltest.main()
