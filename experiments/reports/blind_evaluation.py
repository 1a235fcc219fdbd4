"""`evaluate --what=blind`: whether a small classifier tells dream from game."""

from collections.abc import Callable
import pathlib
from typing import Any

import numpy as np

from experiments.playing import blind_pairs
from experiments.reports import blind_tables
from experiments.reports import pictures
from pokedreamer_jax.config import run as config_lib

PARTS = 8  # that `measure` tells of
_EXCHANGED = 3  # of the 360 tiles of each frame of a broken dream
_SHOWN = 6  # frames that give dreams away


def measure(
  config: config_lib.Config,
  params: Any,
  generation: Any,
  rom: Any,
  folder: pathlib.Path,
  told: Callable[[str], None] = lambda part: None,
) -> dict[str, Any]:
  """Makes the clips, and asks a classifier about each kind of pair.

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
  import jax

  from pokedreamer_jax.evaluation import blind

  evaluate = config.evaluate
  clips = blind_pairs.make(
    config, params, generation, rom, evaluate.blind_pairs, told
  )
  broken = blind.exchanged(config.seed, clips.dreamt, _EXCHANGED)
  sides = {
    blind_tables.DREAM: (clips.real, clips.dreamt),
    blind_tables.REAL: (clips.real, clips.again),
    blind_tables.BROKEN: (clips.real, broken),
    blind_tables.RECORDED: (clips.recorded, clips.dreamt),
    blind_tables.RECORDED_REAL: (clips.recorded, clips.again),
  }
  result: dict[str, Any] = {
    "rom": {"name": rom.name, "sha1": rom.sha1},
    "pairs": len(clips.groups),
    "episodes": len(np.unique(clips.groups)),
    "lengths": dict(blind_pairs.LENGTHS),
    "exchanged_tiles": _EXCHANGED,
    "kinds": {},
  }
  steps = list(blind_pairs.LENGTHS.values())
  for number, (kind, (real, other)) in enumerate(sides.items()):
    told(f"asking a classifier: {kind}")
    pairs = blind.Pairs(real, other, clips.action, clips.groups)
    found = blind.scores(jax.random.key(config.seed + number), pairs)
    result["kinds"][kind] = blind.told_apart(
      found, pairs, steps, evaluate.bootstrap
    )
    if kind == blind_tables.DREAM:
      surest = found
  told("drawing what gives dreams away")
  _draw(clips, surest, folder / "blind.png")
  return result


def _draw(clips: blind_pairs.Clips, found: np.ndarray, path: Any) -> None:
  """The dreamt frames that look most dreamt, each of another episode."""
  lead = found[:, 1] - found[:, 0]
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
