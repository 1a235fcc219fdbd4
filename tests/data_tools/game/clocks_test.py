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
  for name, values in clocks.decode(rows, "0" * 40).items():
    assert name in specs.CLOCK_FIELDS
    assert not values.any()
