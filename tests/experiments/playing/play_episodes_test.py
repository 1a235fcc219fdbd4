"""Play: measures by hand, pairs, and what decides an episode."""

import dataclasses
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from data_tools.game import roms
from data_tools.system import children
from experiments.evaluating import asked
from experiments.playing import play_episodes
from experiments.playing import play_traces
from experiments.runs import inputs
from experiments.runs import run_directory
from pokedreamer_jax import specs
from pokedreamer_jax.config import presets

_WEIGHTS = specs.REWARD_WEIGHTS["published"]


def _terms(**steps):
  """`[1, 6, 8]`: name -> {step: value}."""
  terms = np.zeros((1, 6, specs.NUM_REWARD_TERMS), np.float32)
  for name, values in steps.items():
    for step, value in values.items():
      terms[0, step, specs.REWARD_TERMS.index(name)] = value
  return terms


class MeasureTest(parameterized.TestCase):
  def test_returns_with_and_without_wild_battles(self):
    played = play_episodes.Played(
      _terms(
        badges={5: 1},
        wild_wins={2: 1, 3: 1},
        trainer_wins={5: 1},
        xp={2: 10, 3: 20, 5: 100},
        hp_lost={1: 4},
        stuck={4: 1},
      ),
      steps=np.array([6]),
      beaten=np.array([False]),
    )
    measured = play_episodes.measure(played, _WEIGHTS)
    # 10 + 2 + 1 + 1.3 - 0.2 - 0.001; XP and wild wins count 3.3 of it.
    np.testing.assert_allclose(measured["return"], [14.099], rtol=1e-6)
    np.testing.assert_allclose(
      measured["return_without_wild"], [10.799], rtol=1e-6
    )
    self.assertEqual(measured["wins"].tolist(), [3.0])
    self.assertEqual(measured["badges"].tolist(), [1.0])

  def test_milestones_are_first_times_among_those_who_got_there(self):
    never = _terms()
    played = play_episodes.Played(
      np.concatenate(
        [
          _terms(badges={2: 1, 4: 1}),
          _terms(badges={4: 1}),
          never,
          never,
        ]
      ),
      steps=np.full(4, 6),
      beaten=np.zeros(4, bool),
    )
    reached = play_episodes.milestones(played)
    self.assertEqual(reached["badges"], {"share": 0.5, "median": 3.0})
    self.assertEqual(reached["species"], {"share": 0.0, "median": None})

  def test_progress_tells_every_badge_the_end_and_the_maps(self):
    visited = np.zeros((3, 32), np.uint8)
    visited[0, 0], visited[1, 0], visited[1, 31] = 0b101, 0b1, 0b10000000
    played = play_episodes.Played(
      np.concatenate(
        [_terms(badges={2: 1, 4: 1}), _terms(badges={4: 1}), _terms()]
      ),
      steps=np.array([6, 5, 6]),
      beaten=np.array([False, True, False]),
      visited_maps=visited,
    )
    self.assertEqual(
      play_episodes.progress(played),
      {
        "badges": {
          "1": {"episodes": 2, "median": 3.0},
          "2": {"episodes": 1, "median": 4.0},
        },
        "beaten": {"episodes": 1, "median": 4.0},  # in the last of its 5 rows
        "maps": [0, 2, 255],
        "maps_mean": 4 / 3,
        "maps_most": 2,
      },
    )

  def test_comparisons_are_paired(self):
    # Each episode of `better` gains exactly 1 over its twin, while episodes
    # differ widely: only the paired interval can see it.
    rng = np.random.default_rng(0)
    base = rng.normal(0, 10, 24)
    played = {
      name: play_episodes.Played(
        np.stack([_terms(trainer_wins={1: value})[0] for value in values]),
        steps=np.full(24, 6),
        beaten=np.zeros(24, bool),
      )
      for name, values in {"better": base + 1.0, "base": base}.items()
    }
    report = play_episodes.report(played, _WEIGHTS, resamples=200)
    rows = {(r["policy"], r["than"]): r for r in report["comparisons"]}
    self.assertLen(rows, 2)
    self.assertAlmostEqual(rows["better", "base"]["low"], 1.0, places=4)
    self.assertAlmostEqual(rows["base", "better"]["high"], -1.0, places=4)
    self.assertGreater(
      report["policies"]["base"]["return"]["high"]
      - report["policies"]["base"]["return"]["low"],
      4.0,
    )

  def test_seeds_differ_between_runs_and_from_each_other(self):
    seeds = play_episodes.make_seeds(0, 20)
    self.assertLen(set(seeds), 20)
    self.assertEqual(seeds[:5], play_episodes.make_seeds(0, 5))
    self.assertEmpty(set(seeds) & set(play_episodes.make_seeds(1, 20)))


class EmulatorTest(parameterized.TestCase):
  def setting(self, **changes):
    setting = play_episodes.Setting(
      rom=roms.resolve(None),
      seeds=play_episodes.make_seeds(3, 2),
      length=60,
      jitter_frames=30,
      workers=1,
    )
    return dataclasses.replace(setting, **changes)

  def test_scripted_play_does_not_depend_on_the_workers(self):
    one = play_episodes.play_scripted("demonstrator", self.setting())
    two = play_episodes.play_scripted("demonstrator", self.setting(workers=2))
    np.testing.assert_array_equal(one.reward_terms, two.reward_terms)
    self.assertEqual(one.steps.tolist(), [60, 60])
    self.assertGreater(one.reward_terms.sum(), 0)
    np.testing.assert_array_equal(one.visited_maps, two.visited_maps)
    for name in ("cell", "battle", "running", "action"):
      np.testing.assert_array_equal(
        getattr(one.traces, name), getattr(two.traces, name)
      )
    stood = play_traces.visits(one.traces, one.steps).cell
    self.assertGreater(len(stood), 5)
    # The first map, and those that are new.
    maps = np.bitwise_count(one.visited_maps).sum(axis=1)
    new = one.reward_terms[..., specs.REWARD_TERMS.index("new_maps")]
    np.testing.assert_array_equal(maps, 1 + new.sum(axis=1))

  def test_learned_play_starts_like_scripted_play(self):
    setting = self.setting(length=20)
    presses = np.random.default_rng(0).integers(specs.NUM_ACTIONS, size=(2, 20))
    seen = []

    def make_act(*unused_args):
      def act(state, frame, ram, is_first, key):
        del ram, key
        seen.append((np.array(frame), np.array(is_first)))
        return state, presses[:, len(seen) - 1]

      return act

    agent = inputs.Agent(presets.make("debug"), None, None)
    with mock.patch("pokedreamer_jax.behaviour.acting.make_act", make_act):
      played = play_episodes.play_learned(agent, setting)
    self.assertEqual(played.steps.tolist(), [20, 20])
    self.assertFalse(played.beaten.any())
    maps = np.bitwise_count(played.visited_maps).sum(axis=1)
    new = played.reward_terms[..., specs.REWARD_TERMS.index("new_maps")]
    np.testing.assert_array_equal(maps, 1 + new.sum(axis=1))
    np.testing.assert_array_equal(played.traces.action[:, :19], presses[:, :19])
    self.assertTrue((played.traces.action[:, 19] == specs.PASS).all())
    self.assertTrue(played.traces.running[:, -1].all())
    self.assertGreater(played.traces.cell[:, -1, 0].min(), 0)
    self.assertLen(seen, 19)  # nobody acts on the last row
    self.assertTrue(seen[0][1].all())
    self.assertFalse(seen[1][1].any())

    from data_tools.game import emulator as emulator_lib

    with emulator_lib.Emulator(setting.rom) as emulator:
      for number, seed in enumerate(setting.seeds):
        emulator.reset(seed, None, setting.jitter_frames)
        for t in range(19):
          np.testing.assert_array_equal(emulator.frame(), seen[t][0][number])
          emulator.step(int(presses[number, t]))

  def test_an_emulator_that_dies_ends_it_in_a_line(self):
    steps = iter(range(20))

    def make_act(*unused_args):
      def act(state, frame, ram, is_first, key):
        del ram, is_first, key
        if next(steps) == 3:
          for child in children.living():
            child.kill()
        return state, np.zeros(len(frame), np.uint8)

      return act

    agent = inputs.Agent(presets.make("debug"), None, None)
    with mock.patch("pokedreamer_jax.behaviour.acting.make_act", make_act):
      with self.assertRaisesRegex(
        run_directory.Failed, "^play: emulator process .*measures anew$"
      ):
        with play_episodes.dying_is_told():
          play_episodes.play_learned(agent, self.setting(length=20))

  def test_unknown_players_are_refused(self):
    with self.assertRaisesRegex(ValueError, "policy 'expert'"):
      play_episodes.play_scripted("expert", self.setting())


class PlayersTest(parameterized.TestCase):
  def test_names_and_directories(self):
    players = asked.parse_players(
      ["random", "demonstrator:eps=0.1", "mine=runs/a=b"]
    )
    self.assertEqual(
      players, {"random": "", "demonstrator:eps=0.1": "", "mine": "runs/a=b"}
    )

  @parameterized.parameters(
    ([], "--player is required"),
    (["expert"], "expected NAME=DIR or one of"),
    (["random", "random"], "given twice"),
  )
  def test_refusals(self, items, message):
    with self.assertRaisesRegex(ValueError, message):
      asked.parse_players(items)


if __name__ == "__main__":
  absltest.main()
