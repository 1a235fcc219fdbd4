"""The quickstart's plan: which stages for which game, and what is refused."""

import pathlib

from absl.testing import absltest
from absl.testing import parameterized

from data_tools.game import roms
from experiments import quickstart
from experiments import quickstart_plan
from experiments.runs import stages
from pokedreamer_jax.config import presets


class PlanTest(parameterized.TestCase):
  def plan(self, kind, rom_path=None):
    overrides, notes = quickstart_plan.adapt(kind)
    config = presets.make("debug", overrides)
    arguments = ["--preset=debug", *(f"--set={item}" for item in overrides)]
    plan = quickstart_plan.make_plan(
      pathlib.Path("runs/q"), kind, rom_path, arguments, config
    )
    return {stage.name: stage for stage in plan}, notes

  def test_the_practice_cartridge_takes_the_whole_path(self):
    plan, notes = self.plan("practice")
    self.assertEqual(
      list(plan),
      [
        *("doctor", "collect", "world_model", "dreams", "clone_all", "clone"),
        *("policy", "policy_scratch", "play", "video", "report"),
      ],
    )
    few = plan["clone"].arguments
    self.assertIn("--set=clone.max_rows=50", few)
    self.assertLess(
      few.index("--set=clone.max_rows=50"), few.index("--preset=debug")
    )
    self.assertNotIn("max_rows", plan["clone_all"].command)
    self.assertIn("--player=clone_all=runs/q/clone_all", plan["play"].arguments)
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
    (["world_model.tokens=map:8"], "has no token 'level'"),
    (
      ["actor_critic.reads_goal=true", "actor_critic.goal_dim=64"],
      "goal.kind: 'heal' is judged by the token 'active_max_hp'",
    ),
    (
      ["collect.start_states=power_on=1,great_vale/first_badge=1"],
      "great_vale/first_badge: of the cartridge great_vale, this is the "
      "cartridge chapter_one; expected --rom=great_vale",
    ),
  )
  def test_what_a_late_stage_would_refuse_is_refused_first(self, items, named):
    config = presets.make("debug", items)
    with self.assertRaisesRegex(ValueError, named):
      quickstart_plan.check(config, roms.resolve(None))

  def test_start_states_of_the_world_are_welcome_and_missed_where_absent(self):
    states = "collect.start_states=power_on=3,great_vale/first_badge=1"
    vale = roms.resolve("great_vale")
    with_states = presets.make("debug", [states])
    quickstart_plan.check(with_states, vale)
    self.assertEmpty(quickstart_plan.remarks(with_states, vale))
    without = presets.make("debug")
    (remark,) = quickstart_plan.remarks(without, vale)
    self.assertIn("begins every episode at power-on", remark)
    self.assertIn("29 maps with 17 start states", remark)
    self.assertIn("--preset=vale", remark)
    vale_preset = presets.make("vale")
    quickstart_plan.check(vale_preset, vale)
    said = " ".join(quickstart_plan.remarks(vale_preset, vale))
    self.assertNotIn("power-on", said)
    with self.assertRaisesRegex(ValueError, "expected --rom=great_vale"):
      quickstart_plan.check(vale_preset, roms.resolve(None))
    self.assertEmpty(quickstart_plan.remarks(without, roms.resolve(None)))

  def test_without_a_few_rows_there_is_one_clone(self):
    config = presets.make("debug", ["clone.few_rows=0"])
    plan = quickstart_plan.make_plan(
      pathlib.Path("runs/q"), "practice", None, ["--preset=debug"], config
    )
    names = [stage.name for stage in plan]
    self.assertIn("clone", names)
    self.assertNotIn("clone_all", names)
    self.assertNotIn("max_rows", " ".join(stage.command for stage in plan))
    # Who says how many of all of them says it of every clone.
    own = presets.make("debug", ["clone.max_rows=30"])
    self.assertEmpty(quickstart_plan.taught(own))

  def test_training_from_scratch_can_be_left_out_and_that_is_said(self):
    config = presets.make("debug", ["policy.scratch_updates=0"])
    make = lambda config: quickstart_plan.make_plan(
      pathlib.Path("runs/q"), "practice", None, ["--preset=debug"], config
    )
    names = [stage.name for stage in make(config)]
    self.assertNotIn("policy_scratch", names)
    self.assertIn("policy", names)
    (play,) = (stage for stage in make(config) if stage.name == "play")
    self.assertNotIn("policy_scratch", play.command)
    (remark,) = quickstart_plan.remarks(config, roms.resolve(None))
    self.assertIn("policy.scratch_updates is 0", remark)

  def test_the_game_is_named_in_every_command_that_plays_it(self):
    plan, _ = self.plan("practice", "great_vale")
    for name in ("doctor", "collect", "dreams", "play", "video"):
      self.assertIn("--rom=great_vale", plan[name].arguments, name)
    for rom_path, count in (("great_vale", 1), (None, 0)):
      clip = quickstart.next_commands(pathlib.Path("runs/q"), [], rom_path)[1]
      self.assertEqual(clip.count("--rom=great_vale"), count)

  def test_episodes_of_play_are_as_long_as_recorded_ones_unless_said(self):
    self.assertEqual(presets.make("debug").play_length, 96)
    longer = presets.make("debug", ["evaluate.play_length=1500"])
    self.assertEqual(longer.play_length, 1500)
    with self.assertRaisesRegex(ValueError, "evaluate.play_length: 1, expect"):
      presets.make("debug", ["evaluate.play_length=1"])

  def test_the_policy_alone_is_filmed_unless_the_user_says_otherwise(self):
    play = self.plan("practice")[0]["play"].arguments
    self.assertIn("--set=evaluate.videos=policy", play)
    ours = play.index("--set=evaluate.videos=policy")
    self.assertLess(ours, play.index("--preset=debug"))
    self.assertEqual(presets.make("tiny").evaluate.videos, "all")
    self.assertEqual(presets.make("debug").evaluate.videos, "off")
    with self.assertRaisesRegex(ValueError, "videos: 'some', expected one of"):
      presets.make("debug", ["evaluate.videos=some"])

  def test_commands_are_the_ordinary_entry_points(self):
    for stage in self.plan("practice")[0].values():
      self.assertStartsWith(stage.command, "python -m experiments.")
      module = stage.module.rpartition(".")[2]
      root = pathlib.Path(stages.__file__).parents[1]
      self.assertTrue((root / f"{module}.py").exists(), stage.module)


if __name__ == "__main__":
  absltest.main()
