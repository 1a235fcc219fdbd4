"""The practice cartridge: a small original game, its ROM and its facts.

The ROMs are built by `data_tools.cartridge.build`; reading them needs nothing
of that. `world` gives the facts of a ROM by its SHA-1.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from pokedreamer_jax import json_files

CHAPTER_ONE = pathlib.Path(__file__).parent / "chapter_one.gb"
GREAT_VALE = CHAPTER_ONE.with_name("great_vale.gb")
STATES = CHAPTER_ONE.with_name("states")  # start states, by world


@dataclasses.dataclass(frozen=True)
class Warp:
  """Stepping onto (x, y) leads to (to_x, to_y) of map `to`."""

  x: int
  y: int
  to: int
  to_x: int
  to_y: int


@dataclasses.dataclass(frozen=True)
class Person:
  """Somebody, or a sign, who stands at (x, y) and can be talked to."""

  name: str
  role: str  # "talk", "healer" or "leader"
  x: int
  y: int


@dataclasses.dataclass(frozen=True)
class Map:
  """One map; coordinates are cells of 16 pixels, x to the right, y down."""

  id: int
  name: str
  width: int
  height: int
  walkable: np.ndarray  # [height, width] bool; False where a person stands
  grass: np.ndarray  # [height, width] bool: wild creatures
  warps: tuple[Warp, ...]
  people: tuple[Person, ...]


@dataclasses.dataclass(frozen=True)
class World:
  """Facts of one cartridge."""

  name: str
  rom_sha1: str
  maps: dict[int, Map]
  species: dict[int, str]  # number as in memory, from 1
  base_damage: int  # a hit: this + attack - defense + (0, 1 or 2)

  def map_name(self, map_id: int) -> str:
    """Name of a map, or `map <id>` for an unknown one."""
    known = self.maps.get(map_id)
    return known.name if known else f"map {map_id}"

  def species_name(self, number: int) -> str:
    """Name of a species, or `species <number>` for an unknown one."""
    return self.species.get(number, f"species {number}")


def _grid(rows: list[str]) -> np.ndarray:
  return np.array([[cell == "1" for cell in row] for row in rows])


def _world(facts: dict) -> World:
  maps = {}
  for entry in facts["maps"]:
    maps[entry["id"]] = Map(
      id=entry["id"],
      name=entry["name"],
      width=entry["width"],
      height=entry["height"],
      walkable=_grid(entry["walkable"]),
      grass=_grid(entry["grass"]),
      warps=tuple(Warp(**warp) for warp in entry["warps"]),
      people=tuple(
        Person(p["name"], p["role"], p["x"], p["y"]) for p in entry["people"]
      ),
    )
  return World(
    name=facts["name"],
    rom_sha1=facts["rom_sha1"],
    maps=maps,
    species=dict(enumerate(facts["species"], 1)),
    base_damage=facts["base_damage"],
  )


@functools.cache
def _all_facts() -> dict[str, dict[str, Any]]:
  found = {}
  for path in sorted(CHAPTER_ONE.parent.glob("*.json")):
    read = json_files.read_object(path)
    found[read["rom_sha1"]] = read
  return found


@functools.cache
def _worlds() -> dict[str, World]:
  return {sha1: _world(read) for sha1, read in _all_facts().items()}


def world(rom_sha1: str) -> World | None:
  """Facts of the cartridge with this SHA-1 (hex), or None for another ROM."""
  return _worlds().get(rom_sha1.lower())


def facts(rom_sha1: str) -> dict[str, Any] | None:
  """The same as they stand in the JSON file, with all that is in it."""
  return _all_facts().get(rom_sha1.lower())
