"""Values of many goals at once: one torso, two heads.

`MLP(inputs -> units -> units)`, then a logit for every goal and action and one
for every goal: a sigmoid of each is a value in [0, 1].
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.networks import blocks

# Nothing is near before something was seen to be: 150 steps away at 0.97.
_FIRST_LOGIT = -4.6


class GoalHeads(nn.Module):
  """Logits `[..., K, A]` of actions and `[..., K]` of states.

  Attributes:
    goals: `K`.
    units: of both hidden layers.
    num_actions: `A`.
  """

  goals: int
  units: int = 256
  num_actions: int = specs.NUM_ACTIONS

  @nn.compact
  def __call__(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    x = actor_critic.Torso((self.units, self.units))(inputs)

    def head(name: str, outputs: int) -> jax.Array:
      return nn.Dense(
        outputs,
        kernel_init=blocks.scaled_init(1e-4),
        bias_init=nn.initializers.constant(_FIRST_LOGIT),
        name=name,
      )(x)

    actions = head("actions", self.goals * self.num_actions)
    shape = (*x.shape[:-1], self.goals, self.num_actions)
    return jnp.reshape(actions, shape), head("states", self.goals)


@functools.partial(jax.jit, static_argnums=(0, 2))
def init(module: GoalHeads, key: jax.Array, inputs_dim: int) -> Any:
  """Parameters for inputs `[..., inputs_dim]`."""
  return module.init(key, jnp.zeros((1, inputs_dim)))["params"]
