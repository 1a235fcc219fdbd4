"""What README.md shows is what there is: commands, flags, files."""

import pathlib
import re
import shlex
import subprocess
import sys

from absl.testing import absltest
from absl.testing import parameterized

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")
_ENTRY_POINTS = sorted(
  path.stem
  for path in (_ROOT / "experiments").glob("*.py")
  if "cli.run_main(main)" in path.read_text(encoding="utf-8")
)


class ReadmeTest(parameterized.TestCase):
  @parameterized.parameters(*_ENTRY_POINTS)
  def test_help_is_quick_and_knows_the_flags_shown(self, name):
    script = (
      "import sys, runpy\n"
      f"sys.argv = ['{name}', '--help']\n"
      "try:\n"
      f"  runpy.run_module('experiments.{name}', run_name='__main__')\n"
      "finally:\n"
      "  heavy = {'jax', 'flax', 'orbax', 'pyboy', 'grain'}\n"
      "  print('heavy:', sorted(heavy & set(sys.modules)))\n"
      "  import time\n"
      "  print('quick:', time.process_time() < 1.5)\n"
    )
    done = subprocess.run(
      [sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True
    )
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertIn("heavy: []", done.stdout)
    self.assertIn("quick: True", done.stdout)
    shown = re.findall(rf"python -m experiments\.{name} (--[^`\n]*)", _README)
    for command in shown:
      for argument in shlex.split(command):
        flag = argument.split("=")[0]
        if flag != "--help":
          self.assertRegex(done.stdout, rf"{re.escape(flag)}\b", command)

  def test_commands_shown_exist(self):
    for name in re.findall(r"python -m experiments\.(\w+)", _README):
      self.assertIn(name, _ENTRY_POINTS)

  def test_files_shown_exist(self):
    files = re.findall(r"`([\w/]+(?:/|\.(?:py|md|txt)))`", _README)
    self.assertGreater(len(files), 8)
    for name in files:
      beside = _ROOT / "pokedreamer_jax" / name
      self.assertTrue((_ROOT / name).exists() or beside.exists(), name)


if __name__ == "__main__":
  absltest.main()
