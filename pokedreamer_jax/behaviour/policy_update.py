"""Learning inside imagined rollouts: what all algorithms share.

One update = one batch of `N` dreams of `L` steps under the current policy,
judged once (`dream_rows.py`), then passes of minibatches over its `L * N` rows.
Networks run over all rows at once, never inside the dream's scan, where only
the actor is needed. What differs: how advantages are made (`advantages.py`)
and the actor's loss (`actor_losses.py`). With the same key and state all
algorithms begin from the same starts, and those that group no dreams dream the
same.

The world enters as a `DreamFn`, so that a toy world can stand in.
"""

from collections.abc import Callable
from typing import Any
from typing import Protocol

import jax
import jax.numpy as jnp
import optax

from pokedreamer_jax.behaviour import actor_losses
from pokedreamer_jax.behaviour import critics
from pokedreamer_jax.behaviour import dream_rows
from pokedreamer_jax.behaviour import event_starts
from pokedreamer_jax.behaviour import policy_state
from pokedreamer_jax.behaviour import replay
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.networks import sampling

Metrics = dict[str, jax.Array]
# (key, features [N, F]) -> actions [N] int32
PolicyFn = Callable[[jax.Array, jax.Array], jax.Array]


class DreamFn(Protocol):
  """Dreams one batch under a policy; groups by `groups.repeat`."""

  def __call__(
    self, world: Any, key: jax.Array, starts: Any, policy_fn: PolicyFn
  ) -> dream_rows.Rollout: ...


class ReplayFn(Protocol):
  """Draws recorded sequences, as many and as long as a batch of dreams."""

  def __call__(self, key: jax.Array, starts: Any) -> replay.Sequences: ...


def make_update(
  cfg: config_lib.Config,
  dream_fn: DreamFn,
  replay_fn: ReplayFn | None = None,
) -> Callable[..., tuple[policy_state.PolicyState, Metrics]]:
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
    starts = dreams_from(starts, state)
    rollout: Any = dream_fn(world, dream_key, starts, policy_fn)
    rows, scale, metrics = dream_rows.judge(cfg, state, rollout, clone)
    played = None
    if cfg.policy.replay_scale and replay_fn is not None:
      replay_key = jax.random.fold_in(key, 1)
      sequences = replay_fn(replay_key, starts)
      played = dream_rows.judge_played(cfg, state, sequences)
    kl_scale = None if clone is None else _kl_scale(cfg.policy, state.update)
    state, losses = train_rows(state, shuffle_key, rows, played, kl_scale)
    state = state.replace(update=state.update + 1, return_scale=scale)
    metrics |= losses
    if state.event_reach is not None:
      survived = rows.weight.reshape(rollout.action.shape)
      reach, how = event_starts.moved(
        starts.events, rollout, rollout.event, survived
      )
      state = state.replace(event_reach=reach)
      metrics |= how
    metrics["param/actor_norm"] = optax.tree.norm(state.actor)
    metrics["param/critic_norm"] = optax.tree.norm(state.critic)
    if clone is None:
      for name in ("policy/kl_to_clone", "policy/kl_from_clone"):
        metrics.pop(name, None)
    else:
      metrics["policy/kl_scale"] = jnp.asarray(kl_scale)
    return state, metrics

  return update


def dreams_from(starts: Any, state: policy_state.PolicyState) -> Any:
  """`starts` as far before events as the policy has come."""
  if state.event_reach is None:
    return starts
  events = event_starts.at_reach(starts.events, state.event_reach)
  return starts.replace(events=events)


def make_policy_fn(
  cfg: behaviour_config.ActorCriticConfig, params: Any
) -> PolicyFn:
  """The actor as a sampling policy for dreams."""
  return ActorPolicy(cfg, params)


class ActorPolicy:
  """An actor that draws, as dreams may ask it: a `table_step.TablePolicy`."""

  def __init__(self, cfg: behaviour_config.ActorCriticConfig, params: Any):
    """Keeps configuration and parameters."""
    self._cfg, self._params = cfg, params

  @property
  def kernel(self) -> jax.Array:
    return actor_critic.first_kernel(self._cfg, self._params)

  def __call__(self, key: jax.Array, feat: jax.Array) -> jax.Array:
    logits = actor_critic.actor_logits(self._cfg, self._params, feat)
    return sampling.categorical(key, logits)

  def after(
    self, key: jax.Array, product: jax.Array, beside: jax.Array
  ) -> jax.Array:
    logits = actor_critic.actor_logits_after(
      self._cfg, self._params, product, beside
    )
    return sampling.categorical(key, logits)


def _make_train_rows(cfg: config_lib.Config):
  """Makes `(state, key, rows, played, kl_scale) -> (state, metrics)`."""
  actor_optimiser, critic_optimiser = policy_state.make_optimisers(cfg.policy)

  def train_actor(state, rows, kl_scale):
    grads, metrics = jax.grad(actor_losses.loss, argnums=1, has_aux=True)(
      cfg, state.actor, rows, kl_scale
    )
    updates, opt = actor_optimiser.update(grads, state.actor_opt, state.actor)
    metrics["grad/actor_norm"] = optax.tree.norm(grads)
    actor = optax.apply_updates(state.actor, updates)
    return state.replace(actor=actor, actor_opt=opt), metrics

  def leave_actor(state, rows, kl_scale):
    _, metrics = actor_losses.loss(cfg, state.actor, rows, kl_scale)
    metrics["grad/actor_norm"] = jnp.zeros(())
    return state, metrics

  def both_losses(params, rows, played):
    loss, metrics = critics.loss(cfg, params, rows)
    if played is not None:
      real, _ = critics.loss(cfg, params, played)
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
    state = state.replace(critic=critic, critic_opt=opt)
    if state.slow_critic is not None:
      rate = cfg.policy.slow_critic_rate
      slow = critics.follow(state.slow_critic, critic, rate)
      state = state.replace(slow_critic=slow)
    return state, metrics

  def train_rows(state, key, rows, played, kl_scale):
    warm = state.update >= cfg.policy.critic_warmup

    def step(state, index):
      batch, real = jax.tree.map(lambda leaf: leaf[index], (rows, played))
      state, critic_metrics = train_critic(state, batch, real)
      state, actor_metrics = jax.lax.cond(
        warm, train_actor, leave_actor, state, batch, kl_scale
      )
      return state, critic_metrics | actor_metrics

    def critic_step(state, index):
      batch, real = jax.tree.map(lambda leaf: leaf[index], (rows, played))
      return train_critic(state, batch, real)

    order = _shuffle(cfg, key, rows)
    both = cfg.policy.actor_epochs * cfg.policy.minibatches
    state, metrics = jax.lax.scan(step, state, order[:both])
    if both < len(order):
      state, more = jax.lax.scan(critic_step, state, order[both:])
      for name, values in more.items():
        metrics[name] = jnp.concatenate([metrics[name], values])
    return state, jax.tree.map(jnp.mean, metrics)

  return train_rows


def _shuffle(
  cfg: config_lib.Config, key: jax.Array, rows: dream_rows.Rows
) -> jax.Array:
  """Row indices `[epochs * minibatches, M / minibatches]`."""
  count = len(rows.action)
  keys = jax.random.split(key, cfg.policy.epochs)
  order = jax.vmap(lambda k: jax.random.permutation(k, count))(keys)
  return order.reshape(cfg.policy.epochs * cfg.policy.minibatches, -1)


def _kl_scale(
  cfg: behaviour_config.PolicyConfig, update: jax.Array
) -> jax.Array | float:
  """Linear from `kl_scale` at the first actor update to `kl_final`."""
  if cfg.algorithm == "pmpo":
    return cfg.pmpo_beta
  done = (update - cfg.critic_warmup) / max(cfg.updates - cfg.critic_warmup, 1)
  share = jnp.clip(done, 0.0, 1.0)
  return (1.0 - share) * cfg.kl_scale + share * cfg.kl_final
