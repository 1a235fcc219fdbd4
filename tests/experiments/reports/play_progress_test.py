"""How far players came: shown as it was measured, and said in words."""

from absl.testing import absltest
from absl.testing import parameterized

from experiments.reports import play_progress


def _policy(badges, beaten=0, maps=(0, 1), share=None):
  """A measured policy; `badges` are episodes by number of badges."""
  reached = {
    str(k + 1): {"episodes": n, "median": 100.0 * (k + 1)}
    for k, n in enumerate(badges)
  }
  first = badges[0] if badges else 0
  return {
    "badges": {"mean": sum(badges) / 8},
    "milestones": {"badges": {"share": first / 8}},
    "progress": {
      "badges": reached,
      "beaten": {"episodes": beaten, "median": 900.0 if beaten else None},
      "maps": list(maps),
      "maps_mean": 1.5,
      "maps_most": 2,
    },
  }


def _play(**policies):
  return {
    "rom": {"maps": 29},
    "episodes": 8,
    "episode_length": 1500,
    "policies": policies,
  }


class ProgressTest(parameterized.TestCase):
  def test_badges_have_a_column_each_and_maps_are_of_all(self):
    play = _play(
      random=_policy([]),
      demonstrator=_policy([8, 5], beaten=2, maps=range(20)),
    )
    (table,) = play_progress.tables(play)
    self.assertEqual(
      table.header,
      [
        *("episodes with", "badge 1", "badge 2", "the game beaten"),
        *("maps", "most", "of all 29"),
      ],
    )
    self.assertEqual(
      table.rows,
      [
        ["random", "-", "-", "-", "1.5", "2", "2"],
        ["demonstrator", "8 (100)", "5 (200)", "2 (900)", "1.5", "2", "20"],
      ],
    )

  def test_older_measurements_have_no_such_table(self):
    old = _policy([8])
    del old["progress"]
    self.assertEmpty(play_progress.tables(_play(policy=old)))
    self.assertLen(play_progress.verdicts(_play(policy=old)), 1)

  @parameterized.parameters(([8], True), ([7], False), ([], False))
  def test_a_badge_in_every_episode_is_said_where_it_is_so(self, badges, holds):
    play = _play(
      demonstrator=_policy([8]), clone=_policy([3]), policy=_policy(badges)
    )
    (verdict,) = play_progress.verdicts(play)
    self.assertEqual(verdict.holds, holds)
    count = badges[0] if badges else 0
    self.assertIn(f"policy in {count} of 8", verdict.text)
    self.assertIn("(demonstrator 8, clone 3)", verdict.text)

  def taught(self, badge, steps, wild=2.0, share=(0.25, 1.0)):
    play = _play(
      demonstrator=_policy([8]),
      clone=_policy([int(8 * share[0])]),
      policy=_policy([int(8 * share[1])]),
    )
    for name, wins in (("demonstrator", 5), ("clone", 9), ("policy", wild)):
      play["policies"][name]["wild_wins"] = {"mean": wins}
    play["by_episode"] = {"demonstrator": {"wild_wins": [0, 3, 4]}}
    row = {"policy": "policy", "than": "clone"}
    for name, low in (("with_badge", badge), ("badge_steps", steps)):
      row[name] = {"mean": low + 0.1, "low": low, "high": low + 0.2}
    play["comparisons"] = [{"policy": "clone", "than": "policy"}, row]
    return play_progress.verdicts(play)

  def test_what_dreams_made_of_the_clone_needs_the_intervals(self):
    gained, sooner, grinds, _ = self.taught(0.01, -9.0)
    self.assertTrue(gained.holds and sooner.holds and grinds.holds)
    self.assertIn("25% of the games as a clone, in 100%", gained.text)
    self.assertIn("+11 [+1, +21]", gained.text)
    self.assertIn("counted as 1500, differ by -9 [-9, -9]", sooner.text)
    gained, sooner, grinds, _ = self.taught(0.0, -0.1, wild=3.1)
    self.assertFalse(gained.holds or sooner.holds or grinds.holds)
    self.assertIn("3.1 wild battles", grinds.text)

  def test_where_the_clone_fails_nowhere_there_was_nothing_to_gain(self):
    gained, *_ = self.taught(0.0, -9.0, share=(1.0, 1.0))
    self.assertIsNone(gained.holds)
    self.assertIn("nothing to gain", gained.text)

  def test_too_short_episodes_bear_no_verdict(self):
    play = _play(random=_policy([]), policy=_policy([]))
    (verdict,) = play_progress.verdicts(play)
    self.assertIsNone(verdict.holds)
    self.assertIn("Nobody earns a badge in 1500 steps", verdict.text)
    self.assertNotIn("too short", verdict.text)
    play["policies"]["demonstrator"] = _policy([])
    self.assertIn("too short", play_progress.verdicts(play)[0].text)

  def test_nothing_is_said_where_no_policy_played(self):
    self.assertEmpty(play_progress.verdicts({}))
    self.assertEmpty(play_progress.verdicts(_play(random=_policy([]))))


if __name__ == "__main__":
  absltest.main()
