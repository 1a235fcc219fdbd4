"""Dreams of the world model, started where recorded episodes were."""

import dataclasses
import functools
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp

from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import ahead_starts
from pokedreamer_jax.behaviour import all_goals
from pokedreamer_jax.behaviour import dream_rows
from pokedreamer_jax.behaviour import event_starts
from pokedreamer_jax.behaviour import goal_draws
from pokedreamer_jax.behaviour import goals
from pokedreamer_jax.behaviour import groups
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.behaviour import policy_update
from pokedreamer_jax.behaviour import replay
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib


@struct.dataclass
class GoalValues:
  """Values of all goals (`all_goals.py`), for dreams under some of them."""

  params: Any  # of `all_goals.State.slow`
  # [K] int32, of each goal of `Experience.goals` its number among the learned
  # ones, -1: none of them
  number: jax.Array
  # Values are of `gamma` a step; raised to this power of that of the policy.
  power: jax.Array  # [] float32


@struct.dataclass
class Experience:
  """Recorded states on the device: all of them, and where dreams may start."""

  rows: latents.Latents  # [M] of whole episodes, of `latents.with_earned`
  start: jax.Array  # [S] int32, numbers of the rows of `latents.start_rows`
  goals: goal_draws.Candidates | None = None  # [M], of policies under goals
  events: event_starts.EventStarts | None = None
  values: GoalValues | None = None  # what a dream's end is worth under a goal


@struct.dataclass
class Dreams:
  """Dreams as `dream_rows.Rollout`, and what they were to do."""

  feat: jax.Array
  action: jax.Array
  reward_terms: jax.Array
  cont: jax.Array
  earned: jax.Array
  level: jax.Array
  # As `dream_rows.Pursued`, of policies under goals.
  pursues: jax.Array | None = None
  success: jax.Array | None = None
  worth: jax.Array | None = None
  # [N] int32, the kind of event that a dream starts before, -1: anywhere.
  event: jax.Array | None = None


def make_dream_fn(cfg: config_lib.Config) -> policy_update.DreamFn:
  """Makes the `DreamFn` of a world model.

  Its `world` is the model's parameters and its `starts` are an `Experience`:
  `cfg.policy.starts` of the rows where dreams may start are drawn, each as
  likely as any other, but for the share of `policy.event_starts`, and some lead
  on from there (`ahead_starts.py`). Of them GRPO takes the first, so many that
  its groups make as many dreams. With goals each start draws one, its group's
  own; what starts before an event has none.
  """

  def dream_fn(
    world: Any, key: jax.Array, starts: Any, policy_fn: policy_update.PolicyFn
  ) -> dream_rows.Rollout:
    start_key, dream_key = jax.random.split(key)
    own = lambda leaf: leaf[: len(leaf) // cfg.policy.branches]
    row, event, number = jax.tree.map(own, _draw(cfg, start_key, starts))
    rows = latents.take(starts.rows, row)
    state = latents.unpack(cfg.world_model, rows)
    start = ahead_starts.Start(
      state=state,
      progress=latents.progress(cfg.world_model, rows, state),
      earned=rows.reward_terms,
    )
    look_up = lambda number: (
      None if number is None else starts.goals.table.look_up(number)
    )
    pursued = look_up(number)
    start = ahead_starts.lead(
      cfg,
      world,
      jax.random.fold_in(start_key, 3),
      start,
      policy_fn,
      goal=None if pursued is None else pursued.embeddings,
      fixed=None if event is None else event >= 0,
    )
    if number is not None:
      number = _still_to_reach(cfg, starts, number, start.state, start.progress)
    start, event, number = groups.repeat(
      (start, event, number), cfg.policy.branches
    )
    pursued = look_up(number)
    goal = None if pursued is None else pursued.embeddings
    rollout = imagination.imagine(
      cfg.world_model,
      world,
      dream_key,
      start.state,
      start.progress,
      policy_fn,
      cfg.policy.horizon,
      earned=start.earned,
      inputs_fn=functools.partial(policy_inputs.read, cfg, goal=goal),
    )
    dreams = Dreams(
      feat=rollout.feat,
      action=rollout.action,
      reward_terms=rollout.reward_terms,
      cont=rollout.cont,
      earned=rollout.earned,
      level=rollout.level,
      event=event,
    )
    if pursued is None:
      return dreams
    arrived = goals.arrivals(
      cfg.world_model,
      rollout.feat[..., : cfg.world_model.feat_dim],
      rollout.reward_terms,
      rollout.progress.visited,
    )
    return dataclasses.replace(
      dreams,
      pursues=pursued.goals[:, 0] != goal_specs.index("none"),
      success=goals.reached(arrived, pursued.goals),
      worth=_worth(cfg, starts, number, rollout.feat[-1]),
    )

  return dream_fn


def _still_to_reach(
  cfg: config_lib.Config,
  starts: Experience,
  number: jax.Array,
  state: world_model.State,
  progress: progress_lib.Progress,
) -> jax.Array:
  """Goals `[N]` of dreams, none where one holds already where it starts.

  What a neighbour reached may hold here, and would be paid for any step.
  """
  assert starts.goals is not None
  twice = lambda leaf: jnp.broadcast_to(leaf[None], (2, *leaf.shape))
  arrived = goals.arrivals(
    cfg.world_model,
    twice(world_model.features(state)),
    jnp.zeros((1, len(number), specs.NUM_REWARD_TERMS)),
    twice(progress.visited),
  )
  holds = goals.reached(arrived, starts.goals.table.goals[number])[0] > 0.5
  return jnp.where(holds, 0, number)


def _worth(
  cfg: config_lib.Config, starts: Experience, number: jax.Array, last: jax.Array
) -> jax.Array | None:
  """What the goal `[N]` of each dream is worth where the dream ends, `[N]`.

  NaN where it is not among the learned ones; None without such values.
  """
  if starts.values is None:
    return None
  known = starts.values
  worth = all_goals.bootstrap(cfg, known.params, known.number[number], last)
  return cfg.goals.reward * worth**known.power


def _draw(
  cfg: config_lib.Config, key: jax.Array, starts: Experience
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
  """Rows `[N]` to start from, kinds of event before them, numbers of goals."""
  count = cfg.policy.starts
  index = jax.random.randint(key, (count,), 0, len(starts.start))
  row, event = starts.start[index], None
  if starts.events is not None:
    share_key, event_key = jax.random.split(jax.random.fold_in(key, 2))
    before, kind = event_starts.draw(starts.events, event_key, count)
    chosen = jax.random.uniform(share_key, (count,)) < cfg.policy.event_starts
    row = jnp.where(chosen, before, row)
    event = jnp.where(chosen, kind, -1)
  if not cfg.actor_critic.reads_goal or starts.goals is None:
    return row, event, None
  drawn = goal_draws.draw_for_dreams(
    cfg.goals, jax.random.fold_in(key, 1), starts.goals, row
  )
  if starts.goals.pairs is not None:
    share_key, pair_key = jax.random.split(jax.random.fold_in(key, 4))
    even_row, even = goal_draws.draw_even(pair_key, starts.goals.pairs, count)
    chosen = jax.random.uniform(share_key, (count,)) < cfg.goals.even
    row = jnp.where(
      chosen if event is None else chosen & (event < 0), even_row, row
    )
    drawn = jnp.where(chosen, even, drawn)
  if event is not None:
    drawn = jnp.where(event < 0, drawn, 0)
  return row, event, drawn


def make_replay_fn(cfg: config_lib.Config) -> policy_update.ReplayFn:
  """Makes the `ReplayFn` that draws from an `Experience`."""

  def replay_fn(key: jax.Array, starts: Any) -> replay.Sequences:
    return replay.draw(cfg, key, starts.rows)

  return replay_fn
