"""The best and the worst episode of a player as clips.

Nothing is filmed while players are measured: an episode is played again from
its seed and the actions that were pressed, and has to go through the same
cells. Long episodes are sped up, so that a clip stays short and small.
"""

from collections.abc import Sequence
import pathlib
from typing import Any
import urllib.parse

import numpy as np

from data_tools.game import emulator as emulator_lib
from data_tools.game import game_state
from experiments.playing import play_episodes
from experiments.reports import video
from pokedreamer_jax import specs

FPS = 10  # pictures a second; in real time the game takes 2.5 steps
MOST_FRAMES = 300  # of a clip, which sees every k-th step of a longer episode
MOST_BYTES = 2_000_000
_CRF = 26  # half as large as what hardly shows
_FEWEST_FRAMES = 20
_ENDS = ("best", "worst")


def shoot(
  played: play_episodes.Played,
  setting: play_episodes.Setting,
  weights: Sequence[float],
  name: str,
  folder: pathlib.Path,
) -> dict[str, dict[str, Any]]:
  """Films the best and the worst episode of one player.

  Args:
    played: its episodes, with traces.
    setting: in which they were played.
    weights: of the reward terms.
    name: of the player.
    folder: where `best_NAME.mp4` and `worst_NAME.mp4` go.

  Returns:
    JSON-ready, by `best` and `worst`: `file` in the folder, `episode`, `seed`,
    `badges`, `last_badge` (its step, or None), `return`, `steps`, and that one
    in `every` of these is shown.

  Raises:
    ValueError: an episode does not go as it was recorded.
    OSError: the clip cannot be written.
  """
  measured = play_episodes.measure(played, weights)
  last = play_episodes.last_badge(played)
  films = {}
  numbers = play_episodes.best_and_worst(played, weights)
  with emulator_lib.Emulator(setting.rom) as emulator:
    for end, number in zip(_ENDS, numbers, strict=True):
      about: dict[str, Any] = {
        "episode": number,
        "seed": setting.seeds[number],
        "badges": int(measured["badges"][number]),
        "last_badge": int(last[number]) if last[number] >= 0 else None,
        "return": float(measured["return"][number]),
        "steps": int(played.steps[number]),
      }
      frames, every = _again(emulator, played, setting, number)
      # No two names make one file, and none leads out of the folder.
      path = folder / f"{end}_{urllib.parse.quote(name, safe='')}.mp4"
      label = f"{name}, {end} of {len(played.steps)}"
      path, every = _write(path, label, frames, every, played, number, setting)
      films[end] = {"file": path.name, "every": every, **about}
  return films


def _again(
  emulator: emulator_lib.Emulator,
  played: play_episodes.Played,
  setting: play_episodes.Setting,
  number: int,
) -> tuple[dict[int, np.ndarray], int]:
  """Frames `[144, 40]` by step, one in so many, and the last."""
  traces = played.traces
  if traces is None:
    raise ValueError("the actions of these episodes were not kept")
  steps = int(played.steps[number])
  every = -(-steps // MOST_FRAMES)
  rows, frames = [], {}
  emulator.reset(
    setting.seeds[number], setting.save_state, setting.jitter_frames
  )
  for t in range(steps):
    rows.append(emulator.ram().copy())
    if t % every == 0 or t == steps - 1:
      frames[t] = emulator.frame()
    if t < steps - 1:
      emulator.step(int(traces.action[number, t]))
  state = game_state.decode(np.stack(rows))
  cell = np.stack([state[name] for name in ("map_id", "y", "x")], axis=-1)
  differs = (cell != traces.cell[number, :steps]).any(axis=-1)
  if differs.any():
    raise ValueError(
      f"episode {number} goes elsewhere at step {int(differs.argmax())} when "
      "it is played again"
    )
  return frames, every


def _write(
  path: pathlib.Path,
  label: str,
  frames: dict[int, np.ndarray],
  every: int,
  played: play_episodes.Played,
  number: int,
  setting: play_episodes.Setting,
) -> tuple[pathlib.Path, int]:
  """Writes a clip, of fewer steps as long as it is too large."""
  while True:
    said = label if every == 1 else f"{label}, x{every}"
    shown = {t: frame for t, frame in frames.items() if t % every == 0}
    shown[max(frames)] = frames[max(frames)]
    captions = [_caption(t, played, number, setting) for t in shown]
    stream = np.stack(list(shown.values()))
    pictures = video.side_by_side([stream], [said], captions)
    path = video.write(path, pictures, FPS, _CRF)
    if path.stat().st_size <= MOST_BYTES or len(shown) < _FEWEST_FRAMES:
      return path, every
    every *= 2


def _caption(
  t: int,
  played: play_episodes.Played,
  number: int,
  setting: play_episodes.Setting,
) -> str:
  """As `step 171 of 512, route, badges 1: up`."""
  assert played.traces is not None
  column = specs.REWARD_TERMS.index("badges")
  badges = int(played.reward_terms[number, : t + 1, column].sum())
  button = specs.ACTIONS[int(played.traces.action[number, t])]
  place = "title screen"
  if played.traces.running[number, t]:
    map_id = int(played.traces.cell[number, t, 0])
    place = setting.rom.map_names.get(map_id, f"map {map_id}")
  total = int(played.steps[number]) - 1
  return f"{t}/{total} {place.replace('_', ' ')}, badges {badges}: {button}"
