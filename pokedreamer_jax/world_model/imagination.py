"""Dreaming: the prior rolled forward under a policy with `lax.scan`.

Only the actor runs inside the scan; reward and continue heads are applied to
all imagined states at once. In float32 drawn states are read as numbers, not as
one-hots (`table_step.py`); `prior_step` is the plain form of one step. Samples
carry no gradient: policies learn from returns alone.
Time is the leading axis at this border: `L` imagined steps, `L + 1` states,
index 0 being the start; `N` dreams side by side.
"""

from collections.abc import Callable

import chex
import flax.struct
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import model as world_model
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
  deter = world_model.apply(
    cfg, params, "rssm", state.deter, state.stoch, known, method="step"
  )
  hot = table_step.draw_tokens(
    cfg, params, token_key, deter, state.tokens, most_likely
  )
  prior = world_model.apply(cfg, params, "rssm", deter, hot, method="prior")
  prior = sampling.without_uniform(prior, cfg.unimix)
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
  if length < 1:
    raise ValueError(f"length: {length}, expected at least 1")

  def step(carry, step_key):
    state, share, progress = carry
    action_key, prior_key = jax.random.split(step_key)
    action = policy_fn(action_key, inputs_fn(state, progress))
    state, share, numbers = _next(cfg, params, prior_key, state, share, action)
    progress = progress_lib.advance(cfg.token_sizes, state.tokens, progress)
    return (state, share, progress), (state, progress, action, numbers)

  keys = jax.random.split(key, length)
  first = (start, _share(cfg, params, start), reached)
  _, (*rest, action, numbers) = jax.lax.scan(step, first, keys)
  if earned is None:
    earned = jnp.zeros((action.shape[1], specs.NUM_REWARD_TERMS))
  state, progress = jax.tree.map(
    lambda first, later: jnp.concatenate([first[None], later]),
    (start, reached),
    tuple(rest),
  )
  terms, cont = _judge(cfg, params, state, progress, numbers)
  return Rollout(
    state=state,
    feat=inputs_fn(state, progress),
    action=action,
    reward_terms=terms,
    cont=cont,
    progress=progress,
    earned=earned,
  )


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

  def step(carry, row):
    state, share = carry
    step_key, action_t = row
    state, share, _ = _next(
      cfg, params, step_key, state, share, action_t, most_likely
    )
    return (state, share), state

  keys = jax.random.split(key, len(action))
  first = (start, _share(cfg, params, start))
  _, states = jax.lax.scan(step, first, (keys, action))
  return states


def _share(cfg, params, start) -> table_step.Share | None:
  """What scans carry beside the state: None where the dense step runs."""
  return (
    table_step.share(cfg, params, start) if table_step.serves(cfg) else None
  )


def _next(cfg, params, key, state, share, action, most_likely=False):
  """The next state, its share, and its numbers where the share is carried."""
  if share is None:
    following = prior_step(cfg, params, key, state, action, most_likely)
    return following, None, None
  following, numbers = table_step.step(
    cfg, params, key, state, share, action, most_likely
  )
  return following, table_step.drawn_share(cfg, params, numbers), numbers


def _judge(cfg, params, state, progress, numbers):
  """Terms `[L, N, 8]` and continues `[L, N]` of a dream, heads batched."""
  arrived = jax.tree.map(lambda leaf: leaf[1:], state)
  if numbers is None:
    feat = world_model.features(arrived)
    reward = world_model.apply(cfg, params, "reward", feat)
    logit = world_model.apply(cfg, params, "continue", feat)
  else:
    reward, logit = table_step.judge(cfg, params, arrived.deter, numbers)
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
