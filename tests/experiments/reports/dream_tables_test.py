"""Tables show what was measured, in a form that fits a terminal."""

import functools
import json
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from experiments.reports import dream_pictures
from experiments.reports import dream_tables
from experiments.reports import report as page
from experiments.reports import summary
from experiments.reports import text_tables
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import place_reader
from pokedreamer_jax.evaluation import report
from tests.pokedreamer_jax import fakes

_CONFIG = fakes.config()


@functools.cache
def _result():
  evaluate = _CONFIG.evaluate
  windows = fakes.obedient_windows(6, evaluate.context + evaluate.horizon)
  training = place_reader.TrainingFrames()
  training.add({name: value[0] for name, value in windows.items()})
  steps = dreams.reported_steps(evaluate.horizon)
  found = report.report(
    *(_CONFIG.world_model, fakes.params(_CONFIG.world_model)),
    *(jax.random.key(0), windows, evaluate),
    training=training,
    calm=np.ones((6, len(steps)), bool),
  )
  return found | {"ram": "inferred", "episodes": 6}


class DreamTablesTest(parameterized.TestCase):
  def test_every_part_becomes_a_table_of_whole_rows(self):
    tables = {t.title: t for t in dream_tables.details(_result())}
    self.assertContainsSubset(
      {
        *("Fidelity", "Frames that moved", "Drift of places", "Calm windows"),
        *("By mode", "By map", "Frames never seen", "The reader of places"),
        "Sampled dream against the lines",
      },
      tables,
    )
    for title, table in tables.items():
      for row in table.rows:
        self.assertLen(row, len(table.header), title)
      self.assertLen(table.kinds, len(table.rows), title)
      width = max(map(len, text_tables.plain_table(table)))
      self.assertLessEqual(width, 110, title)

  def test_numbers_are_those_of_the_result(self):
    result = _result()
    tables = {t.title: t for t in dream_tables.details(result)}
    table = tables["Fidelity"]
    rows = {row[0]: row for row in table.rows}
    cell = rows["frozen frame"][table.header.index("exact @5")]
    mean = result["lines"]["frozen frame"]["5"]["exact"]
    low, high = result["intervals"]["frozen frame"]["5"]["exact"]
    shown = cell.replace("[", "").replace("]", "").split()
    for text, value in zip(shown, (mean, low, high), strict=True):
      self.assertAlmostEqual(float(text), value, delta=0.0051)

  @parameterized.parameters(
    (0.846, [0.8, 0.9], 2, ".85 [.80 .90]"),
    (-0.5, None, 2, "-.50"),
    (-0.001, None, 2, "0"),
    (1.0, [0.999, 1.0], 2, "1.00 [1.00 1.00]"),
    (45.06, [39.9, 51.1], 1, "45.1 [39.9 51.1]"),
    (None, None, 2, "-"),
  )
  def test_intervals_are_short(self, mean, bounds, decimals, expected):
    self.assertEqual(dream_tables._mean(mean, bounds, decimals), expected)

  def test_results_of_before_have_no_details(self):
    self.assertEmpty(dream_tables.details({"lines": {}, "comparisons": []}))

  def test_the_short_table_names_the_memory_and_drops_empty_lines(self):
    table = summary.dream_table(_result())
    self.assertIn("inferred", table.note)
    names = [row[0] for row in table.rows]
    self.assertIn("random walk", names)
    self.assertNotIn("real frames", names)
    self.assertNotIn("most frequent map", names)
    self.assertNotIn("tiles read @5", table.header)

  def test_the_report_shows_them_beside_the_pictures(self):
    workdir = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    folder = workdir / "evaluation" / "world_model"
    folder.mkdir(parents=True)
    (workdir / "config.json").write_text('{"stage": "quickstart"}')
    (folder / "result.json").write_text(json.dumps(_result()))
    dream_pictures.save_drift(_result(), folder / "drift.png")
    text = page.render(workdir)
    self.assertIn("Dreams in detail", text)
    for table in dream_tables.details(_result()):
      self.assertIn(f"<summary>{table.title}</summary>", text)
    self.assertEqual(text.count("data:image/png"), 1)
    self.assertEqual(text.count("<details>"), text.count("</details>"))


if __name__ == "__main__":
  absltest.main()
