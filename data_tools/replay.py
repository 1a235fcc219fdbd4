"""Playing a recorded episode again: the same steps, or with other luck.

The header and the actions of an episode give back every frame and memory
field. `branches` uses that to ask what chance alone changes: the emulator is
brought to a recorded row, waits a frame, so that the game's random numbers
differ, and goes on with the recorded actions. No model can be closer to the
recording than such a branch is, on average.
"""

from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np

from data_tools import emulator as emulator_lib
from data_tools import game_state
from data_tools import records
from data_tools import roms


def check_header(rom: roms.Rom, header: records.EpisodeHeader) -> None:
  """Raises ValueError where the episode cannot be played again here."""
  version = emulator_lib.pyboy_version()
  for field, recorded, present in (
    ("rom_sha1", header.rom_sha1, rom.sha1),
    ("pyboy_version", header.pyboy_version, version),
    ("start_state_sha1", header.start_state_sha1, ""),
  ):
    if recorded != present:
      raise ValueError(
        f"episode {header.episode_id}: {field} {recorded or 'power-on'}, "
        f"here {present or 'power-on'}: it cannot be played again"
      )


def branches(
  rom: roms.Rom,
  header: records.EpisodeHeader,
  actions: np.ndarray,
  rows: Sequence[int],
  steps: Sequence[int],
  wait_frames: int = 1,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Plays on from some rows of an episode with its own actions.

  Args:
    rom: of the recording.
    header: how the episode came about, from power-on.
    actions: `[T]`, as recorded.
    rows: where to branch off, ascending.
    steps: which steps after a row to return, ascending from 1; no row plus
      step may pass the end of the episode.
    wait_frames: frames to wait at the row; 0 repeats the recording.

  Yields:
    For each row the packed frames `[len(steps), 144, 40]` uint8 and the places
    `[len(steps), 3]` (map, y, x).

  Raises:
    ValueError: another ROM, PyBoy version or start state.
  """
  check_header(rom, header)
  with emulator_lib.Emulator(rom) as main, emulator_lib.Emulator(rom) as side:
    main.replay_reset(header.jitter_frames)
    at = 0
    for row in rows:
      while at < row:
        main.step(int(actions[at]))
        at += 1
      side.resume(main.save_state(), wait_frames)
      yield _play_on(side, actions[row:], steps)


def _play_on(side, actions, steps) -> tuple[np.ndarray, np.ndarray]:
  frames, rows = [], []
  for step in range(1, max(steps) + 1):
    side.step(int(actions[step - 1]))
    if step in steps:
      frames.append(side.frame())
      rows.append(side.ram().copy())
  state = game_state.decode(np.stack(rows))
  places = np.stack([state[name] for name in ("map_id", "y", "x")], axis=-1)
  return np.stack(frames), places
