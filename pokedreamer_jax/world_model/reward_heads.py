"""What the reward head's raw outputs mean, and rewards read from tokens.

Event terms (badges, species, new maps, wins) are Bernoulli; amounts (XP, HP
lost) are a two-hot distribution over bins equally spaced in symlog (Hafner et
al. 2023, eq. 9 and 10). Where the state carries tokens, badges, species and
new maps are computed from them and the visited set instead; the stuck term is
always computed: a step on which nothing good happened.
"""

from collections.abc import Mapping

import flax.struct
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.networks import two_hot
from pokedreamer_jax.world_model import tokens

EVENT_TERMS = ("badges", "species", "new_maps", "wild_wins", "trainer_wins")
AMOUNT_TERMS = ("xp", "hp_lost")
NUM_BINS = 41
MAX_SYMLOG = 8.0  # amounts up to e^8 - 1 = 2,980
NUM_OUTPUTS = len(EVENT_TERMS) + len(AMOUNT_TERMS) * NUM_BINS
# Terms that count up, and the token that holds the count.
_COUNTED = (("badges", "badges"), ("species", "dex_owned"))
NUM_MAPS = 256  # the visited set is one flag per map id


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


@flax.struct.dataclass
class Progress:
  """What an episode has reached so far; rewards count only what is new."""

  visited: jax.Array  # [..., 256] bool, maps seen
  best: jax.Array  # [..., 2] float32, most badges and species so far


def start_progress(
  sizes: Mapping[str, int], hot: jax.Array, visited: jax.Array
) -> Progress:
  """Progress at tokens `[..., R]` with the maps `[..., 256]` seen before.

  Where a dream starts is no news, on the title screen neither: no map is
  visited there, yet memory holds some number.
  """
  places = tokens.slices(sizes)
  if "map" in places:
    visited = visited | _here(hot[..., places["map"]])
  counts = [_count(sizes, hot, token) for _, token in _COUNTED]
  return Progress(visited=visited, best=jnp.stack(counts, axis=-1))


def from_tokens(
  sizes: Mapping[str, int],
  predicted: jax.Array,
  hot: jax.Array,
  progress: Progress,
) -> tuple[jax.Array, Progress]:
  """Replaces what tokens know better, for one imagined step.

  Badges and species pay for a new maximum only, as in the records: a token
  that flickers in a dream is no income.

  Args:
    sizes: token sizes.
    predicted: `predict` of the arrival state, `[..., 8]`.
    hot: tokens of the arrival state, one-hot `[..., R]`.
    progress: before the arrival.

  Returns:
    Terms `[..., 8]` and the progress with the arrival in it.
  """
  places = tokens.slices(sizes)
  terms = {name: predicted[..., i] for i, name in enumerate(specs.REWARD_TERMS)}
  best = []
  for i, (term, token) in enumerate(_COUNTED):
    before = progress.best[..., i]
    best.append(jnp.maximum(before, _count(sizes, hot, token)))
    if token in places:
      terms[term] = best[i] - before
  visited = progress.visited
  if "map" in places:
    here = _here(hot[..., places["map"]])
    terms["new_maps"] = jnp.any(here & ~visited, axis=-1).astype(jnp.float32)
    visited = visited | here
  return with_stuck(terms), Progress(visited, jnp.stack(best, axis=-1))


def visited_flags(bitmask: jax.Array) -> jax.Array:
  """Flags `[..., 256]` bool of the record's bitmask `[..., 32]` uint8."""
  places = jnp.broadcast_to(jnp.arange(8, dtype=jnp.uint8), (*bitmask.shape, 8))
  bits = (bitmask[..., None] >> places) & jnp.uint8(1)
  return bits.reshape(*bitmask.shape[:-1], NUM_MAPS).astype(jnp.bool_)


def _split(outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
  outputs = outputs.astype(jnp.float32)
  bins = outputs[..., len(EVENT_TERMS) :]
  return outputs[..., : len(EVENT_TERMS)], bins.reshape(
    *outputs.shape[:-1], len(AMOUNT_TERMS), NUM_BINS
  )


def _here(hot: jax.Array) -> jax.Array:
  """Flags `[..., 256]` of the map that a one-hot token names."""
  number = jnp.argmax(hot, axis=-1)
  return jax.nn.one_hot(number, NUM_MAPS, dtype=jnp.bool_)


def _count(sizes, hot, name: str) -> jax.Array:
  """Number `[...]` float32 that a token stands for; 0 where there is none."""
  place = tokens.slices(sizes).get(name)
  if place is None:
    return jnp.zeros(hot.shape[:-1])
  return hot[..., place] @ jnp.arange(sizes[name], dtype=jnp.float32)


def _index(name: str) -> int:
  return specs.REWARD_TERMS.index(name)
