"""Posterior states kept in bits: what cloning and dream starts read.

Acting carries its state from the first row of an episode for hundreds of
steps; a training window starts from nothing. So states for behaviour come from
whole episodes encoded once (`experiments/training/latents.py`), not from
windows. They are many, so one-hot leaves travel and stay as bits and `deter` as
float16.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

import chex
from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib


@struct.dataclass
class Latents:
  """Posterior states of recorded rows, packed, and what goes with them.

  Leaves share leading axes `[...]`: `[B, T]` while encoding, `[M]` rows later.
  """

  deter: jax.Array  # [..., D] float16
  stoch: jax.Array  # [..., ceil(S * K / 8)] uint8, bits of the one-hots
  tokens: jax.Array  # [..., ceil(R / 8)] uint8, bits of the one-hots
  action: jax.Array  # [...] uint8, chosen after the row was seen
  behaviour: jax.Array  # [...] uint8, who chose it
  is_first: jax.Array  # [...] bool
  is_last: jax.Array  # [...] bool
  is_terminal: jax.Array  # [...] bool
  visited_maps: jax.Array  # [..., 32] uint8, bits
  # [...] uint8, of the first creature; after `with_earned` the highest so far
  level: jax.Array
  # [..., 8] float32, of this row; of the episode up to it after `with_earned`
  reward_terms: jax.Array


# The fields of a batch that are kept as they are.
ROW_FIELDS = (
  "action",
  "behaviour",
  "is_first",
  "is_last",
  "is_terminal",
  "visited_maps",
  "reward_terms",
)


def pack(state: world_model.State, batch: dict[str, Any]) -> Latents:
  """Packs posterior states `[...]` with the rows `[...]` they belong to."""
  chex.assert_equal_shape_prefix(
    [state.deter, batch["action"]], batch["action"].ndim
  )
  return Latents(
    deter=state.deter.astype(jnp.float16),
    stoch=_pack_bits(state.stoch),
    tokens=_pack_bits(state.tokens),
    level=batch["party_level"][..., 0],
    **{name: batch[name] for name in ROW_FIELDS},
  )


def unpack(
  cfg: world_model_config.WorldModelConfig, latents: Latents
) -> world_model.State:
  """The model states `[...]` of packed ones, float32."""
  return world_model.State(
    deter=latents.deter.astype(jnp.float32),
    stoch=_unpack_bits(latents.stoch, cfg.stoch_dim),
    tokens=_unpack_bits(latents.tokens, cfg.token_dim),
  )


def empty(cfg: world_model_config.WorldModelConfig) -> Latents:
  """No rows at all, `[0, ...]`, with the shapes of `cfg`."""
  rows = specs.empty_steps(0)
  state = world_model.initial_state(cfg, (0,))
  names = (*ROW_FIELDS, "party_level")
  return pack(state, {name: jnp.asarray(rows[name]) for name in names})


def progress(
  cfg: world_model_config.WorldModelConfig,
  latents: Latents,
  state: world_model.State,
) -> progress_lib.Progress:
  """What was reached up to rows `[...]` of `with_earned`, and with them.

  Args:
    cfg: sizes.
    latents: packed rows.
    state: their states, `unpack(cfg, latents)`.
  """
  return progress_lib.recorded(
    cfg.token_sizes,
    state.tokens,
    progress_lib.visited_flags(latents.visited_maps),
    latents.level,
  )


def target_rows(latents: Latents, sources: Sequence[str]) -> np.ndarray:
  """Indices of the rows `[M]` whose action is a target of cloning.

  Only what one of `sources`, names of `specs.BEHAVIOURS`, chose, and never the
  last row of an episode: its action was not executed. No burn-in is left out:
  rows come from whole episodes, and the first ones are where acting starts too.
  """
  numbers = [specs.BEHAVIOURS.index(name) for name in sources]
  chosen = np.isin(np.asarray(latents.behaviour), numbers)
  return np.flatnonzero(chosen & ~np.asarray(latents.is_last))


def with_earned(latents: Latents) -> Latents:
  """Rows `[M]` of whole episodes, in order, with what they earned so far.

  Row `m` then holds the sum of its episode's unweighted terms up to and with
  its own, what a dream from there has earned already, and the highest level.
  """
  total = np.cumsum(latents.reward_terms, axis=0, dtype=np.float64)
  began = np.maximum.accumulate(
    np.where(latents.is_first, np.arange(len(total)), 0)
  )
  before = total[began] - latents.reward_terms[began]
  earned: Any = (total - before).astype(np.float32)
  # Of one episode more than of all before it, so that none reaches over.
  episode = np.cumsum(latents.is_first) * 256
  highest: Any = np.maximum.accumulate(latents.level + episode) - episode
  return dataclasses.replace(
    latents, reward_terms=earned, level=highest.astype(np.uint8)
  )


def start_rows(latents: Latents) -> np.ndarray:
  """Indices of the rows `[M]` a dream may start from: the world goes on."""
  return np.flatnonzero(~np.asarray(latents.is_terminal))


def take(latents: Latents, rows: Any) -> Latents:
  """The rows at indices `rows`, of any shape."""
  return jax.tree.map(lambda leaf: leaf[rows], latents)


def _pack_bits(one_hot: jax.Array) -> jax.Array:
  return jnp.packbits(one_hot > 0.5, axis=-1)


def _unpack_bits(bits: jax.Array, count: int) -> jax.Array:
  bits = jnp.unpackbits(bits, axis=-1, count=count)
  return bits.astype(jnp.float32)
