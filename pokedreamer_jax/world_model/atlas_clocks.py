"""What tiles of the atlas look like as time goes by: water, people who breathe.

Where the state has clocks (`tokens.CLOCKS`), every tile that the atlas holds
has a look at each of their phases: the tile most often seen in its place then,
counted over the training rows like the atlas. So what moves by itself is copied
like what stands still.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import math

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import tiles as tiles_lib
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_counts
from pokedreamer_jax.world_model import tokens

# Fewer votes may be a figure that walked by.
_LEAST_VOTES = 3


def num_phases(sizes: Mapping[str, int]) -> int:
  """Phases `P` of all clocks of the state together; 1 without clocks."""
  return math.prod(phases for _, phases in _clocks(sizes))


def phase(sizes: Mapping[str, int], hot: jax.Array) -> jax.Array:
  """The phase `[...]` int32, below `P`, that one-hot tokens `[..., R]` say."""
  places = tokens.slices(sizes)
  found = jnp.zeros(hot.shape[:-1], jnp.int32)
  for name, phases in _clocks(sizes):
    number = jnp.argmax(hot[..., places[name]], axis=-1).astype(jnp.int32)
    found = found * phases + number // tokens.CLOCKS[name][1]
  return found


def count(
  cfg: world_model_config.WorldModelConfig,
  table: tiles_lib.TileTable,
  atlas: atlas_lib.Atlas,
  stream: Iterable[Mapping[str, np.ndarray]],
) -> np.ndarray:
  """Looks `[V + 1, P]` int32 of tiles, counted over rows `[N, ...]`.

  Args:
    cfg: sizes.
    table: the dictionary.
    atlas: what stands where; a look that is not counted is the one it has.
    stream: rows with at least `atlas_counts.FIELDS`; rows in which one can
      walk vote, every different view once.
  """
  vocab, phases = cfg.tile_vocab, num_phases(cfg.token_sizes)
  classes = vocab + 1
  looks = np.array(atlas.looks)
  if phases == 1:
    return looks
  here = atlas_lib.Atlas(*map(np.asarray, (atlas.pages, atlas.tiles, looks)))
  keys, votes = np.zeros(0, np.int64), np.zeros(0, np.int64)
  for rows in atlas_counts.views(cfg, stream):
    place = atlas_lib.Place(
      *(rows[name].astype(np.int32) for name in ("map_id", "y", "x"))
    )
    held = atlas_lib.screen(here, place).astype(np.int64)
    shown = tiles_lib.encode_numpy(table, rows["frame"]).astype(np.int64)
    at = np.zeros(len(held), np.int64)
    for name, many in _clocks(cfg.token_sizes):
      now = np.asarray(tokens.READERS[name](rows)) // tokens.CLOCKS[name][1]
      at = at * many + np.minimum(now, many - 1)
    key = (held * phases + at[:, None]) * classes + shown
    key = key[:, atlas_counts.voting_tiles()]
    new, number = np.unique(
      key[held[:, atlas_counts.voting_tiles()] < vocab], return_counts=True
    )
    keys, back = np.unique(np.concatenate([keys, new]), return_inverse=True)
    votes = np.bincount(back, np.concatenate([votes, number])).astype(np.int64)
  order = np.lexsort((keys, -votes, keys // classes))
  first = order[np.flatnonzero(np.diff(keys[order] // classes, prepend=-1))]
  first = first[
    (votes[first] >= _LEAST_VOTES) & (keys[first] % classes < vocab)
  ]
  looks.reshape(-1)[keys[first] // classes] = keys[first] % classes
  return looks


def _clocks(sizes: Mapping[str, int]) -> list[tuple[str, int]]:
  """Clocks among the tokens, and their phases."""
  return [
    (name, tokens.CLOCKS[name][0]) for name in tokens.CLOCKS if name in sizes
  ]
