"""An atlas of a whole game: 248 maps, all that is seen of them, its room."""

import dataclasses
import math

import jax
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_counts
from pokedreamer_jax.world_model import model as world_model

_VOCAB = 4800
_CELLS = 327_680
_CFG = presets.make(
  "vale",
  [
    *("world_model.atlas=counted", f"world_model.atlas_cells={_CELLS}"),
    f"world_model.tile_vocab={_VOCAB}",
    f"world_model.tokens={world_model_config.POKEMON_RED_TOKENS}",
    f"world_model.ram_heads={world_model_config.POKEMON_RED_RAM_HEADS}",
  ],
).world_model
# Plausible sizes of a whole game: how many maps of so many rows and columns.
_MAPS = {
  **{(36, 40): 15, (36, 50): 1, (18, 20): 35, (18, 40): 2},  # towns, floors
  **{(36, 20): 4, (18, 60): 7, (18, 70): 1, (18, 90): 2, (18, 100): 1},
  **{(54, 20): 2, (72, 20): 2, (90, 20): 1, (108, 20): 1, (144, 20): 2},
  **{(48, 34): 1, (28, 30): 14, (18, 30): 22, (18, 10): 20},  # caves, halls
  **{(8, 8): 90, (8, 14): 25},  # houses
}


def _rows():
  """Rows that together show every map, its surroundings in sight included."""
  places = []
  sizes = [size for size, count in _MAPS.items() for _ in range(count)]
  for map_id, (height, width) in enumerate(sizes):
    ys = {*range(0, height, 9), height - 1}
    xs = {*range(0, width, 9), width - 1}
    # Once more beside it: where the player stood, one sees nothing.
    xs |= {x - 1 if x else 1 for x in xs}
    places += [(map_id, y, x) for y in sorted(ys) for x in sorted(xs)]
  rows = specs.empty_steps(len(places))
  rows["map_id"], rows["y"], rows["x"] = np.array(places, np.uint8).T
  rows["has_control"][:] = rows["game_running"][:] = True
  return rows


def test_the_maps_of_a_whole_game_find_room():
  assert sum(_MAPS.values()) == 248
  rows = _rows()
  table = tiles.build([rows["frame"][:1]], _VOCAB)
  counts = atlas_counts.count(_CFG, table, [rows])
  atlas, left_out = atlas_counts.extend(atlas_lib.empty(_CFG), counts)
  atlas = jax.tree.map(np.asarray, atlas)
  known = int(atlas_lib.known_cells(atlas, _VOCAB).sum())
  used = int(atlas.pages.max() + 1) * atlas_lib.PAGE_CELLS
  inside = sum(count * math.prod(size) for size, count in _MAPS.items())
  print(f"{inside:,} cells in maps, {known:,} known, pages of {used:,} taken")
  assert left_out == 0 and used <= _CELLS
  assert inside > 100_000 and known > inside
  small = dataclasses.replace(_CFG, atlas_cells=used - atlas_lib.PAGE_CELLS)
  _, left_out = atlas_counts.extend(atlas_lib.empty(small), counts)
  assert left_out == 1
  # The last map's lower right corner, where it is seen from, and no further.
  place = (247, np.array([7, 11, 12]), np.array([13, 18, 18]))
  assert ((atlas_lib.cells(atlas, *place) > 0) == [True, True, True]).all()
  found = atlas.tiles[atlas_lib.cells(atlas, *place)]
  assert ((found < _VOCAB).all(axis=-1) == [True, True, False]).all()


def test_all_parameters_of_a_model_of_a_whole_game_stay_within_200_mb():
  shapes = world_model.shapes(_CFG)
  size_bytes = {
    name: sum(
      math.prod(leaf.shape) * leaf.dtype.itemsize
      for leaf in jax.tree.leaves(part)
    )
    for name, part in shapes.items()
  }
  total = sum(size_bytes.values())
  print(
    f"{total / 1e6:.1f} MB, of them {size_bytes['atlas'] / 1e6:.1f} counted"
  )
  assert total < 200e6
  assert size_bytes["atlas"] < 6e6
