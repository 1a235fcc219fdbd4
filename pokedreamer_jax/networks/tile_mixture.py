"""Tiles copied or drawn: what the decoder with an atlas says of a frame.

A tile is one of a few candidates that the atlas holds, or drawn from the
softmax over the dictionary (a pointer network, See et al. 2017):

    p(v) = g sum_k w_k [candidate_k = v] + (1 - g) softmax(logits)_v

`g` is a sigmoid of each tile, `w` a softmax over the candidates, 0 where one is
not known; where none is, `g` is 0. So a tile that is a candidate is judged
without the large softmax, and most are: that is where training time is saved.
"""

import flax.struct
import jax
import jax.numpy as jnp

_NEVER = -1e9  # log of nothing; finite, so that no gradient is NaN


@flax.struct.dataclass
class Copies:
  """Candidates of tiles and how likely each is copied."""

  candidate: jax.Array  # [..., K] int32, dictionary numbers; `V`: not known
  log_copy: (
    jax.Array
  )  # [..., K] float32, log(g w_k); hugely negative where not known
  log_draw: jax.Array  # [...] float32, log(1 - g)


@flax.struct.dataclass
class Mixture:
  """The distribution of tiles `[...]` over a dictionary of `V`."""

  copies: Copies
  logits: jax.Array  # [..., V + 1] of the drawn ones, not normalised


def copies(
  candidate: jax.Array, weight: jax.Array, gate: jax.Array, escape: int
) -> Copies:
  """Puts candidates and their logits together.

  Args:
    candidate: `[..., K]` int32.
    weight: `[..., K]`, logits of the candidates among each other.
    gate: `[...]`, logit of copying.
    escape: `V`, the number that is never copied.
  """
  known = candidate < escape
  weight, gate = weight.astype(jnp.float32), gate.astype(jnp.float32)
  log_share = jax.nn.log_softmax(jnp.where(known, weight, _NEVER), axis=-1)
  some = jnp.any(known, axis=-1)
  log_copy = jax.nn.log_sigmoid(gate)[..., None] + log_share
  return Copies(
    candidate=candidate,
    log_copy=jnp.where(known, log_copy, _NEVER),
    log_draw=jnp.where(some, jax.nn.log_sigmoid(-gate), 0.0),
  )


def no_copies(shape: tuple[int, ...], escape: int) -> Copies:
  """Of tiles `shape`, that none has a candidate: all are drawn."""
  return Copies(
    candidate=jnp.full((*shape, 1), escape, jnp.int32),
    log_copy=jnp.full((*shape, 1), _NEVER, jnp.float32),
    log_draw=jnp.zeros(shape, jnp.float32),
  )


def is_copy(found: Copies, tile: jax.Array) -> jax.Array:
  """Whether tiles `[...]` are among their candidates, `[...]` bool."""
  return jnp.any(_fits(found, tile), axis=-1)


def copy_nats(found: Copies, tile: jax.Array) -> jax.Array:
  """Nats `[...]` of copying or not, without the draw.

  For a candidate `-log(g sum_k w_k [candidate_k = tile])`, which bounds the
  tile's nats from above: it might have been drawn as well. For another one
  `-log(1 - g)`, to which `draw_nats` is to be added.
  """
  fits = _fits(found, tile)
  copied = jax.nn.logsumexp(jnp.where(fits, found.log_copy, _NEVER), axis=-1)
  return -jnp.where(jnp.any(fits, axis=-1), copied, found.log_draw)


@jax.custom_vjp
def draw_nats(logits: jax.Array, tile: jax.Array) -> jax.Array:
  """Cross-entropy `[...]` of logits `[..., V + 1]` against tiles `[...]`.

  The gradient is written out: it needs one pass over the logits.
  """
  return _draw_nats_forward(logits, tile)[0]


def _draw_nats_forward(logits, tile):
  log_norm = jax.nn.logsumexp(logits, axis=-1)
  own = jnp.take_along_axis(logits, tile[..., None], axis=-1)[..., 0]
  return log_norm - own, (logits, log_norm, tile)


def _draw_nats_backward(kept, grad):
  logits, log_norm, tile = kept
  each = jax.lax.broadcasted_iota(tile.dtype, logits.shape, logits.ndim - 1)
  probs = jnp.exp(logits - log_norm[..., None])
  error = probs - (each == tile[..., None]).astype(probs.dtype)
  return grad[..., None] * error, None


draw_nats.defvjp(_draw_nats_forward, _draw_nats_backward)


def nats(mixture: Mixture, tile: jax.Array) -> jax.Array:
  """Nats `[...]` of tiles `[...]` under the whole mixture."""
  found = mixture.copies
  drawn = found.log_draw - draw_nats(mixture.logits, tile)
  fits = _fits(found, tile)
  copied = jax.nn.logsumexp(jnp.where(fits, found.log_copy, _NEVER), axis=-1)
  return -jnp.logaddexp(drawn, copied)


def likeliest(mixture: Mixture) -> jax.Array:
  """The most likely tiles `[...]` int32.

  That is a candidate, or the most likely one of those drawn: every other tile
  has less of both shares.
  """
  found = mixture.copies
  best = jnp.argmax(mixture.logits, axis=-1).astype(jnp.int32)
  offered = jnp.concatenate([best[..., None], found.candidate], axis=-1)
  log_norm = jax.nn.logsumexp(mixture.logits, axis=-1)
  drawn = jnp.take_along_axis(mixture.logits, offered, axis=-1)
  drawn += (found.log_draw - log_norm)[..., None]
  same = offered[..., :, None] == found.candidate[..., None, :]
  copied = jax.nn.logsumexp(
    jnp.where(same, found.log_copy[..., None, :], _NEVER), axis=-1
  )
  choice = jnp.argmax(jnp.logaddexp(drawn, copied), axis=-1)
  return jnp.take_along_axis(offered, choice[..., None], axis=-1)[..., 0]


def _fits(found: Copies, tile: jax.Array) -> jax.Array:
  """`[..., K]` bool: which known candidates are the tile."""
  return (found.candidate == tile[..., None]) & (found.log_copy > 0.5 * _NEVER)
