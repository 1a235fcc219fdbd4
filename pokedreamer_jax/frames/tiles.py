"""The tile dictionary: the 8x8 tiles that a data set is made of.

A Game Boy screen is a grid of tiles from a small set, so a frame is 360 small
numbers. The dictionary holds the most frequent tiles of the training episodes;
any other tile is the escape, number `vocab`. Building is numpy on the host;
`lookup` and `decode` run inside `jit`.
"""

from collections.abc import Iterable
import functools

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.frames import packing

# What an escape tile looks like when decoded: a checkerboard of mid shades.
ESCAPE_WORDS = np.array([0x99996666] * packing.WORDS, np.uint32)
_MIX = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F], np.uint32)


@flax.struct.dataclass
class TileTable:
  """Dictionary of `V` tiles, ordered by hash so that a search finds them."""

  words: jax.Array  # [V, 4] uint32
  hashes: jax.Array  # [V] uint32, ascending

  @property
  def vocab(self) -> int:
    """Number of tiles `V`; the escape is number `V`."""
    return self.words.shape[0]


def shapes(vocab: int) -> TileTable:
  """Shapes and dtypes of a dictionary of `vocab` tiles."""
  return jax.eval_shape(
    lambda: TileTable(
      words=jnp.zeros((vocab, packing.WORDS), jnp.uint32),
      hashes=jnp.zeros((vocab,), jnp.uint32),
    )
  )


def build(packed_batches: Iterable[np.ndarray], vocab: int) -> TileTable:
  """Counts tiles over frames and keeps the `vocab` most frequent.

  Ties and order are fixed by the tiles themselves, so the same frames give the
  same table whatever their order.

  Args:
    packed_batches: arrays `[N, 144, 40]` uint8.
    vocab: tiles to keep; a smaller set is padded with all-black entries.

  Returns:
    `TileTable`.
  """
  counts: dict[bytes, int] = {}
  for packed in packed_batches:
    words = np.asarray(_tile_words_numpy(packed)).reshape(-1, packing.WORDS)
    keys = words.astype(np.uint64)
    mixed = keys[:, 0] | (keys[:, 1] << np.uint64(32))
    other = keys[:, 2] | (keys[:, 3] << np.uint64(32))
    mixed = mixed * np.uint64(0x9E3779B97F4A7C15) ^ other
    _, first, number = np.unique(mixed, return_index=True, return_counts=True)
    for index, count in zip(first, number, strict=True):
      key = words[index].tobytes()
      counts[key] = counts.get(key, 0) + int(count)
  best = sorted(counts, key=lambda key: (-counts[key], key))[:vocab]
  words = np.full((vocab, packing.WORDS), 0xFFFFFFFF, np.uint32)
  for row, key in enumerate(best):
    words[row] = np.frombuffer(key, np.uint32)
  hashes = _hash(words, np)
  order = np.argsort(hashes, kind="stable")
  return TileTable(
    words=jnp.asarray(words[order]), hashes=jnp.asarray(hashes[order])
  )


def lookup(table: TileTable, words: jax.Array) -> jax.Array:
  """Numbers `[...]` int32 of tiles `[..., 4]`; `V` where not in the table."""
  chex.assert_axis_dimension(words, -1, packing.WORDS)
  hashes = _hash(words, jnp)
  # On a CPU a loop: unrolled, each look is a pass that begins at the words
  # again, which takes three times as long.
  index = jax.lax.platform_dependent(
    *(table.hashes, hashes),
    cpu=functools.partial(jnp.searchsorted, method="scan"),
    default=functools.partial(jnp.searchsorted, method="scan_unrolled"),
  )
  index = jnp.minimum(index, table.vocab - 1).astype(jnp.int32)
  found = jnp.all(table.words[index] == words, axis=-1)
  return jnp.where(found, index, table.vocab)


def encode(table: TileTable, packed: jax.Array) -> jax.Array:
  """Tile numbers `[..., 360]` int32 of packed frames `[..., 144, 40]`."""
  return lookup(table, packing.tile_words(packed))


def encode_numpy(table: TileTable, packed: np.ndarray) -> np.ndarray:
  """`encode` on the host: `[N, 360]` int32 of frames `[N, 144, 40]`."""
  words = _tile_words_numpy(packed)
  hashes, known = np.asarray(table.hashes), np.asarray(table.words)
  index = np.searchsorted(hashes, _hash(words, np))
  index = np.minimum(index, len(known) - 1).astype(np.int32)
  found = (known[index] == words).all(axis=-1)
  return np.where(found, index, np.int32(len(known)))


def escape_share(table: TileTable, packed: np.ndarray) -> float:
  """Share of the tiles in frames `[N, 144, 40]` that the table lacks; numpy."""
  words = np.ascontiguousarray(_tile_words_numpy(packed))
  known = np.unique(np.asarray(table.words), axis=0)
  as_one = np.dtype((np.void, words.dtype.itemsize * packing.WORDS))
  tiles = words.reshape(-1, packing.WORDS).view(as_one)
  return float(1.0 - np.isin(tiles, known.view(as_one)).mean())


def decode(table: TileTable, ids: jax.Array) -> jax.Array:
  """Packed frames of tile numbers `[..., 360]`; an escape shows as checks."""
  words = jnp.concatenate(
    [jnp.asarray(table.words), jnp.asarray(ESCAPE_WORDS)[None]]
  )
  return packing.from_tile_words(words[ids])


def shades_numpy(table: TileTable) -> np.ndarray:
  """Shades `[V + 1, 8, 8]` uint8 of all tiles, the escape's checks last."""
  words = np.concatenate([np.asarray(table.words), ESCAPE_WORDS[None]])
  quads = np.ascontiguousarray(words).view(np.uint8)[..., None]
  return (quads >> np.arange(0, 8, 2, dtype=np.uint8) & 3).reshape(-1, 8, 8)


def _hash(words, xp):
  # Multiply-and-add mixing; equality is always checked on the words, so a
  # collision between dictionary tiles costs one of them, never a wrong tile.
  mixed = [words[..., i] * xp.asarray(_MIX[i]) for i in range(packing.WORDS)]
  total = mixed[0] ^ (mixed[1] >> 3) ^ (mixed[2] >> 7) ^ (mixed[3] >> 11)
  return total * xp.asarray(_MIX[0])


def _tile_words_numpy(packed: np.ndarray) -> np.ndarray:
  parts = packed.reshape(-1, 9, 2, 8, 10, 2, 2).transpose(0, 1, 4, 2, 5, 3, 6)
  tiles = np.ascontiguousarray(parts).reshape(-1, packing.NUM_TILES, 16)
  return tiles.view(np.uint32)
