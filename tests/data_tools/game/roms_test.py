import hashlib
import os
import pathlib
import re

import pytest

from data_tools import cartridge
from data_tools.game import roms


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
  monkeypatch.delenv(roms.ROM_VARIABLE, raising=False)


def _patched(tmp_path, changes, name="patched.gb", mend=True):
  """A copy of the practice cartridge with bytes changed."""
  data = bytearray(cartridge.CHAPTER_ONE.read_bytes())
  for place, value in changes.items():
    data[place : place + len(value)] = value
  if mend:
    data[0x14D] = roms.header_checksum(data)
    data[0x14E:0x150] = roms.global_checksum(data)
  path = tmp_path / name
  path.write_bytes(data)
  return path


def test_without_a_word_the_practice_cartridge_is_played():
  rom = roms.resolve()
  assert rom.path == cartridge.CHAPTER_ONE
  assert rom.kind == "practice" and rom.has_ram_fields
  assert rom.sha1 == hashlib.sha1(rom.read()).hexdigest()
  assert set(rom.map_names) == set(cartridge.world(rom.sha1).maps)


def test_the_flag_comes_before_the_environment(tmp_path, monkeypatch):
  flag = _patched(tmp_path, {0x7FF0: b"flag"}, "flag.gb")
  environment = _patched(tmp_path, {0x7FF0: b"env"}, "env.gb")
  monkeypatch.setenv(roms.ROM_VARIABLE, str(environment))
  assert roms.resolve(flag).path == flag
  assert roms.resolve(None).path == environment
  assert roms.resolve("").path == environment


@pytest.mark.parametrize("name", sorted(roms.CARTRIDGES))
def test_a_cartridge_has_a_name_wherever_one_stands(
  name, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  rom = roms.resolve(name)
  assert rom.path.stem == name and rom.kind == roms.PRACTICE
  monkeypatch.setenv(roms.ROM_VARIABLE, name)
  assert roms.resolve() == rom


def test_a_file_called_like_a_cartridge_is_asked_for_as_a_path(
  tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  other = _patched(tmp_path, {0x7FF0: b"other"}, "great_vale")
  assert roms.resolve("great_vale").path == cartridge.GREAT_VALE
  for path in ("./great_vale", str(other), other, pathlib.Path("great_vale")):
    assert roms.resolve(path).kind == roms.UNKNOWN


def test_an_unknown_name_is_answered_with_the_names(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(
    ValueError, match=r"^ROM great_wale: neither .* chapter_one, great_vale$"
  ):
    roms.resolve("great_wale")
  _patched(tmp_path, {}, "mygame")  # a file without a suffix is a file
  assert roms.resolve("mygame").path.name == "mygame"
  (tmp_path / "folder").mkdir()
  with pytest.raises(ValueError, match="ROM folder: no regular file"):
    roms.resolve("folder")


def test_a_patched_copy_is_an_unknown_game_and_says_so(tmp_path):
  rom = roms.resolve(_patched(tmp_path, {0x7FF0: b"patched"}))
  assert rom.kind == "unknown" and not rom.has_ram_fields
  assert "frames only" in rom.describe() and rom.sha1 in rom.describe()
  assert rom.map_names == {}


def test_the_header_checksum_of_the_cartridge_is_the_computed_one():
  data = cartridge.CHAPTER_ONE.read_bytes()
  assert data[0x14D] == roms.header_checksum(data)


@pytest.mark.parametrize(
  ("changes", "mend", "reason"),
  [
    ({0x134: b"X"}, False, "header checksum 0x.., expected 0x"),
    ({0x7FF0: b"\x01"}, False, "titled LANTERNVALE but not .* damaged"),
    ({0x143: b"\xc0"}, True, "Game Boy Color only"),
    ({0x134: b"POKEMON RED\0\0\0\0\0"}, True, "titled POKEMON RED"),
  ],
)
def test_a_wrong_rom_is_refused_in_one_line(tmp_path, changes, mend, reason):
  path = _patched(tmp_path, changes, mend=mend)
  with pytest.raises(ValueError, match=reason) as error:
    roms.resolve(path)
  text = str(error.value)
  assert "\n" not in text and str(path) in text
  # What was found, and what was expected.
  assert f"found {hashlib.sha1(path.read_bytes()).hexdigest()}" in text
  assert re.search("expected ea9bcae617fdf159b045185467ae58b2e4a48b9a", text)


def test_no_flipped_bit_of_the_practice_cartridge_is_played(tmp_path):
  whole = cartridge.CHAPTER_ONE.read_bytes()
  for place in [*range(0x134, 0x150), 0x150, 0x1234, 0x7FFF]:
    data = bytearray(whole)
    data[place] ^= 1 << place % 8
    (tmp_path / "flipped.gb").write_bytes(data)
    with pytest.raises(ValueError, match=r"checksum .*damaged"):
      roms.resolve(tmp_path / "flipped.gb")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
    with pytest.raises(ValueError, match="no regular file; SHA-1 expected"):
      roms.resolve(path)


def test_files_that_are_no_rom_are_refused(tmp_path):
  with pytest.raises(
    ValueError, match=r"No such file.*expected ea9bcae6.*POKEDREAMER_ROM"
  ):
    roms.resolve(tmp_path / "absent.gb")
  text = tmp_path / "text.gb"
  text.write_text("not a game")
  with pytest.raises(ValueError, match="10 bytes is no whole Game Boy ROM"):
    roms.resolve(text)
  with pytest.raises(ValueError, match="/dev/zero: no regular file"):
    roms.resolve("/dev/zero")


def test_a_title_cannot_write_to_the_terminal(tmp_path):
  rom = roms.resolve(_patched(tmp_path, {0x134: b"\x1b[2JGAME\0\0\0\0\0\0\0"}))
  assert rom.name == "?[2JGAME"


def test_a_rom_that_changes_after_the_check_is_refused(tmp_path):
  rom = roms.resolve(_patched(tmp_path, {0x7FF0: b"one"}))
  rom.path.write_bytes(_patched(tmp_path, {0x7FF0: b"two"}).read_bytes())
  with pytest.raises(ValueError, match="SHA-1 found"):
    rom.read()
