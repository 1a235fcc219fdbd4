"""One step of the recurrent state-space model, with RAM tokens in the state.

The state is `(deter, stoch, tokens)`. `deter` is a GRU over the last state and
action; the tokens are predicted from `deter`; the categorical `stoch` has a
prior on `(deter, tokens)` and a posterior that also reads the frame's
embedding (Hafner et al. 2023, DreamerV3, section "World model learning", with
the tokens as an observed part of the latent).
"""

from collections.abc import Mapping
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.networks import atlas_reader
from pokedreamer_jax.networks import blocks


class RSSMCell(nn.Module):
  """The learned parts of one step; shapes `[..., size]`, no loop inside.

  Attributes:
    deter: GRU units `D`.
    stoch: categorical variables `S`.
    classes: classes of each, `K`.
    hidden: units of hidden layers.
    token_dim: length `R` of the concatenated one-hot tokens, 0 without RAM.
    unimix: uniform share mixed into every categorical.
    around: reads the cells of the atlas around; None without one.
    token_scores: scores of tokens' changes, beside their logits.
  """

  deter: int
  stoch: int
  classes: int
  hidden: int
  token_dim: int
  unimix: float
  around: atlas_reader.Surroundings | None = None
  token_scores: int = 0

  def setup(self):
    self.stoch_in = nn.Dense(self.hidden, use_bias=False)
    self.known_in = nn.Dense(self.hidden, use_bias=False)
    self.norm_in = nn.RMSNorm()
    self.gates = nn.Dense(3 * self.deter, use_bias=False)
    self.norm_gates = nn.RMSNorm()
    logits = self.stoch * self.classes
    known = self.token_dim  # tokens are data
    self.prior_net = blocks.MLP((self.hidden,), logits, known=known)
    self.post_deter = nn.Dense(self.hidden, use_bias=False)
    self.post_seen = blocks.half_known_dense(self.hidden, known)
    self.post_norm = nn.RMSNorm()
    self.post_out = nn.Dense(logits)
    if self.token_dim:
      outputs = self.token_dim + self.token_scores
      self.token_net = blocks.MLP((self.hidden,), outputs, 0.1)
      self.infer_net = blocks.MLP((self.hidden,), self.token_dim, 0.1)

  def project_known(
    self,
    tokens_tm1: jax.Array,
    action_tm1: jax.Array,
    *cells: jax.Array,
  ) -> jax.Array:
    """Input share `[..., hidden]` of what is known before the scan.

    Args:
      tokens_tm1: one-hot, `[..., R]`.
      action_tm1: one-hot, `[..., A]`.
      *cells: with an atlas, the cells around `[..., 7]` and their tiles
        `[..., 7, 4]`.
    """
    known = jnp.concatenate([tokens_tm1, action_tm1], axis=-1)
    projected = self.known_in(known)
    if self.around is None:
      return projected
    return projected + self.around(known, *cells)

  def step(self, deter: jax.Array, stoch: jax.Array, known: jax.Array):
    """Next `deter` `[..., D]` from the last state and `project_known`."""
    return self.advance(deter, self.stoch_in(stoch) + known)

  def advance(self, deter: jax.Array, inputs: jax.Array):
    """Next `deter` `[..., D]` from the sum `[..., hidden]` of all inputs.

    GRU with one projection, normalised, and an update gate biased towards
    keeping the state (DreamerV3).
    """
    x = nn.silu(self.norm_in(inputs))
    gates = self.norm_gates(self.gates(jnp.concatenate([deter, x], axis=-1)))
    reset, candidate, update = jnp.split(gates, 3, axis=-1)
    candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
    update = jax.nn.sigmoid(update - 1.0)
    return update * candidate + (1.0 - update) * deter

  def prior(self, deter: jax.Array, tokens: jax.Array) -> jax.Array:
    """Log-probabilities `[..., S, K]` of `stoch` before seeing the frame."""
    x = jnp.concatenate([deter, tokens], axis=-1)
    return self.categorical(self.prior_net(x))

  def project_seen(self, embed: jax.Array, tokens: jax.Array) -> jax.Array:
    """Posterior share `[..., hidden]` of the frame and its tokens."""
    return self.post_seen(jnp.concatenate([embed, tokens], axis=-1))

  def posterior(self, deter: jax.Array, seen: jax.Array) -> jax.Array:
    """Log-probabilities `[..., S, K]` of `stoch` given `project_seen`."""
    x = nn.silu(self.post_norm(self.post_deter(deter) + seen))
    return self.categorical(self.post_out(x))

  def predict_tokens(self, deter: jax.Array) -> jax.Array:
    """Logits of the tokens, before their chain terms, and scores of changes.

    `[..., R + C]`; `world_model/relative_tokens.py` puts them together.
    """
    return self.token_net(deter)

  def infer_tokens(self, deter: jax.Array, embed: jax.Array) -> jax.Array:
    """Logits `[..., R]` of the tokens of a frame whose RAM is not given."""
    return self.infer_net(jnp.concatenate([deter, embed], axis=-1))

  def __call__(self, deter, stoch, tokens, action, embed, *cells):
    """Touches every parameter; used to initialise."""
    known = self.project_known(tokens, action, *cells)
    deter = self.step(deter, stoch, known)
    outputs = [
      self.prior(deter, tokens),
      self.posterior(deter, self.project_seen(embed, tokens)),
    ]
    if self.token_dim:
      outputs += [
        self.predict_tokens(deter),
        self.infer_tokens(deter, embed),
      ]
    return deter, outputs

  def categorical(self, logits: jax.Array) -> jax.Array:
    """Log-probabilities `[..., S, K]` of logits `[..., S * K]`."""
    logits = logits.reshape(*logits.shape[:-1], self.stoch, self.classes)
    probs = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    return jnp.log((1 - self.unimix) * probs + self.unimix / self.classes)


class TokenChain(nn.Module):
  """What each token owes to the tokens before it: a strictly causal matrix.

  Tokens of one step are not independent (a battle brings its menu and its
  enemy), so their joint distribution is a product of conditionals: token `m`
  adds a linear term of the tokens before it to its logits.

  Attributes:
    sizes: number of values of each token, in order.
    packed: store the part that is read alone, in the layout of `causal`, and
      not a whole matrix, half of which is never read.
    changes: number of changes of each token that are part of the chain beside
      its values; none if empty. What they owe and are owed is stored packed.
  """

  sizes: tuple[int, ...]
  packed: bool = False
  changes: tuple[int, ...] = ()

  def setup(self):
    zeros = nn.initializers.zeros_init()
    shape: tuple[int, ...] = (sum(self.sizes),) * 2
    if self.packed:
      shape = (_packed_size(self.sizes, self.sizes),)
    self.kernel = self.param("kernel", zeros, shape)
    if self.changes:
      self.to_values = self.param(
        "to_values", zeros, (_packed_size(self.changes, self.sizes),)
      )
      both = (np.array(self.sizes) + self.changes).tolist()
      self.to_changes = self.param(
        "to_changes", zeros, (_packed_size(both, self.changes),)
      )

  def __call__(self, hot: jax.Array) -> jax.Array:
    """Chain terms `[..., R]` of complete one-hots `[..., R]`.

    With changes both are `[..., R + C]`, all values first.
    """
    weights = {"kernel": self.kernel}
    if self.changes:
      weights["to_values"] = self.to_values
      weights["to_changes"] = self.to_changes
    return hot @ causal(weights, self.sizes, self.changes)


def causal(
  weights: Mapping[str, jax.Array],
  sizes: Sequence[int],
  changes: Sequence[int] = (),
) -> jax.Array:
  """The chain's matrix `[R, R]`, zero where no token comes before another.

  With changes it is `[R + C, R + C]`, all values first.

  Args:
    weights: of a `TokenChain`. Its kernel is `[R, R]`, or packed. Packed are,
      one token after the other, the rows of all values of the tokens before it
      times its own columns; so those of a further token, which is the last,
      come last.
    sizes: number of values of each token, in order.
    changes: number of changes of each, if they are part of the chain.
  """
  kernel = weights["kernel"]
  if kernel.ndim == 2:
    group = np.repeat(np.arange(len(sizes)), sizes)
    values = jnp.where(group[:, None] < group[None, :], kernel, 0.0)
  else:
    values = _unpacked(kernel, sizes, sizes)
  if not changes:
    return values
  # Of changes to values; of values and changes, token by token, to changes.
  owed = _unpacked(weights["to_values"], changes, sizes)
  both = [v + c for v, c in zip(sizes, changes, strict=True)]
  scores = _unpacked(weights["to_changes"], both, changes)
  is_change = np.concatenate(
    [np.repeat((0, 1), pair) for pair in zip(sizes, changes, strict=True)]
  )
  order = np.argsort(is_change, kind="stable")
  rows = jnp.concatenate([values, owed], axis=0)
  return jnp.concatenate([rows, scores[order]], axis=1)


def _unpacked(
  packed: jax.Array, rows: Sequence[int], columns: Sequence[int]
) -> jax.Array:
  """A causal matrix of tokens that have some rows and some columns each."""
  total, made, at = sum(rows), [], 0
  for start, size in zip(_starts(rows), columns, strict=True):
    block = packed[at : at + start * size].reshape(start, size)
    made.append(jnp.pad(block, ((0, total - start), (0, 0))))
    at += start * size
  return jnp.concatenate(made, axis=1)


def _packed_size(rows: Sequence[int], columns: Sequence[int]) -> int:
  pairs = zip(_starts(rows), columns, strict=True)
  return sum(start * size for start, size in pairs)


def _starts(sizes: Sequence[int]) -> list[int]:
  """How many stand before those of each token."""
  return np.cumsum([0, *sizes[:-1]]).tolist()
