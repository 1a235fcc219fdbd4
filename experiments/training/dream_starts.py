"""Where the dreams of a policy start, and what they are told of goals.

Recorded episodes are encoded once, as acting would; with goals each row gets
its candidates, and values of goals say what one is worth where a dream ends.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data_tools.game import goal_labels
from data_tools.records import generations
from data_tools.records import loader
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.training import goal_rows
from experiments.training import latents as encoding
from pokedreamer_jax import goal_specs
from pokedreamer_jax.behaviour import all_goals
from pokedreamer_jax.behaviour import dreams
from pokedreamer_jax.behaviour import event_starts
from pokedreamer_jax.behaviour import goal_draws
from pokedreamer_jax.behaviour import goals
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.config import run as config_lib


def with_goal_values(
  config: config_lib.Config,
  directory: str,
  world_model: str,
  step: int | None,
) -> tuple[config_lib.Config, inputs.GoalValues]:
  """Reads values of goals that fit to what a policy reads.

  Args:
    config: of the policy.
    directory: run directory of `train_goal_values`.
    world_model: run directory of the world model.
    step: its checkpoint; None is the latest.

  Returns:
    `config` with the sizes of the values, and the values.

  Raises:
    ValueError: the policy reads no goals, values read other inputs or were
      learned on another world model, or nothing is discounted.
  """
  if not config.actor_critic.reads_goal:
    raise ValueError(
      "--goal_values: given, but actor_critic.reads_goal is False, expected a "
      "policy under goals"
    )
  found = inputs.load_goal_values(directory, world_model, step)
  theirs = found.config.actor_critic.reads_progress
  if theirs != config.actor_critic.reads_progress:
    raise ValueError(
      f"{directory}: learned with actor_critic.reads_progress {theirs}, "
      f"expected {config.actor_critic.reads_progress}"
    )
  for name, gamma in (
    ("policy.gamma", config.policy.gamma),
    (f"{directory}: all_goals.gamma", found.config.all_goals.gamma),
  ):
    if not 0.0 < gamma < 1.0:
      raise ValueError(
        f"{name}: {gamma}, expected between 0 and 1 with --goal_values"
      )
  sizes = found.config.all_goals
  return dataclasses.replace(config, all_goals=sizes), found


def prepare(
  config: config_lib.Config,
  generation: generations.Generation,
  world_params: Any,
  run: run_directory.Run,
  goal_values: inputs.GoalValues | None = None,
) -> dreams.Experience:
  """Encodes recorded episodes for dreams to start from, on the device.

  Args:
    config: of the policy.
    generation: the data; its training episodes are taken.
    world_params: of the world model.
    run: of the policy, for its log.
    goal_values: of `with_goal_values`, where a policy under goals has them.

  Raises:
    ValueError: dreams shall start before events, and there are none.
  """
  index = loader.EpisodeIndex(generation, "train")
  places = encoding.choose_episodes(config, index)
  encoded = latents.with_earned(
    encoding.encode_with_progress(
      config, world_params, index, places, "encoding episodes", run
    )
  )
  pursued = values = events = None
  if config.actor_critic.reads_goal:
    numbering = goal_labels.Numbering()
    number, near = goal_rows.candidates(config, index, places, numbering)
    walks = None
    if config.goals.walks:
      walks = jnp.asarray(
        goal_rows.goals_nearby(config, index, places, numbering)
      )
    table, pairs = goals.table(numbering.goals), None
    if config.goals.even:
      rows = np.asarray(latents.start_rows(encoded))
      pairs = goal_draws.pair_up(number, rows, table)
    pursued = goal_draws.Candidates(
      jnp.asarray(number), jnp.asarray(near), table, pairs, walks
    )
    run.log(f"policy: dreams draw from {len(numbering.goals) - 1} goals")
    if goal_values is not None:
      values = _values(config, numbering.goals, goal_values)
      known = int((values.number >= 0).sum())
      run.log(f"policy: of {known} of them it is known what they are worth")
  if config.policy.event_starts:
    events = event_starts.prepare(config, encoded)
    if events is None:
      raise ValueError(
        f"policy.event_starts: {config.policy.event_starts}, no recorded row "
        f"is policy.horizon = {config.policy.horizon} steps or less before "
        f"what {config.policy.objective_name!r} pays, "
        "expected 0"
      )
    counts = events.count[:, -1].tolist()
    told = zip(events.kinds, counts, strict=True)
    run.log(
      "policy: recorded states shortly before events: "
      + ", ".join(f"{kind} {n}" for kind, n in told)
    )
  start = jnp.asarray(latents.start_rows(encoded), jnp.int32)
  return jax.device_put(
    dreams.Experience(encoded, start, pursued, events, values)
  )


def _values(
  config: config_lib.Config,
  known: list[goal_specs.Goal],
  goal_values: inputs.GoalValues,
) -> dreams.GoalValues:
  """Values for dreams, whose steps are discounted by the policy's gamma."""
  number = all_goals.numbers_of(goal_specs.stack(known), goal_values.goals)
  power = math.log(config.policy.gamma) / math.log(config.all_goals.gamma)
  return dreams.GoalValues(
    goal_values.params, jnp.asarray(number), jnp.float32(power)
  )
