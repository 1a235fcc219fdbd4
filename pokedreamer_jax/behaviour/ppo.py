"""PPO inside imagined rollouts (Schulman et al. 2017, eq. 7).

One update = one batch of `N` dreams of `L` steps under the current policy, then
several epochs of minibatches over its `L * N` rows. Advantages, returns and
the clone's opinion are computed once a batch; networks run over all rows at
once, never inside the dream's scan, where only the actor is needed.

The world enters as a `DreamFn`, so that a toy world can stand in.
"""

from collections.abc import Callable
from typing import Any
from typing import Protocol

import chex
from flax import struct
import jax
import jax.numpy as jnp
import optax

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import objectives
from pokedreamer_jax.behaviour import replay
from pokedreamer_jax.behaviour import returns as returns_lib
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.networks import two_hot

Metrics = dict[str, jax.Array]
# (key, features [N, F]) -> actions [N] int32
PolicyFn = Callable[[jax.Array, jax.Array], jax.Array]


class Rollout(Protocol):
  """What PPO reads of a dream; time first, as `imagination.Rollout`."""

  feat: jax.Array  # [L + 1, N, F], index 0 is the start
  action: jax.Array  # [L, N] int32
  reward_terms: jax.Array  # [L, N, 8] on arriving at states 1..L
  cont: jax.Array  # [L, N] probability that states 1..L are not terminal
  earned: jax.Array  # [N, 8] terms of the episode before the dream

  @property
  def level(self) -> jax.Array:
    """The highest level up to each state, `[L + 1, N]`."""


class DreamFn(Protocol):
  """Dreams one batch under a policy."""

  def __call__(
    self, world: Any, key: jax.Array, starts: Any, policy_fn: PolicyFn
  ) -> Rollout: ...


class ReplayFn(Protocol):
  """Draws recorded sequences, as many and as long as a batch of dreams."""

  def __call__(self, key: jax.Array, starts: Any) -> replay.Sequences: ...


@struct.dataclass
class PolicyState:
  """What an update reads and returns; the caller may donate it."""

  actor: Any  # parameters
  critic: Any  # parameters
  actor_opt: Any
  critic_opt: Any
  update: jax.Array  # [] int32, dream batches used


@struct.dataclass
class Rows:
  """Rows of a dream batch as minibatches see them, `M = L * N` at most."""

  feat: jax.Array  # [M, F]
  action: jax.Array  # [M] int32
  log_prob: jax.Array  # [M] of `action` when it was taken
  clone_logits: jax.Array  # [M, A] normalised log-probabilities
  advantage: jax.Array  # [M] normalised
  returns: jax.Array  # [M] targets of the critic
  weight: jax.Array  # [M] probability that the state was reached


@struct.dataclass
class PlayedRows:
  """Rows of recorded sequences, for the critic alone; `M = L * N`."""

  feat: jax.Array  # [M, F]
  returns: jax.Array  # [M]
  weight: jax.Array  # [M] 0 where a row has no return


def init_state(
  cfg: config_lib.Config, key: jax.Array, feat_dim: int, actor: Any = None
) -> PolicyState:
  """A policy before its first update.

  Args:
    cfg: the configuration.
    key: typed PRNG key; consumed.
    feat_dim: `F`.
    actor: parameters to start from (the clone), copied; fresh if None.
  """
  actor_key, critic_key = jax.random.split(key)
  if actor is None:
    actor = actor_critic.init_actor(cfg.actor_critic, actor_key, feat_dim)
  # Copied, because the state is donated and the clone is still needed.
  actor = jax.tree.map(jnp.copy, actor)
  critic = actor_critic.init_critic(cfg.actor_critic, critic_key, feat_dim)
  actor_optimiser, critic_optimiser = make_optimisers(cfg.policy)
  return PolicyState(
    actor=actor,
    critic=critic,
    actor_opt=actor_optimiser.init(actor),
    critic_opt=critic_optimiser.init(critic),
    update=jnp.zeros((), jnp.int32),
  )


def make_optimisers(
  cfg: behaviour_config.PolicyConfig,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
  """Adam for the actor and for the critic, gradients clipped by norm."""

  def make(rate):
    return optax.chain(
      optax.clip_by_global_norm(cfg.max_grad_norm), optax.adam(rate, eps=1e-5)
    )

  return make(cfg.learning_rate), make(cfg.critic_learning_rate)


def make_update(
  cfg: config_lib.Config,
  dream_fn: DreamFn,
  replay_fn: ReplayFn | None = None,
) -> Callable[..., tuple[PolicyState, Metrics]]:
  """Makes `(state, key, world, starts, clone) -> (state, metrics)`.

  The caller jits it once and may donate `state`. `key` is the run's key: the
  update's own number is folded in, so a resumed run repeats. `clone` holds the
  parameters of the cloned actor, or None for no divergence term. The first
  `critic_warmup` updates leave the actor alone: a random critic would destroy
  a clone. Where `policy.replay_scale` is above 0 the critic also learns from
  what `replay_fn` draws of `starts`.
  """
  if cfg.policy.replay_scale and replay_fn is None:
    raise ValueError(
      f"policy.replay_scale: {cfg.policy.replay_scale}, nothing was recorded "
      "here, expected 0"
    )
  train_rows = _make_train_rows(cfg)

  def update(state, key, world, starts, clone):
    key = jax.random.fold_in(key, state.update)
    dream_key, shuffle_key = jax.random.split(key)
    policy_fn = make_policy_fn(cfg.actor_critic, state.actor)
    rollout = dream_fn(world, dream_key, starts, policy_fn)
    rows, metrics = make_rows(cfg, state, rollout, clone)
    played = None
    if cfg.policy.replay_scale and replay_fn is not None:
      replay_key = jax.random.fold_in(key, 1)
      played = judge_played(cfg, state, replay_fn(replay_key, starts))
    kl_scale = 0.0 if clone is None else _annealed_kl(cfg.policy, state.update)
    state, losses = train_rows(state, shuffle_key, rows, played, kl_scale)
    state = state.replace(update=state.update + 1)
    metrics |= losses
    metrics["param/actor_norm"] = optax.tree.norm(state.actor)
    metrics["param/critic_norm"] = optax.tree.norm(state.critic)
    if clone is None:
      del metrics["policy/kl_to_clone"]
    else:
      metrics["policy/kl_scale"] = jnp.asarray(kl_scale)
    return state, metrics

  return update


def make_policy_fn(
  cfg: behaviour_config.ActorCriticConfig, params: Any
) -> PolicyFn:
  """The actor as a sampling policy for dreams."""

  def policy_fn(key, feat):
    logits = actor_critic.actor_logits(cfg, params, feat)
    return sampling.categorical(key, logits)

  return policy_fn


def make_rows(
  cfg: config_lib.Config,
  state: PolicyState,
  rollout: Rollout,
  clone: Any,
) -> tuple[Rows, Metrics]:
  """Judges a dream batch: values, returns, advantages; no gradients.

  Advantages are normalised over the batch, not divided by the spread of the
  returns: that spread says where in the game a dream started, not what its
  actions were worth, and is ten times larger.

  Returns:
    `Rows` with leaves `[L * N, ...]`, and metrics of the dreams.
  """
  length, dreams = rollout.action.shape
  chex.assert_shape(rollout.feat, (length + 1, dreams, None))
  chex.assert_shape(
    rollout.reward_terms, (length, dreams, specs.NUM_REWARD_TERMS)
  )
  chex.assert_shape(rollout.cont, (length, dreams))
  value = two_hot.mean(
    actor_critic.critic_logits(cfg.actor_critic, state.critic, rollout.feat),
    actor_critic.value_bins(cfg.actor_critic),
  )
  reward = objectives.rewards(cfg, rollout)
  streams = (1, 1, 1, None)
  targets = jax.vmap(returns_lib.lambda_returns, streams, 1)(
    reward, cfg.policy.gamma * rollout.cont, value, cfg.policy.lambda_
  )
  reached = jax.vmap(returns_lib.survival, 1, 1)(rollout.cont)
  advantage, deviation = returns_lib.normalise_advantages(
    targets - value[:-1], reached, cfg.policy.advantage_floor
  )
  feat = rollout.feat[:-1]
  logits = actor_critic.actor_logits(cfg.actor_critic, state.actor, feat)
  clone_logits = logits
  if clone is not None:
    clone_logits = actor_critic.actor_logits(cfg.actor_critic, clone, feat)
  rows = Rows(
    feat=feat,
    action=rollout.action,
    log_prob=_of_action(logits, rollout.action),
    clone_logits=clone_logits,
    advantage=advantage,
    returns=targets,
    weight=reached,
  )
  metrics = _dream_metrics(rollout, reward, reached, targets, value)
  metrics["imagined/advantage_deviation"] = deviation
  flat = lambda leaf: leaf.reshape(length * dreams, *leaf.shape[2:])
  rows = jax.lax.stop_gradient(jax.tree.map(flat, rows))
  return rows, metrics


def judge_played(
  cfg: config_lib.Config,
  state: PolicyState,
  sequences: replay.Sequences,
) -> PlayedRows:
  """Returns of recorded sequences, `[L * N, ...]`; no gradients."""
  value = two_hot.mean(
    actor_critic.critic_logits(cfg.actor_critic, state.critic, sequences.feat),
    actor_critic.value_bins(cfg.actor_critic),
  )
  reward = objectives.rewards(cfg, sequences)
  # Into the next episode nothing rises.
  reward *= sequences.weight
  targets = replay.returns(
    *(sequences, value, reward, cfg.policy.gamma, cfg.policy.lambda_)
  )
  flat = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])
  rows = PlayedRows(
    feat=flat(sequences.feat[:-1]),
    returns=flat(targets),
    weight=flat(sequences.weight),
  )
  return jax.lax.stop_gradient(rows)


def actor_loss(
  cfg: config_lib.Config, params: Any, rows: Rows, kl_scale: jax.Array | float
) -> tuple[jax.Array, Metrics]:
  """Clipped surrogate, entropy bonus and divergence from the clone.

  Args:
    cfg: the configuration.
    params: of the actor.
    rows: leaves `[M, ...]`.
    kl_scale: weight of `KL(policy || clone)`.

  Returns:
    The loss `[]` and metrics, all means weighted by `rows.weight`.
  """
  chex.assert_rank([rows.feat, rows.action, rows.advantage], [2, 1, 1])
  logits = actor_critic.actor_logits(cfg.actor_critic, params, rows.feat)
  log_ratio = _of_action(logits, rows.action) - rows.log_prob
  ratio = jnp.exp(log_ratio)
  clipped = jnp.clip(ratio, 1.0 - cfg.policy.clip, 1.0 + cfg.policy.clip)
  surrogate = jnp.minimum(ratio * rows.advantage, clipped * rows.advantage)
  probs = jnp.exp(logits)
  entropy = -jnp.sum(probs * logits, axis=-1)
  kl = jnp.sum(probs * (logits - rows.clone_logits), axis=-1)
  per_row = -surrogate - cfg.policy.entropy_scale * entropy + kl_scale * kl
  chex.assert_equal_shape([per_row, rows.weight])
  mean = lambda x: _mean(x, rows.weight)
  loss = mean(per_row)
  outside = (jnp.abs(ratio - 1.0) > cfg.policy.clip).astype(jnp.float32)
  return loss, {
    "loss/actor": loss,
    "policy/entropy": mean(entropy),
    "policy/kl_to_clone": mean(kl),
    # The low-variance estimate of KL(old || new), never negative.
    "policy/kl_to_old": mean(ratio - 1.0 - log_ratio),
    "policy/clip_fraction": mean(outside),
  }


def critic_loss(
  cfg: config_lib.Config, params: Any, rows: Rows | PlayedRows
) -> tuple[jax.Array, Metrics]:
  """Cross-entropy to the two-hot returns, weighted by `rows.weight`."""
  chex.assert_rank([rows.feat, rows.returns], [2, 1])
  logits = actor_critic.critic_logits(cfg.actor_critic, params, rows.feat)
  bins = actor_critic.value_bins(cfg.actor_critic)
  per_row = two_hot.cross_entropy(logits, rows.returns, bins)
  chex.assert_equal_shape([per_row, rows.weight])
  loss = _mean(per_row, rows.weight)
  return loss, {"loss/critic": loss}


def _make_train_rows(cfg: config_lib.Config):
  """Makes `(state, key, rows, played, kl_scale) -> (state, metrics)`."""
  actor_optimiser, critic_optimiser = make_optimisers(cfg.policy)

  def train_actor(state, rows, kl_scale):
    grads, metrics = jax.grad(actor_loss, argnums=1, has_aux=True)(
      cfg, state.actor, rows, kl_scale
    )
    updates, opt = actor_optimiser.update(grads, state.actor_opt, state.actor)
    metrics["grad/actor_norm"] = optax.tree.norm(grads)
    actor = optax.apply_updates(state.actor, updates)
    return state.replace(actor=actor, actor_opt=opt), metrics

  def leave_actor(state, rows, kl_scale):
    _, metrics = actor_loss(cfg, state.actor, rows, kl_scale)
    metrics["grad/actor_norm"] = jnp.zeros(())
    return state, metrics

  def both_losses(params, rows, played):
    loss, metrics = critic_loss(cfg, params, rows)
    if played is not None:
      real, _ = critic_loss(cfg, params, played)
      loss += cfg.policy.replay_scale * real
      metrics["loss/critic_played"] = real
    return loss, metrics

  def train_critic(state, rows, played):
    grads, metrics = jax.grad(both_losses, has_aux=True)(
      state.critic, rows, played
    )
    updates, opt = critic_optimiser.update(
      grads, state.critic_opt, state.critic
    )
    metrics["grad/critic_norm"] = optax.tree.norm(grads)
    critic = optax.apply_updates(state.critic, updates)
    return state.replace(critic=critic, critic_opt=opt), metrics

  def train_rows(state, key, rows, played, kl_scale):
    warm = state.update >= cfg.policy.critic_warmup

    def step(state, index):
      batch, real = jax.tree.map(lambda leaf: leaf[index], (rows, played))
      state, critic_metrics = train_critic(state, batch, real)
      state, actor_metrics = jax.lax.cond(
        warm, train_actor, leave_actor, state, batch, kl_scale
      )
      return state, actor_metrics | critic_metrics

    state, metrics = jax.lax.scan(step, state, _shuffle(cfg, key, rows))
    return state, jax.tree.map(jnp.mean, metrics)

  return train_rows


def _shuffle(cfg: config_lib.Config, key: jax.Array, rows: Rows) -> jax.Array:
  """Row indices `[epochs * minibatches, M / minibatches]`."""
  count = len(rows.action)
  keys = jax.random.split(key, cfg.policy.epochs)
  order = jax.vmap(lambda k: jax.random.permutation(k, count))(keys)
  return order.reshape(cfg.policy.epochs * cfg.policy.minibatches, -1)


def _annealed_kl(
  cfg: behaviour_config.PolicyConfig, update: jax.Array
) -> jax.Array:
  """Linear from `kl_scale` at the first actor update to `kl_final`."""
  done = (update - cfg.critic_warmup) / max(cfg.updates - cfg.critic_warmup, 1)
  share = jnp.clip(done, 0.0, 1.0)
  return (1.0 - share) * cfg.kl_scale + share * cfg.kl_final


def _dream_metrics(rollout, reward, reached, targets, value) -> Metrics:
  """Means over dreams; terms are unweighted sums over a dream."""
  residual = _variance(targets - value[:-1], reached)
  explained = 1.0 - residual / jnp.maximum(_variance(targets, reached), 1e-8)
  terms = jnp.sum(rollout.reward_terms * reached[..., None], axis=0)
  metrics = {
    f"imagined/{name}": jnp.mean(terms[:, index])
    for index, name in enumerate(specs.REWARD_TERMS)
  }
  return metrics | {
    "imagined/reward": jnp.mean(jnp.sum(reward * reached, axis=0)),
    "imagined/return": jnp.mean(targets[0]),
    "imagined/value": jnp.mean(value[0]),
    "imagined/survival": jnp.mean(reached[-1]),
    "critic/explained_variance": explained,
  }


def _of_action(logits: jax.Array, action: jax.Array) -> jax.Array:
  return jnp.take_along_axis(logits, action[..., None], axis=-1)[..., 0]


def _mean(x: jax.Array, weight: jax.Array) -> jax.Array:
  return jnp.sum(x * weight) / jnp.maximum(jnp.sum(weight), 1e-6)


def _variance(x: jax.Array, weight: jax.Array) -> jax.Array:
  return _mean(jnp.square(x - _mean(x, weight)), weight)
