"""C tables of a full world: small ones, and where the others lie in the ROM."""

from data_tools.cartridge import generator
from data_tools.cartridge import rom_banks
from data_tools.cartridge import tables as source

# What the engine says where world.toml's [texts] are silent.
DEFAULT_TEXTS = {
  "menu_switch": "SWITCH",
  "misses": " MISSES!",
  "uses": " USES ",
  "strong": "IT HITS HARD!",
  "weak": "IT HARDLY HURTS.",
  "learns": " LEARNS",
  "evolves": " GROWS INTO",
  "come_back": "COME BACK, ",
  "got": "YOU GET ",
  "salve_used": "A SALVE FOR ",
  "fit": "IT FEELS FINE.",
  "too_weak": "IT CANNOT FIGHT!",
  "fights": "IT FIGHTS NOW!",
  "empty_bag": "THE BAG IS EMPTY.",
  "bought": "THANK YOU!",
  "poor": "NOT ENOUGH MONEY.",
  "prize": "PRIZE MONEY",
  "money": "MONEY",
  "level": "LEVEL",
  "stat_hp": "HP",
  "stat_attack": "ATTACK",
  "stat_defense": "DEFENSE",
  "stat_speed": "SPEED",
  "menu_glims": "GLIMS",
  "menu_bag": "BAG",
  "menu_close": "CLOSE",
  "badges": "BADGES",
  "species": "SPECIES",
}
KINDS = ("lantern", "salve", "key")


def texts(tables: source.Tables) -> dict[str, str]:
  """All short texts: those of the world, and defaults for the rest."""
  return DEFAULT_TEXTS | tables.table["texts"]


def _short_texts(tables: source.Tables) -> dict[str, bytes]:
  end = bytes([generator.TEXT_END])
  data = {
    key: generator.encode(text) + end for key, text in texts(tables).items()
  }
  healed = tables.table["texts"]["healed"]
  data["healed"] = generator.encode_pages([healed])
  data["title"] = generator.encode(tables.table["title"]) + end
  data["none"] = end
  return data


def c_header(world: rom_banks.World) -> str:
  """The text of `world_data.h`."""
  tables = world.tables
  start = tables.table["start"]
  numbers = {
    "FULL_WORLD": 1,
    "NUM_SPRITES": world.num_sprites,
    "NUM_ITEMS": len(tables.entries("items")),
    "NUM_TYPES": len(tables.entries("types")),
    "NUM_SPECIES": len(tables.entries("species")),
    "START_MAP": tables.places[start["map"]].id,
    "START_X": start["x"],
    "START_Y": start["y"],
    "START_SPECIES": world.species(start["species"]),
    "START_LEVEL": start["level"],
    "START_LANTERNS": start["lanterns"],
    "START_MONEY": f"0x{start['money']:02d}",
    "TEXT_BANK": world.text_bank,
    "FIELD_AT": f"0x{rom_banks.FIELD:04X}",
  }
  for name, (bank, at) in world.places.items():
    numbers[f"{name.upper()}_BANK"] = bank
    numbers[f"{name.upper()}_AT"] = f"0x{at:04X}"
  known = texts(tables) | {"title": tables.table["title"]}
  for key in ("title", "press_start", "ending_1", "ending_2", "ending_3"):
    numbers[f"{key.upper()}_COLUMN"] = (20 - len(known[key])) // 2
  lines = [
    "// Generated from the world's tables: do not edit.",
    "#ifndef WORLD_DATA_H",
    "#define WORLD_DATA_H\n",
    "#include <stdint.h>\n",
  ]
  lines += [f"#define {name} {value}" for name, value in numbers.items()]
  lines.append("")
  lines += [
    f"extern const uint8_t text_{key}[];" for key in _short_texts(tables)
  ]
  return "\n".join([*lines, "\n#endif", ""])


def c_source(world: rom_banks.World) -> str:
  """The text of `world_data.c`."""
  tables = world.tables
  code = [
    "// Generated from the world's tables: do not edit.",
    '#include "world_data.h"\n\n#include "world_full.h"\n',
  ]
  for key, data in _short_texts(tables).items():
    code.append(_array(f"text_{key}", data))
  types = tables.names("types")
  factors = {
    (e["attacker"], e["defender"]): int(2 * e["factor"])
    for e in tables.entries("effective")
  }
  grid = bytes(factors.get((a, d), 2) for a in types for d in types)
  code.append(_array("effects", grid))
  places = [(0, 0), *world.map_places]
  code.append(_places("map_places", places))
  code.append(_places("tileset_places", world.tileset_places))
  rows = []
  for item in tables.entries("items"):
    name = generator.encode(item["name"]) + bytes([generator.TEXT_END])
    name = name.ljust(11, bytes([generator.TEXT_END]))
    numbers = [item["id"], KINDS.index(item["kind"]), item["price"]]
    numbers.append(item.get("heal", 0))
    letters = ", ".join(f"0x{byte:02X}" for byte in name)
    rows.append(f"  {{{{{letters}}}, {', '.join(map(str, numbers))}}}")
  code.append("const Item items[] = {\n" + ",\n".join(rows) + "\n};\n")
  factor = tables.table["battle"]["xp_factor"]
  levels = [factor * n * n for n in range(generator.MAX_LEVEL + 2)]
  if levels[-1] > 0xFFFF:
    raise ValueError(f"xp_factor {factor}: XP beyond 16 bits")
  listed = ", ".join(map(str, levels))
  code.append(f"const uint16_t xp_of_level[] = {{{listed}}};\n")
  rows = [
    f"  {{{place.id}, {', '.join(map(str, place.table['respawn']))}}}"
    for place in tables.places.values()
    if "respawn" in place.table
  ]
  rows.append("  {0, 0, 0}")  # ends the table
  code.append("const Respawn respawns[] = {\n" + ",\n".join(rows) + "\n};\n")
  return "\n".join(code)


def _array(name: str, data: bytes) -> str:
  listed = ", ".join(f"0x{byte:02X}" for byte in data)
  return f"const uint8_t {name}[] = {{{listed}}};\n"


def _places(name: str, places: list[tuple[int, int]]) -> str:
  rows = ", ".join(f"{{{bank}, 0x{at:04X}}}" for bank, at in places)
  return f"const Place {name}[] = {{{rows}}};\n"
