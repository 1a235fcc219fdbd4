"""What a collection covers of its game, for `result.json` and for a person."""

from typing import Any

from experiments.reports import text_tables

Coverage = dict[str, Any]


def measure(generation: Any, rom: Any) -> Coverage:
  """Rows by map, story, badges and situation; episodes by start.

  Args:
    generation: a `data_tools.records.generations.Generation`.
    rom: a `data_tools.game.roms.Rom`; episodes of other games do not count.

  Returns:
    JSON-ready: `maps` with the number there is (`of`, 0 where nobody knows),
    `rows` by name, the most first, and the names `unseen`; `story_flags` and
    `badges` with rows by how many are set; `situations` with rows; `starts`
    with `episodes` and `rows` of each start state.
  """
  from data_tools.records import coverage

  counts = coverage.of_generation(generation, rom.sha1)
  known = rom.map_names
  rows = sorted(counts["maps"].items(), key=lambda item: -item[1])
  return {
    "maps": {
      "of": len(known),
      "rows": {known.get(int(i), f"map 0x{int(i):02X}"): n for i, n in rows},
      "unseen": [name for i, name in known.items() if str(i) not in dict(rows)],
    },
    "story_flags": counts["story_flags"],
    "badges": counts["badges"],
    "situations": counts["situations"],
    "starts": _starts(generation, rom.sha1),
  }


def lines(found: Coverage, has_ram_fields: bool = True) -> list[str]:
  """A short table of what `measure` found."""
  starts = ", ".join(
    f"{name} {start['episodes']}" for name, start in found["starts"].items()
  )
  if not has_ram_fields:
    return text_tables.wrap([f"episodes by start: {starts}"])
  maps = found["maps"]
  total = max(sum(found["situations"].values()), 1)
  of = f" of {maps['of']}" if maps["of"] else ""
  texts = [
    f"coverage: {len(maps['rows'])}{of} maps; story flags set "
    f"{_span(found['story_flags'])}; badges {_span(found['badges'])}",
    "rows by situation: "
    + ", ".join(
      f"{name} {rows / total:.1%}" for name, rows in found["situations"].items()
    ),
    "rows by map: "
    + ", ".join(f"{name} {rows:,}" for name, rows in maps["rows"].items()),
    f"episodes by start: {starts}",
  ]
  if maps["of"] and maps["unseen"] and maps["of"] < 256:
    texts.append(f"maps never seen: {', '.join(maps['unseen'])}")
  return text_tables.wrap(texts)


def _span(rows: dict[str, int]) -> str:
  """As `0 to 14 (9 of these numbers)`."""
  numbers = [int(name) for name in rows]
  if not numbers:
    return "none"
  low, high = min(numbers), max(numbers)
  text = f"{low} to {high}"
  if len(numbers) < high - low + 1:
    text += f" ({len(numbers)} of these numbers)"
  return text


def _starts(generation: Any, rom_sha1: str) -> dict[str, dict[str, int]]:
  """Episodes and rows of every start state, in the order of the game."""
  from data_tools.game import save_states
  from data_tools.game import start_states
  from data_tools.records import start_mix

  names = {"": start_mix.POWER_ON}
  for name in start_states.names(rom_sha1):
    stamp = save_states.read_stamp(start_states.find(name))
    if stamp is not None:
      names[stamp.state_sha1] = name
  found: dict[str, dict[str, int]] = {}
  for _, entry in generation.episodes():
    if entry.header.rom_sha1 != rom_sha1:
      continue
    start = found.setdefault(
      entry.header.start_state_sha1, {"episodes": 0, "rows": 0}
    )
    start["episodes"] += 1
    start["rows"] += entry.length
  order = {sha1: place for place, sha1 in enumerate(names)}
  return {
    names.get(sha1, sha1[:12]): found[sha1]
    for sha1 in sorted(found, key=lambda sha1: order.get(sha1, len(order)))
  }
