"""Dreams that begin where the policy's own dreams lead.

Recorded rows are where others went. A policy gets to places of its own, where
nothing is learned if no dream starts there, and may stay in them for good. So a
share of the dreams is preceded by a longer one, of which nothing is learned: it
starts at a recorded row, goes on for up to `policy.ahead_steps` under the
present policy, and where it is then the dream begins that is learned from.
Nothing of it is kept from update to update.
"""

import functools

from flax import struct
import jax
import jax.numpy as jnp

from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib


@struct.dataclass
class Start:
  """Where dreams begin; leaves `[N, ...]`."""

  state: world_model.State
  progress: progress_lib.Progress
  earned: jax.Array  # [N, 8] float32, reward terms of the episode so far


def lead(
  cfg: config_lib.Config,
  world: world_model.Params,
  key: jax.Array,
  start: Start,
  policy_fn: imagination.PolicyFn,
  goal: jax.Array | None,
  fixed: jax.Array | None = None,
) -> Start:
  """Starts of which the first `policy.ahead_starts` are further on.

  Args:
    cfg: the configuration.
    world: parameters of the world model.
    key: typed PRNG key; consumed.
    start: recorded states.
    policy_fn: of the present policy.
    goal: vectors `[N, 64]` that it pursues; None where it reads none.
    fixed: `[N]` bool, starts that stay where they are; None for none.

  Returns:
    `Start` of the same sizes. How far each is on is drawn from 1 to
    `policy.ahead_steps`, but never past an end of the game.
  """
  count = round(cfg.policy.ahead_starts * len(start.earned))
  if not count:
    return start
  some = jax.tree.map(lambda leaf: leaf[:count], start)
  steps_key, dream_key = jax.random.split(key)
  rollout = imagination.imagine(
    cfg.world_model,
    world,
    dream_key,
    some.state,
    some.progress,
    policy_fn,
    cfg.policy.ahead_steps,
    inputs_fn=functools.partial(
      policy_inputs.read, cfg, goal=None if goal is None else goal[:count]
    ),
  )
  steps = jax.random.randint(steps_key, (count,), 1, cfg.policy.ahead_steps + 1)
  going = jnp.cumprod(rollout.cont > 0.5, axis=0).sum(axis=0)
  steps = jnp.minimum(steps, going.astype(steps.dtype))
  if fixed is not None:
    steps = jnp.where(fixed[:count], 0, steps)
  there = lambda leaf: leaf[steps, jnp.arange(count)]
  gained = jnp.cumsum(rollout.reward_terms, axis=0)
  gained = jnp.concatenate([jnp.zeros_like(gained[:1]), gained])
  led = Start(
    state=jax.tree.map(there, rollout.state),
    progress=jax.tree.map(there, rollout.progress),
    earned=some.earned + there(gained),
  )
  return jax.tree.map(
    lambda far, near: jnp.concatenate([far, near[count:]]), led, start
  )
