"""Heads on the features of a state."""

import flax.linen as nn
import jax

from pokedreamer_jax.networks import blocks


class RewardPredictor(nn.Module):
  """Raw outputs for every reward term, `[..., events + amounts * bins]`.

  What they mean is in `pokedreamer_jax.world_model.reward_heads`.

  Attributes:
    hidden: units of the hidden layer.
    outputs: raw outputs.
    known: last features that are data: see `blocks.half_known_dense`.
  """

  hidden: int
  outputs: int
  known: int = 0

  @nn.compact
  def __call__(self, feat: jax.Array) -> jax.Array:
    return blocks.MLP((self.hidden,), self.outputs, 0.0, self.known)(feat)


class ContinuePredictor(nn.Module):
  """Logit `[...]` that the state is not terminal.

  Attributes:
    hidden: units of the hidden layer.
    known: last features that are data: see `blocks.half_known_dense`.
  """

  hidden: int
  known: int = 0

  @nn.compact
  def __call__(self, feat: jax.Array) -> jax.Array:
    return blocks.MLP((self.hidden,), 1, 0.0, self.known)(feat)[..., 0]


class RamPredictor(nn.Module):
  """Raw outputs of every RAM head, concatenated.

  What they mean is in `pokedreamer_jax.world_model.ram_heads`.

  Attributes:
    hidden: units of the hidden layer.
    outputs: raw outputs.
    known: last features that are data: see `blocks.half_known_dense`.
  """

  hidden: int
  outputs: int
  known: int = 0

  @nn.compact
  def __call__(self, feat: jax.Array) -> jax.Array:
    return blocks.MLP((self.hidden,), self.outputs, 0.0, self.known)(feat)
