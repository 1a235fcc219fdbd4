"""Behaviour cloning: the actor imitates recorded actions on posterior states.

Masked cross-entropy. Rows that are no target (another behaviour chose, the
action was never executed) carry weight 0 and do not matter at all.
"""

from collections.abc import Callable
from typing import Any

import chex
from flax import struct
import jax
import jax.numpy as jnp
import optax

from pokedreamer_jax import specs
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic

Metrics = dict[str, jax.Array]
# Key, rows of the training set, what all of them share -> inputs `[M, F]`,
# inside jit.
FeatFn = Callable[[jax.Array, Any, Any], jax.Array]


@struct.dataclass
class CloneState:
  """What a training step of the clone reads and returns."""

  params: Any  # actor
  opt_state: Any
  step: jax.Array  # [] int32, updates done


def loss(
  cfg: behaviour_config.ActorCriticConfig,
  params: Any,
  feat: jax.Array,
  action: jax.Array,
  weight: jax.Array,
  label_smoothing: float = 0.0,
) -> tuple[jax.Array, Metrics]:
  """Weighted mean cross-entropy of the recorded actions.

  Args:
    cfg: sizes of the actor.
    params: of the actor.
    feat: `[M, F]`.
    action: `[M]` integer.
    weight: `[M]` float, 0 for rows that are no target.
    label_smoothing: share of the target given to all actions alike.

  Returns:
    The loss `[]`, nats, and metrics.
  """
  chex.assert_rank([feat, action, weight], [2, 1, 1])
  logits = actor_critic.actor_logits(cfg, params, feat)
  target = jax.nn.one_hot(action, specs.NUM_ACTIONS)
  target = optax.smooth_labels(target, label_smoothing)
  cross_entropy = -jnp.sum(target * logits, axis=-1)
  correct = (jnp.argmax(logits, axis=-1) == action).astype(jnp.float32)
  entropy = -jnp.sum(jnp.exp(logits) * logits, axis=-1)
  result = _mean(cross_entropy, weight)
  return result, {
    "loss/clone": result,
    "clone/accuracy": _mean(correct, weight),
    "clone/entropy": _mean(entropy, weight),
  }


def learning_rate(cfg: behaviour_config.CloneConfig) -> optax.Schedule:
  """By the number of updates before: falls to 0 over the second half."""
  half = cfg.steps // 2
  return optax.linear_schedule(
    cfg.learning_rate, 0.0, max(cfg.steps - half, 1), half
  )


def make_optimiser(
  cfg: behaviour_config.CloneConfig,
) -> optax.GradientTransformation:
  """Adam with that learning rate."""
  return optax.chain(
    optax.clip_by_global_norm(cfg.max_grad_norm),
    optax.adam(learning_rate(cfg)),
  )


def init_state(
  cfg: config_lib.Config, key: jax.Array, feat_dim: int
) -> CloneState:
  """A fresh clone for features `[..., feat_dim]`."""
  params = actor_critic.init_actor(cfg.actor_critic, key, feat_dim)
  return CloneState(
    params=params,
    opt_state=make_optimiser(cfg.clone).init(params),
    step=jnp.zeros((), jnp.int32),
  )


def make_update(
  cfg: config_lib.Config,
) -> Callable[..., tuple[CloneState, Metrics]]:
  """Makes `(state, feat [M, F], action [M], weight [M]) -> (state, metrics)`.

  The caller jits it, or scans over it.
  """
  optimiser = make_optimiser(cfg.clone)

  def update(state, feat, action, weight):
    grads, metrics = jax.grad(loss, argnums=1, has_aux=True)(
      cfg.actor_critic,
      state.params,
      feat,
      action,
      weight,
      cfg.clone.label_smoothing,
    )
    updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
    metrics["grad/clone_norm"] = optax.tree.norm(grads)
    params = optax.apply_updates(state.params, updates)
    metrics["param/norm"] = optax.tree.norm(params)
    return CloneState(params, opt_state, state.step + 1), metrics

  return update


def make_train(
  cfg: config_lib.Config, feat_fn: FeatFn
) -> Callable[..., tuple[CloneState, Metrics]]:
  """Makes `(state, key, rows, action [M], count, shared) -> (state, metrics)`.

  One call does `count` updates (traced, so any number runs the same program)
  on batches drawn from the rows with replacement; a draw depends on the key
  and on `state.step` alone, so a resumed run repeats. Features are dropped as
  `cfg.clone.dropout` says. Metrics are means over the updates.

  Args:
    cfg: the configuration.
    feat_fn: turns some of `rows` into inputs `[B, F]`, inside jit; its key
      draws their goals, `shared` is passed on to it.
  """
  update = make_update(cfg)

  def train(state, key, rows, action, count, shared=None):
    def step(state):
      step_key = jax.random.fold_in(key, state.step)
      index_key, dropout_key = jax.random.split(step_key)
      goal_key = jax.random.fold_in(step_key, 1)
      index = jax.random.randint(
        index_key, (cfg.clone.batch_size,), 0, len(action)
      )
      some = jax.tree.map(lambda leaf: leaf[index], rows)
      feat = feat_fn(goal_key, some, shared)
      read, goal = actor_critic.parts(cfg.actor_critic, feat)
      feat = drop_features(dropout_key, read, cfg.clone.dropout)
      if goal is not None:  # who is told a goal is told all of it
        feat = jnp.concatenate([feat, goal], axis=-1)
      return update(state, feat, action[index], jnp.ones(len(index)))

    def add(_, carry):
      state, totals = carry
      state, metrics = step(state)
      return state, jax.tree.map(jnp.add, totals, metrics)

    zeros = jax.tree.map(
      lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
      jax.eval_shape(step, state)[1],
    )
    state, totals = jax.lax.fori_loop(0, count, add, (state, zeros))
    return state, jax.tree.map(lambda total: total / count, totals)

  return train


def drop_features(key: jax.Array, feat: jax.Array, share: float) -> jax.Array:
  """Hides a share of the features `[M, F]`, the others scaled up for it."""
  if share == 0.0:
    return feat
  kept = jax.random.bernoulli(key, 1.0 - share, feat.shape)
  return jnp.where(kept, feat / (1.0 - share), 0.0)


def make_evaluate(
  cfg: config_lib.Config, feat_fn: FeatFn, batch_size: int = 1024
) -> Callable[..., dict[str, float]]:
  """Makes `(params, rows, action [M], shared) -> metrics`, in batches.

  Over all rows; `shared` is passed on to `feat_fn`.

  The caller does not jit it; metrics are floats.
  """

  @jax.jit
  def batch(params, key, rows, action, weight, shared):
    feat = feat_fn(key, rows, shared)
    _, metrics = loss(cfg.actor_critic, params, feat, action, weight)
    return metrics

  def evaluate(params, rows, action, shared=None):
    totals: dict[str, float] = {}
    for start in range(0, len(action), batch_size):
      index = jnp.arange(start, start + batch_size)
      weight = (index < len(action)).astype(jnp.float32)
      index = jnp.minimum(index, len(action) - 1)  # padding, of weight 0
      metrics = batch(
        params,
        jax.random.key(start),
        jax.tree.map(lambda leaf, at=index: leaf[at], rows),
        action[index],
        weight,
        shared,
      )
      share = float(weight.sum()) / len(action)
      for name, value in metrics.items():
        totals[name] = totals.get(name, 0.0) + share * float(value)
    return totals

  return evaluate


def _mean(x: jax.Array, weight: jax.Array) -> jax.Array:
  return jnp.sum(x * weight) / jnp.maximum(jnp.sum(weight), 1e-6)
