"""What a player knows about a full world, for its JSON file.

A superset of chapter one's facts. Story flags count from 0 at the address of
the event flags: first one for every person in the order of the maps (set when
they were spoken to, took, gave or were taken), then one for every trainer (set
when beaten), then the events of the tables.
"""

from typing import Any

from data_tools.cartridge import tables as source


def flag_numbers(tables: source.Tables) -> dict[tuple[str, Any], int]:
  """Numbers of the flags, by (kind, name).

  Kinds are "person" with the name (map, index), "trainer" and "event".
  """
  keys: list[tuple[str, Any]] = [
    ("person", (place.name, i))
    for place in tables.places.values()
    for i in range(len(place.entries("people")))
  ]
  keys += [("trainer", name) for name in tables.names("trainers")]
  keys += [("event", name) for name in tables.names("events")]
  return {key: number for number, key in enumerate(keys)}


def facts(tables: source.Tables) -> dict[str, Any]:
  """Maps with all that is on them, and the rules."""
  numbers = flag_numbers(tables)
  return {
    "name": tables.table["name"],
    "title": tables.table["title"],
    "full": True,
    "start": tables.table["start"],
    "maps": [_map(tables, p, numbers) for p in tables.places.values()],
    "species": tables.names("species"),
    "base_damage": tables.table["battle"]["base_damage"],
    "types": tables.names("types"),
    "effective": [
      [e["attacker"], e["defender"], e["factor"]]
      for e in tables.entries("effective")
    ],
    "moves": tables.entries("moves"),
    "species_numbers": tables.entries("species"),
    "items": tables.entries("items"),
    "trainers": [
      {
        "name": trainer["name"],
        "team": trainer["team"],
        "badge": trainer.get("badge"),
        "ends_game": trainer.get("ends_game", False),
        "flag": numbers["trainer", trainer["name"]],
      }
      for trainer in tables.entries("trainers")
    ],
    "events": {n: numbers["event", n] for n in tables.names("events")},
    "states": tables.entries("states"),
    "texts": tables.table["texts"],
  }


def _map(
  tables: source.Tables,
  place: source.Place,
  numbers: dict[tuple[str, Any], int],
) -> dict[str, Any]:
  people = place.entries("people")
  taken = {tuple(person["at"]) for person in people}
  doors = [
    {
      "x": door["at"][0],
      "y": door["at"][1],
      "flag": numbers["event", door["needs"]],
    }
    for door in place.entries("doors")
  ]
  warps = [
    {
      "x": warp["at"][0],
      "y": warp["at"][1],
      "to": tables.places[warp["to"]].id,
      "to_x": warp["arrive"][0],
      "to_y": warp["arrive"][1],
    }
    for warp in place.entries("warps")
  ]
  connections = [
    {"edge": edge, "to": tables.places[name].id, "offset": offset}
    for edge, (name, offset) in place.table.get("connections", {}).items()
  ]
  wild = set(place.wild_cells())
  return {
    "id": place.id,
    "name": place.name,
    "width": place.width,
    "height": place.height,
    # Terrain that nobody stands on; `floor` leaves people aside.
    "walkable": _rows(
      place, lambda x, y: place.floor(x, y) and (x, y) not in taken
    ),
    "floor": _rows(place, place.floor),
    "grass": _rows(place, lambda x, y: "grass" in place.flags(x, y)),
    "wild": _rows(place, lambda x, y: (x, y) in wild),
    "counters": _rows(place, lambda x, y: "counter" in place.flags(x, y)),
    "ledges": [
      {"x": x, "y": y, "way": flag.removeprefix("ledge_")}
      for x, y in place.cells()
      for flag in sorted(place.flags(x, y))
      if flag.startswith("ledge_")
    ],
    "warps": warps,
    "connections": connections,
    "doors": doors,
    "habitats": [
      {"species": entry["species"], "levels": entry["levels"]}
      for entry in place.entries("wild")
    ],
    "people": [
      _person(tables, person, numbers, ("person", (place.name, i)))
      for i, person in enumerate(people)
    ],
  }


def _person(
  tables: source.Tables,
  person: dict[str, Any],
  numbers: dict[tuple[str, Any], int],
  key: tuple[str, Any],
) -> dict[str, Any]:
  given = person.get("gives")
  entry = {
    "name": person["name"],
    "role": person.get("role", "talk"),
    "x": person["at"][0],
    "y": person["at"][1],
    "flag": numbers[key],
  }
  extras = {
    "sign": "sprite" not in person,
    "facing": person.get("facing"),
    "sight": person.get("sight"),
    "trainer": person.get("trainer"),
    "needs_badges": person.get("needs_badges"),
    "gives": given[0] if isinstance(given, list) else given,
    "takes": person.get("takes"),
    "stock": person.get("stock"),
    "sets": _event(numbers, person, "sets"),
    "until": _event(numbers, person, "until"),
    "from": _event(numbers, person, "from"),
  }
  return entry | {k: v for k, v in extras.items() if v not in (None, False)}


def _event(
  numbers: dict[tuple[str, Any], int], person: dict[str, Any], key: str
) -> int | None:
  return numbers["event", person[key]] if key in person else None


def _rows(place: source.Place, test: Any) -> list[str]:
  return [
    "".join("1" if test(x, y) else "0" for x in range(place.width))
    for y in range(place.height)
  ]
