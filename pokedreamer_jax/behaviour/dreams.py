"""Dreams of the world model, started where recorded episodes were."""

import functools
from typing import Any

from flax import struct
import jax

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


def make_dream_fn(cfg: config_lib.Config) -> policy_update.DreamFn:
  """Makes the `DreamFn` of a world model.

  Its `world` is the model's parameters and its `starts` are an `Experience`:
  `cfg.policy.starts` of the rows where dreams may start are drawn, each as
  likely as any other. Of them GRPO takes the first, so many that its groups
  make as many dreams.
  """

  def dream_fn(
    world: Any, key: jax.Array, starts: Any, policy_fn: policy_update.PolicyFn
  ) -> imagination.Rollout:
    start_key, dream_key = jax.random.split(key)
    count = len(starts.start)
    index = jax.random.randint(start_key, (cfg.policy.starts,), 0, count)
    index = groups.branch(index, cfg.policy.branches)
    rows = latents.take(starts.rows, starts.start[index])
    state = latents.unpack(cfg.world_model, rows)
    return imagination.imagine(
      cfg.world_model,
      world,
      dream_key,
      state,
      latents.progress(cfg.world_model, rows, state),
      policy_fn,
      cfg.policy.horizon,
      earned=rows.reward_terms,
      inputs_fn=functools.partial(policy_inputs.read, cfg),
    )

  return dream_fn


def make_replay_fn(cfg: config_lib.Config) -> policy_update.ReplayFn:
  """Makes the `ReplayFn` that draws from an `Experience`."""

  def replay_fn(key: jax.Array, starts: Any) -> replay.Sequences:
    return replay.draw(cfg, key, starts.rows)

  return replay_fn
