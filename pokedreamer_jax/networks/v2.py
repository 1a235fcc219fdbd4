"""The networks of the published v2 system, with its names and sizes.

Frames are RGB in [0, 1], channels last. Where the published modules list a
picture's features as (channel, row, column), these list (row, column,
channel): `interop/published.py` reorders the one matrix on each side of it,
so that no frame is ever transposed.

The cell is in the parts that `world_model` and `imagination` call, so both
families run through the same scans; it has no RAM tokens, and arguments for
them are empty.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.networks import v2_layers as layers

ResidualBlock = layers.ResidualBlock
CHANNELS = (32, 64, 128, 256)  # as published
SHRINK = 2 ** len(CHANNELS)  # a picture's side against its smallest grid's


class Encoder(nn.Module):
  """Frames `[..., H, W, 3]` to embeddings `[..., outputs]`.

  Attributes:
    channels: of the four halvings.
    outputs: size of the embedding, `E`.
  """

  channels: Sequence[int] = CHANNELS
  outputs: int = 512

  @nn.compact
  def __call__(self, rgb: jax.Array, train: bool = False) -> jax.Array:
    lead = rgb.shape[:-3]
    x = rgb.reshape(-1, *rgb.shape[-3:])
    for i, units in enumerate(self.channels, start=1):
      conv = layers.Conv(units, layers.KERNEL, 2, True, name=f"conv{i}")
      x = ResidualBlock(name=f"res{i}")(nn.relu(conv(x)), train)
    flat = x.reshape(*lead, x.shape[1] * x.shape[2] * x.shape[3])
    return layers.Linear(self.outputs, name="fc")(flat)


class Decoder(nn.Module):
  """Features `[..., F]` to frames `[..., H, W, 3]` in [0, 1].

  Attributes:
    channels: of the encoder, so taken in reverse.
    grid: rows and columns of the smallest picture, `H / 16` and `W / 16`.
  """

  channels: Sequence[int] = CHANNELS
  grid: tuple[int, int] = (
    specs.FRAME_HEIGHT // SHRINK,
    specs.FRAME_WIDTH // SHRINK,
  )

  @nn.compact
  def __call__(self, feat: jax.Array, train: bool = False) -> jax.Array:
    lead = feat.shape[:-1]
    first, second, third, last = self.channels
    rows, columns = self.grid
    x = layers.Linear(rows * columns * last, name="fc")(feat)
    x = x.reshape(-1, rows, columns, last)
    x = ResidualBlock(name="res4")(x, train)
    # The published numbers: the deepest transposed convolution is the fourth.
    x = nn.relu(layers.TransposedConv(third, name="deconv4")(x))
    x = ResidualBlock(name="res3")(x, train)
    x = nn.relu(layers.TransposedConv(second, name="deconv1")(x))
    x = ResidualBlock(name="res2")(x, train)
    x = nn.relu(layers.TransposedConv(first, name="deconv2")(x))
    x = ResidualBlock(name="res1")(x, train)
    rgb = jax.nn.sigmoid(layers.TransposedConv(3, name="deconv3")(x))
    return rgb.reshape(*lead, *rgb.shape[1:])


class RSSMCell(nn.Module):
  """The learned parts of one step; shapes `[..., size]`, no loop inside.

  A GRU cell with the gates reset, update, candidate, each with an input and a
  hidden bias, whose input is the last `stoch` and an action; a prior on
  `deter`, a posterior on `deter` and the frame's embedding.

  Attributes:
    deter: GRU units `D`.
    stoch: categorical variables `S`.
    classes: classes of each, `K`.
    hidden: units of the hidden layers.
    embed: size of the embedding, `E`.
  """

  deter: int = 512
  stoch: int = 32
  classes: int = 32
  hidden: int = 512
  embed: int = 512

  def setup(self):
    logits = self.stoch * self.classes
    # PyTorch draws all four parts by the number of units.
    init = layers.fan_in_uniform(self.deter)
    gates = 3 * self.deter
    inputs = logits + specs.NUM_ACTIONS
    self.gru_ih = self.param("gru_ih", init, (inputs, gates))
    self.gru_hh = self.param("gru_hh", init, (self.deter, gates))
    self.gru_bias_ih = self.param("gru_bias_ih", init, (gates,))
    self.gru_bias_hh = self.param("gru_bias_hh", init, (gates,))
    self.prior_net = layers.MLP((self.hidden,), logits)
    joined = self.deter + self.embed
    init = layers.fan_in_uniform(joined)
    self.post_in = self.param("post_in", init, (joined, self.hidden))
    self.post_bias = self.param("post_bias", init, (self.hidden,))
    self.post_out = layers.Linear(logits)

  def get_initial_state(
    self, lead: tuple[int, ...] = ()
  ) -> tuple[jax.Array, jax.Array]:
    """`deter` `[..., D]` of zeros, `stoch` `[..., S * K]` uniform."""
    uniform = jnp.full((*lead, self.stoch * self.classes), 1 / self.classes)
    return jnp.zeros((*lead, self.deter)), uniform

  def sample_stochastic(
    self,
    key: jax.Array,
    log_probs: jax.Array,
    temperature: float | jax.Array = 1.0,
    most_likely: bool = False,
  ) -> jax.Array:
    """One-hots `[..., S, K]` of log-probabilities `[..., S, K]`.

    Hard Gumbel-softmax samples, or the most likely classes; the gradient is
    that of the soft values.

    Args:
      key: typed PRNG key; consumed.
      log_probs: `[..., S, K]`.
      temperature: of the Gumbel-softmax, above 0.
      most_likely: no chance at all.
    """
    if most_likely:
      return sampling.most_likely_straight_through(log_probs)
    return sampling.gumbel_straight_through(key, log_probs, temperature)

  def project_known(self, tokens_tm1: jax.Array, action: jax.Array):
    """Input share `[..., 3 D]` of the action; there are no tokens."""
    del tokens_tm1
    kernel = self.gru_ih[self.stoch * self.classes :]
    return layers.add_bias(action @ kernel, self.gru_bias_ih)

  def step(self, deter: jax.Array, stoch: jax.Array, known: jax.Array):
    """Next `deter` `[..., D]` from the last state and `project_known`."""
    kernel = self.gru_ih[: self.stoch * self.classes]
    return self.advance(deter, stoch @ kernel + known)

  def advance(self, deter: jax.Array, inputs: jax.Array):
    """Next `deter` `[..., D]` from the sum `[..., 3 D]` of all inputs."""
    carried = layers.add_bias(deter @ self.gru_hh, self.gru_bias_hh)
    reset, update, candidate = jnp.split(inputs, 3, axis=-1)
    reset_h, update_h, candidate_h = jnp.split(carried, 3, axis=-1)
    reset = jax.nn.sigmoid(reset + reset_h)
    update = jax.nn.sigmoid(update + update_h)
    candidate = jnp.tanh(candidate + reset * candidate_h)
    return (1.0 - update) * candidate + update * deter

  def prior(self, deter: jax.Array, tokens: jax.Array) -> jax.Array:
    """Log-probabilities `[..., S, K]` of `stoch` before seeing the frame."""
    del tokens
    return self._categorical(self.prior_net(deter))

  def project_seen(self, embed: jax.Array, tokens: jax.Array) -> jax.Array:
    """Posterior share `[..., hidden]` of the frame."""
    del tokens
    return layers.add_bias(embed @ self.post_in[self.deter :], self.post_bias)

  def posterior(self, deter: jax.Array, seen: jax.Array) -> jax.Array:
    """Log-probabilities `[..., S, K]` of `stoch` given `project_seen`."""
    return self._categorical(self._post_logits(deter, seen))

  def single_step(
    self,
    deter: jax.Array,
    stoch: jax.Array,
    action: jax.Array,
    embed: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """The published step in one piece, without its draw.

    Args:
      deter: `[..., D]`.
      stoch: `[..., S * K]`.
      action: one-hot `[..., A]`.
      embed: `[..., E]`, or None where no frame is seen.

    Returns:
      The next `deter`; the logits `[..., S, K]` of prior and posterior, as the
      networks give them, not normalised. No posterior without `embed`.
    """
    none = jnp.zeros((*deter.shape[:-1], 0))
    deter = self.step(deter, stoch, self.project_known(none, action))
    prior = self._split(self.prior_net(deter))
    if embed is None:
      return deter, prior, None
    post = self._post_logits(deter, self.project_seen(embed, none))
    return deter, prior, self._split(post)

  def __call__(self, deter, stoch, tokens, action, embed):
    """Touches every parameter; used to initialise."""
    deter = self.step(deter, stoch, self.project_known(tokens, action))
    seen = self.project_seen(embed, tokens)
    return deter, self.prior(deter, tokens), self.posterior(deter, seen)

  def _post_logits(self, deter: jax.Array, seen: jax.Array) -> jax.Array:
    x = nn.elu(deter @ self.post_in[: self.deter] + seen)
    return self.post_out(x)

  def _split(self, logits: jax.Array) -> jax.Array:
    """`[..., S, K]` of `[..., S * K]`."""
    return logits.reshape(*logits.shape[:-1], self.stoch, self.classes)

  def _categorical(self, logits: jax.Array) -> jax.Array:
    logits = self._split(logits).astype(jnp.float32)
    return jax.nn.log_softmax(logits, axis=-1)


class RewardPredictor(nn.Module):
  """The weighted reward `[...]`, one number, of features `[..., F]`.

  Attributes:
    hidden: units of the hidden layer.
  """

  hidden: int = 256

  @nn.compact
  def __call__(
    self, feat: jax.Array, product: jax.Array | None = None
  ) -> jax.Array:
    return layers.MLP((self.hidden,), 1, name="net")(feat, product)[..., 0]


class ContinuePredictor(nn.Module):
  """Logit `[...]` that the state is not terminal.

  The published module ends in the sigmoid of it.

  Attributes:
    hidden: units of the hidden layer.
  """

  hidden: int = 256

  @nn.compact
  def __call__(
    self, feat: jax.Array, product: jax.Array | None = None
  ) -> jax.Array:
    return layers.MLP((self.hidden,), 1, name="net")(feat, product)[..., 0]


class Actor(nn.Module):
  """Logits `[..., A]` of the policy, as normalised log-probabilities.

  Goals are no input of it; `goal` is there to be called as the other actor.

  Attributes:
    hidden: units of each hidden layer.
    num_actions: `A`.
  """

  hidden: Sequence[int] = (256, 256)
  num_actions: int = specs.NUM_ACTIONS

  @nn.compact
  def __call__(
    self,
    feat: jax.Array,
    goal: jax.Array | None = None,
    product: jax.Array | None = None,
  ) -> jax.Array:
    del goal
    net = layers.MLP(tuple(self.hidden), self.num_actions, name="net")
    return jax.nn.log_softmax(net(feat, product), axis=-1)


class Critic(nn.Module):
  """The value `[...]` of features `[..., F]`.

  Attributes:
    hidden: units of each hidden layer.
  """

  hidden: Sequence[int] = (256, 256)

  @nn.compact
  def __call__(
    self, feat: jax.Array, product: jax.Array | None = None
  ) -> jax.Array:
    net = layers.MLP(tuple(self.hidden), 1, name="net")
    return net(feat, product)[..., 0]
