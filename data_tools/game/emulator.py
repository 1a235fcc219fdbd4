"""One Game Boy, stepped by actions: press for 8 frames, then run to 24.

Deterministic: the same ROM, start state, seed and actions give the same frames
and memory, in a new emulator as in one that has played before.

A damaged program, or a damaged state of a good one, can make PyBoy work for
ever within one frame: whatever runs the game has a time limit.
"""

from collections.abc import Callable
import io
import os
from typing import Any
import warnings
import weakref

import numpy as np

from data_tools.game import frame_codec
from data_tools.game import game_state
from data_tools.game import ram_addresses
from data_tools.game import roms
from data_tools.game import save_states
from data_tools.game import start_states
from data_tools.system import deadlines
from pokedreamer_jax import specs

_BOOT_ROM_OFF = 0xFF50  # register that the boot ROM sets as it ends
_MOST_BOOT_FRAMES = 600
_SET_UP_FRAMES = 80  # then a game draws its first screen
# Frames until the boot ROM has drawn something, with room to spare.
_FIRST_DRAWN_FRAMES = 16
# Ten minutes of the game: more is a mistake, or a damaged record.
MOST_WAIT_FRAMES = 36_000
# Seconds of work, over a hundred times what frames take on a slow machine.
_LIMIT_S, _LIMIT_S_PER_FRAME = 5.0, 0.05
_BUTTONS = ("down", "left", "right", "up", "a", "b", "start", "select")


class Emulator:
  """A running game; `reset` before the first step."""

  def __init__(self, rom: roms.Rom):
    """Starts the emulator.

    Raises:
      ValueError: the emulator cannot run this ROM, or stands still in it.
    """
    self.rom = rom
    self._caller = deadlines.Caller()
    self._pyboy = _start(rom)
    # Before the interpreter takes itself apart: PyBoy would speak up then.
    self._end = weakref.finalize(self, _stop, self._pyboy, self._caller)
    self._boot()
    self._power_on = self.save_state()
    # PyBoy 2.8.1 counts the lines of the window layer outside its states, and
    # one too far in the first frame that it ever draws: that frame goes here.
    for _ in range(_FIRST_DRAWN_FRAMES):
      self._tick(1, True)
    self._row = np.zeros(ram_addresses.RAM_BYTES, np.uint8)
    self._palette = 0  # that the last frame was drawn with

  def reset(
    self,
    seed: int = 0,
    save_state: bytes | None = None,
    jitter_frames: int = 0,
  ) -> int:
    """Starts from power-on or from a saved state.

    Some frames without input follow, so that a game whose randomness counts
    frames does not always begin alike.

    Args:
      seed: of the number of frames.
      save_state: a state of this ROM and emulator version; None for power-on.
      jitter_frames: most frames to run, uniform in `0..jitter_frames`.

    Returns:
      The number of frames that were run.

    Raises:
      ValueError: the saved state does not fit, or `jitter_frames` is not in
        `0..MOST_WAIT_FRAMES`.
    """
    check_wait(jitter_frames)
    frames = drawn_jitter(seed, jitter_frames)
    self.replay_reset(frames, save_state)
    return frames

  def replay_reset(self, frames: int, save_state: bytes | None = None) -> None:
    """As `reset`, with the number of frames given: to play a record again."""
    self.resume(save_state or self._power_on, frames)
    self._limited(1, self._draw)  # the frame of the first row

  def resume(self, save_state: bytes, wait_frames: int = 0) -> None:
    """Goes on from a saved state, after some frames without input.

    Raises:
      ValueError: the saved state does not fit, or `wait_frames` is not in
        `0..MOST_WAIT_FRAMES`.
    """
    check_wait(wait_frames)
    if self._caller.stuck:
      raise self._stands_still()
    try:
      self._pyboy.load_state(io.BytesIO(save_state))
    except Exception as error:  # PyBoy raises its own and built-in ones
      raise ValueError(
        f"save state of {len(save_state)} bytes does not fit "
        f"{self.rom.name}: {str(error).strip() or type(error).__name__}"
      ) from error
    # A state that was saved with a button held would hold it for ever.
    for button in _BUTTONS:
      self._pyboy.button_release(button)
    if wait_frames:
      self._tick(wait_frames, False)

  def step(self, action: int) -> None:
    """Runs one agent step.

    Raises:
      ValueError: the game's program stands still; this emulator is lost.
    """
    self._limited(specs.STEP_FRAMES, self._step, action)

  def _step(self, action: int) -> None:
    if action == specs.PASS:
      self._pyboy.tick(specs.STEP_FRAMES - 1, False)
    else:
      button = specs.ACTIONS[action]
      self._pyboy.button_press(button)
      self._pyboy.tick(specs.PRESS_FRAMES, False)
      self._pyboy.button_release(button)
      self._pyboy.tick(specs.STEP_FRAMES - specs.PRESS_FRAMES - 1, False)
    self._draw()

  def _draw(self) -> None:
    """Runs and draws one frame.

    Between two frames games set the palette of the next one, and a tick ends
    after that: afterwards the register is not what was seen.
    """
    self._palette = self._pyboy.memory[ram_addresses.PALETTE]
    self._pyboy.tick(1, True)

  def frame(self) -> np.ndarray:
    """The screen, packed: a new `[144, 40]` uint8."""
    return frame_codec.pack_rgba(self._pyboy.screen.ndarray)

  def ram(self) -> np.ndarray:
    """The copied memory ranges `[RAM_BYTES]` uint8, overwritten next time.

    All zero for an unknown game: no address means anything there.
    """
    if self.rom.has_ram_fields:
      game_state.copy_ranges(self._pyboy.memory, self._row)
      self._row[ram_addresses.column(ram_addresses.PALETTE)] = self._palette
    return self._row

  @property
  def memory(self) -> Any:
    """The address space, for policies that read it."""
    return self._pyboy.memory

  def save_state(self) -> bytes:
    """The whole state of the machine; 14 ms."""
    buffer = io.BytesIO()
    self._pyboy.save_state(buffer)
    return buffer.getvalue()

  def close(self) -> None:
    """Stops the emulator; nothing is written beside the ROM.

    May be called again, and need not be: what is forgotten is stopped.
    """
    self._end()

  def __enter__(self) -> "Emulator":
    return self

  def __exit__(self, *error: object) -> None:
    self.close()

  def _boot(self) -> None:
    """Runs the boot ROM and the game's own set-up: nobody plays those."""
    for _ in range(_MOST_BOOT_FRAMES):
      if self._pyboy.memory[_BOOT_ROM_OFF]:
        break
      self._tick(1, False)
    self._tick(_SET_UP_FRAMES, True)

  def _tick(self, frames: int, draw: bool) -> None:
    self._limited(frames, self._pyboy.tick, frames, draw)

  def _limited(
    self, frames: int, function: Callable[..., Any], *arguments: Any
  ) -> None:
    """Calls what runs so many frames."""
    limit_s = _LIMIT_S + frames * _LIMIT_S_PER_FRAME
    try:
      self._caller.call(limit_s, function, *arguments)
    except deadlines.Passed:
      raise self._stands_still() from None

  def _stands_still(self) -> ValueError:
    return ValueError(
      f"ROM {self.rom.path}: the program stands still within a frame, after "
      f"{_LIMIT_S:.0f} s of work: the ROM, or the state that it began from, is "
      f"damaged; SHA-1 {self.rom.sha1}"
    )


def _stop(pyboy: Any, caller: deadlines.Caller) -> None:
  if not caller.stuck:
    pyboy.stop(save=False)
  caller.close()


def check_wait(frames: int) -> None:
  """Raises `ValueError` for frames to wait that nobody can mean."""
  if not 0 <= frames <= MOST_WAIT_FRAMES:
    raise ValueError(
      f"frames without input: {frames}, expected 0 to {MOST_WAIT_FRAMES}"
    )


def drawn_jitter(seed: int, most: int) -> int:
  """No-op frames that a reset runs, of a seed, uniform in `0..most`."""
  return int(np.random.default_rng(seed).integers(0, most + 1))


def pyboy_version() -> str:
  """Version of the installed emulator; states and replays belong to one."""
  import importlib.metadata

  return importlib.metadata.version("pyboy")


def read_save_state(
  path: str | os.PathLike | None, rom: roms.Rom | None = None
) -> bytes | None:
  """Bytes of a save-state file, compressed or not; None for no path.

  Args:
    path: as `experiments.make_state` or PyBoy wrote it; `<world>/<name>` is a
      practice cartridge's own start state.
    rom: the game to be played: a stamp that names another, or another
      emulator version, is refused. None does not ask.

  Raises:
    ValueError: the file cannot be read, is damaged, or does not belong here.
  """
  if not path:
    return None
  found = start_states.find(path)
  if rom is None:
    return save_states.read(found)
  start_states.check_world(path, rom.sha1)
  return save_states.read(found, rom.sha1, pyboy_version())


def state_sha1(save_state: bytes | None) -> str:
  """Name of a start state in episode headers; "" for power-on."""
  return save_states.sha1(save_state) if save_state else ""


def _start(rom: roms.Rom) -> Any:
  with warnings.catch_warnings():
    # A notice about the bundled SDL, which is not used here.
    warnings.filterwarnings("ignore", "Using SDL2 binaries")
    import pyboy

  try:
    # From memory, so that no battery file beside the ROM is read or written.
    emulator = pyboy.PyBoy(
      io.BytesIO(rom.read()),
      window="null",
      sound_emulated=False,
      no_input=True,
      log_level="ERROR",
      cgb=False,
    )
  except ValueError:
    raise
  except Exception as error:
    raise ValueError(
      f"ROM {rom.path}: the emulator cannot run it ({error}); SHA-1 {rom.sha1}"
    ) from error
  emulator.set_emulation_speed(0)
  if rom.has_clock:  # it would follow the time of day, and no seed
    emulator.rtc_lock_experimental(True)
  return emulator
