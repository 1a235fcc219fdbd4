"""Reads a full world's tables and names everything that is wrong with them.

  python -m data_tools.cartridge.lint great_vale

prints one line for each problem and ends with 1 where there is one. Every
check is a generator of sentences; `lint_maps` holds those of the maps.
"""

import argparse
import collections
from collections.abc import Iterator
import pathlib
import sys
from typing import Any

from data_tools.cartridge import generator
from data_tools.cartridge import lint_maps
from data_tools.cartridge import story
from data_tools.cartridge import tables as source

MAX_LEVEL = generator.MAX_LEVEL
MOVE_NAME_LENGTH = 10
ITEM_NAME_LENGTH = 10
SHORT_TEXT_LENGTH = 18
MOVES_SHOWN = 4
MAX_TEAM = 6
MAX_BADGES = 8
MIN_STATES = 12
FACTORS = (0.5, 2)
ITEM_KINDS = ("lantern", "salve", "key")
_NUMBERS = ("hp", "hp_growth", "attack", "defense", "speed", "catch", "xp")


def problems(tables: source.Tables) -> list[str]:
  """All that is wrong, as sentences; empty for a sound world."""
  found = []
  for check in (
    lint_maps.drawings,
    lint_maps.warps,
    lint_maps.connections,
    lint_maps.ledges,
    lint_maps.people,
    lint_maps.doors,
    lint_maps.wild,
    _names,
    _types,
    _moves,
    _species,
    _habitats,
    _items,
    _trainers,
    _events,
    _texts,
    _states,
  ):
    found += list(check(tables))
  if not found:
    # Walking needs sound maps: only then is the story told.
    found = list(_the_way(tables))
  return found


def _names(tables: source.Tables) -> Iterator[str]:
  limits = {
    "species": generator.NAME_LENGTH,
    "moves": MOVE_NAME_LENGTH,
    "items": ITEM_NAME_LENGTH,
    "trainers": generator.NAME_LENGTH,
  }
  for kind in ("types", "moves", "species", "items", "trainers", "states"):
    names = tables.names(kind)
    for name, count in collections.Counter(names).items():
      if count > 1:
        yield f"{kind}: {name} is there {count} times"
      if len(name) > limits.get(kind, 99):
        yield f"{kind}: {name} is over {limits[kind]} letters long"
      if kind != "states":
        yield from _letters(f"{kind} {name}", name)


def _types(tables: source.Tables) -> Iterator[str]:
  names = tables.names("types")
  pairs = set()
  for entry in tables.entries("effective"):
    pair = (entry["attacker"], entry["defender"])
    for name in pair:
      if name not in names:
        yield f"effective: type {name} is not in {names}"
    if pair in pairs:
      yield f"effective: {pair[0]} against {pair[1]} is there twice"
    pairs.add(pair)
    if entry["factor"] not in FACTORS:
      yield f"effective: factor {entry['factor']} is none of {FACTORS}"


def _moves(tables: source.Tables) -> Iterator[str]:
  learned = {m for s in tables.entries("species") for m, _ in s["moves"]}
  for move in tables.entries("moves"):
    name = move["name"]
    if move["type"] not in tables.names("types"):
      yield f"move {name}: type {move['type']} is unknown"
    if not 1 <= move["accuracy"] <= 255 or not 1 <= move["power"] <= 50:
      yield f"move {name}: accuracy is 1 to 255, power 1 to 50"
    if name not in learned:
      yield f"move {name}: no species learns it"


def _species(tables: source.Tables) -> Iterator[str]:
  pictures = source.pictures(tables)
  for entry in tables.entries("species"):
    name = entry["name"]
    if name not in pictures:
      yield f"species {name}: has no picture"
    if entry["type"] not in tables.names("types"):
      yield f"species {name}: type {entry['type']} is unknown"
    numbers = [entry[key] for key in _NUMBERS]
    most = entry["hp"] + entry["hp_growth"] * MAX_LEVEL
    if not all(0 <= n <= 255 for n in [*numbers, most]):
      yield f"species {name}: numbers, and HP at {MAX_LEVEL}, are 0 to 255"
    for move, level in entry["moves"]:
      if move not in tables.names("moves"):
        yield f"species {name}: move {move} is unknown"
      if not 1 <= level <= MAX_LEVEL:
        yield f"species {name}: learns {move} at level {level}"
    if not any(level == 1 for _, level in entry["moves"]):
      yield f"species {name}: has no move at level 1"
    if "evolves" in entry and entry["evolves"][0] not in tables.names(
      "species"
    ):
      yield f"species {name}: evolves into unknown {entry['evolves'][0]}"


def _habitats(tables: source.Tables) -> Iterator[str]:
  """Every species can be owned: met in the wild, begun with, or grown into."""
  owned = {tables.table["start"]["species"]}
  for place in tables.places.values():
    if place.wild_cells():
      owned |= {entry["species"] for entry in place.entries("wild")}
  while True:
    grown = {
      entry["evolves"][0]
      for entry in tables.entries("species")
      if entry["name"] in owned and "evolves" in entry
    }
    if grown <= owned:
      break
    owned |= grown
  for name in tables.names("species"):
    if name not in owned:
      yield f"species {name}: lives nowhere and nothing evolves into it"


def _items(tables: source.Tables) -> Iterator[str]:
  ids = collections.Counter(item["id"] for item in tables.entries("items"))
  for item in tables.entries("items"):
    name = item["name"]
    if item["kind"] not in ITEM_KINDS:
      yield f"item {name}: kind {item['kind']} is none of {ITEM_KINDS}"
    if ids[item["id"]] > 1 or not 1 <= item["id"] <= 254:
      yield f"item {name}: id {item['id']} is taken, or not in 1 to 254"
    if not 0 <= item["price"] <= 99:
      yield f"item {name}: price {item['price']} is not in 0 to 99 hundreds"
    if item["kind"] == "salve" and not item.get("heal"):
      yield f"item {name}: heals nothing"
    given = any(_gift(p) == name for p in _people(tables))
    taken = any(p.get("takes") == name for p in _people(tables))
    if item["kind"] == "key" and not (given and taken):
      yield f"item {name}: is not both given and taken by somebody"
  for person in _people(tables):
    wanted = [_gift(person), person.get("takes"), *person.get("stock", [])]
    for name in wanted:
      if name is not None and name not in tables.names("items"):
        yield f"{person['name']}: item {name} is unknown"
    for name in person.get("stock", []):
      if name in tables.names("items"):
        if not tables.entry("items", name)["price"]:
          yield f"{person['name']}: sells {name}, which has no price"


def _trainers(tables: source.Tables) -> Iterator[str]:
  met = collections.Counter(p.get("trainer") for p in _people(tables))
  badges = []
  for trainer in tables.entries("trainers"):
    name = trainer["name"]
    if met[name] != 1:
      yield f"trainer {name}: stands on the maps {met[name]} times, not once"
    if not 1 <= len(trainer["team"]) <= MAX_TEAM:
      yield f"trainer {name}: a team of {len(trainer['team'])}"
    for species, level in trainer["team"]:
      if species not in tables.names("species"):
        yield f"trainer {name}: species {species} is unknown"
      if not 1 <= level <= MAX_LEVEL:
        yield f"trainer {name}: {species} of level {level}"
    if not 0 <= trainer["money"] <= 99:
      yield f"trainer {name}: money is 0 to 99 hundreds"
    if "badge" in trainer:
      badges.append(trainer["badge"])
  if sorted(badges) != list(range(len(badges))) or len(badges) > MAX_BADGES:
    yield f"badges: {sorted(badges)}, expected 0, 1, ... once each"
  ends = [t["name"] for t in tables.entries("trainers") if t.get("ends_game")]
  if len(ends) != 1:
    yield f"the game ends with {ends or 'nobody'}, expected one trainer"


def _events(tables: source.Tables) -> Iterator[str]:
  declared = tables.names("events")
  is_set = {p["sets"] for p in _people(tables) if "sets" in p}
  needed = {
    d["needs"] for p in tables.places.values() for d in p.entries("doors")
  }
  for person in _people(tables):
    needed |= {person[key] for key in ("until", "from") if key in person}
  for name in sorted(is_set | needed):
    if name not in declared:
      yield f"event {name}: is not in [[events]]"
  for name in sorted(needed - is_set):
    yield f"event {name}: is waited for and set by nobody"
  for name in declared:
    if name not in is_set:
      yield f"event {name}: is set by nobody"


def _texts(tables: source.Tables) -> Iterator[str]:
  for key, text in tables.table["texts"].items():
    if key == "healed":
      yield from _pages("texts.healed", [text])
      continue
    yield from _letters(f"texts.{key}", text)
    if len(text) > SHORT_TEXT_LENGTH:
      yield f"texts.{key}: {text!r} is over {SHORT_TEXT_LENGTH} letters long"
  if len(tables.table["title"]) > SHORT_TEXT_LENGTH - 4:
    yield f"title: over {SHORT_TEXT_LENGTH - 4} letters long"
  for trainer in tables.entries("trainers"):
    yield from _pages(f"trainer {trainer['name']}", trainer["won_text"])
  for place in tables.places.values():
    for kind in ("people", "doors"):
      for entry in place.entries(kind):
        who = f"{place.name}: {entry.get('name', 'door')}"
        for key, value in entry.items():
          if key == "text" or key.endswith("_text"):
            yield from _pages(f"{who}, {key}", value)


def _states(tables: source.Tables) -> Iterator[str]:
  states = tables.entries("states")
  if len(states) < MIN_STATES:
    yield f"states: {len(states)}, expected at least {MIN_STATES}"
  badges = sum("badge" in t for t in tables.entries("trainers"))
  known = {"event": tables.names("events"), "map": list(tables.places)}
  known["badge"] = [str(n + 1) for n in range(badges)]
  for state in states:
    kind, _, name = state["when"].partition(":")
    if state["when"] != "start" and name not in known.get(kind, []):
      yield f"state {state['name']}: {state['when']!r} never comes"


def _the_way(tables: source.Tables) -> Iterator[str]:
  """The game can be finished, all be seen, and nobody be stuck."""
  told, stages = story.tell(tables)
  if not told.ended:
    last = f"{stages[-1].place}, {stages[-1].person}" if stages else "the start"
    yield f"the game cannot be finished; the story stops after {last}"
  cells = story.reached(tables, told, story.start_cell(tables))
  for name in tables.places:
    if name not in {cell[0] for cell in cells}:
      yield f"map {name}: cannot be reached"
  for place in tables.places.values():
    for i, person in enumerate(place.entries("people")):
      gone = not story.is_there(person, told)
      if not gone and (place.name, i) not in told.met:
        yield f"{place.name}: {person['name']} can never be addressed"
  for when, state in (("at first", story.Story()), ("at last", told)):
    for cell in story.dead_ends(tables, state)[:1]:
      yield f"dead end {when}: no way back to the start from {cell}"


def _people(tables: source.Tables) -> Iterator[dict[str, Any]]:
  for place in tables.places.values():
    yield from place.entries("people")


def _gift(person: dict[str, Any]) -> str | None:
  given = person.get("gives")
  return given[0] if isinstance(given, list) else given


def _letters(what: str, text: str) -> Iterator[str]:
  unknown = sorted(set(text) - set(generator.CHARSET))
  if unknown:
    yield f"{what}: no letters for {unknown}"


def _pages(what: str, paragraphs: list[str]) -> Iterator[str]:
  try:
    generator.encode_pages(paragraphs)
  except ValueError as error:
    yield f"{what}: {error}"


def main() -> int:
  """Command line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("world", help="folder under worlds/")
  name = parser.parse_args().world
  folder = pathlib.Path(name) if "/" in name else source.WORLDS / name
  if not (folder / "world.toml").is_file():
    print(f"lint: no world {folder}")
    return 2
  tables = source.read(folder)
  found = problems(tables)
  for problem in found:
    print(problem)
  if not found:
    print(
      f"{tables.table['name']}: {len(tables.places)} maps, "
      f"{len(tables.entries('species'))} species, "
      f"{len(tables.entries('trainers'))} trainers: sound"
    )
  return 1 if found else 0


if __name__ == "__main__":
  sys.exit(main())
