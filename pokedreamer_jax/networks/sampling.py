"""Sampling of categorical variables, one uniform number each."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

_ONE_STAGE = 32  # classes whose sums are one product
_BLOCK = 16  # classes of a block, of more


def categorical(key: jax.Array, log_probs: jax.Array) -> jax.Array:
  """Samples `[...]` int32 of log-probabilities `[..., K]` by inverse CDF.

  One uniform number a variable instead of `K` Gumbels: the fastest sampler
  measured on a CPU. `log_probs` must be normalised.
  """
  uniform = jax.random.uniform(key, log_probs.shape[:-1])
  return inverse_cdf(uniform, jnp.exp(log_probs))


def inverse_cdf(uniform: jax.Array, weights: jax.Array) -> jax.Array:
  """Classes `[...]` int32 by inverse CDF of weights `[..., K]`.

  Sums are a product with a triangle: 1.4 to 7 times as fast on a CPU as
  `cumsum`, and it compiles sooner.
  """
  classes = weights.shape[-1]
  cumulative = _sums(weights)
  # Rounding may leave the last sum below 1: scale by it.
  below = cumulative <= uniform[..., None] * cumulative[..., -1:]
  index = jnp.sum(below, axis=-1, dtype=jnp.int32)
  return jnp.minimum(index, classes - 1)


def _sums(weights: jax.Array) -> jax.Array:
  """Cumulative sums of weights `[..., K]`, of many classes in two stages."""
  # Accelerators would round the products.
  multiply = functools.partial(jnp.matmul, precision="highest")
  triangle = lambda size, above: np.triu(np.ones((size, size)), above).astype(
    np.float32
  )
  lead, classes = weights.shape[:-1], weights.shape[-1]
  if classes <= _ONE_STAGE:
    return multiply(weights, triangle(classes, 0))
  blocks = -(-classes // _BLOCK)
  beyond = [(0, 0)] * len(lead) + [(0, blocks * _BLOCK - classes)]
  within = jnp.pad(weights, beyond).reshape(*lead, blocks, _BLOCK)
  within = multiply(within, triangle(_BLOCK, 0))
  before = multiply(within[..., -1], triangle(blocks, 1))
  sums = (within + before[..., None]).reshape(*lead, blocks * _BLOCK)
  return sums[..., :classes]


@dataclasses.dataclass(frozen=True)
class Draw:
  """A way to draw one-hots whose chance can be had apart from its choice.

  So the chance of all steps is drawn before a loop over them: on a CPU random
  numbers are a loop of their own, with a hundred small operations.
  """

  # `(key, shape of the log-probabilities) -> random numbers`; consumes the key.
  chance: Callable[[jax.Array, tuple[int, ...]], jax.Array]
  # `(random numbers, log-probabilities [..., K]) -> one-hots [..., K]`
  choose: Callable[[jax.Array, jax.Array], jax.Array]

  def __call__(self, key: jax.Array, log_probs: jax.Array) -> jax.Array:
    return self.choose(self.chance(key, log_probs.shape), log_probs)


def _straight_through(uniform: jax.Array, log_probs: jax.Array) -> jax.Array:
  probs = jnp.exp(log_probs)
  hot = jax.nn.one_hot(inverse_cdf(uniform, probs), log_probs.shape[-1])
  # The difference first: it is exactly zero, so the sample stays one-hot.
  return hot + (probs - jax.lax.stop_gradient(probs))


# `(key, log-probabilities [..., K])` to one-hot samples `[..., K]` with the
# gradient of the probabilities, by inverse CDF.
straight_through = Draw(
  chance=lambda key, shape: jax.random.uniform(key, shape[:-1]),
  choose=_straight_through,
)


def gumbel_straight_through(
  key: jax.Array, log_probs: jax.Array, temperature: float | jax.Array
) -> jax.Array:
  """One-hot samples `[..., K]` with the gradient of the Gumbel-softmax.

  The sample itself does not depend on the temperature: it is the largest of
  the perturbed log-probabilities (Jang et al. 2017, "straight-through").

  Args:
    key: typed PRNG key; consumed.
    log_probs: `[..., K]`.
    temperature: above 0; the lower, the harder the softmax.
  """
  noisy = log_probs + jax.random.gumbel(key, log_probs.shape)
  return _hard(jax.nn.softmax(noisy / temperature, axis=-1), noisy)


def most_likely_straight_through(log_probs: jax.Array) -> jax.Array:
  """The most likely classes, one-hot, with the probabilities' gradient."""
  return _hard(jnp.exp(log_probs), log_probs)


def _hard(soft: jax.Array, scores: jax.Array) -> jax.Array:
  """The class of the largest score, one-hot, with the gradient of `soft`."""
  hot = jax.nn.one_hot(jnp.argmax(scores, axis=-1), soft.shape[-1])
  return hot + (soft - jax.lax.stop_gradient(soft))


def without_uniform(log_probs: jax.Array, share: float) -> jax.Array:
  """Log-probabilities `[..., K]` without the uniform share mixed into them.

  The share keeps divergences finite in training. Drawn from, it would be noise:
  of 16 variables with 1 % each, one in seven steps has one that means nothing.
  """
  classes = log_probs.shape[-1]
  probs = (jnp.exp(log_probs) - share / classes) / (1.0 - share)
  return jnp.log(jnp.maximum(probs, 1e-9))


def draw(
  key: jax.Array, log_probs: jax.Array, most_likely: bool | jax.Array
) -> jax.Array:
  """Classes `[...]` int32 of `[..., K]` log-probabilities, drawn or likeliest.

  Where `most_likely` is an array, a scalar, one program serves both.
  """
  if most_likely is True:
    return jnp.argmax(log_probs, axis=-1).astype(jnp.int32)
  if most_likely is False:
    return categorical(key, log_probs)
  uniform = jax.random.uniform(key, log_probs.shape[:-1])
  return _either(uniform, log_probs, most_likely)


def draw_logits(
  key: jax.Array, logits: jax.Array, most_likely: bool | jax.Array
) -> jax.Array:
  """`draw` of logits `[..., K]` that nobody has normalised."""
  uniform = jax.random.uniform(key, logits.shape[:-1])
  return _of_logits(uniform, logits, most_likely)


def _of_logits(
  uniform: jax.Array, logits: jax.Array, most_likely: bool | jax.Array
) -> jax.Array:
  """`draw_logits` with the uniform numbers `[...]` that decide."""
  if most_likely is True:
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)
  highest = jnp.max(logits, axis=-1, keepdims=True)
  weights = jnp.exp(logits - highest)
  if most_likely is not False:
    weights = jnp.where(most_likely, logits >= highest, weights)
  return inverse_cdf(uniform, weights)


def one_hot_draw(
  key: jax.Array, log_probs: jax.Array, most_likely: bool | jax.Array
) -> jax.Array:
  """`draw` as one-hots `[..., K]`, without gradient."""
  number = draw(key, log_probs, most_likely)
  return jax.nn.one_hot(number, log_probs.shape[-1])


def _either(
  uniform: jax.Array, log_probs: jax.Array, most_likely: jax.Array
) -> jax.Array:
  """Classes `[...]` int32 by inverse CDF: of all, or of the likeliest alone.

  Compiles sooner than `argmax` of many variables of many sizes. Of equally
  likely ones chance takes one.
  """
  probs = jnp.exp(log_probs)
  likeliest = probs >= jnp.max(probs, axis=-1, keepdims=True)
  return inverse_cdf(
    uniform, jnp.where(most_likely, likeliest.astype(probs.dtype), probs)
  )


@flax.struct.dataclass
class Changes:
  """What a chain with changes needs beside the logits of values."""

  scores: jax.Array  # [N, C] of changes, token after token
  last: jax.Array  # [N, M] int32, what the tokens were
  known: jax.Array  # [N, 1] bool, whether they were anything
  # Which of its token's scores a change has, `[R, W]` int16 by last and next
  # value, -1 where it has none; and how many scores each token has.
  scores_of: jax.Array
  counts: tuple[int, ...] = flax.struct.field(pytree_node=False)


def token_numbers(
  key: jax.Array,
  sizes: Mapping[str, int],
  logits: jax.Array,
  chain: jax.Array,
  most_likely: bool | jax.Array,
  changes: Changes | None = None,
) -> jax.Array:
  """Tokens `[N, M]` int32, each drawn given the tokens before it.

  A loop over tokens, each in a window as wide as the largest: unrolled it took
  8 times as long on a CPU, and 6 times as long to compile.

  Args:
    key: typed PRNG key; consumed.
    sizes: token sizes, in order; at least one.
    logits: `[N, R]`, without chain terms.
    chain: `[R, R]`, of which the causal part is used; with changes
      `[R + C, R + C]`, as `rssm.causal` makes it.
    most_likely: take each token's most likely value given the ones before.
    changes: if they are part of the chain; `logits` are then without scores.
  """
  rows = len(logits)
  values = np.array(list(sizes.values()), np.int32)
  starts = np.cumsum(values) - values
  widest = int(max(*values, *(changes.counts if changes else ())))
  beyond = ((0, 0), (0, widest))  # room for the last window
  if changes is None:
    group = np.repeat(np.arange(len(values)), values)
    later = jnp.asarray(group[:, None] < group)
    chain = jnp.pad(jnp.where(later, chain, 0.0), beyond)
    scores = jnp.pad(logits, beyond)
    firsts = np.zeros((len(values), 0), np.int32)
    last = jnp.zeros((len(values), 0))
  else:
    chain, scores, firsts = _changing(chain, logits, changes, widest)
    last = changes.last.T
    known = changes.known
    lacking = ((0, 0), (0, widest - changes.scores_of.shape[1]))
    scores_of = jnp.pad(changes.scores_of, lacking, constant_values=-1)
  # The numbers that each would draw, by one generator in the program.
  uniform = functools.partial(jax.random.uniform, shape=(rows,))
  uniforms = jax.vmap(uniform)(jax.random.split(key, len(values)))
  classes = np.arange(widest, dtype=np.int32)[None]

  def draw_next(scores, token):
    start, size, uniform, first, last = token
    given = jax.lax.dynamic_slice_in_dim(scores, start, widest, axis=1)
    if changes is not None:
      at = jnp.where(known, scores_of[start + last].astype(jnp.int32), -1)
      given += _of_changes(scores, first[0], at)
    given = jnp.where(classes < size, given, -jnp.inf)
    number = _of_logits(uniform, given, most_likely)
    number = jnp.minimum(number, size - 1)
    owed = chain[start + number]
    if changes is not None:
      change = jnp.take_along_axis(at, number[:, None], axis=1)[:, 0]
      # The last row is that of changes without a score.
      none = chain.shape[0] - 1
      owed += chain[jnp.where(change >= 0, first[1] + change, none)]
    return scores + owed, number

  places = (jnp.asarray(part) for part in (starts, values))
  tokens = (*places, uniforms, jnp.asarray(firsts), last)
  _, drawn = jax.lax.scan(draw_next, scores, tokens)
  return drawn.T


def _changing(chain, logits, changes, widest):
  """Chain and scores with room behind values and changes, and first places.

  The last row of the chain, of zeros, is that of changes without a score. First
  places `[M, 2]` are where a token's changes stand among the scores, and where
  among the rows of the chain.
  """
  values = logits.shape[1]
  gap = ((0, 0), (0, widest))
  chain = jnp.pad(chain, ((0, 1), (0, 0)))
  chain = jnp.concatenate(
    [jnp.pad(chain[:, :values], gap), jnp.pad(chain[:, values:], gap)], axis=1
  )
  scores = jnp.concatenate(
    [jnp.pad(logits, gap), jnp.pad(changes.scores, gap)], axis=1
  )
  counts = np.array(changes.counts)
  first = np.cumsum(counts) - counts + values
  firsts = np.stack([first + widest, first], axis=1)
  return chain, scores, firsts.astype(np.int32)


def _of_changes(scores, first, at) -> jax.Array:
  """Scores `[N, W]` of changes `at` of the token whose first one is given."""
  width = at.shape[1]
  given = jax.lax.dynamic_slice_in_dim(scores, first, width, axis=1)
  found = jnp.take_along_axis(given, jnp.maximum(at, 0), axis=1)
  return jnp.where(at >= 0, found, 0.0)
