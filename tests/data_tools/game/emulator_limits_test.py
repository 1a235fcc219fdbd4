"""What must end although the game does not, and clocks of cartridges."""

import subprocess
import sys
import time

import numpy as np
import pytest

from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from tests import conftest
from tests.data_tools import own_roms

# In a process of its own: the emulator's thread works on until that ends.
_PLAY = """
import sys
from data_tools.game import emulator
from data_tools.game import roms
from experiments.runs import cli
emulator._LIMIT_S, emulator._LIMIT_S_PER_FRAME = 0.3, 0
def main():
  rom = roms.resolve(sys.argv.pop())
  with emulator.Emulator(rom) as game:
    game.reset(0)
cli.run_main(main)
"""


def test_a_program_that_stands_still_ends_in_one_line(tmp_path):
  path = tmp_path / "hanging.gb"
  path.write_bytes(own_roms.hanging())
  code = _PLAY.replace("sys.argv.pop()", repr(str(path)))
  result = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    timeout=60,
  )
  assert result.returncode == 2
  assert result.stderr.startswith(
    f"Error: ROM {path}: the program stands still"
  )
  assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("frames", [-1, emulator_lib.MOST_WAIT_FRAMES + 1])
def test_no_emulator_waits_for_frames_that_nobody_can_mean(frames):
  with emulator_lib.Emulator(roms.resolve()) as game:
    with pytest.raises(ValueError, match=f"{frames}, expected 0 to 36000"):
      game.reset(0, None, frames)
    with pytest.raises(ValueError, match=f"{frames}, expected 0 to 36000"):
      game.replay_reset(frames)


def test_the_clock_of_a_cartridge_follows_no_time_of_day(tmp_path):
  path = tmp_path / "clock.gb"
  path.write_bytes(own_roms.with_clock())
  rom = roms.resolve(path)
  assert "its clock stands still" in rom.describe()

  def play(game, state=None):
    game.reset(0, state)
    frames = []
    for action in range(6):
      game.step(action)
      frames.append(game.frame())
    return np.stack(frames)

  with emulator_lib.Emulator(rom) as game:
    first = play(game)
    state = game.save_state()
    after = play(game, state)
    time.sleep(1.1)  # the clock's seconds would show another palette
    np.testing.assert_array_equal(play(game), first)
    np.testing.assert_array_equal(play(game, state), after)
  with emulator_lib.Emulator(rom) as other:
    np.testing.assert_array_equal(play(other), first)
  assert list(tmp_path.iterdir()) == [path]
