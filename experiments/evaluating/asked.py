"""What a measurement was asked for, and how its results are shown."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from experiments.reports import text_tables
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.runs import untrained
from pokedreamer_jax.config import run as config_lib


@dataclasses.dataclass(frozen=True)
class Asked:
  """Values of the flags of `experiments.evaluate`."""

  data_dir: str | None
  world_model: str | None
  ram: str | None
  all_data: bool
  players: tuple[str, ...]
  checkpoint_step: str
  rom: str | None
  other_rom: bool
  save_state: str | None
  planner_url: str
  planner_model: str
  knowledge: str

  def step(self, directory: str) -> int | None:
    """The checkpoint of a run that is measured."""
    return inputs.choose_step(directory, self.checkpoint_step)

  def named_players(self) -> dict[str, str]:
    """`parse_players` of those asked for."""
    return parse_players(self.players)

  def warnings(self, directories: Mapping[str, str]) -> dict[str, list[str]]:
    """`warnings` of what has hardly learned; nothing where all has."""
    found = [
      untrained.warning(directory, self.step(directory))
      for directory in directories.values()
      if directory
    ]
    found = [text for text in found if text]
    return {"warnings": found} if found else {}


def measured(config: config_lib.Config) -> dict[str, Any]:
  """What decides a measurement; what is filmed of it does not."""
  decides = config_lib.to_dict(config.evaluate)
  del decides["videos"]
  return decides


def parse_players(items: Sequence[str]) -> dict[str, str]:
  """Name -> run directory, empty for scripted policies.

  Raises:
    ValueError: none, the same name twice, or a name of neither kind.
  """
  from data_tools.players import policies

  players: dict[str, str] = {}
  for item in items:
    name, _, directory = item.partition("=")
    if name.partition(":")[0] in policies.NAMES:
      name, directory = item, ""
    elif not directory:
      raise ValueError(
        f"--player={item}: expected NAME=DIR or one of {list(policies.NAMES)}"
      )
    if name in players:
      raise ValueError(f"--player={item}: {name!r} is given twice")
    players[name] = directory
  if not players:
    raise ValueError("--player is required, such as --player=random")
  return players


def show(
  run: run_directory.Run,
  tables: Sequence[text_tables.Table],
  details: Sequence[text_tables.Table] = (),
  verdicts: Sequence[text_tables.Verdict] = (),
) -> None:
  """Prints tables and verdicts; details go to `table.txt` alone."""
  closing = text_tables.plain_verdicts(verdicts)
  path = run.path / "table.txt"
  whole = [*text_tables.plain_tables([*tables, *details]), *closing]
  path.write_text("\n".join(whole) + "\n")
  run.log("\n".join([*text_tables.plain_tables(tables), *closing]))
  if details:
    names = ", ".join(table.title.lower() for table in details)
    run.log("\n".join(text_tables.wrap([f"In {path} also: {names}."])))
