"""All goals that a practice cartridge knows, from its facts."""

from typing import Any

from data_tools import cartridge
from data_tools.game import roms
from pokedreamer_jax import goal_specs

Goal = goal_specs.Goal

# Chapter one's facts tell neither the first creature's level nor the keeper's:
# 5, and beaten from 7 on; few episodes pass 10.
_CHAPTER_ONE_LEVELS = (5, 10)
_PLAIN = (
  *("win", "win_wild", "win_trainer", "win_leader", "catch", "heal"),
  *("heal_party", "item", "story", "talk", "explore"),
)


def catalogue(rom: roms.Rom, tiles: bool = False) -> list[Goal]:
  """The goals of a practice cartridge, each once, in a fixed order.

  Args:
    rom: the cartridge.
    tiles: whether every tile that one can stand on is a goal too.

  Raises:
    ValueError: the ROM is not one of the practice cartridges.
  """
  world, facts = cartridge.world(rom.sha1), cartridge.facts(rom.sha1)
  if world is None or facts is None:
    raise ValueError(
      f"ROM {rom.path}: no table of its goals, expected one of "
      f"{', '.join(roms.CARTRIDGES)}"
    )
  goals = [Goal("map", map_id=map_id) for map_id in sorted(world.maps)]
  goals += [Goal("badge"), *(Goal("badge", number=b) for b in _badges(facts))]
  goals += [Goal(kind) for kind in _PLAIN]
  # The first species is there from the start.
  goals += [Goal("own", number=n) for n in range(2, len(world.species) + 1)]
  low, high = _levels(facts)
  goals += [Goal("level", number=n) for n in range(low + 1, high + 1)]
  if tiles:
    for place in facts["maps"]:
      goals += _tiles(place)
  return goals


def _badges(facts: dict[str, Any]) -> list[int]:
  """Numbers of the badges that there are."""
  if "trainers" in facts:
    found = {trainer["badge"] for trainer in facts["trainers"]} - {None}
    return sorted(found)
  leaders = [
    person
    for place in facts["maps"]
    for person in place["people"]
    if person["role"] == "leader"
  ]
  return list(range(len(leaders)))


def _levels(facts: dict[str, Any]) -> tuple[int, int]:
  """The level one begins with, and the highest of any opponent and one more."""
  if "trainers" not in facts:
    return _CHAPTER_ONE_LEVELS
  teams = [member for t in facts["trainers"] for member in t["team"]]
  return facts["start"]["level"], max(level for _, level in teams) + 1


def _tiles(place: dict[str, Any]) -> list[Goal]:
  """Tiles to stand on: warps lead on, and some people go away."""
  free = {
    (y, x)
    for y, row in enumerate(place["walkable"])
    for x, cell in enumerate(row)
    if cell == "1"
  }
  free -= {(warp["y"], warp["x"]) for warp in place["warps"]}
  free |= {
    (person["y"], person["x"])
    for person in place["people"]
    if person["role"] == "item" or "until" in person
  }
  return [Goal("tile", place["id"], y, x) for y, x in sorted(free)]
