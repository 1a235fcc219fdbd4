"""Builds a practice cartridge from its tables and the engine.

  python -m data_tools.cartridge.build

writes `chapter_one.gb` and `chapter_one.json` beside this file. Needs SDCC
(Debian package `sdcc`); the committed ROM was built with version 4.2.0, and
only that version gives the same bytes.
"""

import argparse
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from data_tools.cartridge import full_facts
from data_tools.cartridge import full_generator
from data_tools.cartridge import generator
from data_tools.cartridge import rom_banks
from data_tools.cartridge import tables as source

FOLDER = pathlib.Path(__file__).parent
ENGINE = FOLDER / "engine"
WORLD = "chapter_one"
SDCC_VERSION = "4.2.0"
TOOLS = ("sdcc", "sdasgb", "makebin")

CODE_START = 0x200
ROM_BYTES = 0x8000
LOGO = slice(0x104, 0x134)
GLOBAL_CHECKSUM = slice(0x14E, 0x150)
# Variables of the engine; all around lies state at fixed addresses.
DATA_START = 0xC600
DATA_END = 0xCC00
MODULES = ("main", "video", "text", "party", "field", "battle", "world_data")
# A full world has its own of most of them, and tables in further banks.
FULL_MODULES = (
  "main",
  "video",
  "text_full",
  "party_full",
  "map_full",
  "view_full",
  "field_full",
  "people_full",
  "battle_full",
  "world_data",
)
MBC1 = 1
END_LINE = "_vblank_end_line"  # screen line at the end of the last blank


def sdcc_version() -> str | None:
  """Version of the installed SDCC, or None where a tool is missing."""
  if any(shutil.which(tool) is None for tool in TOOLS):
    return None
  text = subprocess.run(
    ["sdcc", "--version"], capture_output=True, text=True, check=True
  ).stdout
  found = re.search(r"\b(\d+\.\d+\.\d+)\b", text)
  return found.group(1) if found else None


def _run(command: list[str], folder: pathlib.Path) -> None:
  done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
  output = (done.stdout + done.stderr).strip()
  if done.returncode or output:
    raise ValueError(f"{' '.join(command)}:\n{output}")


def areas(map_text: str) -> dict[str, tuple[int, int]]:
  """Area name -> (address, bytes) from the linker's map."""
  found = re.findall(
    r"^(_\w+) +([0-9A-F]{8}) +([0-9A-F]{8}) =", map_text, re.MULTILINE
  )
  return {name: (int(at, 16), int(size, 16)) for name, at, size in found}


def check_areas(found: dict[str, tuple[int, int]]) -> None:
  """Asserts what the linker does not check: banks and fixed addresses.

  Raises:
    ValueError: code runs past the ROM or variables into fixed addresses.
  """
  for name in ("_CODE", "_INITIALIZER", "_HOME"):
    at, size = found.get(name, (0, 0))
    if size and at + size > ROM_BYTES:
      raise ValueError(f"{name} ends at {at + size:#x}, ROM at {ROM_BYTES:#x}")
  for name in ("_DATA", "_INITIALIZED", "_BSS", "_HEAP"):
    at, size = found.get(name, (0, 0))
    if size and not DATA_START <= at <= at + size <= DATA_END:
      raise ValueError(
        f"{name} at {at:#x}..{at + size:#x}, "
        f"allowed {DATA_START:#x}..{DATA_END:#x}"
      )


def without_logo(rom: bytes) -> bytes:
  """Blanks the place of the maker's logo and mends the global checksum."""
  data = bytearray(rom)
  data[LOGO] = bytes(LOGO.stop - LOGO.start)
  data[GLOBAL_CHECKSUM] = bytes(2)
  data[GLOBAL_CHECKSUM] = (sum(data) & 0xFFFF).to_bytes(2, "big")
  return bytes(data)


def is_full(name: str) -> bool:
  """Whether world `name` needs the full engine.

  Raises:
    FileNotFoundError: there is no such world.
  """
  return source.read(generator.WORLDS / name).table.get("engine") == "full"


def _compile(
  folder: pathlib.Path, modules: tuple[str, ...], assembled: tuple[str, ...]
) -> dict[str, tuple[int, int]]:
  """Compiles and links the engine with `world_data`; returns the areas."""
  for path in ENGINE.iterdir():
    shutil.copy(path, folder / path.name)
  for module in assembled:
    flags = f"-plosgff -o {module}.rel {module}.s"
    _run(["sdasgb", *flags.split()], folder)
  for module in modules:
    flags = "-msm83 --std-sdcc11 --opt-code-speed -c -o"
    _run(["sdcc", *flags.split(), f"{module}.rel", f"{module}.c"], folder)
  flags = f"-msm83 --no-std-crt0 --code-loc {CODE_START:#x}"
  flags += f" --data-loc {DATA_START:#x} -o rom.ihx"
  objects = [f"{module}.rel" for module in (*assembled, *modules)]
  _run(["sdcc", *flags.split(), *objects], folder)
  found = areas((folder / "rom.map").read_text())
  check_areas(found)
  return found


def compile_rom(name: str, folder: pathlib.Path) -> tuple[bytes, dict]:
  """Compiles world `name` in `folder`.

  Returns:
    The ROM, and the linker's areas.

  Raises:
    ValueError: a tool fails or warns, or something does not fit.
  """
  if is_full(name):
    return _compile_full(name, folder)
  world = generator.load_world(name)
  (folder / "world_data.c").write_text(generator.c_source(world))
  (folder / "world_data.h").write_text(generator.c_header(world))
  found = _compile(folder, MODULES, ("crt0",))
  title = world.table["rom_title"]
  flags = f"-Z -yo 2 -yt 0 -yN -yn {title}"  # 32 KB, no mapper
  _run(["makebin", *flags.split(), "rom.ihx", "rom.gb"], folder)
  rom = without_logo((folder / "rom.gb").read_bytes())
  if len(rom) != ROM_BYTES:
    raise ValueError(f"ROM: {len(rom)} bytes, expected {ROM_BYTES}")
  return rom, found


def _compile_full(name: str, folder: pathlib.Path) -> tuple[bytes, dict]:
  """Banks 0 and 1 from the engine, the others from the tables."""
  tables = source.read(generator.WORLDS / name)
  world = rom_banks.World(tables)
  (folder / "world_data.c").write_text(full_generator.c_source(world))
  (folder / "world_data.h").write_text(full_generator.c_header(world))
  found = _compile(folder, FULL_MODULES, ("crt0", "banks"))
  map_text = (folder / "rom.map").read_text()
  check_bank_code(map_text)
  found[END_LINE] = (symbol(map_text, END_LINE), 1)
  title, banks = tables.table["rom_title"], tables.table["banks"]
  flags = f"-Z -yo {banks} -yt {MBC1} -yN -yn {title}"
  _run(["makebin", *flags.split(), "rom.ihx", "rom.gb"], folder)
  rom = (folder / "rom.gb").read_bytes()
  rom = without_logo(rom[:ROM_BYTES] + world.banks.image())
  if len(rom) != banks * rom_banks.BANK_BYTES:
    raise ValueError(f"ROM: {len(rom)} bytes, expected {banks} banks")
  return rom, found


def symbol(map_text: str, name: str) -> int:
  """Address of a global symbol in the linker's map.

  Raises:
    ValueError: the map does not name it.
  """
  match = re.search(rf"^ +([0-9A-F]{{8}}) +{name}\b", map_text, re.MULTILINE)
  if match is None:
    raise ValueError(f"symbol {name}: not in the linker's map")
  return int(match.group(1), 16)


def check_bank_code(map_text: str) -> None:
  """Asserts that what switches banks lies in bank 0.

  Raises:
    ValueError: it was linked elsewhere.
  """
  at = symbol(map_text, "_far_move")
  if not at < rom_banks.WINDOW - 0x40:
    raise ValueError(f"_far_move at {at:#x}: not in bank 0")


def world_facts(name: str) -> dict:
  """What players and readers of memory know about world `name`."""
  if not is_full(name):
    return generator.facts(generator.load_world(name))
  tables = source.read(generator.WORLDS / name)
  facts = full_facts.facts(tables)
  return facts | {"texts": full_generator.texts(tables)}


def build(name: str, folder: pathlib.Path) -> None:
  """Writes `<name>.gb` and `<name>.json` into `folder`."""
  with tempfile.TemporaryDirectory() as work:
    rom, found = compile_rom(name, pathlib.Path(work))
  (folder / f"{name}.gb").write_bytes(rom)
  facts = {"rom_sha1": hashlib.sha1(rom).hexdigest(), **world_facts(name)}
  if END_LINE in found:
    facts["vblank_end_line"] = found[END_LINE][0]
  text = json.dumps(facts, indent=1) + "\n"
  (folder / f"{name}.json").write_text(text)
  code_at, code_size = found["_CODE"]
  print(
    f"{name}.gb: SHA-1 {facts['rom_sha1']}, code and tables "
    f"{code_size} of {ROM_BYTES - code_at} bytes, variables "
    f"{found['_DATA'][1]} of {DATA_END - DATA_START}"
  )


def main() -> int:
  """Command line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--world", default=WORLD, help="folder under worlds/")
  arguments = parser.parse_args()
  version = sdcc_version()
  if version is None:
    print(f"build: needs {', '.join(TOOLS)} (Debian package sdcc)")
    return 2
  if version != SDCC_VERSION:
    print(f"build: sdcc {version}; other bytes than with {SDCC_VERSION}")
  try:
    build(arguments.world, FOLDER)
  except (ValueError, FileNotFoundError) as error:
    print(f"build: {error}")
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main())
