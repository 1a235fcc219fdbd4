"""Named start states of the practice cartridges, made by their demonstrators.

They lie compressed in `cartridge/states/<world>/`, beside a manifest that
names the ROM and the emulator that they belong to; see
`cartridge/make_states.py`.
"""

from collections.abc import Sequence
import dataclasses
import hashlib
import json
import lzma
import pathlib

FOLDER = pathlib.Path(__file__).parent / "cartridge" / "states"
MANIFEST = "manifest.json"
SUFFIX = ".state.xz"
_MOST_BYTES = 4 << 20  # of one state, unpacked


@dataclasses.dataclass(frozen=True)
class StartState:
  """One named moment of a game."""

  name: str
  when: str  # as in the world's tables: "badge:1", "map:route_1", ...
  step: int  # agent steps after power-on
  sha1: str  # of the state, unpacked


@dataclasses.dataclass(frozen=True)
class Manifest:
  """What the states of one world belong to."""

  world: str
  rom_sha1: str
  pyboy: str  # version
  seed: int
  states: tuple[StartState, ...]


def manifests() -> list[Manifest]:
  """Those of all worlds that have states."""
  return [
    _manifest(json.loads(path.read_text()))
    for path in sorted(FOLDER.glob(f"*/{MANIFEST}"))
  ]


def names(rom_sha1: str) -> list[str]:
  """Names of the start states of a ROM; none for an unknown one."""
  return [
    state.name
    for manifest in manifests()
    if manifest.rom_sha1 == rom_sha1
    for state in manifest.states
  ]


def path_of(world: str, name: str) -> pathlib.Path:
  """Where a state lies."""
  return FOLDER / world / f"{name}{SUFFIX}"


def read(rom_sha1: str, name: str) -> bytes:
  """The state called `name`, for `Emulator.reset`.

  Raises:
    ValueError: the ROM has none of this name, or the file was changed.
  """
  for manifest in manifests():
    for state in manifest.states:
      if (manifest.rom_sha1, state.name) == (rom_sha1, name):
        data = unpack(path_of(manifest.world, name).read_bytes())
        if hashlib.sha1(data).hexdigest() != state.sha1:
          raise ValueError(f"start state {name}: not the one of the manifest")
        return data
  raise ValueError(f"start state {name!r}: ROM has {names(rom_sha1)}")


def unpack(data: bytes) -> bytes:
  """The bytes of a compressed state.

  Raises:
    ValueError: they are damaged or unpack to too much.
  """
  unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ)
  try:
    unpacked = unpacker.decompress(data, _MOST_BYTES)
  except lzma.LZMAError as error:
    raise ValueError(f"start state: damaged ({error})") from None
  if not unpacker.eof:
    raise ValueError(f"start state: incomplete, or over {_MOST_BYTES} bytes")
  return unpacked


def write(manifest: Manifest, states: Sequence[bytes]) -> int:
  """Writes the states of a world and their manifest; returns the bytes."""
  folder = FOLDER / manifest.world
  folder.mkdir(parents=True, exist_ok=True)
  for old in folder.glob(f"*{SUFFIX}"):
    old.unlink()
  total = 0
  for state, data in zip(manifest.states, states, strict=True):
    packed = lzma.compress(data, lzma.FORMAT_XZ, preset=9)
    path_of(manifest.world, state.name).write_bytes(packed)
    total += len(packed)
  text = json.dumps(dataclasses.asdict(manifest), indent=1) + "\n"
  (folder / MANIFEST).write_text(text)
  return total + len(text)


def _manifest(read_json: dict) -> Manifest:
  states = tuple(StartState(**state) for state in read_json["states"])
  return Manifest(**(read_json | {"states": states}))
