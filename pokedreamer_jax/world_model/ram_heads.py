"""Heads that read memory variables off the features of a state.

Tokens are part of the state; what a head reads is not, so it costs the
dynamics nothing and may be a number of any size. `WorldModelConfig.ram_heads`
lists them as `name:size`. Each head is a distribution over `size` bins that
stand for values of its variable, trained by the cross-entropy to the two-hot
value: counts and categories have one bin a value (larger ones are clipped to
the last), and shares are spaced evenly in 0..1. What grows without bound lives
in symlog, its mean too: a trace of probability in the last bin would outweigh
everything in a mean of the numbers themselves. Every variable that can be a
token can be a head as well, but for those without order (`tokens.HASHED`);
`money` is whole here, a token has it in hundreds.
"""

from collections.abc import Mapping
import functools

import flax.struct
import jax
import jax.numpy as jnp

from pokedreamer_jax.networks import two_hot
from pokedreamer_jax.world_model import tokens

# Head name -> its value from the RAM fields of `specs.RAM_FIELDS`.
READERS = {
  **{
    k: v
    for k, v in tokens.READERS.items()
    if k not in (*tokens.HASHED, *tokens.DERIVED)
  },
  "hp_share": lambda ram: _hp_share(ram["party_hp"], ram["party_max_hp"]),
  "xp": lambda ram: jnp.sum(_float(ram["party_xp"]), axis=-1),
  "money": lambda ram: ram["money"],
}
SHARES = ("hp_share",)  # in 0..1
# Largest value in symlog: e^16 - 1 is 8.9 million, e^14 - 1 1.2 million and
# e^8 - 1 2,980.
LOG_LIMITS = {"xp": 16.0, "money": 14.0, "event_flags": 8.0}


@flax.struct.dataclass
class Reading:
  """What one head says."""

  expected: jax.Array  # [...] float32, mean value (symlog: the mean there)
  most_likely: jax.Array  # [...] float32, value of the likeliest bin


def check(sizes: Mapping[str, int]) -> None:
  """Raises ValueError where a configured head has no reader."""
  unknown = sorted(set(sizes) - set(READERS))
  if unknown:
    raise ValueError(
      f"world_model.ram_heads: unknown {unknown}, expected {sorted(READERS)}"
    )


@functools.cache
def fields(name: str) -> tuple[str, ...]:
  """The RAM fields that a head's variable is read from."""
  return tokens.fields_of(READERS[name])


def bins(name: str, size: int) -> jax.Array:
  """What a head's bins stand for, `[size]` float32, ascending from 0.

  Values of the variable, or their symlog where it is in `LOG_LIMITS`.
  """
  if name in SHARES:
    return jnp.linspace(0.0, 1.0, size)
  if name in LOG_LIMITS:
    return jnp.linspace(0.0, LOG_LIMITS[name], size)
  return jnp.arange(size, dtype=jnp.float32)


def values(
  sizes: Mapping[str, int], ram: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
  """True values `[...]` float32 of every head's variable, not clipped."""
  return {name: _float(READERS[name](ram)) for name in sizes}


def cross_entropy(
  sizes: Mapping[str, int],
  outputs: jax.Array,
  ram: Mapping[str, jax.Array],
) -> dict[str, jax.Array]:
  """Nats `[...]` per head of raw outputs `[..., sum of sizes]`.

  Args:
    sizes: head sizes, in order.
    outputs: concatenated logits of all heads.
    ram: RAM fields `[...]`.
  """
  true = values(sizes, ram)
  nats = {}
  for name, place in tokens.slices(sizes).items():
    value = true[name]
    if name in LOG_LIMITS:
      value = two_hot.symlog(value)
    points = bins(name, sizes[name])
    nats[name] = two_hot.cross_entropy(outputs[..., place], value, points)
  return nats


def read(sizes: Mapping[str, int], outputs: jax.Array) -> dict[str, Reading]:
  """What every head says in its raw outputs `[..., sum of sizes]`."""
  readings = {}
  for name, place in tokens.slices(sizes).items():
    logits, points = outputs[..., place], bins(name, sizes[name])
    reading = Reading(
      expected=two_hot.mean(logits, points),
      most_likely=points[jnp.argmax(logits, axis=-1)],
    )
    if name in LOG_LIMITS:
      reading = jax.tree.map(two_hot.symexp, reading)
    readings[name] = reading
  return readings


def errors(
  sizes: Mapping[str, int],
  outputs: jax.Array,
  ram: Mapping[str, jax.Array],
) -> dict[str, jax.Array]:
  """Distance `[...]` of every head's expected value from the true one."""
  true = values(sizes, ram)
  return {
    name: jnp.abs(reading.expected - true[name])
    for name, reading in read(sizes, outputs).items()
  }


def _hp_share(hp: jax.Array, max_hp: jax.Array) -> jax.Array:
  """The party's HP `[...]` as a share; 0 without a party."""
  total = jnp.sum(_float(max_hp), axis=-1)
  return jnp.sum(_float(hp), axis=-1) / jnp.maximum(total, 1.0)


def _float(x: jax.Array) -> jax.Array:
  return jnp.asarray(x).astype(jnp.float32)
