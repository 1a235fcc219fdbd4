"""Knowledge for planners, made of a collection's records."""

import pathlib
from typing import Any

from data_tools.players import policies
from data_tools.records import experience
from data_tools.records import generations
from data_tools.records import loader
from experiments.runs import json_store
from pokedreamer_jax import whole_files
from pokedreamer_jax.planner import knowledge

FILE = "planner_knowledge.json"
_DEMONSTRATES = "demonstrator"  # behaviours of players that know the way


def learn(
  generation: generations.Generation, rom_sha1: str
) -> knowledge.Knowledge:
  """What the episodes of one cartridge teach, one episode in memory at a time.

  Raises:
    ValueError: there is no episode of the cartridge, or records are damaged.
  """
  return knowledge.from_json(values(generation, rom_sha1))


def write(
  generation: generations.Generation, rom_sha1: str, path: pathlib.Path
) -> knowledge.Knowledge:
  """`learn`, kept in a file that `knowledge.load` reads."""
  keep(values(generation, rom_sha1), path)
  return knowledge.load(path)


def keep(learned: dict[str, Any], path: pathlib.Path) -> None:
  """Writes what `values` gave to a file that `knowledge.load` reads."""
  json_store.write_json(path, whole_files.seal(learned), depth=2)


def values(generation: generations.Generation, rom_sha1: str) -> dict[str, Any]:
  """What `knowledge.from_json` reads; raises as `learn` does."""
  learned = experience.Experience()
  index = loader.EpisodeIndex(generation, "all", cache_bytes=0)
  found = False
  for place, header in enumerate(index.headers):
    if header.rom_sha1 != rom_sha1:
      continue
    found = True
    length = int(index.lengths[place])
    steps = index.read(place, 0, length, experience.FIELDS)
    # What began amid the game has not shown the milestones before.
    shows = not header.start_state_sha1
    shows &= header.behaviour.startswith(_DEMONSTRATES)
    shows = shows and not policies.is_lost(header.behaviour)
    learned.add(steps, shows)
  if not found:
    raise ValueError(
      f"records {generation.data_dir}: no episode of ROM {rom_sha1[:12]}, "
      "expected one at least"
    )
  return learned.to_dict(rom_sha1)
