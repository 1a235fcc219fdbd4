"""Clocks of what moves by itself, against the pictures that it is seen in."""

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import clocks
from data_tools.game import emulator
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import episodes
from pokedreamer_jax import specs
from pokedreamer_jax.frames import packing
from pokedreamer_jax.world_model import atlas


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


def _played(state, length):
  """Rows of a game of the great vale that somebody plays, with mistakes."""
  rom = roms.resolve(str(cartridge.GREAT_VALE))
  policy = policies.make_policy("demonstrator:eps=0.3", rom)
  with emulator.Emulator(rom) as game:
    game.reset(0, emulator.read_save_state(f"great_vale/{state}", rom))
    parts = list(episodes.play(game, policy, 3, length))
  return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}


def test_who_arrives_stands_on_the_next_cell_and_memory_says_the_last():
  rows = _played("lower_cave", 800)
  arrives = rows["arriving"]
  at = np.flatnonzero(arrives[:-1] & (rows["in_battle"][1:] == 0))
  at = at[rows["map_id"][at] == rows["map_id"][at + 1]]
  assert len(at) > 20
  assert not rows["has_control"][arrives].any()
  assert not rows["walk_counter"][arrives].any()
  assert not rows["scroll_y"][arrives].any()
  place = np.stack([rows["y"], rows["x"]], 1).astype(int)
  step = np.array([atlas.STEPS[name] for name in specs.FACINGS])
  on = place[at] + step[rows["facing"][at]]
  # It is told a frame later, and a row is longer; then another may begin.
  np.testing.assert_array_equal(place[at + 1], on)
  # Where somebody stood there, the picture is that one, a pixel before.
  free = rows["has_control"] & (rows["in_battle"] == 0)
  free &= ~rows["dialog_open"] & ~rows["menu_open"]
  seen = np.asarray(packing.unpack(rows["frame"])).astype(int)
  inside = (slice(20, 124), slice(20, 140))
  alike = []
  for t, cell in zip(at, on, strict=True):
    there = free & (rows["map_id"] == rows["map_id"][t])
    there &= (place == cell).all(1)
    back = step[rows["facing"][t]]
    for stood in seen[there]:
      shares = [
        (np.roll(stood, by * back, (0, 1))[inside] == seen[t][inside]).mean()
        for by in range(-16, 17)
      ]
      alike.append((int(np.argmax(shares)) - 16, max(shares)))
  assert len(alike) > 20
  by, shares = map(np.array, zip(*alike, strict=True))
  assert (by == 1).all()
  assert shares.mean() > 0.97


def test_where_steps_are_told_at_once_nobody_arrives():
  rows = _played("brookmere", 150)
  assert (np.diff(rows["x"].astype(int)) != 0).any()
  assert not rows["arriving"].any()


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
