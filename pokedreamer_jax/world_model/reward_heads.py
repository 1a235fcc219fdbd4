"""What the reward head's raw outputs mean, and rewards read from tokens.

Event terms (badges, species, new maps, wins) are Bernoulli; amounts (XP, HP
lost) are a two-hot distribution over bins equally spaced in symlog (Hafner et
al. 2023, eq. 9 and 10). Where the state carries tokens, badges, species and
new maps are computed from them and the visited set instead; the stuck term is
always computed: a step on which nothing good happened.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.networks import two_hot
from pokedreamer_jax.world_model import progress as progress_lib

EVENT_TERMS = ("badges", "species", "new_maps", "wild_wins", "trainer_wins")
AMOUNT_TERMS = ("xp", "hp_lost")
NUM_BINS = 41
MAX_SYMLOG = 8.0  # amounts up to e^8 - 1 = 2,980
NUM_OUTPUTS = len(EVENT_TERMS) + len(AMOUNT_TERMS) * NUM_BINS


def bin_amounts() -> jax.Array:
  """Amounts `[NUM_BINS]` that the bins stand for, ascending from 0.

  Weights on two bins are linear in the amount itself, so that their mean gives
  it back exactly; larger amounts than the last bin are clipped to it.
  """
  return two_hot.symexp(jnp.linspace(0.0, MAX_SYMLOG, NUM_BINS))


def loss(outputs: jax.Array, reward_terms: jax.Array) -> jax.Array:
  """Nats `[...]` of raw outputs `[..., NUM_OUTPUTS]` for terms `[..., 8]`."""
  logits, bins = _split(outputs)
  targets = jnp.stack(
    [reward_terms[..., _index(name)] > 0 for name in EVENT_TERMS], axis=-1
  )
  nats = -jnp.sum(
    jnp.where(targets, jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)),
    axis=-1,
  )
  amounts = bin_amounts()
  for i, name in enumerate(AMOUNT_TERMS):
    term = reward_terms[..., _index(name)]
    nats += two_hot.cross_entropy(bins[..., i, :], term, amounts)
  return nats


def predict(outputs: jax.Array) -> jax.Array:
  """Expected unweighted terms `[..., 8]` of raw outputs, stuck included."""
  logits, bins = _split(outputs)
  probabilities = jax.nn.sigmoid(logits)
  amounts = two_hot.mean(bins, bin_amounts())
  terms = {name: probabilities[..., i] for i, name in enumerate(EVENT_TERMS)}
  terms |= {name: amounts[..., i] for i, name in enumerate(AMOUNT_TERMS)}
  return with_stuck(terms)


def event_probabilities(outputs: jax.Array) -> jax.Array:
  """Probability `[..., 8]` that each term is above 0, stuck included."""
  logits, bins = _split(outputs)
  probabilities = jax.nn.sigmoid(logits)
  above = 1.0 - jax.nn.softmax(bins, axis=-1)[..., 0]  # the bin of nothing
  terms = {name: probabilities[..., i] for i, name in enumerate(EVENT_TERMS)}
  terms |= {name: above[..., i] for i, name in enumerate(AMOUNT_TERMS)}
  return with_stuck(terms)


def with_stuck(terms: Mapping[str, jax.Array]) -> jax.Array:
  """Stacks terms `[..., 8]`, adding stuck: 1 where nothing good happened."""
  good = sum(jnp.minimum(terms[name], 1.0) for name in (*EVENT_TERMS, "xp"))
  terms = {**terms, "stuck": jnp.maximum(1.0 - good, 0.0)}
  return jnp.stack([terms[name] for name in specs.REWARD_TERMS], axis=-1)


def from_tokens(
  sizes: Mapping[str, int],
  predicted: jax.Array,
  before: progress_lib.Progress,
  after: progress_lib.Progress,
) -> jax.Array:
  """Replaces what tokens know better, on arriving at imagined states.

  Badges and species pay for a new maximum only, as in the records: a token
  that flickers in a dream is no income.

  Args:
    sizes: token sizes.
    predicted: `predict` of the arrival states, `[..., 8]`.
    before: progress before the arrivals, leaves `[..., ...]`.
    after: with them.

  Returns:
    Terms `[..., 8]`.
  """
  terms = {name: predicted[..., i] for i, name in enumerate(specs.REWARD_TERMS)}
  for i, (term, token) in enumerate(progress_lib.COUNTED):
    if token in sizes:
      terms[term] = after.best[..., i] - before.best[..., i]
  if "map" in sizes:
    found = jnp.any(after.visited & ~before.visited, axis=-1)
    terms["new_maps"] = found.astype(jnp.float32)
  return with_stuck(terms)


def _split(outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
  outputs = outputs.astype(jnp.float32)
  bins = outputs[..., len(EVENT_TERMS) :]
  return outputs[..., : len(EVENT_TERMS)], bins.reshape(
    *outputs.shape[:-1], len(AMOUNT_TERMS), NUM_BINS
  )


def _index(name: str) -> int:
  return specs.REWARD_TERMS.index(name)
