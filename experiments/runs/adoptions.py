"""The record of a run whose data grows: which generation from which update on.

    DIR/generations.json

The first generation stands in `config.json`. The record is replaced whole
before the first batch of a generation is read, and is never cut: a run that
resumes at an earlier update adopts the same generations at the same updates.
"""

import dataclasses
import pathlib
from typing import Any

from experiments.runs import json_store
from experiments.runs import shipped
from pokedreamer_jax import json_files
from pokedreamer_jax import whole_files

FILE = "generations.json"


@dataclasses.dataclass(frozen=True)
class Adoption:
  """A generation and its place in the sequence of batches."""

  update: int  # number of the first batch that comes from it
  generation: str  # digest
  source: str  # fingerprint of its batches


@dataclasses.dataclass(frozen=True)
class Record:
  """What a run has adopted after its first generation."""

  # Up to here it is settled what was adopted, where it was nothing too.
  looked_until: int = 0
  adopted: tuple[Adoption, ...] = ()  # ascending updates

  def at(self, update: int) -> Adoption | None:
    """What was adopted at an update."""
    return next((a for a in self.adopted if a.update == update), None)

  def before(self, update: int) -> list[Adoption]:
    """What the updates up to and including `update` were made from."""
    return [a for a in self.adopted if a.update < update]

  def after_look(self, update: int, adopted: Adoption | None) -> "Record":
    """The record with one more look at the data."""
    return Record(update, (*self.adopted, *([adopted] if adopted else ())))


def read(directory: str | pathlib.Path) -> Record:
  """The record of a run directory; of most runs there is none.

  Raises:
    ValueError: it is damaged.
  """
  path = shipped.find(directory) / FILE
  values = json_store.read_whole(path)
  if not values:
    return Record()
  adopted = json_files.as_list(values.get("adopted"), f"{path}: adopted")
  record = json_files.fill(Record, values | {"adopted": ()}, str(path))
  return dataclasses.replace(
    record,
    adopted=tuple(
      json_files.fill(Adoption, item, f"{path}: adopted") for item in adopted
    ),
  )


def write(directory: str | pathlib.Path, record: Record) -> None:
  """Replaces the record; it is on the disk when this returns."""
  values: dict[str, Any] = dataclasses.asdict(record)
  path = pathlib.Path(directory) / FILE
  json_store.write_json(path, whole_files.seal(values))
