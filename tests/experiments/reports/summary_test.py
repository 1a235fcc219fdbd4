"""Verdicts follow the intervals; the report is one self-contained file."""

from html import parser
import json
import pathlib
import re
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from experiments.reports import headline
from experiments.reports import html_page
from experiments.reports import pictures
from experiments.reports import report
from experiments.reports import summary
from experiments.reports import text_tables
from experiments.reports import video


def _interval(mean, spread=0.5):
  return {"mean": mean, "low": mean - spread, "high": mean + spread, "n": 20}


def dream_result(gain=0.2, tiles_gain=2.0, shuffled_gain=0.3):
  """A synthetic result of `evaluate --what=world_model`."""
  values = {"pixels": 0.9, "exact": 0.5, "tiles": 1.5}
  lines = {
    name: {str(step): dict(values) for step in (1, 5, 15, 50)}
    for name in ("dream (sampled)", "frozen frame", "shuffled actions")
  }
  comparisons = [
    {"metric": metric, "step": step, "than": than, **_interval(mean, 0.1)}
    for than, gains in (
      ("frozen frame", (gain, gain, tiles_gain)),
      ("shuffled actions", (shuffled_gain,) * 3),
    )
    for metric, mean in zip(values, gains, strict=True)
    for step in (1, 5, 15, 50)
  ]
  return {
    "windows": 200,
    "episodes": 20,
    "held_out": True,
    "context": 8,
    "lines": lines,
    "comparisons": comparisons,
  }


def play_result(policy_minus_clone=0.0, policy=12.0, scratch=0.2):
  """A synthetic result of `evaluate --what=play`."""
  means = {
    "random": 2.0,
    "clone": 12.0,
    "policy": policy,
    "policy_scratch": 2.0 + scratch,
  }
  keys = ("return_without_wild", "badges", "species", "maps", "wins")
  milestone = {"share": 0.5, "median": 100.0}
  policies = {
    name: {
      "return": _interval(mean),
      **{key: _interval(1.0) for key in keys},
      "milestones": {"badges": milestone},
    }
    for name, mean in means.items()
  }
  comparisons = [
    {"policy": a, "than": b, **_interval(means[a] - means[b])}
    for a in means
    for b in means
    if a != b
  ]
  for row in comparisons:
    if (row["policy"], row["than"]) == ("policy", "clone"):
      row.update(_interval(policy_minus_clone))
  return {
    "policies": policies,
    "comparisons": comparisons,
    "episodes": 24,
    "episode_length": 512,
    "assists": ["learned policies read the RAM tokens"],
  }


class VerdictsTest(parameterized.TestCase):
  def test_all_gains_above_zero_hold(self):
    verdicts = summary.dream_verdicts(dream_result())
    self.assertEqual([v.holds for v in verdicts], [True, True])

  def test_one_gain_that_reaches_zero_fails_and_is_named(self):
    result = dream_result()
    for row in result["comparisons"]:
      if row["than"] == "frozen frame" and row["metric"] == "tiles":
        if row["step"] == 50:
          row.update(_interval(0.1, 0.2))
    frozen, shuffled = summary.dream_verdicts(result)
    self.assertFalse(frozen.holds)
    self.assertIn("NOT in tiles @50 0.100 [-0.100, 0.300]", frozen.text)
    self.assertTrue(shuffled.holds)

  def test_few_episodes_bear_no_verdict(self):
    for few in ({"episodes": 9}, {"held_out": False}):
      verdicts = summary.dream_verdicts(dream_result() | few)
      self.assertEqual([v.holds for v in verdicts], [None, None])
      self.assertIn("10 needed", verdicts[0].text)

  def test_a_checkpoint_chosen_on_these_episodes_says_so(self):
    for chosen in (True, False):
      result = dream_result() | {"chosen_on_held_out": chosen}
      note = summary.dream_table(result).note
      self.assertEqual("was chosen by its loss" in note, chosen)

  def test_one_step_is_not_part_of_the_claim(self):
    result = dream_result()
    for row in result["comparisons"]:
      if row["step"] == 1:
        row.update(_interval(-1.0, 0.1))
    self.assertTrue(all(v.holds for v in summary.dream_verdicts(result)))

  def test_latents_are_needed_where_both_losses_are_above_zero(self):
    def verdicts(posterior, ahead, **more):
      part = lambda mean: {"exact": {"loss": _interval(mean, 0.1)}}
      use = {"posterior": part(posterior), "dream": {"1": part(ahead)}}
      return summary.latent_verdicts(
        dream_result() | {"latent_use": use} | more
      )

    (needed,) = verdicts(0.7, 0.2)
    self.assertTrue(needed.holds)
    self.assertIn("0.200 [0.100, 0.300] one step on", needed.text)
    self.assertFalse(verdicts(0.7, 0.05)[0].holds)
    self.assertFalse(verdicts(0.05, 0.7)[0].holds)
    self.assertEmpty(verdicts(0.7, 0.2, episodes=9))
    self.assertEmpty(summary.latent_verdicts(dream_result()))
    self.assertEmpty(summary.latent_verdicts({}))

  def test_better_than_random_needs_the_lower_bound(self):
    verdicts = summary.play_verdicts(play_result(policy=12.0, scratch=0.2))
    self.assertEqual([v.holds for v in verdicts], [True, False])
    verdicts = summary.play_verdicts(play_result(policy=2.4, scratch=0.6))
    self.assertEqual([v.holds for v in verdicts], [False, True])

  def test_what_was_not_measured_is_said(self):
    for verdict in [*summary.dream_verdicts({}), *summary.play_verdicts({})]:
      self.assertIsNone(verdict.holds)
      self.assertIn("not measured", verdict.text)

  def test_play_is_told_by_progress_first_and_then_by_returns(self):
    play = play_result()
    more = {"trainer_wins": 3.0, "wild_wins": 7.0}
    more |= {"stuck": 0.124, "stuck_outside_battles": 0.031}
    play["policies"]["policy"] |= {k: _interval(v) for k, v in more.items()}
    table = summary.play_table(play)
    self.assertEqual(
      table.header,
      [
        *("policy", "badge", "at step", "badges", "species", "new maps"),
        *("trainer wins", "wild wins", "stuck %"),
        *("return [95 %]", "without wild"),
      ],
    )
    rows = {row[0]: row[1:] for row in table.rows}
    self.assertEqual(
      rows["policy"],
      [
        *("50%", "100", "1.00", "1.00", "1.0", "3.0", "7.0", "12 (3)"),
        *("12.00 [11.50, 12.50]", "1.00 [0.50, 1.50]"),
      ],
    )
    # Of older measurements what was measured.
    self.assertEqual(rows["clone"][5:8], ["-", "-", "-"])
    self.assertEqual(rows["clone"][:2], rows["policy"][:2])

  def test_plain_tables_fit_a_terminal_and_lose_no_cell(self):
    table = summary.dream_table(dream_result())
    lines = text_tables.plain_table(table)
    self.assertLessEqual(max(map(len, lines)), 100)
    for cell in [*table.header, *(c for row in table.rows for c in row)]:
      self.assertIn(cell, "\n".join(lines))


class _Page(parser.HTMLParser):
  """Collects addresses and checks that tags are closed."""

  def __init__(self):
    super().__init__()
    self.addresses, self.open_tags, self.scripts = [], [], 0

  def handle_starttag(self, tag, attrs):
    self.addresses += [v for k, v in attrs if k in ("src", "href")]
    self.scripts += tag == "script"
    if tag not in ("meta", "img", "line", "circle", "polyline"):
      self.open_tags.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.addresses += [v for k, v in attrs if k in ("src", "href")]

  def handle_endtag(self, tag):
    assert self.open_tags.pop() == tag, tag


class ReportTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(
      self.enterContext(tempfile.TemporaryDirectory())
    )
    self.write("config.json", {"stage": "quickstart", "preset": "tiny<&>"})

  def write(self, name, value):
    path = self.workdir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))

  def test_is_self_contained(self):
    frames = np.zeros((3, 144, 40), np.uint8)
    sheet = pictures.contact_sheet(
      [[pictures.Row("real", frames)]], ["1", "2", "3"]
    )
    pictures.save_png(sheet, self.workdir / "evaluation/world_model/dreams.png")
    video.write(
      self.workdir / "videos/demo.webp",
      video.side_by_side([frames, frames], ["a", "b"]),
    )
    self.write("evaluation/world_model/result.json", dream_result())
    self.write("evaluation/play/result.json", play_result())
    self.write("world_model/metrics.jsonl", {"step": 1, "loss/image": 2.0})
    self.write(
      "costs.json",
      {
        "stages": {"collect": {"wall_s": 75.0, "peak_bytes": 2**30}},
        "commands": {"collect": "python -m experiments.collect_data"},
        "disk_bytes": 2**20,
        "notes": ["expect little"],
      },
    )
    text = report.render(self.workdir)
    page = _Page()
    page.feed(text)
    self.assertEmpty(page.open_tags)
    self.assertEqual(page.scripts, 0)
    self.assertNotEmpty(page.addresses)
    for address in page.addresses:
      self.assertStartsWith(address, "data:")
    self.assertNotIn("url(", text)
    self.assertNotIn("tiny<&>", text)  # escaped
    for word in (
      "policy_scratch",
      "frozen frame",
      "python -m experiments.collect_data",
      "loss/image",
      "1:15",
      "expect little",
      "tiny&lt;&amp;&gt;",
    ):
      self.assertIn(word, text)

  def test_shows_the_atlas_and_its_errors_where_they_are(self):
    folder = self.workdir / "evaluation/world_model"
    counts = {"cells": 20, "known": 18, "same": 15}
    counts |= {"water": 2, "person": 1, "missing": 0, "other": 0}
    counts |= {"beyond_known": 4, "beyond_same": 4}
    atlas = {"maps": {"1": {"name": "home", **counts}}, "all": counts}
    worst = {"map": "home", "y": 1, "x": 2, "rows": 5, "wrong": 0.5}
    errors = {"rows": 9, "cells": 12, "wrong": 0.0123, "worst": [worst]}
    for found, shown in (
      ({}, (False, False)),
      ({"atlas": atlas}, (True, False)),
      ({"atlas": {**atlas, "errors": errors}}, (True, True)),
    ):
      self.write("evaluation/world_model/result.json", dream_result() | found)
      for name in ("atlas.png", "atlas_errors.png"):
        (folder / name).write_bytes(b"picture")
      text = report.render(self.workdir)
      known = "knows 18 of the 20 cells of the maps, 15 of them as they are"
      self.assertEqual((known in text, "1.23% of the" in text), shown)
      self.assertEqual(
        text.count("data:image/png;base64,cGljdHVyZQ=="), sum(shown)
      )
    self.assertIn("2 differ by water at another moment", text)
    self.assertNotIn("0 differ", text)

  def test_shows_where_players_stood_and_what_the_policy_did(self):
    folder = self.workdir / "evaluation/play"
    film = {"episode": 4, "badges": 2, "last_badge": 171, "return": 22.534}
    film |= {"steps": 1500, "every": 5}
    worst = film | {"badges": 0, "last_badge": None, "every": 1, "episode": 1}
    films = {
      name: {
        "best": film | {"file": f"best_{name}.mp4"},
        "worst": worst | {"file": f"../worst_{name}.mp4"},
      }
      for name in ("clone", "policy")
    }
    for visits in ("visits.png", None):
      more = {"visits": visits, "videos": films if visits else {}}
      self.write("evaluation/play/result.json", play_result() | more)
      for name in ("visits.png", "best_clone.mp4", "best_policy.mp4"):
        (folder / name).write_bytes(name.encode())
      text = report.render(self.workdir)
      page = _Page()
      page.feed(text)
      self.assertEmpty(page.open_tags)
      shown = bool(visits)
      self.assertEqual("Play to look at" in text, shown)
      self.assertEqual(text.count("data:video/mp4"), shown)
      said = (
        "policy, its best episode (number 4): 2 badges, the last at step 171, "
        "return 22.53, 1,500 steps; one step in 5 is shown."
      )
      self.assertEqual(said in text, shown)
    # A file beside the folder is not looked for.
    (folder.parent / "worst_policy.mp4").write_bytes(b"elsewhere")
    self.write(
      "evaluation/play/result.json",
      play_result() | {"visits": None, "videos": films},
    )
    self.assertEqual(report.render(self.workdir).count("data:video/mp4"), 1)
    (folder / "worst_policy.mp4").write_bytes(b"there")
    text = report.render(self.workdir)
    self.assertEqual(text.count("data:video/mp4"), 2)
    self.assertIn("(number 1): no badge, return 22.53, 1,500 steps.", text)

  def test_the_first_card_has_a_film_numbers_and_a_sentence(self):
    self.write("evaluation/world_model/result.json", dream_result())
    self.write("evaluation/play/result.json", play_result())
    stages = {"collect": {"wall_s": 500.0, "peak_bytes": 2**31}}
    self.write("costs.json", {"stages": stages})
    (self.workdir / "videos").mkdir()
    (self.workdir / "videos/demo.mp4").write_bytes(b"film")
    numbers, sentence = headline.collect(self.workdir)
    self.assertEqual(
      [(number.value, number.beside) for number in numbers],
      [
        ("50%", "clone 50%, random 50%"),
        ("100", ""),
        ("50%", "a frozen frame 50%"),
        ("8 min", "2.0 GiB of memory"),
      ],
    )
    self.assertIn("earns a badge in 12 of 24 games", sentence)
    self.assertIn("the clone that it began as does in 12", sentence)
    text = report.render(self.workdir)
    first, _, rest = text.partition("</section>")
    for piece in ("<video", sentence, "8 min", "statements hold", "<details>"):
      self.assertIn(piece, first)
    self.assertNotIn('class="mark', rest)
    # Marks of verdicts are seen on a click alone.
    self.assertLess(first.index("<details>"), first.index('class="mark'))
    self.assertIn("prefers-color-scheme: dark", text)
    self.assertIn("max-width: 640px", text)

  def test_of_what_was_not_measured_there_is_no_number(self):
    self.assertEqual(headline.collect(self.workdir), ([], ""))
    self.write("evaluation/world_model/result.json", dream_result())
    (number,), sentence = headline.collect(self.workdir)
    self.assertEqual(number.value, "50%")
    self.assertIn("no policy was measured", sentence)

  def test_a_run_of_debug_has_one_line_and_no_verdict(self):
    self.write("evaluation/world_model/result.json", dream_result(gain=-1))
    self.write("evaluation/play/result.json", play_result())
    self.assertNotEmpty(summary.collect(self.workdir).verdicts)
    self.write("config.json", {"preset": "debug", "stage": "quickstart"})
    shown = summary.collect(self.workdir)
    self.assertEmpty(shown.verdicts)
    self.assertIn("numbers mean nothing", shown.caution)
    text = report.render(self.workdir)
    self.assertEqual(text.count("numbers mean nothing"), 1)
    self.assertNotIn('class="mark', text)
    self.assertNotIn('class="number"', text)

  def test_a_measurement_of_what_hardly_learned_says_so_first(self):
    warned = {"warnings": ["it is untrained"]}
    note = summary.dream_table(dream_result() | warned).note
    self.assertStartsWith(note, "Warning: it is untrained. 200 windows")
    note = summary.play_table(play_result() | warned).note
    self.assertStartsWith(note, "Warning: it is untrained. ")
    self.assertNotIn("Warning", summary.dream_table(dream_result()).note)

  def test_what_policies_were_paid_stands_beside_the_published_return(self):
    weights = {"badges": 2.0, "xp": 0.5}
    own = {
      "capped": {
        **{"of": ["policy_scratch"], "weights": weights},
        **{"caps": {"xp": 450.0}, "returns": {"random": _interval(7.0)}},
      },
      "badges=2,xp=0.5": {
        **{"of": ["policy"], "weights": weights, "caps": {}},
        "returns": {name: _interval(3.0) for name in play_result()["policies"]},
      },
    }
    table = summary.play_table(play_result() | {"own": own})
    self.assertEqual(
      table.header[-4:],
      ["return [95 %]", "without wild", "by capped", "by policy's weights"],
    )
    random, *_, policy, _ = table.rows
    self.assertEqual(random[-2:], ["7.00 [6.50, 7.50]", "3.00 [2.50, 3.50]"])
    self.assertEqual(policy[-2:], ["-", "3.00 [2.50, 3.50]"])
    self.assertIn(
      "Return: by the published weights; by capped: what policy_scratch "
      "learned to earn (badges 2, xp 0.5, xp up to 450 a game); by policy's "
      "weights: what policy learned to earn (badges 2, xp 0.5). ",
      table.note,
    )
    self.assertNotIn("published", summary.play_table(play_result()).note)

  def test_shows_the_paths_of_one_game(self):
    paths = {"file": "paths.png", "episode": 3, "seed": 9}
    paths |= {"players": ["random", "policy"]}
    self.write("evaluation/play/result.json", play_result() | {"paths": paths})
    self.assertNotIn("The same game", report.render(self.workdir))
    (self.workdir / "evaluation/play/paths.png").write_bytes(b"picture")
    text = report.render(self.workdir)
    self.assertIn("Game 3 of those measured", text)
    self.assertIn("random, policy", text)
    self.assertIn("The maps are the cartridge&#x27;s own", text)
    for unknown, said in ((7, "7 of their cells it never saw"), (0, "every")):
      paths |= {"of": "policy", "unknown": unknown}
      self.write(
        "evaluation/play/result.json", play_result() | {"paths": paths}
      )
      text = report.render(self.workdir)
      self.assertIn("the world model of policy remembers", text)
      self.assertIn(said, text)
      self.assertNotIn("own", text.partition("The maps are")[2][:200])

  def test_axes_over_decades_are_logarithmic(self):
    steps = list(range(100))
    decades = [10.0 ** (3 - step / 20) for step in steps]
    text = html_page.chart("loss", {"loss": (steps, decades)}, "updates")
    self.assertIn("loss, logarithmic<", text)
    for tick in (">0.01<", ">1<", ">1000<"):
      self.assertIn(tick, text)
    line = re.search(r'points="([^"]*)"', text).group(1).split()
    heights = [float(point.split(",")[1]) for point in line]
    falls = np.diff(heights)  # a straight line
    self.assertLess(falls.max() - falls.min(), 0.2)
    few = html_page.chart("loss", {"loss": (steps, steps)}, "updates")
    self.assertNotIn("logarithmic", few)
    # A value at zero, or one that is near it alone, changes nothing.
    self.assertFalse(html_page.is_logarithmic([0.0, 1.0, 1e6]))
    self.assertFalse(html_page.is_logarithmic([1e-9] + [1.0] * 100))

  def test_leaves_out_what_is_not_there(self):
    page = _Page()
    page.feed(report.render(self.workdir))
    self.assertEmpty(page.open_tags)

  @parameterized.parameters(
    ([1], [7.0]),
    ([0, 1, 2], [float("nan"), float("inf"), 1.0]),
    ([0, 1], [5.0, 5.0]),
    ([0, 10**6], [-1e-9, 1e9]),
    ([], []),
  )
  def test_charts_take_any_values(self, xs, ys):
    page = _Page()
    page.feed(html_page.chart("loss", {"loss": (xs, ys)}))
    self.assertEmpty(page.open_tags)


if __name__ == "__main__":
  absltest.main()
