"""The quickstart's plan: which stages for which game, and what is refused."""

import pathlib

from absl.testing import absltest
from absl.testing import parameterized

from data_tools.game import roms
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
        *("doctor", "collect", "world_model", "dreams", "clone", "policy"),
        *("policy_scratch", "play", "video", "report"),
      ],
    )
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
  )
  def test_what_a_late_stage_would_refuse_is_refused_first(self, items, named):
    config = presets.make("debug", items)
    with self.assertRaisesRegex(ValueError, named):
      quickstart_plan.check(config, roms.resolve(None))

  def test_commands_are_the_ordinary_entry_points(self):
    for stage in self.plan("practice")[0].values():
      self.assertStartsWith(stage.command, "python -m experiments.")
      module = stage.module.rpartition(".")[2]
      root = pathlib.Path(stages.__file__).parents[1]
      self.assertTrue((root / f"{module}.py").exists(), stage.module)


if __name__ == "__main__":
  absltest.main()
