"""Plays, records and reads back: what experience looks like as arrays.

    python -m examples.record_and_read --data_dir=runs/example/data

Records episodes of two players on chapter one, unless they are there already,
reads a batch of windows as a trainer would, and draws it: a row a window.
"""

import argparse
import sys

import numpy as np
from PIL import Image

from data_tools.collecting import collector
from data_tools.game import frame_codec
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from pokedreamer_jax import specs


def main() -> None:
  """Flags to a picture and some lines."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--data_dir", default="runs/example/data")
  parser.add_argument("--episodes", type=int, default=16)
  parser.add_argument("--length", type=int, default=256, help="Env steps.")
  parser.add_argument("--workers", type=int, default=2, help="Processes.")
  parser.add_argument("--windows", type=int, default=6, help="Rows drawn.")
  parser.add_argument("--out", default="experience.png")
  given = parser.parse_args()

  rom = roms.resolve("chapter_one")
  mix = "demonstrator=0.5,random=0.5"
  collection = collector.make_collection(
    *(rom, 0, given.length, mix), jitter_frames=60
  )
  collector.collect(
    given.data_dir, rom, collection, given.episodes, given.workers
  )
  # A generation is a list of whole shards that never changes.
  generation = generations.freeze(given.data_dir)
  index = loader.EpisodeIndex(generation, "train")
  batch = loader.fixed_windows(index, seq_len=8, count=given.windows)

  print(f"{len(index)} episodes to train on, {int(index.lengths.sum())} rows")
  for name in ("frame", "action", "map_id", "reward_terms"):
    print(f"{name} {batch[name].shape} {batch[name].dtype}")
  presses = np.bincount(batch["action"].ravel(), minlength=len(specs.ACTIONS))
  print("buttons", dict(zip(specs.ACTIONS, presses.tolist(), strict=True)))
  frames = frame_codec.unpack_rgb(batch["frame"])  # [windows, 8, 144, 160, 3]
  sheet = np.concatenate([np.concatenate(row, axis=1) for row in frames])
  Image.fromarray(sheet).save(given.out)
  print(f"wrote {given.out}")


if __name__ == "__main__":
  try:
    main()
  except ValueError as error:
    sys.exit(f"Error: {error}")
