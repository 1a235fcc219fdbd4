"""Named start states: packed, named by a manifest, refused when changed."""

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import emulator
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.game import save_states
from data_tools.game import start_states
from data_tools.players import make_states

MOST_BYTES = 1 << 20  # of all states of a world together


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.setattr(start_states, "FOLDER", tmp_path)
  return tmp_path


def stamp_of(name, data, step=1):
  return save_states.Stamp(
    name=name,
    rom_sha1="ab",
    pyboy_version="2.8.1",
    state_sha1=save_states.sha1(data),
    made_by={"when": "start", "step": step},
  )


def test_a_short_name_finds_a_state_and_paths_stay_paths(folder, monkeypatch):
  one, two = b"one" * 1000, bytes(range(256)) * 10
  save_states.write(folder / "vale", stamp_of("late", two, step=9), two)
  save_states.write(folder / "vale", stamp_of("early", one), one)
  assert start_states.names("ab") == ["vale/early", "vale/late"]
  assert start_states.names("cd") == []
  assert emulator.read_save_state("vale/late") == two
  path = start_states.path_of("vale", "early")
  assert start_states.find("vale/early") == path
  assert emulator.read_save_state(path) == one
  with pytest.raises(ValueError, match="No such file"):
    emulator.read_save_state("vale/nothing")
  # A file of that name comes first.
  monkeypatch.chdir(folder)
  (folder / "here").mkdir()
  (folder / "here" / "late").write_bytes(b"three")
  assert emulator.read_save_state("here/late") == b"three"


def vale():
  if not cartridge.GREAT_VALE.is_file():
    pytest.skip("great_vale.gb is not built")
  return roms.resolve(str(cartridge.GREAT_VALE))


def test_the_vale_has_a_dozen_states_of_this_rom_and_emulator():
  rom = vale()
  stamps = start_states.stamps("great_vale")
  assert len(start_states.names(rom.sha1)) == len(stamps) >= 12
  folder = start_states.path_of("great_vale", "home").parent
  assert sum(f.stat().st_size for f in folder.iterdir()) < MOST_BYTES
  if stamps[0].pyboy_version != emulator.pyboy_version():
    pytest.skip(f"states are of PyBoy {stamps[0].pyboy_version}")
  facts = cartridge.facts(rom.sha1)
  with emulator.Emulator(rom) as game:
    for stamp in stamps:
      state = emulator.read_save_state(f"great_vale/{stamp.name}", rom)
      game.reset(0, state)
      when = stamp.made_by["when"]
      assert make_states.is_moment(facts, when, game.memory), stamp.name
      # The player has control: in some direction there is a way.
      before = [game.memory[a] for a in (ram.PLAYER_X, ram.PLAYER_Y)]
      moved = False
      for action in np.repeat(range(4), 2):
        game.step(int(action))
        after = [game.memory[a] for a in (ram.PLAYER_X, ram.PLAYER_Y)]
        moved |= after != before
      assert moved, stamp.name


def test_states_come_by_play_from_power_on():
  rom = vale()
  stamps = start_states.stamps("great_vale")
  if stamps[0].pyboy_version != emulator.pyboy_version():
    pytest.skip(f"states are of PyBoy {stamps[0].pyboy_version}")
  played = make_states.moments(
    rom, cartridge.facts(rom.sha1), stamps[0].made_by["seed"]
  )
  for expected in stamps[:2]:
    stamp, data, frame = next(played)
    assert stamp == expected
    assert data == emulator.read_save_state(f"great_vale/{stamp.name}")
    assert frame.shape == (144, 160)
  played.close()
