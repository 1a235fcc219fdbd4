"""Dreams of the world model, started where recorded episodes were."""

import functools
from typing import Any

from flax import struct
import jax

from pokedreamer_jax import goal_specs
from pokedreamer_jax.behaviour import dream_rows
from pokedreamer_jax.behaviour import goal_draws
from pokedreamer_jax.behaviour import goals
from pokedreamer_jax.behaviour import groups
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.behaviour import policy_update
from pokedreamer_jax.behaviour import replay
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import imagination


@struct.dataclass
class Experience:
  """Recorded states on the device: all of them, and where dreams may start."""

  rows: latents.Latents  # [M] of whole episodes, of `latents.with_earned`
  start: jax.Array  # [S] int32, numbers of the rows of `latents.start_rows`
  goals: goal_draws.Candidates | None = None  # [M], of policies under goals


def make_dream_fn(cfg: config_lib.Config) -> policy_update.DreamFn:
  """Makes the `DreamFn` of a world model.

  Its `world` is the model's parameters and its `starts` are an `Experience`:
  `cfg.policy.starts` of the rows where dreams may start are drawn, each as
  likely as any other. Of them GRPO takes the first, so many that its groups
  make as many dreams. With goals each start draws one, its group's own.
  """

  def dream_fn(
    world: Any, key: jax.Array, starts: Any, policy_fn: policy_update.PolicyFn
  ) -> dream_rows.Rollout:
    start_key, dream_key = jax.random.split(key)
    count = len(starts.start)
    index = jax.random.randint(start_key, (cfg.policy.starts,), 0, count)
    pursued = _draw_goals(cfg, start_key, starts, starts.start[index])
    index, pursued = jax.tree.map(
      lambda leaf: groups.branch(leaf, cfg.policy.branches), (index, pursued)
    )
    rows = latents.take(starts.rows, starts.start[index])
    state = latents.unpack(cfg.world_model, rows)
    goal = None if pursued is None else pursued.embeddings
    rollout = imagination.imagine(
      cfg.world_model,
      world,
      dream_key,
      state,
      latents.progress(cfg.world_model, rows, state),
      policy_fn,
      cfg.policy.horizon,
      earned=rows.reward_terms,
      inputs_fn=functools.partial(policy_inputs.read, cfg, goal=goal),
    )
    return rollout if pursued is None else _pursued(cfg, rollout, pursued)

  return dream_fn


@struct.dataclass
class Pursued:
  """Dreams under goals, as `dream_rows.Rollout`."""

  feat: jax.Array
  action: jax.Array
  reward_terms: jax.Array
  cont: jax.Array
  earned: jax.Array
  level: jax.Array
  pursues: jax.Array
  success: jax.Array


def _draw_goals(
  cfg: config_lib.Config, key: jax.Array, starts: Experience, rows: jax.Array
) -> goals.Table | None:
  """A goal `[N]` for each of the dreams that start from `rows`."""
  if not cfg.actor_critic.reads_goal or starts.goals is None:
    return None
  number = starts.goals.number[rows]
  drawn = goal_draws.draw_for_dreams(
    cfg.goals, jax.random.fold_in(key, 1), number
  )
  return starts.goals.table.look_up(drawn)


def _pursued(
  cfg: config_lib.Config, rollout: imagination.Rollout, pursued: goals.Table
) -> Pursued:
  """Dreams, and whether they reach their goals."""
  arrived = goals.arrivals(
    cfg.world_model,
    rollout.feat[..., : cfg.world_model.feat_dim],
    rollout.reward_terms,
    rollout.progress.visited,
  )
  return Pursued(
    feat=rollout.feat,
    action=rollout.action,
    reward_terms=rollout.reward_terms,
    cont=rollout.cont,
    earned=rollout.earned,
    level=rollout.level,
    pursues=pursued.goals[:, 0] != goal_specs.index("none"),
    success=goals.reached(arrived, pursued.goals),
  )


def make_replay_fn(cfg: config_lib.Config) -> policy_update.ReplayFn:
  """Makes the `ReplayFn` that draws from an `Experience`."""

  def replay_fn(key: jax.Array, starts: Any) -> replay.Sequences:
    return replay.draw(cfg, key, starts.rows)

  return replay_fn
