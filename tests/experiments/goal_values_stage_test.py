"""The stage that learns values of goals, on made-up data: resume, refusals."""

import dataclasses
import signal

import chex
import jax
import numpy as np
import pytest

from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import shards as shards_lib
from experiments import train_goal_values
from experiments.reports import goal_value_tables
from experiments.reports import text_tables
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.training import goal_values
from experiments.training import latents as encoding
from pokedreamer_jax import checkpoints
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.goal_specs import Goal
from tests.data_tools import fakes as data_fakes
from tests.pokedreamer_jax import fakes

_LENGTHS = (70, 60, 64, 40)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
  """A configuration, a generation, a world model and its run directory."""
  directory = tmp_path_factory.mktemp("made_up")
  config = fakes.config(
    *("latents.streams=2", "latents.chunk=32", "all_goals.steps=6"),
    *("all_goals.log_every=2", "all_goals.save_every=3", "all_goals.tiles=5"),
    # Small, so that compiling is quick.
    *("all_goals.batch_size=4", "all_goals.length=2", "all_goals.units=8"),
    "world_model.tokens=battle:4 map:8 y:12 x:12 control:2 dex_owned:5",
  )
  shards = directory / "data" / generations.SHARDS_DIR
  shards.mkdir(parents=True)
  with shards_lib.ShardWriter(shards, "made-up") as writer:
    for number, length in enumerate(_LENGTHS):  # two of them are held out
      writer.begin(data_fakes.header(number, "random"))
      for chunk in data_fakes.chunks(_episode(length, number)):
        writer.write(chunk)
      writer.end({})
    writer.commit()
  generation = generations.freeze(directory / "data")
  params = fakes.params(config.world_model, noise=0.1)
  with run_directory.open_run(
    directory / "world_model", "world_model", config_lib.to_dict(config)
  ) as run:
    store = run.checkpoints()
    store.save(0, {"params": params}, {"step": 0})
    store.close()
  return config, generation, params, directory / "world_model"


def _episode(length, seed):
  rows = fakes.steps(length, seed)
  rows["is_first"][0] = rows["is_last"][-1] = True
  rows["is_terminal"][:] = False
  rows["behaviour"][:] = specs.BEHAVIOURS.index("random")
  rows["behaviour"][-1] = specs.BEHAVIOURS.index("none")
  rows["action"][-1] = specs.PASS
  rows["game_running"][:] = rows["has_control"][:] = True
  return rows


def _open(directory, config, world_model):
  record = config_lib.to_dict(config) | {
    "inputs": {"world_model": inputs.fingerprint(world_model)}
  }
  return run_directory.open_run(
    directory, "goal_values", record, train_goal_values.FREE
  )


def test_values_stop_and_resume_to_the_same_bits(
  made_up, tmp_path, monkeypatch
):
  config, generation, params, world_model = made_up
  rom = roms.resolve(None)
  # Encoded once: four runs of it are tested elsewhere.
  encoded, encode = {}, goal_values.encode

  def once(config, params, index, split, run):
    if split not in encoded:
      encoded[split] = encode(config, params, index, split, run)
    return encoded[split]

  monkeypatch.setattr(goal_values, "encode", once)

  with monkeypatch.context() as patch:
    patch.setattr(jax, "jit", fakes.jit)
    train_goal_values._jitted(config)  # is kept for this process

  def train(directory):
    with _open(directory, config, world_model) as run:
      return train_goal_values.train(config, generation, params, rom, run)

  whole = train(tmp_path / "whole")
  with monkeypatch.context() as patch:
    count = [0]

    def stop_signal(run):
      count[0] += 1
      return signal.SIGTERM if count[0] > 3 else 0

    patch.setattr(run_directory.Run, "stop_signal", property(stop_signal))
    with pytest.raises(run_directory.Stopped):
      train(tmp_path / "parts")
  assert checkpoints.latest_step(tmp_path / "parts" / "checkpoints") == 4
  assert train(tmp_path / "parts") == whole
  for name in ("params", "slow", "opt", "goals"):
    chex.assert_trees_all_equal(
      checkpoints.load_item(tmp_path / "whole", name),
      checkpoints.load_item(tmp_path / "parts", name),
    )
  _look(whole, tmp_path, world_model)
  # Other goals are refused, before anything is trained.
  monkeypatch.setattr(
    goal_values, "choose", lambda *_: ([Goal("explore"), Goal("talk")], [])
  )
  with pytest.raises(ValueError, match=r"asked for 2, .*lacks 1 .*first: talk"):
    train(tmp_path / "whole")


def _look(result, directory, world_model):
  """What a run leaves: a result, tables of it, values for others."""
  assert result["horizon"] == 50 and result["episodes"] == 2
  assert set(result["kinds"]) == {
    *("map", "tile", "win", "win_wild", "win_trainer"),
    *("catch", "own", "explore"),
  }
  assert result["kinds"]["tile"]["goals"] == 5
  assert result["kinds"]["map"]["auc"] is not None
  tables = goal_value_tables.tables(result)
  text = "\n".join(text_tables.plain_tables(tables))
  assert "win_trainer" in text and "steps said" in text
  assert goal_value_tables.out_of_reach(result)[0].startswith("out of reach: ")
  log = (directory / "whole" / "log.txt").read_text()
  assert "left out, heal: goal.kind: 'heal' is judged by the token 'hp'" in log
  found = inputs.load_goal_values(directory / "whole", world_model)
  goals = [goal_specs.from_array(row) for row in np.asarray(found.goals)]
  assert [str(goal) for goal in goals] == list(result["goals"])
  assert found.params["states"]["bias"].shape == (len(goals),)
  with pytest.raises(ValueError, match="a run of world_model, expected goal"):
    inputs.load_goal_values(world_model, world_model)


def test_tiles_are_those_that_were_come_to_most_often(made_up):
  config, generation, *_ = made_up
  index = loader.EpisodeIndex(generation, "train")
  goals, _ = goal_values.choose(config, index, roms.resolve(None))
  counts = {}
  for _, rows in index.episodes():
    for t in range(1, len(rows["x"])):
      at = [tuple(int(rows[n][s]) for n in ("map_id", "y", "x")) for s in
            (t - 1, t)]  # fmt: skip
      if at[0] != at[1]:
        counts[at[1]] = counts.get(at[1], 0) + 1
  tiles = [(g.map_id, g.y, g.x) for g in goals if g.kind == "tile"]
  assert len(tiles) == 5 and tiles == sorted(tiles)
  least = min(counts[tile] for tile in tiles)
  assert all(n <= least for tile, n in counts.items() if tile not in tiles)
  none = dataclasses.replace(config.all_goals, tiles=0)
  config = dataclasses.replace(config, all_goals=none)
  fewer, _ = goal_values.choose(config, index, roms.resolve(None))
  assert fewer == [goal for goal in goals if goal.kind != "tile"]


def test_without_tokens_there_is_no_goal(made_up):
  config, generation, *_ = made_up
  off = dataclasses.replace(config.world_model, ram="off", hp_bars=False)
  config = dataclasses.replace(config, world_model=off)
  index = loader.EpisodeIndex(generation, "train")
  with pytest.raises(ValueError, match=r"world_model\.tokens: .* no goal of"):
    goal_values.choose(config, index, roms.resolve(None))


def test_rows_are_judged_in_chunks_as_a_whole(made_up, monkeypatch):
  config, generation, params, _ = made_up
  index = loader.EpisodeIndex(generation, "train")
  rows = encoding.encode(
    config, params, index, list(range(len(index))), jax.random.key(0)
  )
  wanted = [Goal("map", 1), Goal("explore"), Goal("own", number=3)]
  goals = goal_specs.stack(wanted)
  monkeypatch.setattr(goal_values, "_CHUNK", 64)
  found = goal_values.reached(config, rows, goals)
  assert len(rows.action) % 64 and found.any(axis=0).all()
  assert not found[np.asarray(rows.is_first)].any()
  monkeypatch.setattr(goal_values, "_CHUNK", len(rows.action) - 1)
  np.testing.assert_array_equal(found, goal_values.reached(config, rows, goals))
