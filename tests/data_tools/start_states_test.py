"""Named start states: packed, named by a manifest, refused when changed."""

import hashlib

import numpy as np
import pytest

from data_tools import cartridge
from data_tools import emulator
from data_tools import ram_addresses as ram
from data_tools import roms
from data_tools import start_states
from data_tools.cartridge import make_states

MOST_BYTES = 1 << 20  # of all states of a world together


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.setattr(start_states, "FOLDER", tmp_path)
  return tmp_path


def manifest_of(datas):
  return start_states.Manifest(
    world="vale",
    rom_sha1="ab",
    pyboy="2.8.1",
    seed=0,
    states=tuple(
      start_states.StartState(
        f"moment_{i}", "start", i, hashlib.sha1(data).hexdigest()
      )
      for i, data in enumerate(datas)
    ),
  )


def test_states_come_back_as_they_were_written(folder):
  datas = [b"one" * 1000, bytes(range(256)) * 10]
  manifest = manifest_of(datas)
  written = start_states.write(manifest, datas)
  assert written == sum(f.stat().st_size for f in folder.glob("vale/*"))
  assert start_states.manifests() == [manifest]
  assert start_states.names("ab") == ["moment_0", "moment_1"]
  assert start_states.names("cd") == []
  assert start_states.read("ab", "moment_1") == datas[1]
  assert emulator.read_save_state("vale/moment_0") == datas[0]
  path = start_states.path_of("vale", "moment_0")
  assert emulator.read_save_state(path) == datas[0]
  with pytest.raises(ValueError, match="moment_0"):
    start_states.read("ab", "nothing")


def test_a_changed_or_damaged_state_is_refused(folder):
  start_states.write(manifest_of([b"one"]), [b"one"])
  path = start_states.path_of("vale", "moment_0")
  good = path.read_bytes()
  path.write_bytes(good[:-5])
  with pytest.raises(ValueError, match="start state"):
    start_states.read("ab", "moment_0")
  path.write_bytes(b"no archive at all")
  with pytest.raises(ValueError, match="damaged"):
    start_states.read("ab", "moment_0")
  start_states.write(manifest_of([b"one"]), [b"two"])
  with pytest.raises(ValueError, match="not the one"):
    start_states.read("ab", "moment_0")


def vale():
  if not cartridge.GREAT_VALE.is_file():
    pytest.skip("great_vale.gb is not built")
  return roms.resolve(str(cartridge.GREAT_VALE))


def test_the_vale_has_a_dozen_states_of_this_rom_and_emulator():
  rom = vale()
  (manifest,) = [m for m in start_states.manifests() if m.world == "great_vale"]
  assert manifest.rom_sha1 == rom.sha1
  assert len(manifest.states) >= 12
  folder = start_states.path_of("great_vale", "home").parent
  assert sum(f.stat().st_size for f in folder.iterdir()) < MOST_BYTES
  if manifest.pyboy != emulator.pyboy_version():
    pytest.skip(f"states are of PyBoy {manifest.pyboy}")
  facts = cartridge.facts(rom.sha1)
  with emulator.Emulator(rom) as game:
    for state in manifest.states:
      game.reset(0, start_states.read(rom.sha1, state.name))
      assert make_states.is_moment(facts, state.when, game.memory), state.name
      # The player has control: in some direction there is a way.
      before = [game.memory[a] for a in (ram.PLAYER_X, ram.PLAYER_Y)]
      moved = False
      for action in np.repeat(range(4), 2):
        game.step(int(action))
        after = [game.memory[a] for a in (ram.PLAYER_X, ram.PLAYER_Y)]
        moved |= after != before
      assert moved, state.name


def test_states_come_by_play_from_power_on():
  rom = vale()
  (manifest,) = [m for m in start_states.manifests() if m.world == "great_vale"]
  if manifest.pyboy != emulator.pyboy_version():
    pytest.skip(f"states are of PyBoy {manifest.pyboy}")
  played = make_states.moments(rom, cartridge.facts(rom.sha1), manifest.seed)
  for expected in manifest.states[:2]:
    state, data, frame = next(played)
    assert state == expected
    assert data == start_states.read(rom.sha1, state.name)
    assert frame.shape == (144, 160)
  played.close()
