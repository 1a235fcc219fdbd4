"""Evaluations of several seeds side by side."""

import json
import pathlib
import subprocess
import sys
import tempfile

from absl.testing import absltest

from experiments import compare
from experiments.reports import text_tables
from experiments.runs import run_directory


def _evaluation(folder: pathlib.Path, exact: float, **changes) -> str:
  """Writes a finished evaluation in which little but `exact` is told."""
  row = {"pixels": 0.9, "exact": exact, "tiles": 1.5, "map": 0.75}
  lines = {
    name: {"1": dict(row), "15": dict(row)}
    for name in ("dream (sampled)", "dream (most likely)", "frozen frame")
  }
  ahead = {
    "one_step": {"pixels": {"mean": 0.5}, "exact": {"mean": exact}},
    "one_step_rows": 16,
  }
  modes = {"overworld": ahead, "title": ahead}
  calm = {"overworld": {"lines": lines, "counts": {"1": 7, "15": 5}}}
  result = {
    **{"windows": 8, "context": 4, "horizon": 16, "episodes": 2},
    **{"ram": "given", "detail": "full", "held_out": True, "lines": lines},
    "one_step": {"moved_overworld_exact": exact / 2},
    "breakdown": {"mode": modes},
    "calm": {"lines": lines, "mode": calm},
    **changes,
  }
  run = run_directory.open_run(
    folder, "evaluate_world_model", {"world_model": {"step": 6}}, graceful=False
  )
  with run:
    run.finish(result)
  return str(folder)


def _command(*arguments: str) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, "-m", "experiments.compare", *arguments],
    capture_output=True,
    text=True,
    timeout=120,
  )


class CompareTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self._folder = pathlib.Path(folder.name)

  def test_cells_are_means_over_seeds_with_the_range(self):
    a = _evaluation(self._folder / "a", 0.5)
    b = _evaluation(self._folder / "b", 0.75)
    path = self._folder / "numbers.json"
    ended = _command(f"--run=given={a},{b}", f"--run=one={a}", f"--json={path}")
    self.assertEqual(ended.returncode, 0, ended.stderr)
    self.assertIn("0.62 [0.50 0.75]", ended.stdout)  # exact, of two seeds
    self.assertIn("0.31 [0.25 0.38]", ended.stdout)  # moved overworld frames
    self.assertRegex(ended.stdout, r"one: \(sampled\) .* 0\.50 +0\.50\n")
    numbers = json.loads(path.read_text())
    self.assertEqual(
      [
        seed["all"]["dream (sampled)"]["15"]["exact"]
        for seed in numbers["given"]
      ],
      [0.5, 0.75],
    )

  def test_tables_have_whole_rows_and_only_what_was_measured(self):
    results = {
      "x": [compare._read(_evaluation(self._folder / "a", 0.5))],
    }
    for table in compare.tables(results):
      for row in table.rows:
        self.assertLen(row, len(table.header), table.title)
    ahead = compare.tables(results)[0]
    cells = dict(zip(ahead.header, ahead.rows[0], strict=True))
    self.assertEqual(cells["overworld pixels"], "0.500")
    self.assertEqual(cells["battle pixels"], "-")  # no such row was recorded
    self.assertEqual(cells["calm overworld pixels"], "0.900")
    self.assertIn("16 overworld rows (7 calm)", ahead.note)
    text = "\n".join(text_tables.plain_tables(compare.tables(results)))
    self.assertIn("x: frozen frame", text)
    self.assertNotIn("emulator, other luck", text)

  def test_a_quick_evaluation_has_no_calm_windows(self):
    directory = _evaluation(self._folder / "a", 0.5)
    result = compare._read(directory)
    del result["calm"]
    titles = [table.title for table in compare.tables({"x": [result]})]
    self.assertEqual(titles, ["One step ahead", "All windows"])

  def test_what_cannot_be_averaged_is_refused_in_one_line(self):
    a = _evaluation(self._folder / "a", 0.5)
    b = _evaluation(self._folder / "b", 0.5, ram="inferred")
    other = self._folder / "other"
    run_directory.open_run(other, "clone", {}, graceful=False).close()
    for arguments, told in (
      ([f"--run=x={a},{b}"], "ram is 'inferred'"),
      ([f"--run={a}"], "expected NAME=DIR"),
      ([f"--run=x={a},{a}/"], "given twice"),
      ([f"--run=x={other}"], "a run of clone, expected evaluate_world_model"),
      ([], "--run is required"),
    ):
      ended = _command(*arguments)
      self.assertEqual(ended.returncode, 2, arguments)
      self.assertIn(told, ended.stderr)
      self.assertNotIn("Traceback", ended.stderr)


if __name__ == "__main__":
  absltest.main()
