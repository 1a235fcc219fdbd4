"""Looks of tiles by the phase of clocks, against a count in a plain loop."""

import collections
import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles as tiles_lib
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_clocks
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_V = 24
_CFG = world_model_config.WorldModelConfig(
  tokens="map:3 y:9 x:9 tile_clock:168 figure_clock:62",
  tile_vocab=_V,
  atlas="counted",
  atlas_cells=1024,
)
# What is seen lags behind the clocks by two frames.
_SEEN = dataclasses.replace(
  _CFG, tokens="map:3 y:9 x:9 tile_look:168 figure_look:62"
)


def _phase(rows, name, phases, lag):
  """Of the clock, or of what is seen: a change is seen in the third frame."""
  late = rows[f"{name}_wait"] < lag
  return (rows[f"{name}_phase"].astype(int) - late) % phases


def _case(lag=0):
  """A world of one map, and rows in which its tiles move with the clocks."""
  rng = np.random.default_rng(0)
  table = fakes.table(_V)
  atlas = atlas_lib.empty(_CFG)
  pages = np.zeros(atlas.pages.shape, np.int32)
  pages[1] = 1 + np.arange(pages[1].size).reshape(pages[1].shape)
  held = rng.integers(0, 9, (_CFG.atlas_cells, 4)).astype(np.int32)
  held[::7] = _V  # some cells are not known
  atlas = atlas_lib.Atlas(pages, held, np.array(atlas.looks))
  count = 60
  rows = {
    "map_id": np.ones(count, np.uint8),
    "y": rng.integers(0, 9, count).astype(np.uint8),
    "x": rng.integers(0, 9, count).astype(np.uint8),
    "tile_phase": rng.integers(0, 8, count).astype(np.uint8),
    "figure_phase": rng.integers(0, 2, count).astype(np.uint8),
    "tile_wait": rng.integers(0, 21, count).astype(np.uint8) // 6,
    "figure_wait": rng.integers(0, 31, count).astype(np.uint8) // 9,
    "shade": np.zeros(count, np.uint8),
    "has_control": np.ones(count, bool),
    "game_running": np.ones(count, bool),
    **{name: np.zeros(count, bool) for name in ("dialog_open", "menu_open")},
    "in_battle": np.zeros(count, np.uint8),
  }
  rows["has_control"][5:9] = False
  place = atlas_lib.Place(
    *(rows[name].astype(np.int32) for name in ("map_id", "y", "x"))
  )
  still = atlas_lib.screen(atlas, place)
  # Tile 3 goes through 9 .. 16, tile 5 has two looks; the others stand still.
  phase = _phase(rows, "tile", 8, lag)[:, None]
  shown = np.where(still == 3, 9 + phase, still)
  breath = _phase(rows, "figure", 2, lag)[:, None]
  shown = np.where(still == 5, 17 + breath, shown)
  noise = rng.random(shown.shape) < 0.05
  shown = np.where(noise, 20, shown) % _V
  rows["frame"] = np.asarray(tiles_lib.decode(table, jnp.asarray(shown)))
  return table, atlas, rows, still


@pytest.mark.parametrize(("cfg", "lag"), [(_CFG, 0), (_SEEN, 2)])
def test_looks_are_those_most_often_seen_at_a_phase(cfg, lag):
  table, atlas, rows, still = _case(lag)
  pieces = [{k: v[i : i + 25] for k, v in rows.items()} for i in (0, 25, 50)]
  looks = atlas_clocks.count(cfg, table, atlas, pieces)
  shown = tiles_lib.encode_numpy(table, rows["frame"])
  votes = collections.defaultdict(collections.Counter)
  player = [4 * (10 * row + 4) + k for row in (3, 4) for k in range(4)]
  seen = set()
  for n in range(len(shown)):
    view = tuple(int(rows[k][n]) for k in ("map_id", "y", "x"))
    view += (rows["frame"][n].tobytes(),)
    if not rows["has_control"][n] or view in seen:
      continue
    seen.add(view)
    row = {name: value[n] for name, value in rows.items()}
    phase = 2 * int(_phase(row, "tile", 8, lag))
    phase += int(_phase(row, "figure", 2, lag))
    for k in range(packing.NUM_TILES):
      if k not in player and still[n, k] < _V:
        votes[int(still[n, k]), phase][int(shown[n, k])] += 1
  expected = np.tile(np.arange(_V + 1)[:, None], (1, 16))
  for (tile, phase), counter in votes.items():
    most = max(counter.values())
    best = min(v for v, many in counter.items() if many == most)
    if most >= 3 and best < _V:
      expected[tile, phase] = best
  np.testing.assert_array_equal(looks, expected)
  # And that is how they were drawn.
  assert [looks[3, 2 * phase] for phase in range(8)] == list(range(9, 17))
  assert looks[5, 0] == 17 and looks[5, 1] == 18 and looks[2, 3] == 2


def test_what_is_not_counted_looks_as_before():
  table, atlas, rows, _ = _case()
  atlas.looks[7, 3], atlas.looks[23, 5] = 1, 2
  few = {name: value[:1] for name, value in rows.items()}
  looks = atlas_clocks.count(_CFG, table, atlas, [few])
  assert looks[23, 5] == 2
  assert atlas.looks[7, 3] == 1  # the old one is left alone


def test_without_clocks_there_is_one_phase():
  sizes = {"map": 3, "y": 4}
  assert atlas_clocks.num_phases(sizes) == 1
  assert not atlas_clocks.phase(sizes, jnp.ones((5, 7))).any()


def test_the_phase_is_that_of_the_clocks():
  sizes = _CFG.token_sizes
  numbers = jnp.array([[1, 2, 3, 0, 0], [1, 2, 3, 20, 31], [1, 2, 3, 167, 61]])
  found = atlas_clocks.phase(sizes, tokens.one_hot(sizes, numbers))
  np.testing.assert_array_equal(found, [0, 1, 15])
