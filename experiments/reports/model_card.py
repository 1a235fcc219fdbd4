"""The model card of an exported model, Markdown as the Hub reads it."""

from collections.abc import Mapping
from collections.abc import Sequence
import os
import pathlib
from typing import Any

from data_tools import cartridge
from experiments.reports import benchmarks
from experiments.reports import blind_tables
from experiments.reports import goal_tables
from experiments.reports import honesty_tables
from experiments.reports import long_dream_tables
from experiments.reports import play_progress
from experiments.reports import summary
from experiments.reports import text_tables
from experiments.runs import run_directory

_TABLES = {
  "world_model": lambda result: [summary.dream_table(result)],
  "play": lambda result: [
    summary.play_table(result),
    *play_progress.tables(result),
  ],
  "goals": goal_tables.tables,
  "dreams": honesty_tables.tables,
  "long_dream": long_dream_tables.tables,
  "blind": blind_tables.tables,
}
_KINDS = {
  "world_model": "a world model",
  "clone": "a world model and a policy cloned from demonstrations",
  "policy": "a world model, and a policy and its critic trained in its dreams",
}
_FRONT = """---
{licence}
library_name: pokedreamer_jax
pipeline_tag: reinforcement-learning
tags:
- world-model
- jax
- game-boy
---
"""


# How the Hub is told of a licence; the second where pictures are not ours.
LICENCE = "license: apache-2.0"
NOT_OURS = "license: other\nlicense_name: pictures-of-a-game-of-others"


def write(
  directory: str | os.PathLike,
  measured: Sequence[Mapping[str, Any]],
  command: str,
  address: str = "FOLDER",
) -> None:
  """Writes `README.md` into an exported model's folder.

  Args:
    directory: with its config.json.
    measured: of `exporting.measurements`.
    command: that exported it.
    address: what stands for it on a command line, such as `hf://user/name`.
  """
  directory = str(directory)
  config = run_directory.read_config(directory)
  stage = run_directory.read_stage(directory)
  exported = config["exported"]
  made = exported["made"]
  lines = [
    f"# {exported['name']}",
    "",
    f"{_KINDS[stage].capitalize()}, of pokedreamer_jax. It has learned "
    f"{_games(config)} from recorded play.",
    "",
    "## Use",
    "",
    "Wherever a run directory is taken, such as",
    "",
    *_fenced(
      f"python -m experiments.play_dream "
      f"--{'world_model' if stage == 'world_model' else 'policy'}={address}"
    ),
    *_needed(address),
    "",
    "## How it was made",
    "",
    *_fenced(made.get("command", "unknown: its run did not note it")),
    "",
    f"- preset `{config.get('preset', '')}`, seed {made.get('seed', 0)}, "
    f"{exported['step']:,} updates",
    f"- commit {made.get('commit', 'unknown')}, on "
    f"{', '.join(made.get('devices', ())) or 'an unknown device'}",
    *(
      f"- its {name}: {source.get('config')} at update {source.get('step')}"
      for name, source in (config.get("inputs") or {}).items()
    ),
    f"- exported at commit {exported['exported_at_commit']}:",
    "",
    *_fenced(command),
    "",
    f"Arrays: {exported['bytes']:,} bytes, floats rounded to "
    f"{exported['dtype']}, SHA-256 {exported['sha256']}. Mark "
    f"{exported['mark']['config']} at update {exported['mark']['step']}, "
    f"before rounding {exported['source']['config']}.",
    "",
    "## Measured",
    "",
  ]
  for one in measured:
    lines += _measured(one)
  kept = benchmarks.of_world_model(config, exported["source"])
  for file, table in kept:
    lines += [f"Of its world model, `benchmarks/{file}` holds:", ""]
    lines += markdown(table)
  if not measured and not kept:
    lines += ["Nothing yet: export again with `--result`.", ""]
  lines += [
    "## Limits",
    "",
    *(f"- {line}" for line in _limits(config)),
    "",
    "## Licence",
    "",
    "A dictionary of screen tiles and, with a map memory, the maps of the game "
    "are among the arrays. " + licence_line(not _is_ours(config)),
    "",
  ]
  front = _FRONT.format(licence=LICENCE if _is_ours(config) else NOT_OURS)
  text = front + "\n" + "\n".join(lines)
  path = pathlib.Path(directory) / "README.md"
  path.write_text(text, encoding="utf-8")


def notes(directory: str | os.PathLike) -> list[str]:
  """What whoever gives the model away should know."""
  config = run_directory.read_config(str(directory))
  foreign = foreign_roms(config)
  return [
    f"trained on the ROM with SHA-1 {sha1}, which is no practice cartridge: "
    "tiles of its pictures are among the arrays, and they are not yours to "
    "give away"
    for sha1 in foreign
  ]


def licence_line(foreign: bool) -> str:
  """What may be done with the pictures of a game, and with the rest."""
  if foreign:
    return (
      "The code is Apache-2.0; what shows the game is its maker's, and this "
      "licence does not give it away."
    )
  return (
    "Apache-2.0, as the code and the game, a practice cartridge of the project."
  )


def _is_ours(config: Mapping[str, Any]) -> bool:
  """Whether it is known to have seen practice cartridges alone."""
  return bool(config.get("roms")) and not foreign_roms(config)


def _needed(address: str) -> list[str]:
  if not address.startswith("hf:"):
    return []
  return [
    "",
    "It is downloaded once: JSON and safetensors, nothing that is executed. "
    "Needs the code and `pip install huggingface_hub`.",
  ]


def foreign_roms(config: Mapping[str, Any]) -> list[str]:
  """SHA-1 of the ROMs of a run that are no practice cartridges."""
  return [s for s in config.get("roms") or () if cartridge.world(s) is None]


def markdown(table: text_tables.Table) -> list[str]:
  """Lines of a table in Markdown, its title and note with it."""
  row = lambda cells: "| " + " | ".join(c.replace("|", "/") for c in cells)
  return [
    f"**{table.title}**",
    "",
    row(table.header) + " |",
    "|---" + "|---:" * (len(table.header) - 1) + "|",
    *(row(cells) + " |" for cells in table.rows),
    "",
    *([table.note, ""] if table.note else []),
  ]


def _games(config: Mapping[str, Any]) -> str:
  named = []
  for sha1 in config.get("roms") or ():
    world = cartridge.world(sha1)
    name = f"the practice cartridge {world.name}" if world else "a ROM"
    named.append(f"{name} (SHA-1 {sha1})")
  return " and ".join(named) or "a game"


def _measured(one: Mapping[str, Any]) -> list[str]:
  player = f", as `{one['player']}`" if one["player"] else ""
  whose = "these parameters" if one["rounded"] else "them before rounding"
  lines = [f"`evaluate --what={one['what']}` of {whose}{player}:", ""]
  lines += [*_fenced(one["command"]), ""] if one["command"] else []
  for table in _TABLES[one["what"]](one["result"]):
    lines += markdown(table)
  return lines


def _limits(config: Mapping[str, Any]) -> list[str]:
  model = config["world_model"]
  found = ["It knows the game that it was trained on and no other."]
  if model.get("ram") == "given":
    found.append(
      "It reads memory variables of the game beside the screen; "
      "`--ram=inferred` guesses them where an evaluation allows it."
    )
  found.append(
    "Dreams are right for seconds to minutes, not for ever; what was never "
    "recorded is dreamt as something else."
  )
  return found


def _fenced(text: str) -> list[str]:
  return ["```", text, "```"]
