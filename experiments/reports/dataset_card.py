"""The card of records on the Hub, Markdown as the Hub reads it."""

from collections.abc import Mapping
import pathlib
from typing import Any

from data_tools import cartridge
from data_tools.game import roms
from experiments.reports import collect_summary
from experiments.reports import model_card
from experiments.reports import text_tables
from pokedreamer_jax import specs

_FRONT = """---
{licence}
pretty_name: {name}
task_categories:
- reinforcement-learning
tags:
- world-model
- game-boy
- array-record
size_categories:
- {size}
configs:
- config_name: preview
  data_files:
  - split: train
    path: preview/*
---
"""
# As the Hub names sizes: below each of these.
_SIZES = (
  (10**3, "n<1K"),
  (10**4, "1K<n<10K"),
  (10**5, "10K<n<100K"),
  (10**6, "100K<n<1M"),
  (10**7, "1M<n<10M"),
)
_LARGEST = "10M<n<100M"


def write(
  folder: pathlib.Path,
  generation: Any,
  repo: str,
  made: Mapping[str, Any],
  pictures: int,
) -> None:
  """Writes `README.md`.

  Args:
    folder: there already.
    generation: a `data_tools.records.generations.Generation`.
    repo: user/name.
    made: of `exporting.facts_of_records`.
    pictures: of the preview.
  """
  headers = [entry.header for _, entry in generation.episodes()]
  sha1s = sorted({header.rom_sha1 for header in headers})
  foreign = any(cartridge.world(sha1) is None for sha1 in sha1s)
  steps, name = generation.num_steps, repo.partition("/")[2]
  front = _FRONT.format(
    licence=model_card.NOT_OURS if foreign else model_card.LICENCE,
    name=name,
    size=_size_category(steps),
  )
  lines = [
    f"# {name}",
    "",
    f"Recorded play of {_games(sha1s)}: {generation.num_episodes:,} episodes, "
    f"{steps:,} steps, {generation.size_bytes:,} bytes "
    f"({generation.size_bytes / steps:.0f} a step). Each step holds the frame "
    "(160 x 144 pixels of four shades, lossless), the memory of the game as "
    "named fields, the terms of the reward, and the button that was pressed.",
    "",
    "## Use",
    "",
    *_fenced(
      f"hf download {repo} --repo-type=dataset --local-dir=records\n"
      "python -m experiments.train_rssm --data_dir=records --workdir=model"
    ),
    "",
    "The code is pokedreamer_jax; docs/records.md tells how a shard is read. "
    f"Frozen, these are generation `{generation.digest}`, contents "
    f"`{generation.content_digest}`. `preview/` shows {pictures} rows as "
    "pictures and is read by nothing.",
    "",
    "## How it was made",
    "",
    *_fenced(made.get("command", "unknown: it was not noted")),
    "",
    f"- seed {made.get('seed', 'unknown')}, commit "
    f"{made.get('commit', 'unknown')}",
    f"- emulator PyBoy {_all(h.pyboy_version for h in headers)}, "
    f"{', '.join(made.get('devices') or ()) or 'on a CPU, not noted which'}",
    f"- records of version {_all(h.schema_version for h in headers)}; the same "
    "actions played again give the same frames",
    "",
    "## What is in it",
    "",
    *model_card.markdown(_players(generation)),
    *_coverage(generation, sha1s),
    "## Fields",
    "",
    *_fields(generation),
    "## Limits",
    "",
    "- Programs have played, no person; how often each does what is the mix's "
    "doing, not a person's habit.",
    "- One step is 24 frames of the game, of which a button is held for 8.",
    "- Which episodes are held out for validation is decided by their names, "
    "the same on every machine.",
    "- The preview is of rows drawn evenly over the episodes, not of all.",
    "",
    "## Licence",
    "",
    model_card.licence_line(foreign),
    "",
  ]
  (folder / "README.md").write_text(
    front + "\n" + "\n".join(lines), encoding="utf-8"
  )


def _games(sha1s: list[str]) -> str:
  named = []
  for sha1 in sha1s:
    world = cartridge.world(sha1)
    name = f"the practice cartridge {world.name}" if world else "a ROM"
    named.append(f"{name} (SHA-1 {sha1})")
  return " and ".join(named)


def _all(values: Any) -> str:
  return ", ".join(map(str, sorted(set(values))))


def _size_category(steps: int) -> str:
  for bound, name in _SIZES:
    if steps < bound:
      return name
  return _LARGEST


def _players(generation: Any) -> text_tables.Table:
  """Means over the episodes of each player."""
  rows = collect_summary.by_behaviour(generation)
  columns = list(next(iter(rows.values())))
  whole = ("episodes", "steps")
  return text_tables.Table(
    title="Players",
    header=["player", *columns],
    rows=[
      [
        name,
        *(f"{v:,.0f}" if c in whole else f"{v:.2f}" for c, v in row.items()),
      ]
      for name, row in rows.items()
    ],
    kinds=["strong"] * len(rows),
    note="Episodes and steps in all; the others are means of an episode.",
  )


def _coverage(generation: Any, sha1s: list[str]) -> list[str]:
  """A line for each game whose memory is read."""
  from data_tools.records import coverage

  lines = []
  for sha1 in sha1s:
    names = roms.map_names(sha1)
    if not names:
      continue
    counts = coverage.of_generation(generation, sha1)
    total = max(sum(counts["situations"].values()), 1)
    shown = ", ".join(
      f"{name} {rows / total:.1%}"
      for name, rows in counts["situations"].items()
    )
    lines += [
      f"{len(counts['maps'])} of {len(names)} maps; rows by situation: "
      f"{shown}.",
      "",
    ]
  return lines


def _fields(generation: Any) -> list[str]:
  """A table of all that a step holds, and which fields some steps lack."""
  lacking = generation.lacking
  lines = ["| field | shape | dtype | meaning |", "|---|---|---|---|"]
  for field in specs.STEP_FIELDS:
    if field.name not in lacking:
      shape = " x ".join(map(str, field.shape)) or "one"
      meaning = field.meaning.replace("|", "/")
      lines.append(f"| {field.name} | {shape} | {field.dtype} | {meaning} |")
  names = ", ".join(sorted(lacking))
  note = [f"Not in all episodes: {names}.", ""] if lacking else []
  return [*lines, "", *note]


def _fenced(text: str) -> list[str]:
  return ["```", text, "```"]
