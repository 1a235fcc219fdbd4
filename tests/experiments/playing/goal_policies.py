"""Run directories of policies that read goals and have learned nothing."""

import jax

from experiments.runs import run_directory
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic
from tests.pokedreamer_jax import fakes

STEP = 7


def write(path, *overrides):
  """A policy with fresh parameters; returns its configuration."""
  config = fakes.config(
    "actor_critic.goal_dim=64", "actor_critic.reads_goal=true", *overrides
  )
  with run_directory.open_run(
    path, "policy", config_lib.to_dict(config), graceful=False
  ) as run:
    store = run.checkpoints()
    actor = actor_critic.init_actor(
      config.actor_critic, jax.random.key(1), policy_inputs.size(config)
    )
    critic = actor_critic.init_critic(
      config.actor_critic, jax.random.key(2), policy_inputs.size(config)
    )
    params = fakes.params(config.world_model)
    items = {"actor": actor, "critic": critic, "world_model": params}
    store.save(STEP, items, {"step": STEP})
    store.close()
  return config
