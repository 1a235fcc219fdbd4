"""Actor and critic: features and a goal to action logits and a value.

`MLP(feat + goal -> units -> units -> A | bins)`. The first layer of a
concatenation is the sum of two layers, so a goal of zeros costs nothing, and
one set of parameters serves with goals and without. Inputs `[..., F]` end in
the goal where `reads_goal` is on, and hold none where it is off.

The critic predicts a distribution over fixed bins and is trained by the
cross-entropy to a two-hot target (DreamerV3, section "critic learning"): its
gradients are bounded whatever the scale of the returns, so a badge (+10) and a
stuck step (-0.001) need no tuned learning rate. Bins are spaced evenly in
symlog and averaged unsquashed, which makes the mean unbiased.
"""

from collections.abc import Sequence
import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.networks import blocks
from pokedreamer_jax.networks import two_hot
from pokedreamer_jax.networks import v2

Params = Any  # nested dictionary of arrays


class Torso(nn.Module):
  """Hidden layers over features and an optional goal.

  Attributes:
    hidden: units of each layer.
  """

  hidden: Sequence[int]

  @nn.compact
  def __call__(
    self,
    feat: jax.Array,
    goal: jax.Array | None = None,
    product: jax.Array | None = None,
  ) -> jax.Array:
    x = product  # of `feat` and its kernel, where it is known
    if x is None:
      x = nn.Dense(self.hidden[0], use_bias=False, name="feat")(feat)
    if goal is not None:
      # A vector of length 1: scaled, its numbers weigh as much as one-hots do.
      loud = goal * math.sqrt(goal.shape[-1])
      x = x + nn.Dense(self.hidden[0], use_bias=False, name="goal")(loud)
    x = nn.silu(nn.RMSNorm()(x))
    for units in self.hidden[1:]:
      x = nn.silu(nn.RMSNorm()(nn.Dense(units, use_bias=False)(x)))
    return x


class Actor(nn.Module):
  """Logits `[..., A]` of the policy, as normalised log-probabilities.

  Attributes:
    hidden: units of each hidden layer.
    num_actions: `A`.
    unimix: share of the uniform distribution mixed in, so that no ratio or
      divergence of two policies is unbounded.
  """

  hidden: Sequence[int] = (256, 256)
  num_actions: int = specs.NUM_ACTIONS
  unimix: float = 0.01

  @nn.compact
  def __call__(
    self,
    feat: jax.Array,
    goal: jax.Array | None = None,
    product: jax.Array | None = None,
  ) -> jax.Array:
    x = Torso(self.hidden)(feat, goal, product)
    # Nearly uniform at first: an untrained policy explores.
    logits = nn.Dense(self.num_actions, kernel_init=blocks.scaled_init(1e-4))(x)
    probs = (1.0 - self.unimix) * jax.nn.softmax(logits, axis=-1)
    if self.unimix == 0.0:
      return jax.nn.log_softmax(logits, axis=-1)
    return jnp.log(probs + self.unimix / self.num_actions)


class Critic(nn.Module):
  """Logits `[..., bins]` of the value; zeros at first.

  Attributes:
    hidden: units of each hidden layer.
    bins: number of bins.
  """

  hidden: Sequence[int] = (256, 256)
  bins: int = 63

  @nn.compact
  def __call__(
    self,
    feat: jax.Array,
    goal: jax.Array | None = None,
    product: jax.Array | None = None,
  ) -> jax.Array:
    x = Torso(self.hidden)(feat, goal, product)
    return nn.Dense(self.bins, kernel_init=nn.initializers.zeros_init())(x)


def make_actor(cfg: behaviour_config.ActorCriticConfig) -> Actor | v2.Actor:
  """The actor of a configuration."""
  if cfg.family == "v2":
    return v2.Actor((cfg.units, cfg.units))
  return Actor((cfg.units, cfg.units), unimix=cfg.unimix)


def make_critic(cfg: behaviour_config.ActorCriticConfig) -> Critic:
  """The critic of a configuration.

  Raises:
    ValueError: the published critic, one number, is not trained here.
  """
  if cfg.family == "v2":
    raise ValueError(
      "actor_critic.family: 'v2' has a critic of one number, which is not "
      "trained here, expected 'v3'"
    )
  return Critic((cfg.units, cfg.units), cfg.bins)


def init_actor(
  cfg: behaviour_config.ActorCriticConfig, key: jax.Array, inputs_dim: int
) -> Params:
  """Parameters of `make_actor(cfg)` for inputs `[..., inputs_dim]`."""
  return _init(make_actor(cfg), cfg, key, inputs_dim)


def init_critic(
  cfg: behaviour_config.ActorCriticConfig, key: jax.Array, inputs_dim: int
) -> Params:
  """Parameters of `make_critic(cfg)` for inputs `[..., inputs_dim]`."""
  return _init(make_critic(cfg), cfg, key, inputs_dim)


def actor_logits(
  cfg: behaviour_config.ActorCriticConfig, params: Params, inputs: jax.Array
) -> jax.Array:
  """Normalised log-probabilities `[..., A]` for inputs `[..., F]`."""
  feat, goal = parts(cfg, inputs)
  logits = make_actor(cfg).apply({"params": params}, feat, goal)
  return jnp.asarray(logits)


def critic_logits(
  cfg: behaviour_config.ActorCriticConfig, params: Params, inputs: jax.Array
) -> jax.Array:
  """Logits `[..., bins]` of the value for inputs `[..., F]`."""
  feat, goal = parts(cfg, inputs)
  logits = make_critic(cfg).apply({"params": params}, feat, goal)
  return jnp.asarray(logits)


def parts(
  cfg: behaviour_config.ActorCriticConfig, inputs: jax.Array
) -> tuple[jax.Array, jax.Array | None]:
  """Inputs `[..., F]` as all but the goal, and the goal if they have one."""
  if not cfg.reads_goal:
    return inputs, None
  return inputs[..., : -cfg.goal_dim], inputs[..., -cfg.goal_dim :]


def first_kernel(
  cfg: behaviour_config.ActorCriticConfig, params: Params
) -> jax.Array:
  """What actor or critic multiply `[..., F]`, all but the goal, with first.

  `[F, units]`; who knows its product may give it to the functions below.
  """
  if cfg.family == "v2":
    return params["net"]["layer_0"]["kernel"]
  return params["Torso_0"]["feat"]["kernel"]


def actor_logits_after(
  cfg: behaviour_config.ActorCriticConfig,
  params: Params,
  product: jax.Array,
  beside: jax.Array,
) -> jax.Array:
  """`actor_logits` of inputs whose first product is known.

  Args:
    cfg: sizes.
    params: of the actor.
    product: of the world model's features and their rows of `first_kernel`,
      `[..., units]`.
    beside: the other inputs, `[..., P + G]`: what was reached, and the goal.
  """
  product, goal = _with_progress(cfg, params, product, beside)
  module = make_actor(cfg)
  logits = module.apply({"params": params}, beside, goal, product)
  return jnp.asarray(logits)


def critic_logits_after(
  cfg: behaviour_config.ActorCriticConfig,
  params: Params,
  product: jax.Array,
  beside: jax.Array,
) -> jax.Array:
  """`critic_logits`, as `actor_logits_after`."""
  product, goal = _with_progress(cfg, params, product, beside)
  module = make_critic(cfg)
  logits = module.apply({"params": params}, beside, goal, product)
  return jnp.asarray(logits)


def _with_progress(cfg, params, product, beside):
  """The first product of all but the goal, and the goal."""
  reached, goal = parts(cfg, beside)
  count = reached.shape[-1]
  if count:
    product = product + reached @ first_kernel(cfg, params)[-count:]
  return product, goal


def value_bins(cfg: behaviour_config.ActorCriticConfig) -> jax.Array:
  """Values `[bins]` that the critic's bins stand for, ascending."""
  half = two_hot.symexp(
    jnp.linspace(0.0, cfg.symlog_limit, (cfg.bins + 1) // 2)
  )
  return jnp.concatenate([-half[:0:-1], half])  # mirrored: flat logits give 0


@functools.partial(jax.jit, static_argnums=(0, 1, 3))
def _init(module, cfg, key, inputs_dim):
  feat, _ = parts(cfg, jnp.zeros((1, inputs_dim)))
  return module.init(key, feat, jnp.zeros((1, cfg.goal_dim)))["params"]
