"""Makes the folder of a model to give away from a run directory."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import os
import pathlib
import re
import secrets
import shlex
import shutil
from typing import Any

from experiments.machine import provenance
from experiments.runs import adoptions
from experiments.runs import inputs
from experiments.runs import json_store
from experiments.runs import run_directory
from experiments.runs import shipped
from pokedreamer_jax import whole_files

# What of each stage's checkpoints is given away: all that plays and dreams.
ITEMS = {
  "world_model": ("params",),
  "clone": ("world_model", "actor"),
  "policy": ("world_model", "actor", "critic"),
}
LOSSLESS = "float32"
RESULTS = "results.json"  # measurements that the card tells of
# Of a model that is given away, beside its card.
FILES = ("config.json", "model.safetensors", RESULTS, adoptions.FILE)

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,95}")
# A flag, of which some have a name before the path, as in --player=policy=DIR.
_FLAG = re.compile(r"(--[\w-]+=(?:[\w.]+=)?)?(.*)", re.DOTALL)


def check(directory: str, out: str | os.PathLike, name: str) -> None:
  """Looks at everything before anything is read.

  Raises:
    ValueError: a stage that is not given away, a bad name, or a folder that
      has something in it already.
  """
  stage = run_directory.read_stage(directory)
  if stage not in ITEMS:
    raise ValueError(
      f"--checkpoint={directory}: a run of {stage}, expected one of "
      f"{' or '.join(ITEMS)}"
    )
  if not _NAME.fullmatch(name):
    raise ValueError(
      f"--name={name!r}: expected lower-case letters, digits, '_', '-', '.'"
    )
  path = pathlib.Path(out)
  if path.exists() and (not path.is_dir() or any(path.iterdir())):
    raise ValueError(f"--out={out}: is there already, expected a new folder")


def facts(directory: str) -> dict[str, Any]:
  """How a run came about, without the machine's paths.

  Returns:
    `command`, `commit`, `time`, `devices`, `versions` of its first start, and
    `seed`; what an older run did not note is missing.
  """
  folder = shipped.find(directory)
  exported = run_directory.read_config(directory).get("exported", {})
  if exported:
    return dict(exported.get("made", {}))
  found = _first_start(folder)
  found["seed"] = run_directory.read_config(directory).get("seed", 0)
  return found


def facts_of_records(data_dir: str | os.PathLike) -> dict[str, Any]:
  """The same of a directory of records; {} where no run has made it."""
  folder = pathlib.Path(data_dir)
  found = _first_start(folder)
  if (folder / "config.json").exists():
    config = run_directory.read_config(folder)
    found |= {"seed": config["seed"]} if "seed" in config else {}
  return found


def _first_start(folder: pathlib.Path) -> dict[str, Any]:
  """How the first process of a run was started, as far as it was noted."""
  starts = json_store.read_json(folder / "meta.json").get("starts", [])
  first = starts[0] if starts else {}
  found = {
    name: first[name]
    for name in ("command", "commit", "time", "devices", "versions")
    if name in first
  }
  if "command" in found:
    found["command"] = without_paths(found["command"])
  return found


def without_paths(command: str) -> str:
  """A command with the last part of each absolute path alone."""
  return shlex.join(map(without_path, shlex.split(command)))


def without_path(word: str) -> str:
  """A word of a command, `--flag=/a/b` as `--flag=b`."""
  match = _FLAG.fullmatch(word)
  flag, value = (match.group(1) or "", match.group(2)) if match else ("", word)
  path = pathlib.PurePosixPath(value)
  return flag + (path.name if path.is_absolute() else value)


def mark(directory: str, step: int | None, dtype: str) -> dict[str, Any]:
  """Names the parameters after rounding, as `inputs.fingerprint` does.

  Without loss they are those of the run; rounded ones are others.
  """
  source = inputs.fingerprint(directory, step)
  if dtype == LOSSLESS:
    return source
  digest = hashlib.sha256(f"{source['config']} {dtype}".encode())
  return {"config": digest.hexdigest()[:16], "step": source["step"]}


def write(
  directory: str,
  out: str | os.PathLike,
  name: str,
  dtype: str,
  step: int | None = None,
  finish: Callable[[pathlib.Path], None] = lambda folder: None,
) -> dict[str, Any]:
  """Writes config.json and the arrays into a folder that is not there yet.

  It gets its name last: a run that is killed leaves no half of a model.

  Args:
    directory: run directory, or a model exported before.
    out: the folder.
    name: of the model.
    dtype: one of `model_folders.DTYPES`.
    step: which checkpoint; None is the latest.
    finish: called with the folder, to write what else belongs into it.

  Returns:
    The entry `exported`.

  Raises:
    ValueError: as `check`, or numbers that the dtype cannot hold.
  """
  import jax

  from pokedreamer_jax.interop import model_folders

  check(directory, out, name)
  stage = run_directory.read_stage(directory)
  source = inputs.fingerprint(directory, step)
  items = {
    item: jax.device_get(inputs.load_item(directory, item, source["step"]))
    for item in ITEMS[stage]
  }
  config = run_directory.read_config(directory)
  config.pop("exported", None)
  made = facts(directory)
  entry: dict[str, Any] = {}

  def fill(folder: pathlib.Path) -> None:
    entry.update(
      model_folders.write(
        folder,
        {"stage": stage, **config},
        items,
        {
          "name": name,
          "step": source["step"],
          "dtype": dtype,
          "mark": mark(directory, step, dtype),
          "source": source,
          "made": made,
          "exported_at_commit": provenance.commit(),
        },
      )
    )
    record = adoptions.read(directory)
    if record.adopted:  # what it was trained on after its first data
      adoptions.write(folder, record)
    finish(folder)

  in_one_go(out, fill)
  return entry


def copy(
  directory: str,
  out: str | os.PathLike,
  finish: Callable[[pathlib.Path], None] = lambda folder: None,
) -> dict[str, Any]:
  """Copies a model that was exported before, byte by byte; not its card.

  Args:
    directory: of the model.
    out: the folder, not there yet.
    finish: as of `write`.

  Returns:
    The entry `exported`.

  Raises:
    ValueError: it is damaged.
  """
  from pokedreamer_jax.interop import model_folders

  folder = shipped.find(directory)
  entry = model_folders.about(folder)
  _, digest = whole_files.file_digest(folder / model_folders.ARRAYS)
  if digest != entry["sha256"]:
    raise ValueError(
      f"{folder / model_folders.ARRAYS}: damaged, not the bytes that "
      f"{model_folders.CONFIG} names"
    )

  def fill(target: pathlib.Path) -> None:
    for name in FILES:
      if (folder / name).exists():
        shutil.copyfile(folder / name, target / name)
    finish(target)

  in_one_go(out, fill)
  return entry


def in_one_go(
  out: str | os.PathLike, fill: Callable[[pathlib.Path], None]
) -> None:
  """Makes a folder that gets its name last, filled or not at all.

  Args:
    out: the folder; what is there already has to be an empty one.
    fill: called with the folder under another name.
  """
  path = pathlib.Path(out).absolute()
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
  temporary.mkdir()
  try:
    fill(temporary)
    if path.exists():
      path.rmdir()  # empty, as whoever calls has seen
    temporary.rename(path)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def measurements(
  given: Sequence[str], rounded: Mapping[str, Any], source: Mapping[str, Any]
) -> list[dict[str, Any]]:
  """Results of `evaluate` on a model, for its card.

  Args:
    given: directories of `evaluate`, one a measurement.
    rounded: the `mark` of the parameters that are given away.
    source: that of the run's.

  Returns:
    For each `what`, `player` (its name there), `result`, and `rounded`:
    whether the exported parameters were measured, or those of its run.

  Raises:
    ValueError: something else, not finished, or of another model.
  """
  found = []
  for item in given:
    stage = run_directory.read_stage(item)
    if not stage.startswith("evaluate_"):
      raise ValueError(f"--result={item}: a run of {stage}, expected evaluate")
    result = run_directory.read_result(item)
    if not result:
      raise ValueError(f"--result={item}: not finished, expected result.json")
    config = run_directory.read_config(item)
    marks = dict(config.get("players") or {"": config.get("world_model")})
    mine = [n for n, m in marks.items() if m == rounded]
    mine += [n for n, m in marks.items() if m == source]
    if not mine:
      raise ValueError(
        f"--result={item}: measured on {marks}, expected this model's "
        f"{dict(rounded)} or {dict(source)}"
      )
    player = mine[0]
    found.append(
      {
        "what": stage.removeprefix("evaluate_"),
        "player": player,
        "rounded": marks[player] == rounded,
        "seed": config.get("seed", 0),
        "command": facts(item).get("command", ""),
        "result": result,
      }
    )
  return found


def add_results(directory: str, measured: list[dict[str, Any]]) -> None:
  """Writes measurements beside the model, for tests and for other cards."""
  path = pathlib.Path(directory) / RESULTS
  json_store.write_json(path, whole_files.seal({"measured": measured}), 1)


def read_results(directory: str) -> list[dict[str, Any]]:
  """What `add_results` wrote; nothing where nothing was measured.

  Raises:
    ValueError: it is damaged.
  """
  values = json_store.read_whole(shipped.find(directory) / RESULTS)
  return list(values.get("measured", []))
