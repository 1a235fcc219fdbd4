"""Source tables of a world to C tables for the engine, and to facts.

A world is a folder with `world.toml` and `maps/<id>_<name>.toml`. Map ids come
from the file names and start at 1; species and trainers count from the order
of their tables, species from 1.
"""

import dataclasses
import pathlib
import tomllib
from typing import Any

import numpy as np

from data_tools.cartridge import pixel_art

WORLDS = pathlib.Path(__file__).parent / "worlds"

MAX_MAP_TILES = 0x60
FIRST_FONT_TILE = 0x60
NUM_FONT_TILES = 0xA0
MAX_SPRITES = 32
MAX_PEOPLE = 9
MAX_LEVEL = 40
TRAINER_FLAGS = 64  # event flags of people count from 0, of trainers from here
NAME_LENGTH = 8
LINE_1_LENGTH = 18
LINE_2_LENGTH = 17  # the last column of the second line holds the arrow
TEXT_LINE, TEXT_END, TEXT_PAGE = 0x4E, 0x50, 0x51
ROLES = {"talk": "ROLE_TALK", "healer": "ROLE_HEALER", "leader": "ROLE_LEADER"}
TITLE_PICTURE = "LANTERN"

CHARSET = {chr(ord("A") + i): 0x80 + i for i in range(26)}
CHARSET |= {chr(ord("0") + i): 0xF6 + i for i in range(10)}
CHARSET |= {
  " ": 0x7F,
  ":": 0x6D,
  "'": 0xE0,
  "-": 0xE3,
  "?": 0xE6,
  "!": 0xE7,
  ".": 0xE8,
  "▶": 0xED,
  "▼": 0xEE,
  "\u00d7": 0xF1,  # multiplication sign
  "/": 0xF3,
  ",": 0xF4,
  "…": 0x75,
}


@dataclasses.dataclass(frozen=True)
class MapSource:
  """One map as drawn: cells are indices into the cell art."""

  id: int
  name: str
  cells: np.ndarray  # [height, width] uint8
  border: int
  table: dict[str, Any]  # the rest of its file


@dataclasses.dataclass(frozen=True)
class WorldSource:
  """A world's tables, read and checked."""

  table: dict[str, Any]  # world.toml
  maps: tuple[MapSource, ...]
  cell_letters: str
  cell_flags: tuple[frozenset[str], ...]
  cell_tiles: np.ndarray  # [cells, 4] uint8 tile ids
  map_tiles: tuple[bytes, ...]
  sprite_names: tuple[str, ...]

  def map_named(self, name: str) -> MapSource:
    """The map called `name`.

    Raises:
      ValueError: there is none.
    """
    for source in self.maps:
      if source.name == name:
        return source
    raise ValueError(f"map {name!r}: not in {[m.name for m in self.maps]}")

  def species_number(self, name: str) -> int:
    """Number of a species, from 1.

    Raises:
      ValueError: there is none of this name.
    """
    names = [species["name"] for species in self.table["species"]]
    if name not in names:
      raise ValueError(f"species {name!r}: not in {names}")
    return names.index(name) + 1

  def walkable(self, source: MapSource) -> np.ndarray:
    """`[height, width]` bool: terrain that can be stood on."""
    flags = np.array(["walkable" in f for f in self.cell_flags])
    return flags[source.cells]

  def grass(self, source: MapSource) -> np.ndarray:
    """`[height, width]` bool: tall grass."""
    flags = np.array(["grass" in f for f in self.cell_flags])
    return flags[source.cells]

  def screen_tiles(self, map_id: int, x: int, y: int) -> np.ndarray:
    """Tile ids `[18, 20]` that the screen shows with the player at (x, y)."""
    source = next(m for m in self.maps if m.id == map_id)
    padded = np.pad(source.cells, 10, constant_values=source.border)
    view = padded[y + 10 - 4 : y + 10 + 5, x + 10 - 4 : x + 10 + 6]
    tiles = self.cell_tiles[view].reshape(9, 10, 2, 2)
    return tiles.transpose(0, 2, 1, 3).reshape(18, 20)


def encode(text: str) -> bytes:
  """Characters to tile ids, without an end mark.

  Raises:
    ValueError: a character has no tile.
  """
  unknown = set(text) - set(CHARSET)
  if unknown:
    raise ValueError(f"text {text!r}: no letters for {sorted(unknown)}")
  return bytes(CHARSET[c] for c in text)


def wrap_pages(paragraphs: list[str]) -> list[list[str]]:
  """Paragraphs to pages of one or two lines that fit the box.

  Raises:
    ValueError: a word is longer than a line.
  """
  pages = []
  for paragraph in paragraphs:
    words = paragraph.split()
    page: list[str] = []
    while words:
      limit = LINE_1_LENGTH if not page else LINE_2_LENGTH
      line = words.pop(0)
      if len(line) > limit:
        raise ValueError(f"text {paragraph!r}: {line!r} is over {limit} long")
      while words and len(line) + 1 + len(words[0]) <= limit:
        line += " " + words.pop(0)
      page.append(line)
      if len(page) == 2 or not words:
        pages.append(page)
        page = []
  return pages


def encode_pages(paragraphs: list[str]) -> bytes:
  """A text for the box, with its line, page and end marks."""
  pages = [
    bytes([TEXT_LINE]).join(encode(line) for line in page)
    for page in wrap_pages(paragraphs)
  ]
  return bytes([TEXT_PAGE]).join(pages) + bytes([TEXT_END])


def load_world(name: str) -> WorldSource:
  """Reads and checks `worlds/<name>`.

  Raises:
    ValueError: a table names something unknown or does not fit.
  """
  folder = WORLDS / name
  table = tomllib.loads((folder / "world.toml").read_text())
  art = pixel_art.map_cells()
  letters = "".join(art)
  tiles: list[bytes] = []
  cell_tiles = []
  for _, _, image in art.values():
    ids = []
    for tile in pixel_art.split_tiles(image):
      if tile not in tiles:
        tiles.append(tile)
      ids.append(tiles.index(tile))
    cell_tiles.append(ids)
  if len(tiles) > MAX_MAP_TILES:
    raise ValueError(f"map tiles: {len(tiles)}, at most {MAX_MAP_TILES}")
  maps = []
  for path in folder.glob("maps/*.toml"):
    map_id = int(path.stem.split("_")[0])
    map_table = tomllib.loads(path.read_text())
    rows = map_table["drawing"].split()
    if len({len(row) for row in rows}) != 1:
      raise ValueError(f"map {path.stem}: rows of different lengths")
    unknown = set("".join(rows)) - set(letters)
    if unknown:
      raise ValueError(f"map {path.stem}: no cells {sorted(unknown)}")
    cells = np.array([[letters.index(c) for c in r] for r in rows], np.uint8)
    border = letters.index(map_table["border"])
    maps.append(MapSource(map_id, map_table["name"], cells, border, map_table))
  maps.sort(key=lambda source: source.id)
  if [source.id for source in maps] != list(range(1, len(maps) + 1)):
    raise ValueError(f"map ids: {[m.id for m in maps]}, expected 1, 2, ...")
  world = WorldSource(
    table=table,
    maps=tuple(maps),
    cell_letters=letters,
    cell_flags=tuple(frozenset(flags) for _, flags, _ in art.values()),
    cell_tiles=np.array(cell_tiles, np.uint8),
    map_tiles=tuple(tiles),
    sprite_names=tuple(pixel_art.figures()),
  )
  _check_maps(world)
  return world


def _check_maps(world: WorldSource) -> None:
  for source in world.maps:
    walkable = world.walkable(source)
    people = source.table.get("people", [])
    if len(people) > MAX_PEOPLE:
      raise ValueError(f"map {source.name}: over {MAX_PEOPLE} people")
    for person in people:
      if person.get("role", "talk") not in ROLES:
        raise ValueError(f"role {person['role']!r}: not in {list(ROLES)}")
    shares = sum(wild["share"] for wild in source.table.get("wild", []))
    if shares not in (0, 256):
      raise ValueError(f"map {source.name}: shares add to {shares}, not 256")
    for warp in source.table.get("warps", []):
      x, y = warp["at"]
      to = world.map_named(warp["to"])
      to_x, to_y = warp["arrive"]
      if not walkable[y, x] or not world.walkable(to)[to_y, to_x]:
        raise ValueError(f"warp {warp}: on or to a cell without floor")
      if [to_x, to_y] in [w["at"] for w in to.table.get("warps", [])]:
        raise ValueError(f"warp {warp}: arrives on another warp")


def _byte_lines(data: bytes) -> str:
  lines = [
    ", ".join(f"0x{byte:02X}" for byte in data[i : i + 12])
    for i in range(0, len(data), 12)
  ]
  return ",\n".join("  " + line for line in lines)


def _array(name: str, data: bytes, kind: str = "uint8_t") -> str:
  return f"const {kind} {name}[] = {{\n{_byte_lines(data)}\n}};\n"


def font_bytes() -> bytes:
  """Tiles 0x60..0xFF: frames, letters and empty places."""
  tiles = [bytes(16)] * NUM_FONT_TILES
  for tile_id, image in pixel_art.frame_tiles().items():
    tiles[tile_id - FIRST_FONT_TILE] = pixel_art.tile_bytes(image)
  for character, image in pixel_art.font_glyphs().items():
    tiles[CHARSET[character] - FIRST_FONT_TILE] = pixel_art.tile_bytes(image)
  return b"".join(tiles)


def _figure_bytes() -> bytes:
  figures = pixel_art.figures().values()
  if len(figures) > MAX_SPRITES:
    raise ValueError(f"sprites: {len(figures)}, at most {MAX_SPRITES}")
  return b"".join(b"".join(pixel_art.split_tiles(f)) for f in figures)


def _picture_bytes(world: WorldSource) -> bytes:
  pictures = pixel_art.pictures()
  names = [TITLE_PICTURE, *(s["name"] for s in world.table["species"])]
  return b"".join(b"".join(pixel_art.split_tiles(pictures[n])) for n in names)


def _people_lines(world: WorldSource, source: MapSource, flag: int):
  """Text arrays and table rows of a map's people; flags count from `flag`."""
  trainer_names = [t["name"] for t in world.table["trainers"]]
  texts, rows = [], []
  for i, person in enumerate(source.table.get("people", [])):
    text = f"text_{source.name}_{i}"
    texts.append("static " + _array(text, encode_pages(person["text"])))
    sprite = "NO_SPRITE"
    if "sprite" in person:
      sprite = str(world.sprite_names.index(person["sprite"]))
    argument = 0
    if "trainer" in person:
      argument = trainer_names.index(person["trainer"])
    x, y = person["at"]
    role = ROLES[person.get("role", "talk")]
    rows.append(
      f"  {{{x}, {y}, {sprite}, {role}, {argument}, {flag + i}, {text}}}"
    )
  return texts, rows


def _map_code(world: WorldSource) -> list[str]:
  code = []
  table = ["  {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}"]  # map ids start at 1
  flag = 0
  for source in world.maps:
    name = source.name
    code.append("static " + _array(f"cells_{name}", source.cells.tobytes()))
    warps = [
      f"  {{{w['at'][0]}, {w['at'][1]}, {world.map_named(w['to']).id}, "
      f"{w['arrive'][0]}, {w['arrive'][1]}}}"
      for w in source.table.get("warps", [])
    ]
    texts, people = _people_lines(world, source, flag)
    flag += len(people)
    wild = [
      f"  {{{world.species_number(w['species'])}, {w['levels'][0]}, "
      f"{w['levels'][1]}, {w['share'] & 255}}}"
      for w in source.table.get("wild", [])
    ]
    code.extend(texts)
    members = [str(source.cells.shape[1]), str(source.cells.shape[0])]
    members += [str(source.border), str(source.table.get("encounter_rate", 0))]
    members.append(f"cells_{name}")
    for kind, rows in (("Warp", warps), ("Person", people), ("Habitat", wild)):
      array = f"{kind.lower()}_{name}"
      members += [str(len(rows)), array if rows else "0"]
      if rows:
        body = ",\n".join(rows)
        code.append(f"static const {kind} {array}[] = {{\n{body}\n}};\n")
    table.append(f"  {{{', '.join(members)}}}")
  code.append("const Map maps[] = {\n" + ",\n".join(table) + "\n};\n")
  return code


def _respawns(world: WorldSource) -> list[tuple[int, int, int]]:
  return [
    (source.id, *source.table["respawn"])
    for source in world.maps
    if "respawn" in source.table
  ]


def _rule_code(world: WorldSource) -> list[str]:
  """Species, trainers, levels and respawns."""
  code = []
  rows = ["  {0, 0, 0, 0, 0, 0, 0, 0}"]
  for i, species in enumerate(world.table["species"], 1):
    if len(species["name"]) > NAME_LENGTH:
      raise ValueError(f"species {species['name']!r}: over {NAME_LENGTH} long")
    name = encode(species["name"]) + bytes([TEXT_END])
    code.append("static " + _array(f"species_name_{i}", name))
    numbers = [
      species[key]
      for key in ("hp", "attack", "defense", "speed", "hp_growth", "catch")
    ]
    numbers.append(species["xp"])
    if not all(0 <= number <= 255 for number in numbers):
      raise ValueError(f"species {species['name']}: numbers are 0 to 255")
    rows.append(f"  {{species_name_{i}, " + ", ".join(map(str, numbers)) + "}")
  code.append(
    "const Species species_table[] = {\n" + ",\n".join(rows) + "\n};\n"
  )
  rows = []
  for i, trainer in enumerate(world.table["trainers"]):
    name = encode(trainer["name"]) + bytes([TEXT_END])
    team = bytes(
      value
      for species, level in trainer["team"]
      for value in (world.species_number(species), level)
    )
    code.append("static " + _array(f"trainer_name_{i}", name))
    code.append("static " + _array(f"trainer_team_{i}", team))
    won = encode_pages(trainer["won_text"])
    code.append("static " + _array(f"trainer_won_{i}", won))
    rows.append(
      f"  {{trainer_name_{i}, {trainer['class']}, {trainer['badge']}, "
      f"0x{trainer['money']:02d}, {len(team) // 2}, trainer_team_{i}, "
      f"trainer_won_{i}, {TRAINER_FLAGS + i}, "
      f"{int(trainer.get('ends_game', False))}}}"
    )
  code.append("const Trainer trainers[] = {\n" + ",\n".join(rows) + "\n};\n")
  factor = world.table["battle"]["xp_factor"]
  levels = ", ".join(str(factor * n * n) for n in range(MAX_LEVEL + 2))
  code.append(f"const uint16_t xp_of_level[] = {{{levels}}};\n")
  rows = [f"  {{{m}, {x}, {y}}}" for m, x, y in _respawns(world)]
  rows.append("  {0, 0, 0}")  # ends the table
  code.append("const Respawn respawns[] = {\n" + ",\n".join(rows) + "\n};\n")
  return code


def _short_texts(world: WorldSource) -> dict[str, bytes]:
  """Texts that the engine names: one line each, except `healed`."""
  texts = {
    key: encode(text) + bytes([TEXT_END])
    for key, text in world.table["texts"].items()
  }
  texts["healed"] = encode_pages([world.table["texts"]["healed"]])
  texts["title"] = encode(world.table["title"]) + bytes([TEXT_END])
  texts["none"] = bytes([TEXT_END])
  return texts


def c_source(world: WorldSource) -> str:
  """The text of `world_data.c`."""
  flags = bytes(
    ("walkable" in f) | ("grass" in f) << 1 for f in world.cell_flags
  )
  code = [
    "// Generated from the world's tables: do not edit.",
    '#include "world_data.h"\n\n#include "world.h"\n',
    _array("map_tiles", b"".join(world.map_tiles)),
    _array("font_tiles", font_bytes()),
    _array("sprite_tiles", _figure_bytes()),
    _array("pictures", _picture_bytes(world)),
    _array("metatiles", world.cell_tiles.tobytes()),
    _array("cell_flags", flags),
  ]
  for key, data in _short_texts(world).items():
    code.append(_array(f"text_{key}", data))
  return "\n".join([*code, *_map_code(world), *_rule_code(world)])


def c_header(world: WorldSource) -> str:
  """The text of `world_data.h`: numbers and texts that the engine names."""
  start = world.table["start"]
  numbers = {
    "NUM_MAP_TILES": len(world.map_tiles),
    "NUM_SPRITES": len(world.sprite_names),
    "START_MAP": world.map_named(start["map"]).id,
    "START_X": start["x"],
    "START_Y": start["y"],
    "START_SPECIES": world.species_number(start["species"]),
    "START_LEVEL": start["level"],
    "START_LANTERNS": start["lanterns"],
    "START_MONEY": f"0x{start['money']:02d}",
    "BASE_DAMAGE": world.table["battle"]["base_damage"],
  }
  texts = world.table["texts"] | {"title": world.table["title"]}
  for key in ("title", "press_start", "ending_1", "ending_2", "ending_3"):
    numbers[f"{key.upper()}_COLUMN"] = (20 - len(texts[key])) // 2
  lines = [
    "// Generated from the world's tables: do not edit.",
    "#ifndef WORLD_DATA_H",
    "#define WORLD_DATA_H\n",
    "#include <stdint.h>\n",
  ]
  lines += [f"#define {name} {value}" for name, value in numbers.items()]
  lines.append("")
  lines += [
    f"extern const uint8_t text_{key}[];" for key in _short_texts(world)
  ]
  return "\n".join([*lines, "\n#endif", ""])


def facts(world: WorldSource) -> dict[str, Any]:
  """What a player or a reader of memory knows about the world, for JSON."""
  maps = []
  for source in world.maps:
    walkable = world.walkable(source)
    people = []
    for person in source.table.get("people", []):
      x, y = person["at"]
      walkable[y, x] = False
      people.append(
        {
          "name": person["name"],
          "role": person.get("role", "talk"),
          "x": x,
          "y": y,
        }
      )
    warps = [
      {
        "x": warp["at"][0],
        "y": warp["at"][1],
        "to": world.map_named(warp["to"]).id,
        "to_x": warp["arrive"][0],
        "to_y": warp["arrive"][1],
      }
      for warp in source.table.get("warps", [])
    ]
    maps.append(
      {
        "id": source.id,
        "name": source.name,
        "width": int(source.cells.shape[1]),
        "height": int(source.cells.shape[0]),
        "walkable": _bit_rows(walkable),
        "grass": _bit_rows(world.grass(source)),
        "warps": warps,
        "people": people,
      }
    )
  return {
    "name": world.table["name"],
    "title": world.table["title"],
    "maps": maps,
    "species": [species["name"] for species in world.table["species"]],
    "base_damage": world.table["battle"]["base_damage"],
    "map_tiles": len(world.map_tiles),
  }


def _bit_rows(grid: np.ndarray) -> list[str]:
  return ["".join("1" if cell else "0" for cell in row) for row in grid]
