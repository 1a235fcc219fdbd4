"""A run's atlas: counted in pieces, told, and kept in its checkpoints."""

import types
from unittest import mock

import chex
import jax
import numpy as np
import pytest

from data_tools.records import generations
from data_tools.records import loader
from experiments.training import atlas_data
from experiments.training import world_model_loop
from pokedreamer_jax import checkpoints
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_counts
from pokedreamer_jax.world_model import model as world_model
from tests.data_tools import fakes as data_fakes
from tests.pokedreamer_jax import fakes


def _free_steps(length, episode=0):
  """Made-up rows, in a third of which one can walk."""
  rows = made_up(length, episode)
  for name in ("in_battle", "dialog_open", "menu_open"):
    rows[name][:] = 0
  rows["has_control"][:] = np.arange(length) % 3 == 0
  rows["game_running"][:] = True
  rows["frame"] = fakes.screens()[np.arange(length) % 12]
  return rows


made_up = data_fakes.steps


@pytest.fixture(scope="module")
def generation(tmp_path_factory):
  directory = tmp_path_factory.mktemp("data")
  episodes = [(n, 200 + n, "random") for n in range(4)]
  with mock.patch.object(data_fakes, "steps", _free_steps):
    data_fakes.write(directory, "made-up", episodes)
  return generations.freeze(directory)


@pytest.fixture(autouse=True)
def _quick_init(monkeypatch):
  """Of the parameters, the atlas alone: compiling the rest takes long."""
  monkeypatch.setattr(
    world_model_loop.world_model,
    "init",
    lambda cfg, key, table, atlas: (
      {} if atlas is None else {"atlas": vars(atlas)}
    ),
  )


def _run():
  said = []
  return types.SimpleNamespace(log=said.append, said=said)


def _config(cells=2048):
  sizes = "world_model.tokens=map:8 y:250 x:250"  # the made-up places
  return fakes.config(
    *("world_model.atlas=counted", f"world_model.atlas_cells={cells}", sizes)
  )


def test_pieces_of_training_episodes_count_as_whole_ones(
  generation, monkeypatch
):
  cfg = _config(1 << 16).world_model
  index = loader.EpisodeIndex(generation, "train", cache_bytes=0)
  rows = [rows for _, rows in index.episodes(atlas_counts.FIELDS)]
  table = tiles.build((part["frame"] for part in rows), cfg.tile_vocab)
  counts = atlas_counts.count(cfg, table, rows)
  expected, _ = atlas_counts.extend(atlas_lib.empty(cfg), counts)
  assert counts.views > 10
  monkeypatch.setattr(atlas_data, "_READ_ROWS", 70)
  monkeypatch.setattr(atlas_data, "_SPEAK_S", -1.0)
  run = _run()
  found = atlas_data.count(cfg, table, index, run)
  chex.assert_trees_all_equal(expected, found)
  total = int(index.lengths.sum())
  assert run.said[-2] == f"atlas: counted {total:,} of {total:,} rows"
  assert f"{counts.views} different views in {total:,} rows in" in run.said[-1]
  assert "room" not in run.said[-1]


def test_what_finds_no_room_is_told(generation):
  run = _run()
  world_model_loop._init_params(_config(256), generation, run)
  line = run.said[-1]
  assert "pages of cells found no room" in line
  enough = int(line.split("world_model.atlas_cells=")[1].split()[0])
  world_model_loop._init_params(_config(enough), generation, run)
  assert "no room" not in run.said[-1]


def test_a_checkpoint_keeps_the_atlas(generation, tmp_path):
  params = world_model_loop._init_params(_config(), generation, _run())
  atlas = world_model.map_memory(params)
  assert (np.asarray(atlas.pages) > 0).any()
  store = checkpoints.Store(tmp_path)
  store.save(1, {"params": params}, {})
  store.close()
  kept = checkpoints.load_item(tmp_path, "params")
  chex.assert_trees_all_equal(
    atlas, jax.tree.map(np.asarray, world_model.map_memory(kept))
  )


def test_without_an_atlas_nothing_is_counted_or_kept(generation):
  run = _run()
  params = world_model_loop._init_params(fakes.config(), generation, run)
  assert "atlas" not in params and not run.said
