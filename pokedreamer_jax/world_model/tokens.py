"""RAM variables as categorical tokens of the state.

A token is one small number read from a step's RAM fields, clipped to its
configured size; what merely tells things apart (`HASHED`) is spread over it
instead. The state carries all of them as one concatenated one-hot
vector `[R]`; `WorldModelConfig.token_sizes` gives names, sizes and order.
The order is that of the prior's chain rule: a token may depend on the tokens
before it, so what decides others (battle, dialog) stands first.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import functools
from typing import Any

import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config


def _popcount(bits: jax.Array) -> jax.Array:
  return jax.lax.population_count(bits.astype(jnp.uint8))


def _fights(ram: Mapping[str, jax.Array], name: str) -> jax.Array:
  """Field `[..., 6]` of the creature that fights; outside battle the first."""
  slot = ram["active_slot"][..., None].astype(jnp.int32)
  return jnp.take_along_axis(ram[name], slot, axis=-1)[..., 0]


# Frames from a clock's next phase until it is seen, in the great vale: of some
# 10,000 blocks of water and people none showed it one frame after it began, and
# all did two frames after. In texts and menus clocks stand still, and what is
# seen has caught up. Amid a step it is one frame behind, and told as none.
_LOOK_LAG = 2


def _clock(ram: Mapping[str, jax.Array], name: str, lag: int = 0) -> jax.Array:
  """Frames `[...]` since the first phase of a clock began, or was seen."""
  phases, wait = CLOCKS[f"{name}_clock"]
  now = ram[f"{name}_phase"].astype(jnp.int32) * wait + ram[f"{name}_wait"]
  if not lag:
    return now
  return (now - lag * ram["has_control"].astype(jnp.int32)) % (phases * wait)


def _steps(frames: jax.Array) -> jax.Array:
  """Steps `[...]` until so many frames have gone by, the last one in part."""
  return -(-frames.astype(jnp.int32) // specs.STEP_FRAMES)


# A battle's message stays for so many frames. When it goes decides how much of
# the next is seen after a step; of longer waits the steps that are left do.
_MESSAGE_FRAMES = 26


def _text_wait(ram: Mapping[str, jax.Array]) -> jax.Array:
  """Frames `[...]` until a text goes on by itself, of many the steps."""
  frames = ram["text_wait"].astype(jnp.int32)
  later = _MESSAGE_FRAMES - 1 + _steps(frames)
  return jnp.where(frames > _MESSAGE_FRAMES, later, frames)


def bar_pixels(now: jax.Array, most: jax.Array) -> jax.Array:
  """Pixels `[...]` int32, 0 .. 48, of an HP bar that has come to rest."""
  pixels = world_model_config.BAR_PIXELS
  length = now * pixels // jnp.maximum(most, 1)
  length = jnp.where((now > 0) & (length == 0), 1, length)
  return jnp.minimum(length, pixels)


# Pixels by which a bar that moves is seen behind what memory holds: in 108 of
# 125 rows of the great vale in which one did.
_BAR_LAG = 1


def _slide(bar: jax.Array, now: jax.Array, most: jax.Array) -> jax.Array:
  """Pixels `[...]` by which a bar is seen too long still, as after a blow."""
  rest = bar_pixels(now.astype(jnp.int32), most.astype(jnp.int32))
  left = bar.astype(jnp.int32) - 1 - rest
  return jnp.where(left > 0, left + _BAR_LAG, 0)


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
  # The first and the second of the party, whoever fights.
  "species": lambda ram: ram["party_species"][..., 0],
  "max_hp": lambda ram: ram["party_max_hp"][..., 0],
  "hp2": lambda ram: ram["party_hp"][..., 1],
  "level2": lambda ram: ram["party_level"][..., 1],
  "enemy_level": lambda ram: ram["enemy_level"],
  "money": lambda ram: ram["money"] // 100,
  "event_flags": lambda ram: ram["event_flags"],
  "dex_seen": lambda ram: ram["dex_seen"],
  # From here on of schema version 3.
  "enemy_max_hp": lambda ram: ram["enemy_max_hp"],
  "active_slot": lambda ram: ram["active_slot"],
  "active_species": lambda ram: _fights(ram, "party_species"),
  "active_hp": lambda ram: _fights(ram, "party_hp"),
  "active_max_hp": lambda ram: _fights(ram, "party_max_hp"),
  "move_item": lambda ram: ram["move_item"],
  "text": lambda ram: ram["text"],
  "text2": lambda ram: ram["text"],
  "letters": lambda ram: ram["letters"],
  "walk": lambda ram: ram["walk_counter"],
  "scroll_y": lambda ram: ram["scroll_y"],
  "scroll_x": lambda ram: ram["scroll_x"],
  "tile_clock": lambda ram: _clock(ram, "tile"),
  "figure_clock": lambda ram: _clock(ram, "figure"),
  "tile_look": lambda ram: _clock(ram, "tile", _LOOK_LAG),
  "figure_look": lambda ram: _clock(ram, "figure", _LOOK_LAG),
  "active_level": lambda ram: _fights(ram, "party_level"),
  # From here on of schema version 4.
  "shade": lambda ram: ram["shade"],
  "heal_items": lambda ram: ram["heal_items"],
  # From here on of schema version 5: in steps.
  "menu_wait": lambda ram: _steps(ram["menu_wait"]),
  # From here on of schema version 6.
  "text_wait": _text_wait,
  "blink_wait": lambda ram: ram["blink_wait"],
  "own_slide": lambda ram: _slide(
    ram["own_bar"], _fights(ram, "party_hp"), _fights(ram, "party_max_hp")
  ),
  "enemy_slide": lambda ram: _slide(
    ram["enemy_bar"], ram["enemy_hp"], ram["enemy_max_hp"]
  ),
  # From here on of schema version 7.
  "arriving": lambda ram: ram["arriving"],
}
CLOCKS = world_model_config.CLOCKS
# Numbers without order: 0 is none, the others share the values from 1 on. Two
# of different sizes tell a text apart that shares a value of one with others.
HASHED = ("text", "text2")
# Read from what the atlas makes of a RAM field (`atlas_texts.told`).
DERIVED = {"letters": "text"}


def check(sizes: Mapping[str, int], unseen: Iterable[str] = ()) -> None:
  """Raises ValueError where a token that is named has no reader.

  Args:
    sizes: the state's.
    unseen: those that blocks do not read directly, present or not.
  """
  strange = sorted(set(unseen) - set(READERS))
  if strange:
    raise ValueError(
      f"world_model.unseen_tokens: unknown {strange}, expected among "
      f"{sorted(READERS)}"
    )
  unknown = sorted(set(sizes) - set(READERS))
  if unknown:
    raise ValueError(
      f"world_model.tokens: unknown {unknown}, expected {sorted(READERS)}"
    )
  for name, (phases, wait) in CLOCKS.items():
    if sizes.get(name, phases * wait) != phases * wait:
      raise ValueError(
        f"world_model.tokens: {name}:{sizes[name]}, expected "
        f"{name}:{phases * wait}, {phases} phases of {wait} frames"
      )


@functools.cache
def fields(name: str) -> tuple[str, ...]:
  """The RAM fields that a token is read from."""
  return fields_of(READERS[name])


def fields_of(reader: Callable[[Any], Any]) -> tuple[str, ...]:
  """The RAM fields that a reader asks for."""
  asked = _Asked()
  jax.eval_shape(lambda: reader(asked))  # computes, and compiles, nothing
  return tuple(asked)


class _Asked(dict):
  """RAM fields of one row, all zero; holds those that were asked for."""

  def __missing__(self, name: str) -> jax.Array:
    if name in DERIVED:
      return self[DERIVED[name]]
    field = next(f for f in specs.RAM_FIELDS if f.name == name)
    return self.setdefault(name, jnp.zeros(field.shape, field.dtype))


def slices(sizes: Mapping[str, int]) -> dict[str, slice]:
  """Where each token's one-hot lies in the vector `[R]`."""
  places, start = {}, 0
  for name, size in sizes.items():
    places[name] = slice(start, start + size)
    start += size
  return places


def read(sizes: Mapping[str, int], ram: Mapping[str, jax.Array]) -> jax.Array:
  """Token numbers `[..., M]` int32 from RAM fields `[...]`, within sizes."""
  if not sizes:
    return jnp.zeros((*jnp.shape(ram["map_id"]), 0), jnp.int32)
  values = [_read(name, size, ram) for name, size in sizes.items()]
  return jnp.stack(values, axis=-1)


def _read(name: str, size: int, ram: Mapping[str, jax.Array]) -> jax.Array:
  value = READERS[name](ram).astype(jnp.int32)
  if name in HASHED:
    return jnp.where(value > 0, value % (size - 1) + 1, 0)
  return jnp.minimum(value, size - 1)


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
