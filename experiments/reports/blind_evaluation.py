"""`evaluate --what=blind`: whether a judge tells dream from game."""

from collections.abc import Callable
from collections.abc import Iterator
import pathlib
from typing import Any

import numpy as np

from experiments.playing import blind_pairs
from experiments.reports import blind_tables
from experiments.reports import pictures
from pokedreamer_jax.config import run as config_lib

PARTS = 14  # that `measure` tells of
_SEEN_ROWS = 60_000  # recorded, that the judge looks at
_EXCHANGED = 3  # of the 360 tiles of each frame of a broken dream
_JUMP = 4  # row from which on a dream is another one
_HALT = 4  # rows, of which the last is the one before
_SHOWN = 6  # frames that give dreams away


def measure(
  config: config_lib.Config,
  params: Any,
  generation: Any,
  rom: Any,
  folder: pathlib.Path,
  told: Callable[[str], None] = lambda part: None,
) -> dict[str, Any]:
  """Makes the clips, and asks a judge about each kind of pair.

  Args:
    config: of the model; gives `evaluate` and the seed.
    params: of the world model.
    generation: whose held-out episodes give starts.
    rom: of the recording.
    folder: where `blind.png` goes.
    told: called with what is done next, `PARTS` times.

  Raises:
    ValueError: the episodes do not serve; see `blind_pairs.make`.
  """
  from pokedreamer_jax.evaluation import blind
  from pokedreamer_jax.evaluation import blind_marks

  evaluate = config.evaluate
  clips = blind_pairs.make(
    *(config, params, generation, rom, evaluate.blind_pairs, told),
    broken=True,
  )
  told("looking at recorded play")
  seen = blind_marks.look(_plays(generation, config.seed))
  sides = {
    blind_tables.DREAM: (clips.real, clips.dreamt),
    blind_tables.REAL: (clips.real, clips.again),
    blind_tables.BROKEN: (
      clips.real,
      blind.exchanged(config.seed, clips.dreamt, _EXCHANGED),
    ),
    blind_tables.JUMPING: (clips.real, blind.jumped(clips.dreamt, _JUMP)),
    blind_tables.HALTING: (clips.real, blind.stuttered(clips.dreamt, _HALT)),
    blind_tables.DEAF: (clips.real, clips.broken[blind_pairs.DEAF]),
    blind_tables.NOISY: (clips.real, clips.broken[blind_pairs.NOISY]),
    blind_tables.RECORDED: (clips.recorded, clips.dreamt),
    blind_tables.RECORDED_REAL: (clips.recorded, clips.again),
  }
  result: dict[str, Any] = {
    "rom": {"name": rom.name, "sha1": rom.sha1},
    "pairs": len(clips.groups),
    "episodes": len(np.unique(clips.groups)),
    "lengths": dict(blind_pairs.LENGTHS),
    "exchanged_tiles": _EXCHANGED,
    "jump_step": _JUMP,
    "halt_steps": _HALT,
    "seen_rows": seen.rows,
    "kinds": {},
  }
  steps = list(blind_pairs.LENGTHS.values())
  for kind, (real, other) in sides.items():
    told(f"asking the judge: {kind}")
    pairs = blind.Pairs(real, other, clips.action, clips.groups)
    found = blind.judge(pairs, seen, steps)
    result["kinds"][kind] = blind.told_apart(found, pairs, evaluate.bootstrap)
    if kind == blind_tables.DREAM:
      surest = found
      result["marks"] = blind.gives_away(found)
  told("drawing what gives dreams away")
  _draw(clips, surest.by_step, folder / "blind.png")
  return result


def _plays(
  generation: Any, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Frames and buttons of episodes trained on, `_SEEN_ROWS` rows or so."""
  from data_tools.records import loader

  index = loader.EpisodeIndex(generation, "train")
  left = _SEEN_ROWS
  for episode in np.random.default_rng(seed).permutation(len(index.headers)):
    length = int(index.lengths[episode])
    rows = index.read(int(episode), 0, length, ["frame", "action"])
    yield rows["frame"], rows["action"]
    left -= length
    if left <= 0:
      return


def _draw(clips: blind_pairs.Clips, lead: np.ndarray, path: Any) -> None:
  """The dreamt frames that look most dreamt, each of another episode."""
  blocks: list[list[pictures.Row]] = []
  seen: set[int] = set()
  for place in np.argsort(-lead, axis=None):
    pair, step = np.unravel_index(place, lead.shape)
    group = int(clips.groups[pair])
    if group in seen or len(blocks) == _SHOWN:
      continue
    seen.add(group)
    at = [int(step), int(step) + 1]  # the frame before, and this one
    label = f"start {pair}, step {step + 1}"
    blocks.append(
      [
        pictures.Row(f"{label}: dream", clips.dreamt[pair, at]),
        pictures.Row("the game", clips.real[pair, at]),
      ]
    )
  if blocks:
    sheet = pictures.contact_sheet(blocks, ["before", "surest"], 1.0)
    pictures.save_png(sheet, path)
