"""Which ROM to play: where it is looked for, and what it is.

Search order: the argument, the environment variable `POKEDREAMER_ROM`, chapter
one of the practice cartridges. Both may name a practice cartridge in place of
a file: `great_vale`. A name is that cartridge wherever one stands; a file that
happens to be called so is `./great_vale`. Known games give frames, memory and
rewards; any other game for the four-shade Game Boy gives frames only.
"""

from collections.abc import Mapping
import dataclasses
import hashlib
import os
import pathlib

from data_tools import cartridge
from data_tools.game import ram_addresses
from data_tools.system import files

ROM_VARIABLE = "POKEDREAMER_ROM"

# Practice cartridges by name.
CARTRIDGES = {
  path.stem: path for path in (cartridge.CHAPTER_ONE, cartridge.GREAT_VALE)
}

PRACTICE, POKEMON_RED, UNKNOWN = "practice", "pokemon_red", "unknown"

# Red and Blue (USA, Europe) keep their state at the same addresses.
POKEMON_RED_SHA1S = {
  "ea9bcae617fdf159b045185467ae58b2e4a48b9a": "Pokemon Red (USA, Europe)",
  "d7037c83e1ae5b39bde3c30787637ba1d4c48ce2": "Pokemon Blue (USA, Europe)",
}
_POKEMON_TITLES = ("POKEMON RED", "POKEMON BLUE")

_PRACTICE_TITLES = ("LANTERNVALE", "GREATVALE")

_TITLE = slice(0x134, 0x143)
_CGB_FLAG, _CGB_ONLY = 0x143, 0xC0
_HEADER, _HEADER_CHECKSUM = slice(0x134, 0x14D), 0x14D
_GLOBAL_CHECKSUM = slice(0x14E, 0x150)  # of all other bytes
_CARTRIDGE, _WITH_CLOCK = 0x147, (0x0F, 0x10)  # MBC3 with a timer
_BANK_BYTES = 0x4000
_MOST_ROM_BYTES = 8 << 20  # the largest cartridge there is


@dataclasses.dataclass(frozen=True)
class Rom:
  """A checked ROM file."""

  path: pathlib.Path
  sha1: str
  kind: str  # PRACTICE, POKEMON_RED or UNKNOWN
  name: str
  has_clock: bool = False  # in the cartridge; it stands still here

  @property
  def has_ram_fields(self) -> bool:
    """Whether the game's memory can be read."""
    return self.kind != UNKNOWN

  @property
  def map_names(self) -> Mapping[int, str]:
    """Names of the maps by id; empty for an unknown game."""
    if self.kind == POKEMON_RED:
      return ram_addresses.MAP_NAMES
    return map_names(self.sha1)

  def describe(self) -> str:
    """One line for a person."""
    line = f"{self.name} ({self.path.name}, SHA-1 {self.sha1})"
    if not self.has_ram_fields:
      line += ": unknown game, frames only, no game state and no rewards"
    if self.has_clock:
      line += "; its clock stands still, as runs are to repeat"
    return line

  def read(self) -> bytes:
    """The file's bytes.

    Raises:
      ValueError: the file is not the one that was checked.
    """
    try:
      data = files.read(self.path, _MOST_ROM_BYTES)
    except OSError as error:
      raise ValueError(f"ROM {self.path}: {error.strerror}") from None
    found = hashlib.sha1(data).hexdigest()
    if found != self.sha1:
      raise ValueError(
        f"ROM {self.path} changed: SHA-1 found {found}, expected {self.sha1}"
      )
    return data


def map_names(sha1: str) -> Mapping[int, str]:
  """Names of the maps by id of the ROM with this SHA-1; empty if unknown."""
  if sha1.lower() in POKEMON_RED_SHA1S:
    return ram_addresses.MAP_NAMES
  world = cartridge.world(sha1)
  return {} if world is None else {m.id: m.name for m in world.maps.values()}


def resolve(path: str | os.PathLike | None = None) -> Rom:
  """Finds, checks and names the ROM to play.

  Args:
    path: a ROM file, or as text a name in `CARTRIDGES`; None or "" for the
      environment's or chapter one.

  Raises:
    ValueError: the file is missing, damaged, no Game Boy ROM, for the colour
      model only, or a Pokemon Red or Blue other than the known ones. The one
      line names the SHA-1 found and the ones expected; of what looks like a
      name it gives the names that there are.
  """
  chosen = _find(path or os.environ.get(ROM_VARIABLE) or cartridge.CHAPTER_ONE)
  try:
    data = files.read(chosen, _MOST_ROM_BYTES)
  except OSError as error:
    raise ValueError(
      f"ROM {chosen}: {error.strerror}; SHA-1 expected {_expected()}; give "
      f"--rom=FILE or --rom={'|'.join(CARTRIDGES)}, set {ROM_VARIABLE}, or "
      "neither for chapter one"
    ) from None
  sha1 = hashlib.sha1(data).hexdigest()
  _check_header(chosen, data, sha1)
  if cartridge.world(sha1) is not None:
    return Rom(chosen, sha1, PRACTICE, "practice cartridge")
  if sha1 in POKEMON_RED_SHA1S:
    return Rom(chosen, sha1, POKEMON_RED, POKEMON_RED_SHA1S[sha1])
  title = data[_TITLE].split(b"\0")[0].decode("ascii", "replace").strip()
  # It goes to terminals and logs: no control characters.
  title = "".join(c if c.isprintable() else "?" for c in title)
  if title in _POKEMON_TITLES:
    _refuse(chosen, f"titled {title} but not the known release", sha1)
  _check_whole(chosen, data, title, sha1)
  has_clock = data[_CARTRIDGE] in _WITH_CLOCK
  name = title or chosen.stem
  if title in _PRACTICE_TITLES:
    name += ", not this version's practice cartridge"
  return Rom(chosen, sha1, UNKNOWN, name, has_clock)


def _find(given: str | os.PathLike) -> pathlib.Path:
  """The file that was named.

  Raises:
    ValueError: one word, neither a cartridge's name nor anything on the disk.
  """
  if isinstance(given, str) and given in CARTRIDGES:
    return CARTRIDGES[given]
  path = pathlib.Path(given)
  # Neither a folder before it nor a suffix: rather a name than a file.
  if os.fspath(given) == path.stem and not os.path.lexists(path):
    raise ValueError(
      f"ROM {given}: neither a file nor a practice cartridge, expected a path "
      f"or one of {', '.join(CARTRIDGES)}"
    )
  return path


def header_checksum(data: bytes) -> int:
  """The checksum byte that belongs at 0x14D."""
  total = 0
  for byte in data[_HEADER]:
    total = (total - byte - 1) & 0xFF
  return total


def global_checksum(data: bytes) -> bytes:
  """The two bytes that belong at 0x14E."""
  total = sum(data) - sum(data[_GLOBAL_CHECKSUM])
  return (total & 0xFFFF).to_bytes(2, "big")


def _check_whole(
  path: pathlib.Path, data: bytes, title: str, sha1: str
) -> None:
  """Refuses an unknown game with a damaged byte anywhere."""
  expected = global_checksum(data)
  found = bytes(data[_GLOBAL_CHECKSUM])
  if found == expected:
    return
  reason = (
    f"checksum of the whole 0x{found.hex().upper()}, expected "
    f"0x{expected.hex().upper()}: damaged (or changed by somebody: then mend "
    "the checksum, as `rgbfix -f g` does)"
  )
  if title in _PRACTICE_TITLES:
    reason = f"titled {title} but not the practice cartridge; {reason}"
  _refuse(path, reason, sha1)


def _check_header(path: pathlib.Path, data: bytes, sha1: str) -> None:
  if len(data) < 2 * _BANK_BYTES or len(data) % _BANK_BYTES:
    _refuse(path, f"{len(data)} bytes is no whole Game Boy ROM", sha1)
  expected = header_checksum(data)
  if data[_HEADER_CHECKSUM] != expected:
    _refuse(
      path,
      f"header checksum 0x{data[_HEADER_CHECKSUM]:02X}, expected "
      f"0x{expected:02X}: damaged or no Game Boy ROM",
      sha1,
    )
  if data[_CGB_FLAG] == _CGB_ONLY:
    _refuse(path, "for the Game Boy Color only, four shades needed", sha1)


def _refuse(path: pathlib.Path, reason: str, sha1: str) -> None:
  raise ValueError(
    f"ROM {path}: {reason}; SHA-1 found {sha1}, expected {_expected()}"
  )


def _expected() -> str:
  known = " or ".join(
    f"{sha1} ({name})" for sha1, name in POKEMON_RED_SHA1S.items()
  )
  return (
    f"{known}, the practice cartridge's, or any intact four-shade game "
    "(frames only)"
  )
