"""What the emulator itself says about recorded windows, and longer episodes.

Played again with other luck, a window shows what chance alone changes: the
ceiling of every dream, and the calm windows in which chance changes nothing.
Luck is changed by waiting for some frames, which any game allows, and by which
all that moves by itself is late as well; or, where it is known how, by other
random numbers alone.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import itertools
import pathlib
from typing import TypeVar

import numpy as np

from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import episodes
from data_tools.records import loader
from data_tools.records import replay
from data_tools.system import children
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import scores

# Frames waited at the last seen row: each gives the game other random numbers.
WAITS_FRAMES = (1, 2, 3)
# Other random numbers, where it is known where a game keeps them.
CHANCES = (1, 2, 3, 4)
# Who plays where recorded episodes are too short: it has to last for long.
LONG_MIX = "demonstrator:eps=0.9=0.5,sticky_random=0.5"
_T = TypeVar("_T")
_R = TypeVar("_R")
_TRIES = 3  # episodes played for each one that lasts long enough


def other_luck(
  rom: roms.Rom,
  index: loader.EpisodeIndex,
  data_dir: pathlib.Path,
  places: Sequence[tuple[int, int]],
  context: int,
  steps: Sequence[int],
  waits_frames: Sequence[int] = WAITS_FRAMES[:1],
  workers: int = 1,
  chances: Sequence[int] = (),
  chance_steps: Sequence[int] = (),
) -> list[dreams.Dreams]:
  """Recorded windows played by the emulator with other luck.

  Args:
    rom: of the recording.
    index: the recorded episodes.
    data_dir: where they were recorded.
    places: episode and first row of each window, in order.
    context: rows of a window before luck changes.
    steps: steps after them to return, ascending from 1.
    waits_frames: how the luck is changed, each for a line of its own.
    workers: processes that play; an episode is played by one.
    chances: further lucks, by other random numbers, as in `replay.branches`.
    chance_steps: as `steps`, for these.

  Returns:
    The windows with each of these lucks.
  """
  rows: dict[int, list[int]] = {}
  for episode, start in places:
    rows.setdefault(episode, []).append(start + context - 1)
  tasks = []
  for episode, at in rows.items():
    header = index.headers[episode]
    total = int(index.lengths[episode])
    actions = index.read(episode, 0, total, ["action"])["action"]
    start_state = replay.find_start(header, data_dir)
    tasks.append(
      replay.Branching(
        *(rom, header, actions, tuple(at), tuple(steps)),
        *(tuple(waits_frames), start_state),
        *(tuple(chances), tuple(chance_steps)),
      )
    )
  windows = itertools.chain.from_iterable(
    _map(replay.all_branches, tasks, workers)
  )
  # One list of windows for each luck.
  return [
    dreams.Dreams(
      np.stack([f for f, _ in line]), np.stack([p for _, p in line])
    )
    for line in zip(*windows, strict=True)
  ]


def calm(
  lucks: Sequence[dreams.Dreams], truth: np.ndarray, steps: Sequence[int]
) -> np.ndarray:
  """Where no luck has changed a pixel, up to each of some steps.

  Args:
    lucks: the windows with other luck, at every step `1..H`.
    truth: recorded frames `[W, H, 144, 40]`.
    steps: which ones to report.

  Returns:
    `[W, len(steps)]` bool.
  """
  same = np.ones(truth.shape[:2], bool)
  for luck in lucks:
    same &= scores.exact(luck.frame, truth) == 1
  so_far = np.logical_and.accumulate(same, axis=1)
  return so_far[:, [k - 1 for k in steps]]


def long_episodes(
  rom: roms.Rom,
  count: int,
  length: int,
  seed: int,
  jitter_frames: int,
  workers: int = 1,
) -> tuple[dict[str, np.ndarray], str]:
  """New episodes of `length` rows from power-on, and who played them.

  An episode that ends before is played again with another seed.

  Returns:
    Step fields `[E, length, ...]`, `E` at most `count` and perhaps 0, and the
    behaviours in words.
  """
  mix = policies.parse_mix(policies.playable_mix(LONG_MIX, rom))
  tasks = []
  for number in range(_TRIES * count):
    rng = np.random.default_rng([seed, 11, number])  # no collection's stream
    behaviour, chance = mix[number % len(mix)].behaviour, rng.integers(1 << 32)
    tasks.append(
      episodes.Playing(rom, behaviour, int(chance), length, jitter_frames)
    )
  whole = (
    steps
    for steps in _map(episodes.play_whole, tasks, workers)
    if len(steps["action"]) == length
  )
  played = list(itertools.islice(whole, count))
  names = " and ".join(item.behaviour for item in mix)
  if not played:
    return {}, names
  return {name: np.stack([s[name] for s in played]) for name in played[0]}, (
    names
  )


def _map(
  function: Callable[[_T], _R], tasks: Sequence[_T], workers: int
) -> Iterator[_R]:
  """`map` over processes, or here where one would do; in order."""
  if workers == 1:
    return map(function, tasks)
  return children.imap(function, tasks, workers)


def recorded_long(
  index: loader.EpisodeIndex, count: int, fields: Sequence[str], length: int
) -> dict[str, np.ndarray]:
  """The beginnings `[E, length, ...]` of recorded episodes that last so long.

  At most `count`, spread evenly; empty where fewer than two do.
  """
  able = np.flatnonzero(index.lengths >= length)
  if len(able) < 2:
    return {}
  chosen = able[
    np.linspace(0, len(able) - 1, min(count, len(able))).astype(int)
  ]
  rows = [index.read(int(place), 0, length, fields) for place in chosen]
  return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
