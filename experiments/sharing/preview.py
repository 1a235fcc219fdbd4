"""A few frames of records as pictures, so that the Hub's viewer shows the game.

    preview/metadata.jsonl 0000.png 0001.png ...

The Hub's ImageFolder form: one JSON object a picture, with its file's name and
what the row holds beside the frame.
"""

import json
import pathlib
from typing import Any

import numpy as np

from data_tools.game import frame_codec
from data_tools.game import roms
from pokedreamer_jax import specs

FOLDER = "preview"
METADATA = "metadata.jsonl"
FRAMES = 48
# Of each row, beside the frame and the action.
_NUMBERS = ("map_id", "x", "y", "badges", "in_battle", "event_flags")
_WORDS = ("dialog_open", "menu_open", "is_first", "is_last", "is_terminal")
_GOLDEN = 0.6180339887498949  # its multiples spread evenly over [0, 1)


def write(folder: pathlib.Path, generation: Any, frames: int = FRAMES) -> int:
  """Writes the pictures and their list.

  Episodes are taken at equal distances in the order of collection, and of each
  one row of the running game, so that behaviours and places all have a share.

  Args:
    folder: made by this call.
    generation: a `data_tools.records.generations.Generation`.
    frames: how many, at least 1.

  Returns:
    How many pictures there are: episodes may be fewer than `frames`, then
    several rows are of one.

  Raises:
    ValueError: `frames` is below 1, or a record is damaged.
  """
  from data_tools.records import loader

  if frames < 1:
    raise ValueError(f"preview frames: {frames}, expected at least 1")
  index = loader.EpisodeIndex(generation, "all", cache_bytes=0)
  folder.mkdir(parents=True)
  lines: list[dict[str, Any]] = []
  shown: set[tuple[int, int]] = set()
  for number in range(frames):
    episode = number * len(index) // frames
    row = _row(index, episode, number * _GOLDEN % 1)
    if (episode, row) in shown:  # a short episode has no more
      continue
    shown.add((episode, row))
    steps = index.read(episode, row, row + 1)
    name = f"{len(lines):04d}.png"
    _picture(steps["frame"][0]).save(folder / name, optimize=True)
    header = index.headers[episode]
    values = {"file_name": name, "episode": header.episode_id, "step": row}
    lines.append(values | _values(header, steps))
  text = "".join(json.dumps(values) + "\n" for values in lines)
  (folder / METADATA).write_text(text, encoding="utf-8")
  return len(lines)


def _row(index: Any, episode: int, place: float) -> int:
  """The row at a place in [0, 1) of an episode's rows of the running game."""
  length = int(index.lengths[episode])
  running = index.read(episode, 0, length, ("game_running",))["game_running"]
  rows = np.flatnonzero(running)
  rows = rows if len(rows) else np.arange(length)
  return int(rows[int(place * len(rows))])


def _picture(packed: np.ndarray) -> Any:
  from PIL import Image

  return Image.fromarray(frame_codec.unpack_grey(packed))


def _values(header: Any, steps: dict[str, np.ndarray]) -> dict[str, Any]:
  """What is told of a row; memory fields where the game's memory is read."""
  values: dict[str, Any] = {
    "behaviour": header.behaviour,
    "action": specs.ACTIONS[int(steps["action"][0])],
  }
  if header.rom_kind == roms.UNKNOWN:
    return values
  number = int(steps["map_id"][0])
  names = roms.map_names(header.rom_sha1)
  values["map_name"] = names.get(number, f"map {number}")
  values |= {name: int(steps[name][0]) for name in _NUMBERS}
  return values | {name: bool(steps[name][0]) for name in _WORDS}
