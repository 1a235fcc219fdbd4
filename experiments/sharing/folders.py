"""What goes to a repository of the Hub: a model's folder, or records.

    WORKDIR/model/    config.json model.safetensors README.md ...
    WORKDIR/dataset/  README.md preview/

Both are made anew by every call, from the same input with the same bytes.
Shards are not copied: they travel from where they lie.
"""

from collections.abc import Sequence
import dataclasses
import os
import pathlib
import shutil
from typing import Any

from data_tools import cartridge
from data_tools.game import roms
from experiments.reports import dataset_card
from experiments.reports import model_card
from experiments.runs import exporting
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.runs import shipped
from experiments.sharing import preview

MODEL, DATASET = "model", "dataset"
CARD = "README.md"
FOREIGN_FLAG = "--foreign_pictures"
_DEFAULT_DTYPE = "float16"


@dataclasses.dataclass(frozen=True)
class File:
  """One file and its name in the repository."""

  name: str  # with slashes
  path: pathlib.Path

  @property
  def size_bytes(self) -> int:
    return self.path.stat().st_size


@dataclasses.dataclass(frozen=True)
class Shipment:
  """Everything that one repository shall hold."""

  kind: str  # MODEL or DATASET
  repo: str  # user/name
  folder: pathlib.Path  # of what was written for it
  files: tuple[File, ...]  # the card last
  notes: tuple[str, ...] = ()

  @property
  def size_bytes(self) -> int:
    return sum(file.size_bytes for file in self.files)


def model(
  directory: str,
  workdir: pathlib.Path,
  repo: str,
  command: str,
  dtype: str | None = None,
  step: int | None = None,
  results: Sequence[str] = (),
  foreign: bool = False,
) -> Shipment:
  """Writes a model's folder.

  Args:
    directory: run directory, or a model that was exported before: its arrays
      travel as they are, unless another dtype is asked for.
    workdir: the folder is made in it.
    repo: user/name.
    command: that this is, for the card.
    dtype: what numbers are rounded to; None is float16, or that of the export.
    step: which checkpoint; None is the latest.
    results: directories of `evaluate`, for the card.
    foreign: whether pictures of other games than ours may be in it.

  Raises:
    ValueError: as `exporting.check` and `exporting.measurements`, a game that
      is not ours, or something else lies where the folder shall.
  """
  config = run_directory.read_config(directory)
  if not foreign:
    _refuse_foreign_model(directory, config)
  exported = config.get("exported", {})
  dtype = dtype or exported.get("dtype", _DEFAULT_DTYPE)
  name = repo.partition("/")[2].lower()
  out = workdir / MODEL
  if out.resolve() == shipped.find(directory).resolve():
    raise ValueError(
      f"--checkpoint={directory}: the folder that this command makes itself, "
      "expected what it was made from, or another --workdir"
    )
  _clear(out, (*exporting.FILES, CARD))
  exporting.check(directory, out, name)
  measured = exporting.measurements(
    results,
    exporting.mark(directory, step, dtype)
    if dtype != exported.get("dtype")
    else inputs.fingerprint(directory, step),
    inputs.fingerprint(directory, step),
  )
  if exported:
    same = dtype == exported["dtype"]
    known = exporting.read_results(directory)
    measured = [
      *({**one, "rounded": bool(one["rounded"]) and same} for one in known),
      *measured,
    ]

  def finish(folder: pathlib.Path) -> None:
    if measured:
      exporting.add_results(str(folder), measured)
    model_card.write(folder, measured, command, f"hf://{repo}")

  if exported and dtype == exported["dtype"]:
    exporting.copy(directory, out, finish)
  else:
    exporting.write(directory, out, name, dtype, step, finish)
  notes = () if measured else ("the card tells no numbers: give --result",)
  return Shipment(MODEL, repo, out, _files(out), notes)


def records(
  data_dir: str,
  workdir: pathlib.Path,
  repo: str,
  max_files: int = 0,
  frames: int = preview.FRAMES,
  foreign: bool = False,
) -> Shipment:
  """Writes the card and the preview of records, and lists their shards.

  Args:
    data_dir: directory of the records; nothing is written there.
    workdir: the folder is made in it.
    repo: user/name.
    max_files: shards to take, the first by name; 0 is all.
    frames: pictures of the preview.
    foreign: whether pictures of other games than ours may be in it.

  Raises:
    ValueError: no records, records of a game that is not ours, or something
      else lies where the folder shall.
  """
  from data_tools.records import generations

  generation = generations.gather(data_dir, max_shards=max_files)
  if not foreign:
    _refuse_foreign_records(data_dir, generation)
  out = workdir / DATASET
  _clear(out, (CARD, preview.FOLDER))

  def fill(folder: pathlib.Path) -> None:
    count = preview.write(folder / preview.FOLDER, generation, frames)
    dataset_card.write(
      folder, generation, repo, exporting.facts_of_records(data_dir), count
    )

  exporting.in_one_go(out, fill)
  notes = tuple(f"left out: {item}" for item in generation.skipped)
  files = (*_recorded(generation), *_files(out))
  return Shipment(DATASET, repo, out, files, notes)


def _recorded(generation: Any) -> list[File]:
  """Shards with their manifests, and the states that episodes start from."""
  from data_tools.game import save_states
  from data_tools.records import generations
  from data_tools.records import shards
  from data_tools.records import start_mix

  data_dir, found = generation.data_dir, []
  for shard in generation.shards:
    path = data_dir / generations.SHARDS_DIR / shard.name
    found += [path, path.with_suffix(shards.MANIFEST_SUFFIX)]
  starts = {e.header.start_state_sha1 for _, e in generation.episodes()}
  for sha1 in sorted(starts - {""}):
    if start_mix.is_kept(data_dir, sha1):
      folder = data_dir / start_mix.STATES_DIR
      found.append(save_states.state_path(folder, sha1))
      found.append(folder / (sha1 + save_states.STAMP_SUFFIX))
  return [File(path.relative_to(data_dir).as_posix(), path) for path in found]


def _files(folder: pathlib.Path) -> tuple[File, ...]:
  """What lies in a folder and the folders in it; the card last."""
  found = [
    File(path.relative_to(folder).as_posix(), path)
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  ]
  return tuple(sorted(found, key=lambda file: file.name == CARD))


def _clear(folder: pathlib.Path, names: Sequence[str]) -> None:
  """Removes what an earlier call has written.

  Raises:
    ValueError: something else is there.
  """
  if not os.path.lexists(folder):
    return
  others = (
    sorted({path.name for path in folder.iterdir()} - set(names))
    if folder.is_dir() and not folder.is_symlink()
    else [folder.name]
  )
  if others:
    raise ValueError(
      f"{folder}: {others[0]!r} lies there, expected nothing or what this "
      "command has written"
    )
  shutil.rmtree(folder)


def _refuse_foreign_model(directory: str, config: dict[str, Any]) -> None:
  """Raises ValueError where a model has seen another game, or may have."""
  foreign = model_card.foreign_roms(config)
  if foreign or not config.get("roms"):
    seen = (
      f"trained on the ROM with SHA-1 {' and '.join(foreign)}, which is no "
      "practice cartridge"
      if foreign
      else "which game it was trained on is not recorded"
    )
    raise ValueError(f"--checkpoint={directory}: {seen}; {_rights('tiles')}")


def _refuse_foreign_records(data_dir: str, generation: Any) -> None:
  """Raises ValueError where an episode shows another game."""
  foreign: dict[tuple[str, str], int] = {}
  for _, entry in generation.episodes():
    header = entry.header
    if header.rom_kind != roms.PRACTICE or not cartridge.world(header.rom_sha1):
      key = (header.rom_sha1, header.rom_kind)
      foreign[key] = foreign.get(key, 0) + 1
  for (sha1, kind), count in foreign.items():
    raise ValueError(
      f"--data_dir={data_dir}: {count} episodes show the ROM with SHA-1 {sha1} "
      f"({kind}), which is no practice cartridge; {_rights('frames')}"
    )


def _rights(what: str) -> str:
  return (
    f"its {what} are not yours to give away, expected practice cartridges "
    f"alone, or {FOREIGN_FLAG} where you hold the rights"
  )
