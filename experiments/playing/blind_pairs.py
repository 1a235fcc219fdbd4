"""Clips of one start under the same buttons, dreamt and real.

A start is a row of a held-out episode, the buttons are those recorded after
it. The dream goes on from the rows before, which the model has seen; the real
side is the emulator, entered at that row and played on with other luck. So
both sides draw chance anew, and neither is the one for which the buttons were
chosen: the recording itself would be given away by buttons that fit it.
"""

from collections.abc import Callable
from collections.abc import Mapping
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
DEAF, NOISY = "deaf", "noisy"  # of `Clips.broken`
_NOISE = 0.3  # of a broken model's weights, in spreads of each array
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
  broken: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def make(
  config: config_lib.Config,
  params: Any,
  generation: Any,
  rom: roms.Rom,
  count: int,
  told: Callable[[str], None] = lambda part: None,
  broken: bool = False,
) -> Clips:
  """Plays and dreams from `count` starts, spread over held-out episodes.

  Args:
    config: of the model; gives `evaluate.context` and the seed.
    params: of the world model.
    generation: whose held-out episodes give the starts.
    rom: of the recording.
    count: starts at most.
    told: called with what is done next.
    broken: also makes dreams that deserve no better than to be found out:
      `DEAF` to the buttons (it hears those of another start), and `NOISY` (of
      a model whose weights were shaken).

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

  def dream(params: Any, action: np.ndarray | None = None) -> np.ndarray:
    return dreams.open_loop(
      *(config.world_model, params, jax.random.key(config.seed)),
      *(windows, context),
      action=action,
      infer=config.world_model.infers_tokens,
    ).frame

  told("dreaming from the starts")
  dreamt = dream(params)
  bad = {}
  if broken:
    told("dreaming as no model should")
    # Of the half of the starts away: neighbours are of one episode.
    others = np.roll(windows["action"], len(places) // 2, axis=0)
    bad = {DEAF: dream(params, others), NOISY: dream(_shaken(config, params))}
  start = windows["frame"][:, context - 1 : context]

  def whole(frames: np.ndarray) -> np.ndarray:
    return np.concatenate([start, frames], axis=1)

  return Clips(
    recorded=windows["frame"][:, context - 1 :],
    real=whole(real.frame),
    again=whole(again.frame),
    dreamt=whole(dreamt),
    action=windows["action"][:, context - 1 : -1],
    groups=np.array([episode for episode, _ in places]),
    broken={name: whole(frames) for name, frames in bad.items()},
  )


def _shaken(config: config_lib.Config, params: Any) -> Any:
  """Parameters with noise on every array, in proportion to its spread."""
  import jax

  rng = np.random.default_rng([config.seed, 0x5A4E])

  def shake(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    noise = rng.standard_normal(array.shape) * array.std() * _NOISE
    return (array + noise).astype(array.dtype)

  return jax.tree.map(shake, params)
