"""Clocks of what moves by itself, against the pictures that it is seen in."""

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import clocks
from data_tools.game import emulator
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.records import episodes
from pokedreamer_jax import specs


@pytest.fixture(scope="module")
def stood_still():
  """Rows of 60 steps in which nobody presses a button, beside water."""
  rom = roms.resolve(str(cartridge.GREAT_VALE))
  with emulator.Emulator(rom) as game:
    game.reset(0, emulator.read_save_state("great_vale/brookmere", rom))
    frames, rows = [], []
    for _ in range(60):
      frames.append(game.frame())
      rows.append(game.ram().copy())
      game.step(specs.PASS)
    return episodes.RowReader(rom).read(np.stack(frames), np.stack(rows))


def test_the_picture_is_another_where_water_moved_and_the_same_elsewhere(
  stood_still,
):
  rows = stood_still
  flat = rows["frame"].reshape(len(rows["frame"]), -1)
  same_frame = (flat[:, None] == flat[None]).all(-1)
  same = {
    name: rows[name][:, None] == rows[name][None]
    for name in ("tile_phase", "figure_phase")
  }
  assert len(np.unique(rows["tile_phase"])) > 5
  assert not same_frame[~same["tile_phase"]].any()
  assert same_frame[same["tile_phase"] & same["figure_phase"]].all()


def test_clocks_count_the_frames_of_a_step(stood_still):
  rows = stood_still
  for name, phases, wait in (("tile", 8, 21), ("figure", 2, 31)):
    assert rows[f"{name}_wait"].max() == wait - 1
    assert rows[f"{name}_phase"].max() <= phases - 1
    clock = rows[f"{name}_phase"].astype(int) * wait + rows[f"{name}_wait"]
    ahead = np.diff(clock) % (phases * wait)
    # Frames in which the engine has other things to do do not count.
    assert np.isin(ahead, range(20, 25)).all()


def test_of_another_game_nothing_is_known():
  rows = np.full((3, ram.RAM_BYTES), 7, np.uint8)
  found = clocks.decode(rows, "0" * 40, np.ones(3, bool))
  assert set(found) == set(specs.CLOCK_FIELDS)
  assert not any(values.any() for values in found.values())


def test_a_menu_says_when_it_is_left_by_itself():
  rom = roms.resolve(str(cartridge.GREAT_VALE))
  pressed = ["pass", "start", *["pass"] * 8, "down", *["pass"] * 20]
  with emulator.Emulator(rom) as game:
    game.reset(0, emulator.read_save_state("great_vale/brookmere", rom))
    frames, rows = [], []
    for name in pressed:
      game.step(specs.ACTIONS.index(name))
      frames.append(game.frame())
      rows.append(game.ram().copy())
  rows = episodes.RowReader(rom).read(np.stack(frames), np.stack(rows))
  opened, wait = rows["menu_open"], rows["menu_wait"].astype(int)
  assert not opened[0] and opened[2:].any() and not opened[-1]
  assert not wait[~opened].any() and (wait[opened] > 0).all()
  left = wait[opened]
  assert 200 < left[0] <= 240
  # Frames in which the menu is drawn do not count.
  assert np.isin(-np.diff(left), range(20, 25)).all()
  assert left[-1] <= specs.STEP_FRAMES  # and then it is gone


def test_of_several_places_on_the_stack_the_highest_is_alive():
  (sha1,) = clocks.KNOWN
  rows = np.zeros((3, ram.RAM_BYTES), np.uint8)
  first = ram.column(ram.STACK)
  for at, number in ((4, 300), (50, 77)):
    rows[1:, first + at : first + at + 4] = [
      0x55,
      0x0C,
      number & 255,
      number >> 8,
    ]
  found = clocks.decode(rows, sha1, np.array([True, True, False]))
  assert found["menu_wait"].tolist() == [0, 77, 0]
  assert found["menu_wait"].dtype == np.uint16
