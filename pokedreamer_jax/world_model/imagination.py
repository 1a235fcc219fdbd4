"""Dreaming: the prior rolled forward under a policy with `lax.scan`.

Only the actor runs inside the scan; reward and continue heads are applied to
all imagined states at once. In float32 drawn states are read as numbers, not as
one-hots (`table_step.py`); `prior_step` is the plain form of one step. Samples
carry no gradient: policies learn from returns alone.
Time is the leading axis at this border: `L` imagined steps, `L + 1` states,
index 0 being the start; `N` dreams side by side.
"""

from collections.abc import Callable
from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import progress as progress_lib
from pokedreamer_jax.world_model import reward_heads
from pokedreamer_jax.world_model import table_step

# `(key, feat [N, F]) -> action [N]` int32.
PolicyFn = Callable[[jax.Array, jax.Array], jax.Array]
# What a policy reads of states and of what was reached, leaves `[..., ...]`.
InputsFn = Callable[[world_model.State, progress_lib.Progress], jax.Array]


def features_alone(
  state: world_model.State, progress: progress_lib.Progress
) -> jax.Array:
  """The features `[..., F]` of states, and nothing else."""
  del progress
  return world_model.features(state)


@flax.struct.dataclass
class Rollout:
  """Imagined experience; index 0 of states is where the dream started."""

  state: world_model.State  # leaves [L + 1, N, ...]
  feat: jax.Array  # [L + 1, N, F], what the policy reads
  action: jax.Array  # [L, N] int32, taken in state l
  reward_terms: jax.Array  # [L, N, 8] float32, on arriving in state l + 1
  cont: jax.Array  # [L, N] float32, probability that l + 1 is not terminal
  progress: progress_lib.Progress  # leaves [L + 1, N, ...], up to each state
  earned: jax.Array  # [N, 8] float32, terms of the episode before the dream

  @property
  def level(self) -> jax.Array:
    """The highest level up to each state, `[L + 1, N]`."""
    return self.progress.level


@flax.struct.dataclass
class Path:
  """Imagined states and what led through them; index 0 is the start."""

  state: world_model.State  # leaves [L + 1, N, ...]
  progress: progress_lib.Progress  # leaves [L + 1, N, ...]
  action: jax.Array  # [L, N] int32
  # Of states 1 to L, leaves [L, N, ...]; None by the plain step.
  numbers: table_step.Numbers | None


def prior_step(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  state: world_model.State,
  action: jax.Array,
  most_likely: bool | jax.Array = False,
) -> world_model.State:
  """One imagined step of `N` states.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    state: leaves `[N, ...]`.
    action: `[N]` integer.
    most_likely: take the most likely tokens and latents, not a sample; a
      scalar array where one program serves both.
  """
  token_key, stoch_key = jax.random.split(key)
  hot_action = jax.nn.one_hot(action, specs.NUM_ACTIONS)
  known = world_model.project_known(cfg, params, state.tokens, hot_action)
  deter = parts.apply(
    cfg, params, "rssm", state.deter, state.stoch, known, method="step"
  )
  hot = table_step.draw_tokens(
    cfg, params, token_key, deter, state.tokens, most_likely
  )
  prior = parts.apply(cfg, params, "rssm", deter, hot, method="prior")
  # The published family mixes none.
  mixed = 0.0 if cfg.family == "v2" else cfg.unimix
  prior = sampling.without_uniform(prior, mixed)
  stoch = sampling.one_hot_draw(stoch_key, prior, most_likely)
  stoch = stoch.reshape(*deter.shape[:-1], cfg.stoch_dim)
  return world_model.State(deter=deter, stoch=stoch, tokens=hot)


def imagine(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  start: world_model.State,
  reached: progress_lib.Progress,
  policy_fn: PolicyFn,
  length: int,
  earned: jax.Array | None = None,
  inputs_fn: InputsFn = features_alone,
) -> Rollout:
  """Dreams of `length` steps under a policy, from `N` states.

  Args:
    cfg: sizes.
    params: world-model parameters.
    key: typed PRNG key; consumed.
    start: leaves `[N, ...]`.
    reached: what was reached up to `start`, leaves `[N, ...]`.
    policy_fn: `(key, feat [N, F]) -> action [N]` int32.
    length: imagined steps `L`, static, at least 1.
    earned: reward terms of the episode so far, `[N, 8]`; zeros if None. Passed
      on to those who cap rewards.
    inputs_fn: what the policy reads.

  Returns:
    `Rollout`.

  Raises:
    ValueError: `length` is below 1, or the model predicts no reward terms.
  """
  cfg.check_reward_terms()
  path = roll(cfg, params, key, start, reached, policy_fn, length, inputs_fn)
  if earned is None:
    earned = jnp.zeros((path.action.shape[1], specs.NUM_REWARD_TERMS))
  terms, cont = judge(cfg, params, path)
  return Rollout(
    state=path.state,
    feat=inputs_fn(path.state, path.progress),
    action=path.action,
    reward_terms=terms,
    cont=cont,
    progress=path.progress,
    earned=earned,
  )


def roll(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  start: world_model.State,
  reached: progress_lib.Progress,
  policy_fn: PolicyFn,
  length: int,
  inputs_fn: InputsFn = features_alone,
  dense: bool = False,
) -> Path:
  """The states of `imagine`, judged by nobody; of family v2 as well.

  Args:
    cfg: sizes.
    params: world-model parameters.
    key: typed PRNG key; consumed.
    start: leaves `[N, ...]`.
    reached: what was reached up to `start`, leaves `[N, ...]`.
    policy_fn: `(key, feat [N, F]) -> action [N]` int32.
    length: imagined steps `L`, static, at least 1.
    inputs_fn: what the policy reads.
    dense: by the plain step, for who compares.

  Returns:
    `Path`.

  Raises:
    ValueError: `length` is below 1.
  """
  if length < 1:
    raise ValueError(f"length: {length}, expected at least 1")

  if dense or not table_step.serves(cfg):
    return _dense_roll(
      cfg, params, key, start, reached, policy_fn, length, inputs_fn
    )
  kernel = getattr(policy_fn, "kernel", None)
  rows = table_step.tables(cfg, params, kernel)

  def step(carry, step_key):
    state, share, progress = carry
    action_key, prior_key = jax.random.split(step_key)
    inputs = inputs_fn(state, progress)
    if kernel is None:
      action = policy_fn(action_key, inputs)
    else:
      policy: Any = policy_fn
      action = table_step.act(
        cfg, rows, policy, action_key, state.deter, share, inputs
      )
    deter, hot, share, numbers = table_step.step(
      *(cfg, params, rows, prior_key, state.deter, state.tokens),
      *(share, action),
    )
    progress = progress_lib.advance(cfg.token_sizes, hot, progress)
    # Nobody needs the latents of a policy whose rows are summed, and what
    # nobody needs is not made.
    made: Any = table_step.one_hots(cfg, deter, numbers)
    state = made.replace(tokens=hot)
    return (state, share, progress), (deter, progress, action, numbers)

  keys = jax.random.split(key, length)
  first = (start, table_step.share(cfg, rows, start), reached)
  _, (deter, later, action, numbers) = jax.lax.scan(step, first, keys)
  later = table_step.one_hots(cfg, deter, numbers), later
  state, progress = _from(start, reached, later)
  return Path(state=state, progress=progress, action=action, numbers=numbers)


def _dense_roll(
  cfg, params, key, start, reached, policy_fn, length, inputs_fn
) -> Path:
  """`roll` by the plain step."""

  def step(carry, step_key):
    state, progress = carry
    action_key, prior_key = jax.random.split(step_key)
    action = policy_fn(action_key, inputs_fn(state, progress))
    state = prior_step(cfg, params, prior_key, state, action)
    progress = progress_lib.advance(cfg.token_sizes, state.tokens, progress)
    return (state, progress), (state, progress, action)

  keys = jax.random.split(key, length)
  _, (*later, action) = jax.lax.scan(step, (start, reached), keys)
  state, progress = _from(start, reached, tuple(later))
  return Path(state=state, progress=progress, action=action, numbers=None)


def _from(start, reached, later):
  """States and progress `[L + 1, N, ...]` of the start and what follows."""
  return jax.tree.map(
    lambda first, later: jnp.concatenate([first[None], later]),
    (start, reached),
    later,
  )


def judge(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  path: Path,
) -> tuple[jax.Array, jax.Array]:
  """Terms `[L, N, 8]` and continues `[L, N]` of a dream, heads batched."""
  state, progress = path.state, path.progress
  arrived = jax.tree.map(lambda leaf: leaf[1:], state)
  if path.numbers is None:
    feat = world_model.features(arrived)
    reward = parts.apply(cfg, params, "reward", feat)
    logit = parts.apply(cfg, params, "continue", feat)
  else:
    products = table_step.first_products(
      *(cfg, table_step.first_kernels(cfg, params)),
      *(arrived.deter, path.numbers),
    )
    reward, logit = table_step.judged(cfg, params, products)
  predicted = reward_heads.predict(reward)
  before, after = (
    jax.tree.map(lambda leaf, part=part: leaf[part], progress)
    for part in (slice(None, -1), slice(1, None))
  )
  # Where a dream starts is no news, on the title screen neither: no map is
  # visited there, yet memory holds some number.
  here = progress_lib.here_flags(cfg.token_sizes, state.tokens[0])
  visited = before.visited.at[0].set(before.visited[0] | here)
  before = before.replace(visited=visited)
  terms = reward_heads.from_tokens(cfg.token_sizes, predicted, before, after)
  return terms, jax.nn.sigmoid(logit)


def replay_actions(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  start: world_model.State,
  action: jax.Array,
  most_likely: bool = False,
) -> world_model.State:
  """Open loop: imagined states `[L, N, ...]` under given actions `[L, N]`.

  The start is not repeated in the result: index 0 follows the first action.
  """
  chex.assert_rank(action, 2)

  keys = jax.random.split(key, len(action))
  if not table_step.serves(cfg):

    def dense_step(state, row):
      step_key, action_t = row
      state = prior_step(cfg, params, step_key, state, action_t, most_likely)
      return state, state

    return jax.lax.scan(dense_step, start, (keys, action))[1]
  rows = table_step.tables(cfg, params)

  def step(carry, row):
    step_key, action_t = row
    deter, hot, share = carry
    deter, hot, share, numbers = table_step.step(
      *(cfg, params, rows, step_key, deter, hot, share, action_t),
      most_likely=most_likely,
    )
    return (deter, hot, share), (deter, numbers)

  first = (start.deter, start.tokens, table_step.share(cfg, rows, start))
  _, (deter, numbers) = jax.lax.scan(step, first, (keys, action))
  return table_step.one_hots(cfg, deter, numbers)
