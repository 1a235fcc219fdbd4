"""Dreams under given buttons: what a planner asks of a world model.

    plans = rng.integers(specs.NUM_ACTIONS, size=(1, 64, 15))
    dreamt = rollouts.rollout(config, world, key, state, plans)
    best = plans[0, rollouts.discounted(dreamt, gamma=0.99)[0].argmax()]

Shape letters: `B` states, `K` plans of each, `H` imagined steps; what lacks `K`
has one plan a state. Every dream has chance of its own: what it holds does not
depend on who dreams beside it.
"""

import dataclasses
import functools
import math
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import dream_env
from pokedreamer_jax.behaviour import dream_play
from pokedreamer_jax.behaviour import following
from pokedreamer_jax.behaviour import objectives
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import progress as progress_lib


@struct.dataclass
class Rollout:
  """Dreams; index 0 of states and frames is where they start."""

  state: dream_env.EnvState  # leaves [B, (K,) H + 1, ...]
  action: jax.Array  # [B, (K,) H] int32, taken in state h
  # [B, (K,) H, 8] float32, unweighted, on arriving in state h + 1
  reward_terms: jax.Array
  reward: jax.Array  # [B, (K,) H] float32, what the objective pays for them
  cont: jax.Array  # [B, (K,) H] float32, probability that h + 1 goes on
  # [B, (K,) H + 1, 144, 40] uint8, packed; None where they were not asked for
  frame: jax.Array | None


def rollout(
  cfg: config_lib.Config,
  world: world_model.Params,
  key: jax.Array,
  start: dream_env.EnvState | acting.ActState | world_model.State,
  action: Any,
  likely: bool = False,
  frames: bool = False,
) -> Rollout:
  """Dreams what given actions lead to.

  Compiled once for each configuration and shape; may be called from within
  another compiled function as well.

  Args:
    cfg: the configuration; `policy.reward` names the objective.
    world: parameters of the world model.
    key: typed PRNG key; consumed. Or keys `[B]` or `[B, K]`, one a dream:
      those with equal ones meet the same luck.
    start: states, leaves `[B, ...]`: of `following.follow`, `dream_env.begin`
      or another rollout, of players, or of the world model alone, see
      `following.at`.
    action: `[B, H]` or, for `K` plans of each state, `[B, K, H]` integers,
      indices into `specs.ACTIONS`.
    likely: what is most likely happens, instead of a sample.
    frames: draw the frames as well, one step of all dreams at a time.

  Returns:
    `Rollout`; with `[B, H]` no leaf has an axis `K`.

  Raises:
    ValueError: shapes that do not belong together, no such action, or a model
      that cannot be played step by step. Actions that are traced are not
      looked at.
  """
  dream_play.check(cfg)
  _check_action(action)
  shape = jnp.shape(action)
  _check_key(key, shape)
  _check_start(cfg, start, shape)
  if not isinstance(start, dream_env.EnvState):
    start = following.at(cfg, start)
  action = jnp.asarray(action, jnp.int32)
  return _rollout(cfg, world, key, start, action, likely, frames)


def discounted(
  dreamt: Rollout, gamma: float, value: jax.Array | None = None
) -> jax.Array:
  """What dreams are worth, `[B, (K,)]`: a planner takes the best.

  `sum_h (prod_{i < h} gamma c_i) r_h`, so that nothing counts behind the end
  of a game.

  Args:
    dreamt: dreams of `H` steps.
    gamma: discount of a step.
    value: `[B, (K,)]` of the last states, such as a critic's; None is 0.
  """
  going_on = jnp.cumprod(gamma * dreamt.cont, axis=-1)
  first = jnp.ones_like(going_on[..., :1])
  weight = jnp.concatenate([first, going_on[..., :-1]], axis=-1)
  total = jnp.sum(weight * dreamt.reward, axis=-1)
  return total if value is None else total + going_on[..., -1] * value


@functools.partial(jax.jit, static_argnums=(0, 5, 6))
def _rollout(cfg, world, key, start, action, likely, frames) -> Rollout:
  lead, length = action.shape[:-1], action.shape[-1]
  count = math.prod(lead)
  start = jax.tree.map(
    lambda leaf: jnp.repeat(leaf, count // lead[0], axis=0), start
  )
  if key.ndim == 0:
    keys = jax.random.split(key, count)
  else:
    keys = jnp.repeat(key.reshape(-1), count // key.size)
  states = _dream(
    cfg, world, keys, start, action.reshape(count, length), likely
  )
  terms, reward, cont = _judge(cfg, world, states)
  earned = jnp.cumsum(terms, axis=0)
  nothing = jnp.zeros_like(earned[:1])
  states = dataclasses.replace(
    states, earned=states.earned + jnp.concatenate([nothing, earned])
  )
  drawn = None
  if frames:
    decode = functools.partial(world_model.decode, cfg.world_model, world)
    drawn = jax.lax.map(decode, states.model)
  # From time first to [B, (K,) H, ...].
  states, terms, reward, cont, drawn = jax.tree.map(
    lambda leaf: jnp.moveaxis(leaf, 0, 1).reshape(
      *lead, len(leaf), *leaf.shape[2:]
    ),
    (states, terms, reward, cont, drawn),
  )
  return Rollout(states, action, terms, reward, cont, drawn)


def _dream(cfg, world, keys, start, action, likely) -> dream_env.EnvState:
  """States `[H + 1, N, ...]` of `N` dreams, earnings those of the start."""
  sizes = cfg.world_model.token_sizes

  def one(key, state, action):  # each with its own luck, as a batch of one
    lifted = jax.tree.map(lambda leaf: leaf[None], state)
    ahead = imagination.prior_step(
      cfg.world_model, world, key, lifted, action[None], likely
    )
    return jax.tree.map(lambda leaf: leaf[0], ahead)

  def step(state, row):
    ahead = jax.vmap(one)(row[0], state.model, row[1])
    state = dream_env.EnvState(
      model=ahead,
      progress=progress_lib.advance(sizes, ahead.tokens, state.progress),
      earned=state.earned,
      time=state.time + 1,
      running=state.running | dream_env.runs(sizes, ahead.tokens),
    )
    return state, state

  step_keys = jax.vmap(jax.random.split, (0, None))(keys, action.shape[1])
  _, later = jax.lax.scan(step, start, (step_keys.T, action.T))
  return jax.tree.map(
    lambda first, rest: jnp.concatenate([first[None], rest]), start, later
  )


def _judge(cfg, world, states) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Terms `[H, N, 8]`, rewards and continues `[H, N]`; heads batched."""
  before, after = (
    jax.tree.map(lambda leaf, part=part: leaf[part], states)
    for part in (slice(None, -1), slice(1, None))
  )
  terms = dream_play.expected_terms(
    *(cfg, world, before.model, before.progress),
    *(after.model, after.progress),
  )
  # What a title screen leads to is no news.
  terms = jnp.where(before.running[..., None], terms, 0.0)
  steps = _Steps(terms, before.earned[0], states.progress.level)
  reward = jnp.where(before.running, objectives.rewards(cfg, steps), 0.0)
  feat = world_model.features(after.model)
  logit = parts.apply(cfg.world_model, world, "continue", feat)
  return terms, reward, jax.nn.sigmoid(logit)


@dataclasses.dataclass
class _Steps:
  """`objectives.Steps`."""

  reward_terms: jax.Array  # [H, N, 8]
  earned: jax.Array  # [N, 8]
  level: jax.Array  # [H + 1, N]


def _check_action(action: Any) -> None:
  shape = jnp.shape(action)
  dtype = action.dtype if hasattr(action, "dtype") else jnp.result_type(action)
  if len(shape) not in (2, 3) or 0 in shape:
    raise ValueError(
      f"action: {dtype}{list(shape)}, expected [B, H] or [B, K, H], one or "
      "more of each"
    )
  if not jnp.issubdtype(dtype, jnp.integer):
    raise ValueError(
      f"action: {dtype}{list(shape)}, expected integers, indices into "
      "specs.ACTIONS"
    )
  if isinstance(action, jax.core.Tracer):
    return
  values = np.asarray(action)
  wrong = values[(values < 0) | (values >= specs.NUM_ACTIONS)]
  if wrong.size:
    raise ValueError(
      f"action: holds {wrong[0]}, expected 0 to {specs.NUM_ACTIONS - 1}"
    )


def _check_key(key: Any, action: tuple[int, ...]) -> None:
  typed = isinstance(key, jax.Array) and jnp.issubdtype(
    key.dtype, jax.dtypes.prng_key
  )
  if not typed or key.shape not in ((), action[:1], action[:-1]):
    found = getattr(key, "dtype", type(key).__name__)
    raise ValueError(
      f"key: {found}{list(jnp.shape(key))}, expected one of jax.random.key, or "
      f"{list(action[:-1])} of them, one a dream"
    )


def _check_start(
  cfg: config_lib.Config, start: Any, action: tuple[int, ...]
) -> None:
  model, state = cfg.world_model, getattr(start, "model", start)
  if not isinstance(state, world_model.State):
    raise ValueError(
      f"start: {type(start).__name__}, expected dream_env.EnvState, "
      "acting.ActState or the world model's State"
    )
  for name, size in (
    ("deter", model.deter),
    ("stoch", model.stoch_dim),
    ("tokens", model.token_dim),
  ):
    shape = jnp.shape(getattr(state, name))
    if shape != (action[0], size):
      raise ValueError(
        f"start: {name} {list(shape)}, expected [{action[0]}, {size}]: a state "
        f"for each of the {action[0]} of action {list(action)}, of this "
        "configuration"
      )
