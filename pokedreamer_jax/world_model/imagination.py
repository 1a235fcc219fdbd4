"""Dreaming: the prior rolled forward under a policy with `lax.scan`.

Only the actor runs inside the scan; reward and continue heads are applied to
all imagined states at once. Samples carry no gradient: policies learn from
returns alone.
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
from pokedreamer_jax.world_model import reward_heads

# `(key, feat [N, F]) -> action [N]` int32.
PolicyFn = Callable[[jax.Array, jax.Array], jax.Array]


@flax.struct.dataclass
class Rollout:
  """Imagined experience; index 0 of states is where the dream started."""

  state: world_model.State  # leaves [L + 1, N, ...]
  feat: jax.Array  # [L + 1, N, F]
  action: jax.Array  # [L, N] int32, taken in state l
  reward_terms: jax.Array  # [L, N, 8] float32, on arriving in state l + 1
  cont: jax.Array  # [L, N] float32, probability that l + 1 is not terminal
  visited: jax.Array  # [L + 1, N, 256] bool, maps seen
  earned: jax.Array  # [N, 8] float32, terms of the episode before the dream


def prior_step(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  state: world_model.State,
  action: jax.Array,
  most_likely: bool = False,
) -> world_model.State:
  """One imagined step of `N` states.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    state: leaves `[N, ...]`.
    action: `[N]` integer.
    most_likely: take the most likely tokens and latents, not a sample.
  """
  token_key, stoch_key = jax.random.split(key)
  hot_action = jax.nn.one_hot(action, specs.NUM_ACTIONS)
  known = world_model.project_known(cfg, params, state.tokens, hot_action)
  deter = world_model.apply(
    cfg, params, "rssm", state.deter, state.stoch, known, method="step"
  )
  hot = jnp.zeros((*deter.shape[:-1], 0))
  if cfg.token_sizes:
    logits = world_model.token_logits(cfg, params, deter, state.tokens)
    chain = params["chain"]["kernel"]
    hot = sampling.token_draw(
      token_key, cfg.token_sizes, logits, chain, most_likely
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
  visited: jax.Array,
  policy_fn: PolicyFn,
  length: int,
  earned: jax.Array | None = None,
) -> Rollout:
  """Dreams of `length` steps under a policy, from `N` states.

  Args:
    cfg: sizes.
    params: world-model parameters.
    key: typed PRNG key; consumed.
    start: leaves `[N, ...]`.
    visited: maps already seen, `[N, 256]` bool.
    policy_fn: `(key, feat [N, F]) -> action [N]` int32.
    length: imagined steps `L`, static, at least 1.
    earned: reward terms of the episode so far, `[N, 8]`; zeros if None. Passed
      on to those who cap rewards.

  Returns:
    `Rollout`.

  Raises:
    ValueError: `length` is below 1, or the model predicts no reward terms.
  """
  cfg.check_reward_terms()
  if length < 1:
    raise ValueError(f"length: {length}, expected at least 1")

  def step(state, step_key):
    action_key, prior_key = jax.random.split(step_key)
    action = policy_fn(action_key, world_model.features(state))
    following = prior_step(cfg, params, prior_key, state, action)
    return following, (following, action)

  keys = jax.random.split(key, length)
  _, (states, action) = jax.lax.scan(step, start, keys)
  if earned is None:
    earned = jnp.zeros((action.shape[1], specs.NUM_REWARD_TERMS))
  return _judge(cfg, params, start, states, action, visited, earned)


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

  def step(state, row):
    step_key, action_t = row
    state = prior_step(cfg, params, step_key, state, action_t, most_likely)
    return state, state

  keys = jax.random.split(key, len(action))
  _, states = jax.lax.scan(step, start, (keys, action))
  return states


def _judge(cfg, params, start, states, action, visited, earned) -> Rollout:
  """Rewards and continues of a whole dream, heads batched over time."""
  feat = world_model.features(states)
  predicted = reward_heads.predict(
    world_model.apply(cfg, params, "reward", feat)
  )
  logit = world_model.apply(cfg, params, "continue", feat)
  state = jax.tree.map(
    lambda first, rest: jnp.concatenate([first[None], rest]), start, states
  )

  def score(progress, row):
    predicted_t, hot = row
    terms, progress = reward_heads.from_tokens(
      cfg.token_sizes, predicted_t, hot, progress
    )
    return progress, (terms, progress.visited)

  progress = reward_heads.start_progress(cfg.token_sizes, start.tokens, visited)
  _, (terms, seen) = jax.lax.scan(score, progress, (predicted, states.tokens))
  return Rollout(
    state=state,
    feat=jnp.concatenate([world_model.features(start)[None], feat]),
    action=action,
    reward_terms=terms,
    cont=jax.nn.sigmoid(logit),
    visited=jnp.concatenate([visited[None], seen]),
    earned=earned,
  )
