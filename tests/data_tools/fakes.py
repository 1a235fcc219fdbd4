"""Made-up episodes on disk, for tests that need no emulator."""

import pathlib

import numpy as np

from data_tools.records import generations
from data_tools.records import shards as shards_lib
from pokedreamer_jax import specs


def header(episode, behaviour="random", collection="made-up"):
  return shards_lib.EpisodeHeader(
    collection=collection,
    episode=episode,
    seed=1000 + episode,
    behaviour=behaviour,
    rom_sha1="0" * 40,
    rom_kind="practice",
    start_state_sha1="",
    jitter_frames=0,
    pyboy_version="0",
  )


def steps(length, episode=0):
  """Random arrays in which (`map_id`, `money`) names episode and row."""
  rng = np.random.default_rng(episode)
  rows = specs.empty_steps(length)
  for field in specs.STEP_FIELDS:
    if field.dtype == "float32":
      rows[field.name][:] = rng.normal(size=(length, *field.shape))
    else:
      top = 2 if field.dtype == "bool" else 200
      rows[field.name][:] = rng.integers(0, top, (length, *field.shape))
  rows["action"][:] = rng.integers(0, specs.NUM_ACTIONS, length)
  rows["action"][-1] = specs.PASS
  rows["map_id"][:] = episode
  rows["money"][:] = np.arange(length)
  rows["is_first"][:] = np.arange(length) == 0
  rows["is_last"][:] = np.arange(length) == length - 1
  return rows


def walks(length, episode=0):
  """`steps` of which one can walk in a third; few tiles, a map an episode.

  Every cell of a map has its block, of which 40 % are hidden by others.
  """
  rows = steps(length, episode)
  rng = np.random.default_rng([episode, length])
  for name in ("in_battle", "dialog_open", "menu_open"):
    rows[name][:] = 0
  rows["has_control"][:] = np.arange(length) % 3 == 0
  rows["game_running"][:] = True
  rows["shade"][:] = 0
  y, x = rng.integers(0, 30, (2, length))
  rows["y"][:], rows["x"][:] = y, x
  world = np.random.default_rng(episode).integers(20, size=(40, 40, 2, 2))
  shown = world[
    y[:, None, None] + np.arange(9)[:, None], x[:, None, None] + np.arange(10)
  ]
  hidden = rng.random(shown.shape[:3]) < 0.4
  shown[hidden] = rng.integers(20, size=(hidden.sum(), 2, 2))
  art = np.random.default_rng(0).integers(0, 256, (20, 8, 2)).astype(np.uint8)
  pixels = art[shown].transpose(0, 1, 3, 5, 2, 4, 6)
  rows["frame"][:] = pixels.reshape(length, 144, 40)
  return rows


def chunks(rows):
  for start in range(0, len(rows["frame"]), shards_lib.CHUNK_STEPS):
    yield {
      k: v[start : start + shards_lib.CHUNK_STEPS] for k, v in rows.items()
    }


def write(
  directory, prefix, episodes, per_shard=2, collection="made-up", make=None
):
  """Writes (number, length, behaviour) episodes into shards."""
  shards = pathlib.Path(directory) / generations.SHARDS_DIR
  shards.mkdir(parents=True, exist_ok=True)
  with shards_lib.ShardWriter(shards, prefix) as writer:
    for i, (number, length, behaviour) in enumerate(episodes):
      writer.begin(header(number, behaviour, collection))
      for chunk in chunks((make or steps)(length, number)):
        writer.write(chunk)
      writer.end({"number": number})
      if (i + 1) % per_shard == 0:
        writer.commit()
  return sorted(path.name for path in shards.glob("*.arrayrecord"))
