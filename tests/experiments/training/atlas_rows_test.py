"""The atlas on rows of the practice cartridge: does it show what one sees?"""

import functools

import jax
import numpy as np

from data_tools.game import emulator
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import episodes
from pokedreamer_jax.config import presets
from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_counts

_CFG = presets.make("tiny", ["world_model.atlas=counted"]).world_model


@functools.cache
def _episode(seed):
  rom = roms.resolve(None)
  policy = policies.make_policy("demonstrator:eps=0.3", rom)
  with emulator.Emulator(rom) as game:
    game.reset(seed, None, 60)
    chunks = list(episodes.play(game, policy, seed, 200))
  return {
    name: np.concatenate([chunk[name] for chunk in chunks])
    for name in atlas_counts.FIELDS
  }


def _calm(rows):
  """Rows in which one can walk, as they are counted."""
  calm = rows["has_control"] & rows["game_running"] & ~rows["dialog_open"]
  calm &= ~rows["menu_open"] & (rows["in_battle"] == 0)
  return {name: array[calm] for name, array in rows.items()}


def test_calm_rows_of_another_episode_show_what_the_atlas_holds():
  table = tiles.build((_episode(s)["frame"] for s in (1, 2, 3)), 400)
  seen = [_episode(seed) for seed in (1, 2)]
  counts = atlas_counts.count(_CFG, table, seen)
  atlas, left_out = atlas_counts.extend(atlas_lib.empty(_CFG), counts)
  atlas = jax.tree.map(np.asarray, atlas)
  rows = _calm(_episode(3))
  place = atlas_lib.Place(
    *(rows[name].astype(np.int64) for name in ("map_id", "y", "x"))
  )
  expected = atlas_lib.screen(atlas, place)
  shown = tiles.encode_numpy(table, rows["frame"])
  background = np.ones((packing.NUM_BLOCKS, packing.TILES_PER_BLOCK), bool)
  background[[44, 34]] = False  # the player and its hair
  same = (expected == shown)[:, background.reshape(-1)]
  known = (expected < _CFG.tile_vocab)[:, background.reshape(-1)]
  print(
    f"{len(rows['frame'])} rows: {same.mean():.4f} of the background, "
    f"{same[known].mean():.4f} of what is known ({known.mean():.4f})"
  )
  assert left_out == 0 and len(rows["frame"]) > 50
  assert same.mean() > 0.9 and same[known].mean() > 0.99
  # It is the player's place that tells: elsewhere the same screen is wrong.
  beside = atlas_lib.screen(
    atlas, atlas_lib.Place(place.map, place.y + 1, place.x)
  )
  assert (beside == shown)[:, background.reshape(-1)].mean() < 0.8
