"""Evaluations of several seeds side by side."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from absl.testing import absltest

from experiments import compare
from experiments.reports import compared_measures
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


def _play(
  folder: pathlib.Path, seed: int, shares: dict[str, float], **changes
) -> str:
  """Writes an evaluation of play: who had the badge, and little else."""

  def measured(mean: float, width: float = 0.1) -> dict[str, float]:
    return {"mean": mean, "low": mean - width, "high": mean + width, "n": 4}

  comparisons = [
    {
      **{"policy": ours, "than": theirs, **measured(0.0)},
      "with_badge": measured(shares[ours] - shares[theirs]),
      "badge_steps": measured(-100 * (shares[ours] - shares[theirs])),
      "wild_wins": measured(0.0),
    }
    for ours in shares
    for theirs in shares
    if ours != theirs
  ]
  result = {
    **{"rom": {"sha1": "ab"}, "episodes": 4, "episode_length": 512},
    "greedy": False,
    "comparisons": comparisons,
    "policies": {
      name: {
        "badges": measured(share),
        "badge_steps": measured(200 - 100 * share),
        "milestones": {"badges": {"share": share, "median": 9.0}},
      }
      for name, share in shares.items()
    },
    **changes,
  }
  run = run_directory.open_run(
    folder, "evaluate_play", {"seed": seed}, graceful=False
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
      "x": [compare.read(_evaluation(self._folder / "a", 0.5))],
    }
    shown = compare.tables("evaluate_world_model", results)
    for table in shown:
      for row in table.rows:
        self.assertLen(row, len(table.header), table.title)
    ahead = shown[0]
    cells = dict(zip(ahead.header, ahead.rows[0], strict=True))
    self.assertEqual(cells["overworld pixels"], "0.500")
    self.assertNotIn("battle pixels", cells)  # no such row was recorded
    self.assertEqual(cells["calm overworld pixels"], "0.900")
    self.assertIn("16 overworld rows (7 calm)", ahead.note)
    text = "\n".join(text_tables.plain_tables(shown))
    self.assertIn("x: frozen frame", text)
    self.assertNotIn("emulator, other luck", text)

  def test_a_quick_evaluation_has_no_calm_windows(self):
    directory = _evaluation(self._folder / "a", 0.5)
    result = compare.read(directory)
    del result["calm"]
    shown = compare.tables("evaluate_world_model", {"x": [result]})
    titles = [table.title for table in shown]
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
      ([f"--run=x={other}"], "a run of clone, expected one of evaluate_world"),
      ([], "--run is required"),
    ):
      ended = _command(*arguments)
      self.assertEqual(ended.returncode, 2, arguments)
      self.assertIn(told, ended.stderr)
      self.assertNotIn("Traceback", ended.stderr)

  def test_two_kinds_and_gains_of_no_play_are_refused(self):
    a = _evaluation(self._folder / "a", 0.5)
    b = _play(self._folder / "b", 0, {"policy": 0.5})
    for arguments, told in (
      ([f"--run=x={a}", f"--run=y={b}"], "expected evaluate_world_model as"),
      ([f"--run=x={a}", "--than=clone"], "expected of evaluate_play alone"),
      ([f"--run=x={b}", "--than=me"], "expected one of ['policy']"),
    ):
      ended = _command(*arguments)
      self.assertEqual(ended.returncode, 2, arguments)
      self.assertIn(told, ended.stderr)
      self.assertNotIn("Traceback", ended.stderr)

  def test_badges_stand_seed_by_seed_and_gains_beside_them(self):
    players = {"clone": 0.25, "policy": 0.75}
    a = _play(self._folder / "a", 0, players)
    b = _play(self._folder / "b", 1, {**players, "policy": 1.0})
    c = _play(self._folder / "c", 0, {"one": 0.5})
    d = _play(self._folder / "d", 1, {"other": 0.5})
    path = self._folder / "numbers.json"
    ended = _command(
      *(f"--run=demos={a},{b}", f"--run=scratch={c},{d}", "--than=clone"),
      *("--markdown", f"--json={path}"),
    )
    self.assertEqual(ended.returncode, 0, ended.stderr)
    for line in (
      "| games with the badge | seed 0 | seed 1 | all |",
      "| demos: policy | 75% (125) | 100% (100) | 88% (112) |",
      "| scratch | 50% (150) | 50% (150) | 50% (150) |",
      "| demos: policy, points with the badge "
      "| +50 [+40, +60] | +75 [+65, +85] |",
    ):
      self.assertIn(f"{line}\n", ended.stdout)
    self.assertNotIn("- | - |", ended.stdout)
    self.assertNotIn("species", ended.stdout)  # nobody counted them
    (_, second) = json.loads(path.read_text())["demos"]
    play = second["Play in the emulator"]
    self.assertEqual(play["policy"]["badges"], 1.0)

  def test_what_a_policy_was_paid_in_training_is_a_column_beside(self):
    def own(value: float) -> dict[str, float]:
      return {"of": ["policy"], "returns": {"policy": {"mean": value}}}

    shares, weights = {"clone": 0.25, "policy": 0.75}, "badges=2,xp=0.5"
    a, b = (
      _play(self._folder / str(seed), seed, shares, own={weights: own(value)})
      for seed, value in enumerate((3.0, 4.5))
    )
    old = _play(self._folder / "old", 0, shares)
    path = self._folder / "numbers.json"
    ended = _command(
      *(f"--run=new={a},{b}", f"--run=old={old}", "--markdown"),
      f"--json={path}",
    )
    self.assertEqual(ended.returncode, 0, ended.stderr)
    self.assertIn(f"| player | badges | by {weights} |\n", ended.stdout)
    for line in (
      "| new: clone | 0.25 [0.25 0.25] | - |",
      "| new: policy | 0.75 [0.75 0.75] | 3.75 [3.00 4.50] |",
      "| old: policy | 0.75 | - |",
    ):
      self.assertIn(f"{line}\n", ended.stdout)
    _, second = json.loads(path.read_text())["new"]
    play = second["Play in the emulator"]
    self.assertEqual(play["policy"][f"by {weights}"], 4.5)

  def test_games_of_another_length_are_no_further_seed(self):
    a = _play(self._folder / "a", 0, {"policy": 0.5})
    b = _play(self._folder / "b", 1, {"policy": 0.5}, episode_length=400)
    ended = _command(f"--run=x={a},{b}")
    self.assertEqual(ended.returncode, 2)
    self.assertIn("episode_length is 400", ended.stderr)

  def test_a_reader_that_leaves_is_no_error(self):
    a = _evaluation(self._folder / "a", 0.5)
    reading, writing = os.pipe()
    os.close(reading)  # as `| head` does, before anything is written
    ended = subprocess.run(
      [sys.executable, "-m", "experiments.compare", f"--run=x={a}"],
      stdout=writing,
      stderr=subprocess.PIPE,
      text=True,
      timeout=120,
    )
    os.close(writing)
    self.assertEqual((ended.returncode, ended.stderr), (0, ""))


class KindsTest(absltest.TestCase):
  """What else `evaluate` measures: read as it writes it."""

  def test_dreams_goals_agents_and_long_dreams(self):
    measured = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 4}
    value = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 4}
    goal = {"right": 0.75, "other": 0.5, "none": 0.25, "over_none": None}
    event = {"dreamt": 0.1, "real": 0.2, "precision": None, "recall": 0.5}
    returns = {"dreamt": 1.0, "real": 2.0, "correlation": value}
    agent = {"badges": [{"share": 0.5}], "measures": {"maps": measured}}
    for stage, result, titles in (
      (
        "evaluate_goals",
        {
          **{"limit": 96, "horizon": 32, "episodes": 4},
          "players": {"p": {"all kinds": {**goal, "over_other": measured}}},
        },
        ["Goals reached"],
      ),
      (
        "evaluate_dreams",
        {
          **{"starts": 8, "steps": 15, "plays": 4, "dreams": 16},
          "players": {
            "p": {
              "returns": {"all": {**returns, "other_luck": 0.9}},
              "events": {"badges": {**event, "other_luck": None}},
            }
          },
          "gains": {},
        },
        ["Returns, dreamt and real", "Events, dreamt and real"],
      ),
      (
        "evaluate_agent",
        {
          **{"games": 4, "env_steps": 512},
          "planners": {
            name: {**agent, "calls": 0, "cost_usd": 0.0}
            for name in ("none", "offline")
          },
          "gains": {"offline": {"maps": measured}},
        },
        ["Both systems: how far they came", "Gained over none"],
      ),
      (
        "evaluate_long_dream",
        {
          **{"steps": 750, "dreams": 6},
          "players": {"p": {"known_share": value, "collapsed": 1}},
        },
        ["Long dreams"],
      ),
    ):
      for player in result.get("players", {}).values():
        if "collapsed" in player:
          player["sequences"] = 6
      seed = {"directory": "d", "config": {"seed": 0}, **result}
      kind = compared_measures.KINDS[stage]
      shown = compared_measures.tables(kind, {"x": [seed, seed]})
      self.assertEqual([table.title for table in shown], titles)
      for table in shown:
        for row in table.rows:
          self.assertLen(row, len(table.header))
          self.assertNotEqual(set(row[1:]), {"-"})
      numbers = compared_measures.numbers(kind, {"x": [seed]})
      self.assertIn(titles[0], json.loads(json.dumps(numbers))["x"][0])


class TableTest(absltest.TestCase):
  def test_a_part_of_a_wide_table_has_no_empty_rows(self):
    header = ["line", *(f"column {number:02d}" for number in range(12))]
    rows = [["all", *["0.5"] * 12], ["few", *["0.5"] * 2, *["-"] * 10]]
    lines = text_tables.plain_table(
      text_tables.Table("t", header, rows, ["", ""])
    )
    self.assertLess(
      sum(line.startswith("  few") for line in lines),
      sum(line.startswith("  all") for line in lines),
    )
    self.assertTrue(any(line.startswith("  few") for line in lines))

  def test_columns_that_belong_together_go_together(self):
    table = text_tables.without_empty(
      text_tables.Table(
        *("t", ["line", "a @1", "a @5", "b @1", "b @5"]),
        [["x", "-", "1", "-", "-"], ["y", "-", "-", "-", "-"]],
        *(["", "strong"], "", 2),
      )
    )
    self.assertEqual(table.header, ["line", "a @1", "a @5"])
    self.assertEqual(table.rows, [["x", "-", "1"]])
    self.assertEqual(table.kinds, [""])


if __name__ == "__main__":
  absltest.main()
