import json
import lzma

import pytest

from data_tools import cartridge
from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from data_tools.game import save_states

_STATE = bytes(range(256)) * 40


def _stamp(**changes):
  values = {
    "name": "gate",
    "rom_sha1": "ab" * 20,
    "pyboy_version": "1.2",
    "state_sha1": save_states.sha1(_STATE),
    "made_by": {"script": "press a"},
  }
  return save_states.Stamp(**(values | changes))


@pytest.fixture
def path(tmp_path):
  return save_states.write(tmp_path / "states", _stamp(), _STATE)


def test_a_state_comes_back_with_its_stamp(path):
  assert path.name == "gate.state.xz" and path.stat().st_size < len(_STATE) / 5
  assert save_states.read(path) == _STATE
  assert save_states.read(path, "ab" * 20, "1.2") == _STATE
  assert save_states.read_stamp(path) == _stamp()
  names = {p.name for p in path.parent.iterdir()}
  assert names == {"gate.state.xz", "gate.state.json"}


@pytest.mark.parametrize(
  "rom_sha1, version, words",
  [
    ("cd" * 20, "1.2", f"ROM SHA-1 {'cd' * 20}, its stamp says {'ab' * 20}"),
    ("ab" * 20, "1.3", "PyBoy version 1.3, its stamp says 1.2"),
  ],
)
def test_a_foreign_state_is_refused(path, rom_sha1, version, words):
  with pytest.raises(ValueError, match=words) as caught:
    save_states.read(path, rom_sha1, version)
  assert len(str(caught.value).splitlines()) == 1


def test_the_emulator_asks_with_its_own_rom_and_version(path):
  rom = roms.resolve(cartridge.CHAPTER_ONE)
  assert emulator_lib.read_save_state(path) == _STATE
  with pytest.raises(ValueError, match=f"ROM SHA-1 {rom.sha1}"):
    emulator_lib.read_save_state(path, rom)
  save_states.write(path.parent, _stamp(rom_sha1=rom.sha1), _STATE)
  with pytest.raises(ValueError, match="PyBoy version"):
    emulator_lib.read_save_state(path, rom)


def test_a_changed_state_is_refused(path):
  other = bytearray(_STATE)
  other[5] ^= 1
  path.write_bytes(lzma.compress(other))
  with pytest.raises(ValueError, match="state SHA-1"):
    save_states.read(path)
  with pytest.raises(ValueError, match="another state"):
    save_states.write(path.parent, _stamp(), bytes(other))


def test_damaged_files_are_named(path):
  good = path.read_bytes()
  for bad, words in (
    (good[:-5], "incomplete"),
    (good[:30] + b"????" + good[34:], "damaged"),
    (lzma.compress(bytes(5 << 20)), "over 4 MiB"),
  ):
    path.write_bytes(bad)
    with pytest.raises(ValueError, match=rf"gate\.state\.xz: .*{words}"):
      save_states.read(path)
  path.write_bytes(good)
  stamp = path.with_name("gate.state.json")
  text = stamp.read_text()
  for bad in (
    text[:40],
    "[]",
    json.dumps(json.loads(text) | {"format": 9}),
    json.dumps(json.loads(text) | {"unknown": 1}),
  ):
    stamp.write_text(bad)
    with pytest.raises(ValueError, match=r"gate\.state\.json: damaged"):
      save_states.read(path)


def test_a_compressed_state_needs_its_stamp_where_a_rom_is_known(path):
  path.with_name("gate.state.json").unlink()
  assert save_states.read(path) == _STATE
  with pytest.raises(ValueError, match=r"gate\.state\.json is missing"):
    save_states.read(path, "ab" * 20, "1.2")


def test_a_state_as_the_emulator_writes_it_needs_none(tmp_path):
  raw = tmp_path / "raw.state"
  raw.write_bytes(_STATE)
  assert save_states.read(raw, "ab" * 20, "1.2") == _STATE


def test_names_stay_in_their_folder(tmp_path):
  for name in ("", "../up", "a/b", ".hidden", "x" * 65, "a b"):
    with pytest.raises(ValueError, match="state name"):
      save_states.write(tmp_path, _stamp(name=name), _STATE)
  assert list(tmp_path.iterdir()) == []
