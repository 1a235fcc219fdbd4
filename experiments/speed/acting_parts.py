"""What benchmarks of decisions need: fresh agents, noise, and a clock."""

from collections.abc import Sequence
import time
from typing import Any

import numpy as np

from experiments.runs import inputs
from pokedreamer_jax import specs
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib

WARM_UP = 20  # decisions before those that are timed
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
  return fresh(presets.make(preset, overrides))


def fresh(config: config_lib.Config) -> inputs.Agent:
  """The same of a configuration."""
  import jax

  from pokedreamer_jax.behaviour import policy_inputs
  from pokedreamer_jax.frames import tiles
  from pokedreamer_jax.networks import actor_critic
  from pokedreamer_jax.world_model import model as world_model

  model_key, actor_key = jax.random.split(jax.random.key(0))
  table = tiles.build([], config.world_model.tile_vocab)
  return inputs.Agent(
    config,
    world_model.init(config.world_model, model_key, table),
    actor_critic.init_actor(
      config.actor_critic, actor_key, policy_inputs.size(config)
    ),
  )


def measure(
  agent: inputs.Agent, players: int, decisions: int, greedy: bool = False
) -> dict[str, Any]:
  """Times decisions of one agent.

  Args:
    agent: whose.
    players: side by side in one decision.
    decisions: that are timed, after some that are not.
    greedy: take the most likely action.

  Returns:
    JSON-ready: `p50_ms`, `p99_ms` and `most_ms` of a decision by the clock,
    `decisions_per_s` (the actions of all players together are one),
    `actions_per_s`, `cpu_ms` of processor time on average, `compile_s`.
  """
  import jax

  from pokedreamer_jax.behaviour import acting

  act = acting.make_act(
    agent.config, agent.world_params, agent.actor_params, greedy
  )
  frames = rows(players)
  state = acting.init_state(agent.config.world_model, players)
  key = jax.random.key(0)

  def decide(state: Any, t: int) -> Any:
    row = frames[t % len(frames)]
    is_first = np.full(players, t == 0)
    state, action = act(
      *(state, row["frame"], acting.ram_of(row), is_first),
      jax.random.fold_in(key, t),
    )
    return state, np.asarray(action)  # waits for the device

  began = time.perf_counter()
  state, _ = decide(state, 0)
  compile_s = time.perf_counter() - began
  for t in range(1, WARM_UP):
    state, _ = decide(state, t)
  seconds = np.zeros(decisions)
  cpu_began = time.process_time()
  for i in range(decisions):
    began = time.perf_counter()
    state, _ = decide(state, WARM_UP + i)
    seconds[i] = time.perf_counter() - began
  cpu_s = time.process_time() - cpu_began
  p50, p99 = np.percentile(seconds, [50, 99])
  return {
    "players": players,
    "decisions": decisions,
    "p50_ms": 1e3 * float(p50),
    "p99_ms": 1e3 * float(p99),
    "most_ms": 1e3 * float(seconds.max()),
    "decisions_per_s": decisions / float(seconds.sum()),
    "actions_per_s": players * decisions / float(seconds.sum()),
    "cpu_ms": 1e3 * cpu_s / decisions,
    "compile_s": compile_s,
  }


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
