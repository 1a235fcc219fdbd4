"""Checks of a world's maps; see `lint`."""

import collections
from collections.abc import Iterator
from typing import Any

from data_tools.cartridge import generator
from data_tools.cartridge import pixel_art
from data_tools.cartridge import tables as source

MAX_MAPS = 60
MAX_CELLS = 48  # of a side: coordinates and the ring of the screen
ROLES = ("talk", "healer", "leader", "trainer", "shop", "item")
LEDGES = ("ledge_down", "ledge_left", "ledge_right")
FLAGS = ("walkable", "grass", "counter", *LEDGES)
NEAR = 2  # cells within which a way back ends beside where it began


def drawings(tables: source.Tables) -> Iterator[str]:
  """Ids, names, rows and letters; tiles of the tilesets."""
  places = list(tables.places.values())
  ids = [place.id for place in places]
  if ids != list(range(1, len(ids) + 1)) or len(ids) > MAX_MAPS:
    yield f"map ids: {ids}, expected 1, 2, ... up to {MAX_MAPS}"
  for place in places:
    if len({len(row) for row in place.rows}) != 1:
      yield f"map {place.name}: rows of different lengths"
    if max(place.width, place.height) > MAX_CELLS:
      yield f"map {place.name}: over {MAX_CELLS} cells wide or high"
    drawn = set("".join(place.rows)) | {place.table["border"]}
    unknown = sorted(drawn - set(place.tileset.flags))
    if unknown:
      yield f"map {place.name}: no cells {unknown} in its tileset"
    for flag in sorted(set().union(*place.tileset.flags.values()) - set(FLAGS)):
      yield f"map {place.name}: its tileset has an unknown flag {flag}"
  for name in sorted({p.table.get("tileset", "town") for p in places}):
    images = source.read_tileset(name).images.values()
    count = len({t for i in images for t in pixel_art.split_tiles(i)})
    if count > generator.MAX_MAP_TILES:
      yield f"tileset {name}: {count} tiles, at most {generator.MAX_MAP_TILES}"


def warps(tables: source.Tables) -> Iterator[str]:
  """From floor to floor, not onto another warp, and back unless declared."""
  for place in tables.places.values():
    taken = collections.Counter(tuple(w["at"]) for w in place.entries("warps"))
    for warp in place.entries("warps"):
      what = f"{place.name}: warp at {warp['at']}"
      if taken[tuple(warp["at"])] > 1:
        yield f"{what}: two of them"
      if not place.floor(*warp["at"]):
        yield f"{what}: lies on no floor"
      to = tables.places.get(warp["to"])
      if to is None:
        yield f"{what}: leads to unknown map {warp['to']}"
        continue
      if not to.floor(*warp["arrive"]):
        yield f"{what}: arrives on no floor at {warp['arrive']}"
      if warp["arrive"] in [w["at"] for w in to.entries("warps")]:
        yield f"{what}: arrives on another warp"
      if warp["arrive"] in [p["at"] for p in to.entries("people")]:
        yield f"{what}: arrives on somebody"
      if not warp.get("one_way", False) and not _leads_back(place, warp, to):
        yield f"{what}: no way back from {to.name}, and not one_way"


def _leads_back(
  place: source.Place, warp: dict[str, Any], to: source.Place
) -> bool:
  return any(
    back["to"] == place.name
    and _distance(back["at"], warp["arrive"]) <= NEAR
    and _distance(back["arrive"], warp["at"]) <= NEAR
    for back in to.entries("warps")
  )


def _distance(one: list[int], other: list[int]) -> int:
  return abs(one[0] - other[0]) + abs(one[1] - other[1])


def connections(tables: source.Tables) -> Iterator[str]:
  """Declared on both sides; what is open on one side is on the other."""
  for place in tables.places.values():
    for edge, (name, offset) in place.table.get("connections", {}).items():
      what = f"{place.name}: connection {edge}"
      to = tables.places.get(name)
      if edge not in source.EDGES or to is None:
        yield f"{what}: unknown edge, or unknown map {name}"
        continue
      opposite = source.OPPOSITE[edge]
      back = to.table.get("connections", {}).get(opposite)
      if back != [place.name, -offset]:
        yield f"{what}: {name} has {back}, not {[place.name, -offset]}"
      crossings = 0
      for here, there in _crossings(place, to, edge, offset):
        if place.floor(*here) != to.floor(*there):
          yield f"{what}: open at {here} or at {there} of {name}, not at both"
        crossings += place.floor(*here) and to.floor(*there)
      if not crossings:
        yield f"{what}: nowhere open"


def _crossings(
  place: source.Place, to: source.Place, edge: str, offset: int
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
  """Pairs of cells that touch over an edge, where the edge has floor."""
  if edge in ("north", "south"):
    here_y = 0 if edge == "north" else place.height - 1
    there_y = to.height - 1 if edge == "north" else 0
    for x in range(place.width):
      if place.floor(x, here_y) and [x, here_y] not in _warp_cells(place):
        yield (x, here_y), (x + offset, there_y)
  else:
    here_x = 0 if edge == "west" else place.width - 1
    there_x = to.width - 1 if edge == "west" else 0
    for y in range(place.height):
      if place.floor(here_x, y) and [here_x, y] not in _warp_cells(place):
        yield (here_x, y), (there_x, y + offset)


def _warp_cells(place: source.Place) -> list[list[int]]:
  return [warp["at"] for warp in place.entries("warps")]


def ledges(tables: source.Tables) -> Iterator[str]:
  """Where a ledge can be jumped from there is floor to land on."""
  for place in tables.places.values():
    for x, y in place.cells():
      for flag in set(LEDGES) & place.flags(x, y):
        dx, dy = source.DIRECTIONS[flag.removeprefix("ledge_")]
        if place.floor(x - dx, y - dy) and not place.floor(x + dx, y + dy):
          yield f"{place.name}: no floor to land on below the ledge at {x, y}"


def people(tables: source.Tables) -> Iterator[str]:
  """They stand somewhere, look like something, have what a role needs."""
  figures = source.figures(tables)
  if len(figures) > generator.MAX_SPRITES:
    yield f"figures: {len(figures)}, at most {generator.MAX_SPRITES}"
  trainers = tables.names("trainers")
  for place in tables.places.values():
    everybody = place.entries("people")
    if len(everybody) > generator.MAX_PEOPLE:
      yield f"map {place.name}: over {generator.MAX_PEOPLE} people"
    for person in everybody:
      who = f"{place.name}: {person['name']}"
      role = person.get("role", "talk")
      if not place.letter(*person["at"]):
        yield f"{who}: stands outside the map"
      if person["at"] in _warp_cells(place):
        yield f"{who}: stands on a warp"
      if sum(person["at"] == p["at"] for p in everybody) > 1:
        yield f"{who}: shares a cell with somebody"
      if "sprite" in person and person["sprite"] not in figures:
        yield f"{who}: no figure {person['sprite']}"
      if role not in ROLES:
        yield f"{who}: role {role} is none of {ROLES}"
      if role in ("leader", "trainer"):
        if person.get("trainer") not in trainers:
          yield f"{who}: no trainer {person.get('trainer')}"
      if role == "trainer" and person.get("facing") not in source.DIRECTIONS:
        yield f"{who}: looks nowhere"
      if role == "trainer" and not _sees_floor(place, person):
        yield f"{who}: something stands in the line of sight"
      if role == "shop" and not person.get("stock"):
        yield f"{who}: sells nothing"
      if role == "item" and "gives" not in person:
        yield f"{who}: is nothing to take"
      if role == "healer" and "respawn" not in place.table:
        yield f"{who}: the map has no respawn"
      if person.get("needs_badges") and "refuse_text" not in person:
        yield f"{who}: refuses without a word"
      if "takes" in person and "taken_text" not in person:
        yield f"{who}: takes without a word"
    if "respawn" in place.table and not place.floor(*place.table["respawn"]):
      yield f"map {place.name}: respawn on no floor"


def _sees_floor(place: source.Place, person: dict[str, Any]) -> bool:
  """Whether all cells in sight can be walked, so that he can come up."""
  dx, dy = source.DIRECTIONS.get(person.get("facing", ""), (0, 0))
  x, y = person["at"]
  sight = range(1, person.get("sight", 0) + 1)
  return all(place.floor(x + dx * i, y + dy * i) for i in sight)


def doors(tables: source.Tables) -> Iterator[str]:
  """They lie on floor, so that an open one can be entered."""
  for place in tables.places.values():
    for door in place.entries("doors"):
      if not place.floor(*door["at"]):
        yield f"{place.name}: door at {door['at']} lies on no floor"


def wild(tables: source.Tables) -> Iterator[str]:
  """Habitats of known species that add up, where there is grass or a cave."""
  for place in tables.places.values():
    table = place.entries("wild")
    if bool(table) != bool(place.wild_cells()):
      yield f"map {place.name}: wild creatures without grass, or the reverse"
    if table and sum(entry["share"] for entry in table) != 256:
      total = sum(entry["share"] for entry in table)
      yield f"map {place.name}: shares add to {total}, not 256"
    if table and not 1 <= place.table.get("encounter_rate", 0) <= 255:
      yield f"map {place.name}: encounter_rate is 1 to 255"
    for entry in table:
      low, high = entry["levels"]
      if entry["species"] not in tables.names("species"):
        yield f"map {place.name}: species {entry['species']} is unknown"
      if not 1 <= low <= high <= generator.MAX_LEVEL or high - low > 15:
        yield f"map {place.name}: levels {entry['levels']} of a habitat"
