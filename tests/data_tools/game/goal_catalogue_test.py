"""The goals of the practice cartridges."""

from collections import Counter

import pytest

from data_tools import cartridge
from data_tools.game import goal_catalogue
from data_tools.game import goals
from data_tools.game import roms
from pokedreamer_jax import goal_specs
from tests.data_tools import goal_rows


@pytest.mark.parametrize("world", roms.CARTRIDGES)
def test_every_kind_is_there_and_every_goal_once(world):
  found = goal_catalogue.catalogue(roms.resolve(world), tiles=True)
  assert len(set(found)) == len(found)
  assert {goal.kind for goal in found} == set(goal_specs.PREDICATES)
  plain = goal_catalogue.catalogue(roms.resolve(world))
  assert found[: len(plain)] == plain
  assert "tile" not in {goal.kind for goal in plain}


def test_the_counts_are_those_of_the_worlds():
  for world, maps, badges, owned, levels in (
    ("chapter_one", 6, 1 + 1, 5, range(6, 11)),
    ("great_vale", 29, 1 + 3, 19, range(6, 21)),
  ):
    found = goal_catalogue.catalogue(roms.resolve(world))
    count = Counter(goal.kind for goal in found)
    assert (count["map"], count["badge"], count["own"]) == (maps, badges, owned)
    assert [g.number for g in found if g.kind == "level"] == list(levels)


@pytest.mark.parametrize("world", goal_rows.WORLDS)
def test_where_one_walks_there_are_tiles_and_maps(world):
  rows = goal_rows.played(world)
  known = set(goal_catalogue.catalogue(roms.resolve(world), tiles=True))
  walks = rows["has_control"] & rows["game_running"]
  places = {
    tuple(int(rows[name][t]) for name in ("map_id", "y", "x"))
    for t in walks.nonzero()[0]
  }
  tiles = {(g.map_id, g.y, g.x) for g in known if g.kind == "tile"}
  assert len(places) > 50 and places <= tiles
  reached = [goal for goal in known if goals.reached(rows, goal).any()]
  assert {goal.kind for goal in reached} == set(goal_specs.PREDICATES)


@pytest.mark.parametrize("world", roms.CARTRIDGES)
def test_warps_are_no_tiles(world):
  rom = roms.resolve(world)
  tiles = {g for g in goal_catalogue.catalogue(rom, True) if g.kind == "tile"}
  facts = cartridge.world(rom.sha1)
  for place in facts.maps.values():
    for y in range(place.height):
      for x in range(place.width):
        goal = goal_specs.Goal("tile", place.id, y, x)
        warps = any((warp.y, warp.x) == (y, x) for warp in place.warps)
        assert not (warps and goal in tiles), goal
        assert warps or not place.walkable[y, x] or goal in tiles, goal


def test_another_game_has_no_table(tmp_path):
  rom = roms.Rom(tmp_path / "a.gb", "0" * 40, roms.UNKNOWN, "A")
  with pytest.raises(ValueError, match=r"a\.gb: no table of its goals"):
    goal_catalogue.catalogue(rom)
