"""Tables of a full world as bytes in the ROM's banks 2 and up.

The engine's code lies in banks 0 and 1, which stay mapped; it copies what it
needs from the other banks into memory. Addresses are those of the window
0x4000..0x7FFF; records are those of `engine/world_full.h`, field by field.
"""

from typing import Any

import numpy as np

from data_tools.cartridge import full_facts
from data_tools.cartridge import generator
from data_tools.cartridge import pixel_art
from data_tools.cartridge import tables as source

BANK_BYTES = 0x4000
WINDOW = 0x4000
FIRST_BANK = 2
NONE = 0xFF
# The map in memory, with what lies around it (see engine/map_full.c).
PAD_LEFT, PAD_RIGHT, PAD_ROWS = 5, 6, 5
FIELD, FIELD_END = 0xD9B0, 0xDF00
MAX_CELLS = 48
MAX_ENTRIES = {"warps": 20, "people": 9, "doors": 4, "wild": 6}
MAX_TEXT_BYTES = 240
MAX_MOVES, MAX_TEAM = 6, 4
ROLES = ("talk", "healer", "leader", "trainer", "shop", "item")
FACINGS = {"down": 0, "up": 4, "left": 8, "right": 12}
EDGES = ("north", "south", "west", "east")
FLAGS = {
  "walkable": 1,
  "grass": 2,
  "ledge_down": 4,
  "ledge_left": 8,
  "ledge_right": 16,
  "counter": 32,
}
FLICKERING = ("~",)  # letters of cells whose first tile moves


class Banks:
  """Packs pieces of bytes into banks."""

  def __init__(self, count: int):
    """Banks 2 to `count - 1` of a ROM of `count` banks."""
    self._data = [bytearray() for _ in range(FIRST_BANK, count)]

  def add(self, data: bytes, bank: int | None = None) -> tuple[int, int]:
    """Places `data`; returns (bank, address).

    Raises:
      ValueError: it fits nowhere, or not into the bank that was asked for.
    """
    numbers = range(len(self._data)) if bank is None else [bank - FIRST_BANK]
    for number in numbers:
      held = self._data[number]
      if len(held) + len(data) <= BANK_BYTES:
        at = WINDOW + len(held)
        held += data
        return number + FIRST_BANK, at
    raise ValueError(f"banks: no room for {len(data)} bytes in {numbers}")

  def used(self) -> list[int]:
    """Bytes in each bank."""
    return [len(held) for held in self._data]

  def image(self) -> bytes:
    """All banks, filled up with 0xFF."""
    return b"".join(bytes(h).ljust(BANK_BYTES, b"\xff") for h in self._data)


class World:
  """A full world's tables placed in banks, and where each of them lies."""

  def __init__(self, tables: source.Tables):
    """Places all tables.

    Raises:
      ValueError: something is unknown or does not fit.
    """
    self.tables = tables
    self.banks = Banks(tables.table["banks"])
    self.numbers = full_facts.flag_numbers(tables)
    if len(self.numbers) >= NONE:
      raise ValueError(f"flags: {len(self.numbers)}, at most {NONE - 1}")
    self.places: dict[str, tuple[int, int]] = {}
    # One bank holds all texts, so that a text is an address.
    self.text_bank = tables.table["banks"] - 1
    self._texts: dict[bytes, int] = {}
    self._cells: dict[str, tuple[int, int]] = {}
    self._add_art()
    self._add_tilesets()
    self._add_rules()
    self._add_maps()

  def text(self, paragraphs: list[str] | None) -> int:
    """Address of a text in the text bank; 0 for none."""
    if not paragraphs:
      return 0
    data = generator.encode_pages(paragraphs)
    if len(data) > MAX_TEXT_BYTES:
      raise ValueError(f"text {paragraphs}: over {MAX_TEXT_BYTES} bytes")
    if data not in self._texts:
      self._texts[data] = self.banks.add(data, self.text_bank)[1]
    return self._texts[data]

  def species(self, name: str) -> int:
    """Number of a species, from 1."""
    return _index(self.tables, "species", name) + 1

  def event(self, name: str | None) -> int:
    """Number of a story flag, NONE for none."""
    return NONE if name is None else self.numbers["event", name]

  def item_id(self, name: str) -> int:
    """Item id as it stands in the bag."""
    return self.tables.entry("items", name)["id"]

  def _add_art(self) -> None:
    self.places["font"] = self.banks.add(generator.font_bytes())
    files = self.tables.table.get("sprites", ["sprites.txt"])
    figures = [
      pixel_art.parse_image(lines, pixel_art.SPRITE_COLOURS, 16, heading[1])
      for file in files
      for heading, lines in pixel_art.read_blocks(file)
    ]
    if len(figures) > generator.MAX_SPRITES:
      raise ValueError(f"sprites: {len(figures)}")
    data = b"".join(b"".join(pixel_art.split_tiles(f)) for f in figures)
    self.places["sprites"] = self.banks.add(data)
    self.num_sprites = len(figures)
    pictures = source.pictures(self.tables)
    names = [generator.TITLE_PICTURE, *self.tables.names("species")]
    tiles = [b"".join(pixel_art.split_tiles(pictures[n])) for n in names]
    self.places["pictures"] = self.banks.add(b"".join(tiles))

  def _add_tilesets(self) -> None:
    """Tiles, cells and flags of each tileset: `Tileset` and what follows."""
    self.tilesets: dict[str, int] = {}
    self.tileset_places = []
    self._letters: dict[str, str] = {}
    self.cell_tiles: dict[str, np.ndarray] = {}
    for place in self.tables.places.values():
      name = place.table.get("tileset", "town")
      if name in self.tilesets:
        continue
      tiles: list[bytes] = []
      cells = bytearray()
      letters = "".join(place.tileset.images)
      if len(letters) > MAX_CELLS:
        raise ValueError(f"tileset {name}: over {MAX_CELLS} cells")
      for image in place.tileset.images.values():
        for tile in pixel_art.split_tiles(image):
          if tile not in tiles:
            tiles.append(tile)
          cells.append(tiles.index(tile))
      if len(tiles) > generator.MAX_MAP_TILES:
        raise ValueError(f"tileset {name}: {len(tiles)} tiles")
      flags = bytes(
        sum(FLAGS.get(flag, 0) for flag in place.tileset.flags[letter])
        for letter in letters
      )
      moving = [letters.index(c) for c in FLICKERING if c in letters]
      flicker = cells[moving[0] * 4] if moving else NONE
      head = bytes([len(tiles), len(letters), flicker])
      data = head + bytes(cells) + flags + b"".join(tiles)
      self.tilesets[name] = len(self.tilesets)
      self.tileset_places.append(self.banks.add(data))
      self._letters[name] = letters
      self.cell_tiles[name] = np.array(cells, np.uint8).reshape(-1, 4)

  def _add_rules(self) -> None:
    tables = self.tables
    records = [bytes(32)]
    for entry in tables.entries("species"):
      records.append(self._species_record(entry))
    self.places["species"] = self.banks.add(b"".join(records))
    records = [bytes(16)]
    for entry in tables.entries("moves"):
      record = _name(entry["name"], 11)
      record += bytes([_index(tables, "types", entry["type"])])
      records.append(_record(record + _numbers(entry, "power", "accuracy"), 16))
    self.places["moves"] = self.banks.add(b"".join(records))
    records = []
    for entry in tables.entries("trainers"):
      team = [n for s, level in entry["team"] for n in (self.species(s), level)]
      if len(team) > 2 * MAX_TEAM:
        raise ValueError(f"trainer {entry['name']}: over {MAX_TEAM} creatures")
      record = _name(entry["name"], 9)
      record += bytes([entry["class"], entry.get("badge", NONE)])
      record += bytes([entry["money"], len(team) // 2])
      record += bytes(team).ljust(2 * MAX_TEAM, b"\0")
      record += _word(self.text(entry["won_text"]))
      record += bytes([self.numbers["trainer", entry["name"]]])
      record += bytes([entry.get("ends_game", False)])
      records.append(_record(record, 32))
    self.places["trainers"] = self.banks.add(b"".join(records))

  def _species_record(self, entry: dict[str, Any]) -> bytes:
    tables = self.tables
    record = _name(entry["name"], 9)
    record += _numbers(
      entry, "hp", "hp_growth", "attack", "defense", "speed", "catch", "xp"
    )
    record += bytes([_index(tables, "types", entry["type"])])
    into, level = entry.get("evolves", [None, 0])
    record += bytes([self.species(into) if into else 0, level])
    moves = entry["moves"]
    if len(moves) > MAX_MOVES:
      raise ValueError(f"species {entry['name']}: over {MAX_MOVES} moves")
    record += bytes([len(moves)])
    for name, level in moves:
      record += bytes([_index(tables, "moves", name) + 1, level])
    return _record(record, 32)

  def _add_maps(self) -> None:
    for place in self.tables.places.values():
      self._cells[place.name] = self.banks.add(self._cell_bytes(place))
    self.map_places = [
      self.banks.add(self._map_record(place))
      for place in self.tables.places.values()
    ]

  def _cell_bytes(self, place: source.Place) -> bytes:
    letters = self._letters[place.table.get("tileset", "town")]
    if {len(row) for row in place.rows} != {place.width}:
      raise ValueError(f"map {place.name}: rows of different lengths")
    size = (place.width + PAD_LEFT + PAD_RIGHT) * (place.height + 2 * PAD_ROWS)
    if size > FIELD_END - FIELD:
      raise ValueError(f"map {place.name}: {size} cells with what is around it")
    return bytes(letters.index(c) for row in place.rows for c in row)

  def _map_record(self, place: source.Place) -> bytes:
    for kind, most in MAX_ENTRIES.items():
      if len(place.entries(kind)) > most:
        raise ValueError(f"map {place.name}: over {most} {kind}")
    table, tileset = place.table, place.table.get("tileset", "town")
    border = self._letters[tileset].index(table["border"])
    connections = table.get("connections", {})
    bank, at = self._cells[place.name]
    head = bytes([place.width, place.height, border, self.tilesets[tileset]])
    head += bytes([table.get("encounter_rate", 0)])
    head += bytes([table.get("wild_everywhere", False)])
    head += bytes(len(place.entries(kind)) for kind in MAX_ENTRIES)
    head += bytes([len(connections), bank]) + _word(at)
    warps = b"".join(
      bytes([*w["at"], self.tables.places[w["to"]].id, *w["arrive"]])
      for w in place.entries("warps")
    )
    people = b"".join(
      self._person(place, i) for i in range(len(place.entries("people")))
    )
    doors = b"".join(
      bytes([*d["at"], self.event(d["needs"])]) + _word(self.text(d["text"]))
      for d in place.entries("doors")
    )
    wild = b"".join(
      bytes([self.species(w["species"]), *w["levels"], w["share"] & 255])
      for w in place.entries("wild")
    )
    edges = b"".join(
      self._connection(place, edge, *to) for edge, to in connections.items()
    )
    return head + warps + people + doors + wild + edges

  def _person(self, place: source.Place, index: int) -> bytes:
    person = place.entries("people")[index]
    role = person.get("role", "talk")
    argument = 0
    if "trainer" in person:
      argument = _index(self.tables, "trainers", person["trainer"])
    for name in person.get("stock", []):
      argument |= 1 << _index(self.tables, "items", name)
    sprite = NONE
    if "sprite" in person:
      sprite = source.figures(self.tables).index(person["sprite"])
    given = person.get("gives", [0, 0])
    name, count = given if isinstance(given, list) else (given, 1)
    numbers = [*person["at"], sprite, ROLES.index(role), argument]
    numbers.append(self.numbers["person", (place.name, index)])
    numbers += [FACINGS[person.get("facing", "down")], person.get("sight", 0)]
    numbers.append(person.get("needs_badges", 0))
    numbers += [self.item_id(name) if name else 0, count]
    numbers.append(self.item_id(person["takes"]) if "takes" in person else 0)
    numbers += [self.event(person.get(k)) for k in ("sets", "until", "from")]
    texts = ("text", "after_text", "refuse_text", "taken_text")
    words = b"".join(_word(self.text(person.get(key))) for key in texts)
    return bytes(numbers) + words

  def _connection(
    self, place: source.Place, edge: str, name: str, offset: int
  ) -> bytes:
    """Where the edge leads, and the strip of the neighbour that one sees."""
    to = self.tables.places[name]
    if to.tileset is not place.tileset:
      raise ValueError(f"connection {place.name} - {name}: other tilesets")
    stride = place.width + PAD_LEFT + PAD_RIGHT
    bank, at = self._cells[name]
    if edge in ("north", "south"):
      left = max(-PAD_LEFT, -offset)
      right = min(place.width + PAD_RIGHT, to.width - offset)
      rows = min(PAD_ROWS, to.height)
      top = -rows if edge == "north" else place.height
      from_x = left + offset
      from_y = to.height - rows if edge == "north" else 0
      columns = right - left
      arrive = to.height - 1 if edge == "north" else 0
    else:
      top = max(-PAD_ROWS, -offset)
      rows = min(place.height + PAD_ROWS, to.height - offset) - top
      pad = PAD_LEFT if edge == "west" else PAD_RIGHT
      columns = min(pad, to.width)
      left = -columns if edge == "west" else place.width
      from_x = to.width - columns if edge == "west" else 0
      from_y = top + offset
      arrive = to.width - 1 if edge == "west" else 0
    start = at + from_y * to.width + from_x
    target = FIELD + (top + PAD_ROWS) * stride + left + PAD_LEFT
    numbers = [EDGES.index(edge), to.id, offset & 255, arrive]
    numbers += [bank, to.width, columns, rows]
    return bytes(numbers) + _word(start) + _word(target)


def _index(tables: source.Tables, kind: str, name: str) -> int:
  return tables.entries(kind).index(tables.entry(kind, name))


def _word(number: int) -> bytes:
  return number.to_bytes(2, "little")


def _name(name: str, size: int) -> bytes:
  data = generator.encode(name) + bytes([generator.TEXT_END])
  if len(data) > size:
    raise ValueError(f"name {name!r}: over {size - 1} letters")
  return data.ljust(size, bytes([generator.TEXT_END]))


def _numbers(entry: dict[str, Any], *keys: str) -> bytes:
  try:
    return bytes(entry[key] for key in keys)
  except ValueError:
    raise ValueError(f"{entry['name']}: numbers are 0 to 255") from None


def _record(data: bytes, size: int) -> bytes:
  if len(data) > size:
    raise ValueError(f"record of {len(data)} bytes, at most {size}")
  return data.ljust(size, b"\0")
