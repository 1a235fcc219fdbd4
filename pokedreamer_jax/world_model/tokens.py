"""RAM variables as categorical tokens of the state.

A token is one small number read from a step's RAM fields, clipped to its
configured size. The state carries all of them as one concatenated one-hot
vector `[R]`; `WorldModelConfig.token_sizes` gives names, sizes and order.
The order is that of the prior's chain rule: a token may depend on the tokens
before it, so what decides others (battle, dialog) stands first.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp


def _popcount(bits: jax.Array) -> jax.Array:
  return jax.lax.population_count(bits.astype(jnp.uint8))


# Token name -> its value from the RAM fields of `specs.RAM_FIELDS`.
READERS = {
  "map": lambda ram: ram["map_id"],
  "y": lambda ram: ram["y"],
  "x": lambda ram: ram["x"],
  "facing": lambda ram: ram["facing"],
  "battle": lambda ram: jnp.minimum(ram["in_battle"], 3),  # 255 -> blackout
  "dialog": lambda ram: ram["dialog_open"],
  "menu": lambda ram: ram["menu_open"],
  "menu_item": lambda ram: ram["menu_item"] * ram["menu_open"],
  "control": lambda ram: ram["has_control"],
  "badges": lambda ram: _popcount(ram["badges"]),
  "party_size": lambda ram: ram["party_size"],
  "dex_owned": lambda ram: ram["dex_owned"],
  "level": lambda ram: ram["party_level"][..., 0],
  "hp": lambda ram: ram["party_hp"][..., 0],
  "capture_items": lambda ram: ram["capture_items"],
  "enemy_species": lambda ram: ram["enemy_species"],
  "enemy_hp": lambda ram: ram["enemy_hp"],
}


def check(sizes: Mapping[str, int]) -> None:
  """Raises ValueError where a configured token has no reader."""
  unknown = sorted(set(sizes) - set(READERS))
  if unknown:
    raise ValueError(
      f"world_model.tokens: unknown {unknown}, expected {sorted(READERS)}"
    )


def slices(sizes: Mapping[str, int]) -> dict[str, slice]:
  """Where each token's one-hot lies in the vector `[R]`."""
  places, start = {}, 0
  for name, size in sizes.items():
    places[name] = slice(start, start + size)
    start += size
  return places


def read(sizes: Mapping[str, int], ram: Mapping[str, jax.Array]) -> jax.Array:
  """Token numbers `[..., M]` int32 from RAM fields `[...]`, clipped."""
  if not sizes:
    return jnp.zeros((*jnp.shape(ram["map_id"]), 0), jnp.int32)
  values = [
    jnp.minimum(READERS[name](ram).astype(jnp.int32), size - 1)
    for name, size in sizes.items()
  ]
  return jnp.stack(values, axis=-1)


def one_hot(sizes: Mapping[str, int], numbers: jax.Array) -> jax.Array:
  """Concatenated one-hots `[..., R]` float32 of numbers `[..., M]`."""
  if not sizes:
    return jnp.zeros((*numbers.shape[:-1], 0), jnp.float32)
  parts = [
    jax.nn.one_hot(numbers[..., i], size)
    for i, size in enumerate(sizes.values())
  ]
  return jnp.concatenate(parts, axis=-1)


def numbers(sizes: Mapping[str, int], hot: jax.Array) -> jax.Array:
  """Numbers `[..., M]` int32 of concatenated one-hots or logits `[..., R]`."""
  if not sizes:
    return jnp.zeros((*hot.shape[:-1], 0), jnp.int32)
  parts = [
    jnp.argmax(hot[..., place], axis=-1) for place in slices(sizes).values()
  ]
  return jnp.stack(parts, axis=-1).astype(jnp.int32)


def cross_entropy(
  sizes: Mapping[str, int], logits: jax.Array, hot: jax.Array
) -> dict[str, jax.Array]:
  """Nats `[...]` per token of logits `[..., R]` against one-hots."""
  return {
    name: -jnp.sum(
      hot[..., place] * jax.nn.log_softmax(logits[..., place]), axis=-1
    )
    for name, place in slices(sizes).items()
  }
