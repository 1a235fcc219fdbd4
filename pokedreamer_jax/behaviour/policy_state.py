"""The state of a policy that learns in dreams, and its optimisers."""

from __future__ import annotations

from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import optax

from pokedreamer_jax.behaviour import returns as returns_lib
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic


@struct.dataclass
class PolicyState:
  """What an update reads and returns; the caller may donate it."""

  actor: Any  # parameters
  critic: Any  # parameters
  actor_opt: Any
  critic_opt: Any
  update: jax.Array  # [] int32, dream batches used
  # Parameters of the critic that bootstraps; None: `critic` does.
  slow_critic: Any = None
  # Kind of event -> how many steps before it dreams start at most, `[]`
  # float32; None where they start anywhere.
  event_reach: dict[str, jax.Array] | None = None
  # Moving percentiles of returns; None where advantages are not scaled by them.
  return_scale: returns_lib.PercentileScale | None = None


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
  slow_critic = return_scale = None
  if cfg.policy.slow_critic_rate:
    slow_critic = jax.tree.map(jnp.copy, critic)
  if cfg.policy.normaliser == "percentile":
    return_scale = returns_lib.init_percentile_scale()
  return PolicyState(
    actor=actor,
    critic=critic,
    actor_opt=actor_optimiser.init(actor),
    critic_opt=critic_optimiser.init(critic),
    update=jnp.zeros((), jnp.int32),
    slow_critic=slow_critic,
    return_scale=return_scale,
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
