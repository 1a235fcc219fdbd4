"""Which goals a policy can be given on a page."""

from data_tools.game import goal_catalogue
from data_tools.game import roms
from experiments.dreaming import models
from pokedreamer_jax import goal_specs
from pokedreamer_jax.behaviour import goals as dream_goals


def of(model: models.Model, rom: roms.Rom) -> tuple[goal_specs.Goal, ...]:
  """Goals of a cartridge that the model's tokens can tell reached.

  None where the policy reads none, or the game has no list of them.
  """
  if not model.reads_goals or rom.kind != roms.PRACTICE:
    return ()
  found = []
  for goal in goal_catalogue.catalogue(rom):
    try:
      dream_goals.check_goals(model.config.world_model, [goal])
    except ValueError:  # its dreams would not know
      continue
    found.append(goal)
  return tuple(found)
