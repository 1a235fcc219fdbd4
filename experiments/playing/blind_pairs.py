"""Clips of one start under the same buttons, dreamt and real.

A start is a row of a held-out episode, the buttons are those recorded after
it. The dream goes on from the rows before, which the model has seen; the real
side is the emulator, entered at that row and played on with other luck. So
both sides draw chance anew, and neither is the one for which the buttons were
chosen: the recording itself would be given away by buttons that fit it.
"""

from collections.abc import Callable
import dataclasses
import pathlib
from typing import Any

import numpy as np

from data_tools.game import roms
from data_tools.records import loader
from data_tools.records import replay
from experiments.playing import emulator_lines
from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib

LENGTHS = {"3 s": 7, "10 s": 25, "30 s": 75}  # steps of 402 ms
STEPS = max(LENGTHS.values())
_FIELDS = (
  *("frame", "action", "reward_terms", "is_first", "is_terminal"),
  *(field.name for field in specs.RAM_FIELDS),
)


@dataclasses.dataclass(frozen=True)
class Clips:
  """`N` starts and what came of them; frames `[N, STEPS + 1, 144, 40]`."""

  recorded: np.ndarray  # the rows of the episode
  real: np.ndarray  # the emulator with other luck
  again: np.ndarray  # the same with yet other luck
  dreamt: np.ndarray  # sampled
  action: np.ndarray  # [N, STEPS] uint8, what was pressed after each frame
  groups: np.ndarray  # [N], the episode of each


def make(
  config: config_lib.Config,
  params: Any,
  generation: Any,
  rom: roms.Rom,
  count: int,
  told: Callable[[str], None] = lambda part: None,
) -> Clips:
  """Plays and dreams from `count` starts, spread over held-out episodes.

  Args:
    config: of the model; gives `evaluate.context` and the seed.
    params: of the world model.
    generation: whose held-out episodes give the starts.
    rom: of the recording.
    count: starts at most.
    told: called with what is done next.

  Raises:
    ValueError: no held-out episode is long enough, or one cannot be played
      again here.
  """
  import jax

  from pokedreamer_jax.evaluation import dreams

  index = loader.EpisodeIndex(generation, "val")
  context = config.evaluate.context
  places = loader.fixed_places(index, context + STEPS, count, config.seed)
  for episode in sorted({episode for episode, _ in places}):
    header = index.headers[episode]
    replay.check_header(
      rom, header, replay.find_start(header, generation.data_dir)
    )
  windows = loader.windows_at(index, places, context + STEPS, _FIELDS)
  told("playing the starts with other luck")
  real, again = emulator_lines.other_luck(
    *(rom, index, pathlib.Path(generation.data_dir), places, context),
    range(1, STEPS + 1),
    emulator_lines.WAITS_FRAMES[:2],
    config.collect.workers,
  )
  told("dreaming from the starts")
  dreamt = dreams.open_loop(
    *(config.world_model, params, jax.random.key(config.seed)),
    *(windows, context),
    infer=config.world_model.ram == "inferred",
  )
  start = windows["frame"][:, context - 1 : context]

  def whole(frames: np.ndarray) -> np.ndarray:
    return np.concatenate([start, frames], axis=1)

  return Clips(
    recorded=windows["frame"][:, context - 1 :],
    real=whole(real.frame),
    again=whole(again.frame),
    dreamt=whole(dreamt.frame),
    action=windows["action"][:, context - 1 : -1],
    groups=np.array([episode for episode, _ in places]),
  )
