"""Playing a recorded episode again: the same steps, or with other luck.

The header, the actions and the start state of an episode give back every frame
and memory field: `play_again` all rows, `enter` one moment. `branches` uses
that to ask what chance alone changes: the emulator is brought to a recorded
row, waits a frame, so that the game's random numbers differ, or has them
replaced (`data_tools/game/chance.py`), and goes on with the recorded actions.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import os

import numpy as np

from data_tools.game import chance
from data_tools.game import emulator as emulator_lib
from data_tools.game import game_state
from data_tools.game import roms
from data_tools.game import save_states
from data_tools.game import start_states
from data_tools.records import episodes
from data_tools.records import shards
from data_tools.records import start_mix


def check_header(
  rom: roms.Rom,
  header: shards.EpisodeHeader,
  save_state: bytes | None = None,
) -> None:
  """Raises ValueError where the episode cannot be played again here.

  Args:
    rom: the game at hand.
    header: of the episode.
    save_state: where it is to begin; None for power-on.
  """
  version = emulator_lib.pyboy_version()
  for field, recorded, present in (
    ("rom_sha1", header.rom_sha1, rom.sha1),
    ("pyboy_version", header.pyboy_version, version),
    (
      "start_state_sha1",
      header.start_state_sha1,
      emulator_lib.state_sha1(save_state),
    ),
  ):
    if recorded != present:
      raise ValueError(
        f"episode {header.episode_id}: {field} {recorded or 'power-on'}, "
        f"here {present or 'power-on'}: it cannot be played again"
      )


def find_start(
  header: shards.EpisodeHeader, data_dir: str | os.PathLike
) -> bytes | None:
  """The state that an episode began in.

  Looked for beside the records, where collectors keep it, then among the
  practice cartridges' own.

  Args:
    header: of the episode.
    data_dir: the directory that the episode was recorded into.

  Returns:
    None for power-on, and where no state has the recorded SHA-1.

  Raises:
    ValueError: the state beside the records is damaged.
  """
  if not header.start_state_sha1:
    return None
  if start_mix.is_kept(data_dir, header.start_state_sha1):
    return start_mix.kept(data_dir, header.start_state_sha1)
  for name in start_states.names(header.rom_sha1):
    stamp = save_states.read_stamp(start_states.find(name))
    if stamp is not None and stamp.state_sha1 == header.start_state_sha1:
      return emulator_lib.read_save_state(name)
  return None


def enter(
  emulator: emulator_lib.Emulator,
  header: shards.EpisodeHeader,
  actions: np.ndarray,
  row: int,
  save_state: bytes | None = None,
) -> None:
  """Brings an emulator to a recorded row: what it shows is the row's frame.

  Args:
    emulator: of the recording's ROM; whatever it did before is forgotten.
    header: how the episode came about.
    actions: `[T]`, as recorded.
    row: in `0..T - 1`.
    save_state: where the episode began; None for power-on.

  Raises:
    ValueError: another ROM, PyBoy version or start state; no such row.
  """
  check_header(emulator.rom, header, save_state)
  if not 0 <= row < len(actions):
    raise ValueError(f"row: {row}, expected 0..{len(actions) - 1}")
  emulator.replay_reset(header.jitter_frames, save_state)
  for action in actions[:row]:
    emulator.step(int(action))


def play_again(
  rom: roms.Rom,
  header: shards.EpisodeHeader,
  actions: np.ndarray,
  save_state: bytes | None = None,
) -> Iterator[dict[str, np.ndarray]]:
  """Plays a whole episode again.

  Args:
    rom: of the recording.
    header: how the episode came about.
    actions: `[T]`, as recorded.
    save_state: where the episode began; None for power-on.

  Yields:
    Its steps `[<= CHUNK_STEPS, ...]` in order: every field as recorded but
    `behaviour`, which the game cannot tell ("none" throughout).

  Raises:
    ValueError: another ROM, PyBoy version or start state.
  """
  check_header(rom, header, save_state)
  reader = episodes.RowReader(rom)
  with emulator_lib.Emulator(rom) as emulator:
    emulator.replay_reset(header.jitter_frames, save_state)
    for first in range(0, len(actions), shards.CHUNK_STEPS):
      chunk = actions[first : first + shards.CHUNK_STEPS]
      frames, rows = [], []
      for t, action in enumerate(chunk, first):
        frames.append(emulator.frame())
        rows.append(emulator.ram().copy())
        if t < len(actions) - 1:  # the last action was never executed
          emulator.step(int(action))
      steps = reader.read(np.stack(frames), np.stack(rows))
      steps["action"] = np.array(chunk, np.uint8)
      steps["is_last"][-1] |= first + len(chunk) == len(actions)
      yield steps


def branches(
  rom: roms.Rom,
  header: shards.EpisodeHeader,
  actions: np.ndarray,
  rows: Sequence[int],
  steps: Sequence[int],
  waits_frames: Sequence[int] = (1,),
  save_state: bytes | None = None,
  chances: Sequence[int] = (),
  chance_steps: Sequence[int] = (),
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
  """Plays on from some rows of an episode with its own actions.

  Args:
    rom: of the recording.
    header: how the episode came about.
    actions: `[T]`, as recorded.
    rows: where to branch off, ascending.
    steps: which steps after a row to return, ascending from 1; no row plus
      step may pass the end of the episode.
    waits_frames: frames to wait at the row, one branch each; 0 repeats the
      recording.
    save_state: where the episode began; None for power-on.
    chances: seeds of other random numbers, one further branch each, which does
      not wait; of a ROM that `chance.is_known`.
    chance_steps: as `steps`, for these.

  Yields:
    For each row its branches: the packed frames `[len(steps), 144, 40]` uint8
    and the places `[len(steps), 3]` (map, y, x) of each.

  Raises:
    ValueError: another ROM, PyBoy version or start state.
    KeyError: `chances` of a ROM whose random numbers are not known.
  """
  check_header(rom, header, save_state)
  with emulator_lib.Emulator(rom) as main, emulator_lib.Emulator(rom) as side:
    main.replay_reset(header.jitter_frames, save_state)
    at = 0
    for row in rows:
      while at < row:
        main.step(int(actions[at]))
        at += 1
      here = main.save_state()
      made = []
      for wait_frames in waits_frames:
        side.resume(here, wait_frames)
        made.append(_play_on(side, actions[row:], steps))
      for seed in chances:
        side.resume(here)
        chance.change(side.memory, rom.sha1, seed)
        made.append(_play_on(side, actions[row:], chance_steps))
      yield made


@dataclasses.dataclass(frozen=True)
class Branching:
  """What `branches` is called with, to be sent to another process."""

  rom: roms.Rom
  header: shards.EpisodeHeader
  actions: np.ndarray
  rows: tuple[int, ...]
  steps: tuple[int, ...]
  waits_frames: tuple[int, ...]
  save_state: bytes | None
  chances: tuple[int, ...] = ()
  chance_steps: tuple[int, ...] = ()


def all_branches(
  task: Branching,
) -> list[list[tuple[np.ndarray, np.ndarray]]]:
  """What `branches` yields."""
  fields = dataclasses.fields(task)
  return list(branches(*(getattr(task, field.name) for field in fields)))


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
