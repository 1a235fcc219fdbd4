"""States to dream on from, kept up to date beside a real game.

    state = following.nothing(config, 1)
    action = np.array([specs.PASS])
    for every row [1, ...] of the game, action being what led to it:
      state = follow(config, world, key, state, action, row)
      rollouts.rollout(config, world, key, state, plans)

`N` games side by side, leaves `[N, ...]`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import dream_env
from pokedreamer_jax.behaviour import dream_play
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib


def nothing(cfg: config_lib.Config, count: int) -> dream_env.EnvState:
  """The states of `count` games of which no row was seen yet."""
  return dream_env.EnvState(
    model=world_model.initial_state(cfg.world_model, (count,)),
    progress=progress_lib.nothing((count,)),
    earned=jnp.zeros((count, specs.NUM_REWARD_TERMS)),
    time=jnp.zeros(count, jnp.int32),
    running=jnp.zeros(count, bool),
  )


def follow(
  cfg: config_lib.Config,
  world: world_model.Params,
  key: jax.Array,
  state: dream_env.EnvState,
  action: Any,
  row: Mapping[str, Any],
) -> dream_env.EnvState:
  """States after one more row of each game.

  Args:
    cfg: the configuration; `cfg.world_model.ram` decides whether tokens are
      read from the RAM, guessed from the frame, or absent.
    world: parameters of the world model, at least `acting.acting_params`.
    key: typed PRNG key; consumed.
    state: after the row before, or `nothing`.
    action: `[N]` integer, what led to the row; ignored where it is first.
    row: step fields `[N, ...]`: `frame`, `is_first`, `dream_play.row_fields`,
      and `reward_terms` where the objective caps them.

  Raises:
    ValueError: a field is missing, or no row and action for each game.
  """
  model, count = cfg.world_model, len(state.time)
  read = dream_play.row_fields(model) if model.ram == "given" else ()
  missing = [n for n in ("frame", "is_first", *read) if n not in row]
  if missing:
    raise ValueError(f"row: lacks {missing}, expected step fields of `specs`")
  for name, array in (("action", action), ("row['frame']", row["frame"])):
    if jnp.shape(array)[:1] != (count,):
      raise ValueError(
        f"{name}: {list(jnp.shape(array))}, expected [{count}, ...] for the "
        f"{count} games of `state`"
      )
  first = jnp.asarray(row["is_first"])
  ram = {name: jnp.asarray(row[name]) for name in read}
  seen = world_model.act_step(
    model,
    world,
    key,
    state.model,
    jnp.asarray(row["frame"]),
    ram,
    jnp.asarray(action, jnp.int32),
    first,
    infer=model.infers_tokens,
  )
  before = acting.restart_progress(state.progress, first)
  running = ram["game_running"] if model.ram == "given" else None
  terms = jnp.asarray(row.get("reward_terms", 0.0), jnp.float32)
  return dream_env.EnvState(
    model=seen,
    progress=progress_lib.advance(
      model.token_sizes, seen.tokens, before, running
    ),
    earned=jnp.where(first[:, None], 0.0, state.earned + terms),
    time=jnp.where(first, 0, state.time + 1),
    running=jnp.ones(count, bool) if running is None else running,
  )


def at(
  cfg: config_lib.Config,
  state: world_model.State | acting.ActState,
) -> dream_env.EnvState:
  """States to dream on from, of a world model's or of players' states.

  What players reached is known; beside a bare state nothing was reached but
  what it holds itself. Nothing was earned that a cap could count.

  Args:
    cfg: the configuration.
    state: leaves `[N, ...]`.
  """
  sizes = cfg.world_model.token_sizes
  if isinstance(state, acting.ActState):
    model, progress = state.model, state.progress
  else:
    model = state
    nothing_yet = progress_lib.nothing(model.tokens.shape[:-1])
    progress = progress_lib.advance(sizes, model.tokens, nothing_yet)
  count = len(model.deter)
  return dream_env.EnvState(
    model=model,
    progress=progress,
    earned=jnp.zeros((count, specs.NUM_REWARD_TERMS)),
    time=jnp.zeros(count, jnp.int32),
    running=dream_env.runs(sizes, model.tokens),
  )
