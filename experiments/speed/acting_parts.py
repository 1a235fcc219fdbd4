"""What benchmarks of decisions need: agents that learned nothing, and noise."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.runs import inputs
from pokedreamer_jax import specs
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib

FRAMES = 16  # different ones, in turns
# What a policy under goals has beside its preset.
GOALS = ("actor_critic.reads_goal=true", "actor_critic.goal_dim=64")


def preset_names(text: str, overrides: Sequence[str] = ()) -> list[str]:
  """Names with commas between; raises ValueError for what is no preset."""
  names = [name.strip() for name in text.split(",")]
  for name in names:
    presets.make(name, overrides)  # complains about what is wrong
  return names


def fresh_agent(preset: str, overrides: Sequence[str] = ()) -> inputs.Agent:
  """An agent of a preset with fresh parameters, which changes no shape."""
  import jax

  from pokedreamer_jax.behaviour import policy_inputs
  from pokedreamer_jax.frames import tiles
  from pokedreamer_jax.networks import actor_critic
  from pokedreamer_jax.world_model import model as world_model

  config = presets.make(preset, overrides)
  model_key, actor_key = jax.random.split(jax.random.key(0))
  table = tiles.build([], config.world_model.tile_vocab)
  return inputs.Agent(
    config,
    world_model.init(config.world_model, model_key, table),
    actor_critic.init_actor(
      config.actor_critic, actor_key, policy_inputs.size(config)
    ),
  )


def fresh_critic(config: config_lib.Config) -> Any:
  """Parameters of a critic that learned nothing."""
  import jax

  from pokedreamer_jax.behaviour import policy_inputs
  from pokedreamer_jax.networks import actor_critic

  return actor_critic.init_critic(
    config.actor_critic, jax.random.key(1), policy_inputs.size(config)
  )


def rows(players: int) -> list[dict[str, np.ndarray]]:
  """Step fields `[players, ...]` of an overworld that shows noise."""
  rng = np.random.default_rng(0)
  made = []
  for _ in range(FRAMES):
    row = specs.empty_steps(players)
    row["frame"] = rng.integers(256, size=row["frame"].shape, dtype=np.uint8)
    row["game_running"][:] = True
    row["map_id"][:] = 1
    row["y"], row["x"] = rng.integers(8, size=(2, players), dtype=np.uint8)
    made.append(row)
  return made
