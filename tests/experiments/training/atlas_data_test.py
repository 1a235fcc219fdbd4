"""A run's atlas: counted in pieces, told, and kept in its checkpoints."""

import itertools
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
from pokedreamer_jax.world_model import atlas_clocks
from pokedreamer_jax.world_model import atlas_counts
from pokedreamer_jax.world_model import model as world_model
from tests.data_tools import fakes as data_fakes
from tests.pokedreamer_jax import fakes


@pytest.fixture(scope="module")
def generation(tmp_path_factory):
  directory = tmp_path_factory.mktemp("data")
  episodes = [(n, 200 + n, "random") for n in range(4)]
  data_fakes.write(directory, "made-up", episodes, make=data_fakes.walks)
  return generations.freeze(directory)


@pytest.fixture(autouse=True)
def _quick_init(monkeypatch):
  """Of the parameters, the atlas alone: compiling the rest takes long."""
  monkeypatch.setattr(
    world_model_loop.world_model,
    "init",
    lambda cfg, key, table, atlas: (
      {} if atlas is None else {"atlas": atlas_lib.leaves(atlas)}
    ),
  )


def _run():
  said = []
  return types.SimpleNamespace(log=said.append, said=said)


def _config(cells=2048, *overrides):
  sizes = "world_model.tokens=map:8 y:30 x:30"  # the made-up places
  return fakes.config(
    *("world_model.atlas=counted", f"world_model.atlas_cells={cells}", sizes),
    *overrides,
  )


_CFG = _config(1 << 14).world_model


def _table(generation):
  index = loader.EpisodeIndex(generation, "train", cache_bytes=0)
  frames = (rows["frame"] for _, rows in index.episodes(["frame"]))
  return tiles.build(frames, _CFG.tile_vocab)


def _grown_data(directory):
  """Generations of data that grows twice; episodes of the last are on maps
  seen before and new ones, one of them is held out, one is there no more."""
  made = []
  for prefix, episodes in (
    ("b", [(n, 90 + n, "random") for n in range(4)]),
    ("a", [(n, 70 + n, "random") for n in range(2, 6)]),
    ("c", [(n, 80 + n, "sticky_random") for n in range(5, 8)]),
  ):
    data_fakes.write(directory, prefix, episodes, 1, prefix, data_fakes.walks)
    made.append(generations.freeze(directory))
    if prefix == "a":
      shards = sorted((directory / generations.SHARDS_DIR).glob("b-*.json"))
      shards[0].write_text("{")
  return made


def _seen_at(atlas):
  """What the atlas holds at every place `[8, 60, 60, 4]`."""
  atlas = jax.tree.map(np.asarray, atlas)
  places = (np.arange(8), np.arange(-15, 45), np.arange(-15, 45))
  return atlas.tiles[
    atlas_lib.cells(atlas, *np.meshgrid(*places, indexing="ij"))
  ]


def test_pieces_of_training_episodes_count_as_whole_ones(
  generation, monkeypatch
):
  index = loader.EpisodeIndex(generation, "train", cache_bytes=0)
  rows = [rows for _, rows in index.episodes(atlas_counts.FIELDS)]
  table = _table(generation)
  counts = atlas_counts.count(_CFG, table, rows)
  expected, _ = atlas_counts.extend(atlas_lib.empty(_CFG), counts)
  assert counts.views > 10
  monkeypatch.setattr(atlas_data, "_READ_ROWS", 70)
  monkeypatch.setattr(atlas_data, "_SPEAK_S", -1.0)
  run = _run()
  survey = atlas_data.Survey(_CFG, table, run)
  found = survey.grown(atlas_lib.empty(_CFG), [generation.path])
  chex.assert_trees_all_equal(expected, found)
  total = int(index.lengths.sum())
  assert run.said[-2] == f"atlas: counted {total:,} of {total:,} rows"
  assert f"{counts.views} different views in {total:,} rows" in run.said[-1]
  assert "room" not in run.said[-1] and "new" not in run.said[-1]


def test_the_line_tells_how_many_boxes_are_known_and_found_no_room(generation):
  names = "world_model.tokens=map:8 y:30 x:30 text:90 text2:80 letters:9"
  for boxes in (2, 4096):
    cfg = _config(
      1 << 14, names, f"world_model.atlas_boxes={boxes}"
    ).world_model
    run = _run()
    survey = atlas_data.Survey(cfg, _table(generation), run)
    grown = survey.grown(atlas_lib.empty(cfg), [generation.path])
    known = int((np.asarray(grown.texts) < np.iinfo(np.int32).max).sum())
    assert 2 <= known < 4096
    assert (
      f"{known:,} message boxes known, of {boxes:,} at most" in run.said[-1]
    )
    assert ("message boxes found no room" in run.said[-1]) == (boxes == 2)


def test_an_atlas_that_grew_is_the_one_counted_at_once(tmp_path):
  made = _grown_data(tmp_path)
  paths = [generation.path for generation in made]
  table = _table(made[0])
  run = _run()
  survey = atlas_data.Survey(_CFG, table, run)
  atlas, steps = atlas_lib.empty(_CFG), []
  for number in range(3):
    atlas = survey.grown(atlas, paths[: number + 1])
    steps.append(jax.tree.map(np.asarray, atlas))
  # The training episodes in the order in which they came.
  sides, rows, seen = None, [], set()
  for generation in made:
    index = loader.EpisodeIndex(generation, "train", 0.1, 0, sides)
    for header, part in index.episodes(atlas_counts.FIELDS):
      if header.episode_id not in seen:
        rows.append(part)
      seen.add(header.episode_id)
    sides = index.sides
  assert len(seen) < len(sides.held_out)
  counts = atlas_counts.count(_CFG, table, rows)
  once, _ = atlas_counts.extend(atlas_lib.empty(_CFG), counts)
  np.testing.assert_array_equal(_seen_at(atlas), _seen_at(once))
  # It grew, cells kept their numbers, and some changed what they hold.
  for before, after in itertools.pairwise(steps):
    there = before.pages > 0
    np.testing.assert_array_equal(before.pages[there], after.pages[there])
    assert (after.pages > 0).sum() > there.sum()
  known = atlas_lib.known_cells(steps[0], _CFG.tile_vocab)
  changed = (steps[0].tiles != steps[1].tiles).any(axis=-1) & known
  new = (
    int(atlas_lib.known_cells(steps[1], _CFG.tile_vocab).sum()) - known.sum()
  )
  assert changed.sum() > 0 and new > 0
  assert f"{new:,} of them new and {changed.sum():,} changed" in run.said[1]
  used = int(steps[1].pages.max() + 1) * 64
  assert f"their pages take {used:,} of 16,384 cells" in run.said[1]


@pytest.mark.parametrize("counted", [0, 1, 2])
def test_who_has_the_votes_no_more_counts_the_same(tmp_path, counted):
  made = _grown_data(tmp_path)
  paths = [generation.path for generation in made]
  table = _table(made[0])

  def grow(atlas, numbers):
    survey = atlas_data.Survey(_CFG, table, _run())
    for number in numbers:
      atlas = survey.grown(atlas, paths[: number + 1])
    return atlas

  # Few votes are kept, so that what is dropped when would tell.
  with mock.patch.object(
    atlas_counts.Counter.__init__, "__defaults__", (3000,)
  ):
    whole = grow(atlas_lib.empty(_CFG), range(3))
    assert 1000 < atlas_lib.known_cells(whole, _CFG.tile_vocab).sum()
    before = grow(atlas_lib.empty(_CFG), range(counted))
    chex.assert_trees_all_equal(whole, grow(before, range(counted, 3)))


def test_what_clocks_do_to_tiles_stays_that_of_the_first_generation(
  tmp_path, monkeypatch
):
  paths = [generation.path for generation in _grown_data(tmp_path)]
  table = _table(generations.load(paths[0]))
  looks, asked = np.full(atlas_lib.empty(_CFG).looks.shape, 7, np.int32), []

  def count(cfg, table, atlas, rows):
    assert atlas_lib.known_cells(atlas, cfg.tile_vocab).any()
    asked.append(sum(len(part["frame"]) for part in rows))
    return looks

  monkeypatch.setattr(atlas_clocks, "count", count)
  survey = atlas_data.Survey(_CFG, table, _run())
  first = survey.grown(atlas_lib.empty(_CFG), paths[:1])
  np.testing.assert_array_equal(first.looks, looks)
  grown = survey.grown(first, paths[:2])
  again = atlas_data.Survey(_CFG, table, _run()).grown(first, paths[:2])
  chex.assert_trees_all_equal(grown, again)
  np.testing.assert_array_equal(grown.looks, looks)
  index = loader.EpisodeIndex(generations.load(paths[0]), "train")
  assert asked == [index.lengths.sum()]


def test_only_what_is_new_is_read(tmp_path, monkeypatch):
  made = _grown_data(tmp_path)
  paths = [generation.path for generation in made]
  lengths = []
  add = atlas_counts.Counter.add
  monkeypatch.setattr(
    atlas_counts.Counter,
    "add",
    lambda self, rows: lengths.append(len(rows["frame"])) or add(self, rows),
  )
  survey = atlas_data.Survey(_CFG, _table(made[0]), _run())
  atlas = survey.grown(atlas_lib.empty(_CFG), paths[:1])
  assert lengths and set(lengths) <= {90, 91, 92, 93}
  lengths.clear()
  atlas = survey.grown(atlas, paths[:2])
  assert lengths and set(lengths) <= {72, 73, 74, 75}
  lengths.clear()
  survey.grown(atlas, paths)
  assert lengths and set(lengths) <= {85, 86, 87}


def test_what_finds_no_room_is_told(generation):
  run = _run()
  world_model_loop._init_params(_config(256), generation, run)
  line = run.said[-1]
  assert "pages of cells found no room" in line
  assert "their pages take 256 of 256 cells" in line
  enough = int(line.split("world_model.atlas_cells=")[1].split()[0])
  world_model_loop._init_params(_config(enough), generation, run)
  assert "no room" not in run.said[-1]
  assert f"{enough:,} of {enough:,} cells" in run.said[-1]


def test_a_checkpoint_keeps_the_atlas(generation, tmp_path):
  params, _ = world_model_loop._init_params(_config(), generation, _run())
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
  params, survey = world_model_loop._init_params(
    fakes.config(), generation, run
  )
  assert "atlas" not in params and survey is None and not run.said


def test_maps_left_out_are_neither_counted_nor_in_the_dictionary(
  generation, monkeypatch
):
  train = loader.EpisodeIndex(generation, "train", cache_bytes=0)
  rows = [rows for _, rows in train.episodes(("map_id", "game_running"))]
  maps = np.concatenate([r["map_id"][r["game_running"]] for r in rows])
  out = int(np.bincount(maps).argmax())
  left = sum(
    int((~(r["game_running"] & (r["map_id"] == out))).sum()) for r in rows
  )
  assert 0 < left < int(train.lengths.sum()) and len(np.unique(maps)) > 1
  built = []
  build = world_model_loop.tiles.build

  def counted(frames, vocab):
    built.append(sum(len(part) for part in frames))
    return build([fakes.screens()], vocab)

  monkeypatch.setattr(world_model_loop.tiles, "build", counted)
  made = lambda cells, *over: world_model_loop._init_params(
    _config(cells, *over), generation, run
  )[0]
  option, run = f"train.leave_out_maps={out}", _run()
  pages = np.asarray(made(1 << 16, option)["atlas"]["pages"])
  assert built == [left] and f"in {left:,} rows" in run.said[-1]
  assert not (pages[out] > 0).any() and (pages > 0).any()
  whole = np.asarray(made(1 << 16)["atlas"]["pages"])
  assert (whole[out] > 0).any()
  # An atlas with room for the others alone: said now, not after the training.
  assert "with the maps left out" not in "".join(run.said)
  cells, run = 64 * (int((pages > 0).sum()) + 1), _run()
  made(cells, option)
  assert run.said[-1].startswith("atlas: with the maps left out, ")
  enough = int(run.said[-1].split("world_model.atlas_cells=")[1].split()[0])
  run = _run()
  made(enough, option)
  assert "room" not in "".join(run.said)
