"""Named start states of the practice cartridges, made by their demonstrators.

They lie in `cartridge/states/<world>/`, each with its stamp (`save_states`);
`<world>/<name>` names one wherever a save state is asked for. See
`players/make_states.py`.
"""

import os
import pathlib

from data_tools import cartridge
from data_tools.game import save_states

FOLDER = cartridge.STATES


def path_of(world: str, name: str) -> pathlib.Path:
  """Where a state lies, or would lie."""
  return save_states.state_path(FOLDER / world, name)


def find(path: str | os.PathLike) -> pathlib.Path:
  """The file that `<world>/<name>` stands for; any other path as it is."""
  given = pathlib.Path(path)
  named = FOLDER / f"{given}{save_states.STATE_SUFFIX}"
  if len(given.parts) == 2 and not given.exists() and named.is_file():
    return named
  return given


def check_world(path: str | os.PathLike, rom_sha1: str) -> None:
  """Compares the world of a named state with that of a ROM.

  Raises:
    ValueError: they differ; the line says which ROM is expected.
  """
  named = find(path)
  world = named.parent.name if named.parent.parent == FOLDER else ""
  here = cartridge.world(rom_sha1)
  if world and (here is None or here.name != world):
    this = f"the cartridge {here.name}" if here else f"ROM {rom_sha1[:12]}"
    raise ValueError(
      f"start state {path}: of the cartridge {world}, this is {this}; expected "
      f"--rom={world}, or no start states of it"
    )


def stamps(world: str) -> list[save_states.Stamp]:
  """What the states of a world belong to, in the order they came in play."""
  found = [
    save_states.read_stamp(path)
    for path in (FOLDER / world).glob(f"*{save_states.STATE_SUFFIX}")
  ]
  return sorted(
    (stamp for stamp in found if stamp is not None),
    key=lambda stamp: int(stamp.made_by["step"]),
  )


def names(rom_sha1: str) -> list[str]:
  """`<world>/<name>` of the start states of a ROM; none for an unknown one."""
  return [
    f"{folder.name}/{stamp.name}"
    for folder in sorted(FOLDER.glob("*"))
    for stamp in stamps(folder.name)
    if stamp.rom_sha1 == rom_sha1
  ]
