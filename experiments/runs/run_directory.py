"""The directory of one run: what it was told, what it did, what came out.

    DIR/config.json meta.json metrics.jsonl tb/ checkpoints/ log.txt result.json

The same command on the same directory resumes. A directory of another
configuration is refused with the fields that differ; `result.json` exists
once the run is complete.
"""

from collections.abc import Collection
from collections.abc import Mapping
import fcntl
import json
import math
import os
import pathlib
import platform
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from typing import Any
from typing import TextIO

from experiments.runs import continuing
from experiments.runs import metrics
from experiments.runs import numbers
from pokedreamer_jax.config import run as config_lib

# Set in the environment of a stage that another entry point has started.
PARENT_VARIABLE = "POKEDREAMER_PARENT"

_PACKAGES = (
  *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain"),
  *("array_record", "pyboy", "safetensors", "av", "pillow"),
)
_MISSING = object()
_held_locks: dict[str, int] = {}  # path -> open file of this process


class Stopped(Exception):
  """The run was asked to stop and has saved; carries the exit code."""

  def __init__(self, message: str, exit_code: int):
    super().__init__(message)
    self.exit_code = exit_code


class Failed(Exception):
  """The run cannot go on, through no fault of the input or the program."""


class Run:
  """An open run directory. Made by `open_run`."""

  def __init__(
    self,
    path: pathlib.Path,
    stage: str,
    config: dict[str, Any],
    writer: metrics.Writer,
  ):
    self.path = path
    self.stage = stage
    self.config = config
    self._writer = writer
    self._noted_devices = False
    self._signal: int | None = None
    self._stores: list[Any] = []

  @property
  def screen(self) -> TextIO:
    """Where progress is shown."""
    return sys.stdout

  def log(self, text: str) -> None:
    """Prints a line and keeps it in `log.txt`."""
    print(text, flush=True)
    with open(self.path / "log.txt", "a", encoding="utf-8") as file:
      file.write(text + "\n")

  def metrics(self, step: int, values: Mapping[str, float]) -> None:
    """Records scalars at a step, in JSON lines and TensorBoard."""
    self._writer.write(step, values)

  def image(self, step: int, name: str, path: pathlib.Path) -> None:
    """Shows a picture file of the run in TensorBoard."""
    from PIL import Image

    with Image.open(path) as picture:
      self._writer.image(step, name, picture)

  def check_finite(self, step: int, values: Mapping[str, float]) -> None:
    """Stops a run that has gone wrong, before it is saved.

    Args:
      step: the update that `values` are of.
      values: losses, and norms of the parameters that would be saved.

    Raises:
      Failed: a value is not finite; the line names it and the step.
    """
    bad = sorted(n for n, value in values.items() if not math.isfinite(value))
    if bad:
      raise Failed(
        f"update {step}: {', '.join(bad)} not finite; the last good checkpoint "
        f"stays in {self.path / 'checkpoints'}. A lower learning rate may "
        "help, in another --workdir."
      )

  def truncate_metrics(self, step: int) -> None:
    """Drops the metrics after `step`, when resuming from there."""
    self._writer.truncate(step)

  def checkpoints(self, keep: int = 2, **kwargs: Any):
    """The run's `pokedreamer_jax.checkpoints.Store`; imports jax."""
    from pokedreamer_jax import checkpoints

    self.note_devices()
    store = checkpoints.Store(self.path / "checkpoints", keep=keep, **kwargs)
    self._stores.append(store)
    return store

  @property
  def finished(self) -> bool:
    """Whether `finish` was reached under this configuration."""
    return (self.path / "result.json").exists()

  @property
  def result(self) -> dict[str, Any]:
    """What `finish` stored; empty before."""
    return read_result(self.path)

  def finish(self, result: Mapping[str, Any]) -> None:
    """Stores the result, which marks the run complete."""
    self.note_devices()
    self._writer.close()
    write_json(self.path / "result.json", dict(result))

  def note(self, **facts: Any) -> None:
    """Adds facts to `meta.json`, such as a data fingerprint."""
    meta = read_json(self.path / "meta.json")
    meta.update(facts)
    write_json(self.path / "meta.json", meta)

  def note_devices(self) -> None:
    """Records what jax runs on, once it is awake; says where it was other.

    Called where a run opens its checkpoints and where it ends.
    """
    starts = read_json(self.path / "meta.json").get("starts", [])
    found = numbers.devices()
    if self._noted_devices or not found or not starts:
      return
    self._noted_devices = True
    starts[-1]["devices"] = found
    self.note(starts=starts)
    said = numbers.other_devices(starts) if continuing.steps(self.path) else []
    if said:
      self.log(numbers.remark(said))

  @property
  def stop_requested(self) -> bool:
    """Whether Ctrl-C or SIGTERM asks to save and leave."""
    return self._signal is not None

  @property
  def stop_signal(self) -> int:
    """Number of the signal that asks to save and leave, 0 if there is none."""
    return self._signal or 0

  def heed_signals(self) -> None:
    """From here on Ctrl-C and SIGTERM set `stop_requested`."""
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, self._request_stop)

  def stopped(self, what_is_saved: str, number: int = 0) -> Stopped:
    """The exception to raise after saving because of `stop_requested`.

    Args:
      what_is_saved: such as "update 120 of 150".
      number: the signal that asked; 0 stands for the one to this process.
    """
    number = number or self._signal or signal.SIGINT
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    return Stopped(
      f"{self.stage}: stopped by {name}, saved at {what_is_saved}.",
      128 + number,
    )

  def close(self) -> None:
    """Ends what is being written; others may use the directory then.

    A checkpoint that is under way when a run fails is completed.
    """
    while self._stores:
      self._stores.pop().close()
    self._writer.close()
    lock = _held_locks.pop(str(self.path), None)
    if lock is not None:
      os.close(lock)

  def __enter__(self) -> "Run":
    return self

  def __exit__(self, *error: object) -> None:
    self.close()

  def _request_stop(self, number: int, frame: object) -> None:
    del frame
    if self._signal is not None:  # a second time: at once, without saving
      signal.signal(number, signal.SIG_DFL)
      os.kill(os.getpid(), number)
      return
    self._signal = number
    os.write(2, b"\nStopping after this step, saving; again to stop at once.\n")


def open_run(
  workdir: str | pathlib.Path,
  stage: str,
  config: Mapping[str, Any],
  free: Collection[str] = (),
  graceful: bool = True,
) -> Run:
  """Opens a run directory, new or to be resumed.

  Args:
    workdir: the directory; made if missing.
    stage: name of the stage, such as `world_model`.
    config: nested JSON-ready dictionary of all that decides the outcome.
    free: dotted names that may change on resume, such as `train.steps`; a
      name covers everything below it. Where one changed, an earlier
      `result.json` no longer counts and is removed. A field that an older
      directory lacks counts as its default in `pokedreamer_jax.config.run`.
    graceful: from here on Ctrl-C and SIGTERM set `Run.stop_requested`, which
      the stage has to look at. False leaves them to end the process at once,
      for stages that have nothing to save.

  Raises:
    ValueError: the directory belongs to another stage or configuration (the
      differing fields are listed), or nobody knows to which; it has done more
      than is asked for; another process uses it; or numbers would be decided
      otherwise (`numbers`). Nothing in it has changed then.
  """
  numbers.check()
  path = pathlib.Path(workdir).absolute()
  path.mkdir(parents=True, exist_ok=True)
  # Through JSON, so that tuples are the lists that will be read back.
  values: dict[str, Any] = json.loads(json.dumps(dict(config)))
  _lock(path)
  config_path = path / "config.json"
  new = {"stage": stage, **values}
  said = []
  if not config_path.exists():
    continuing.check_new(path)
    write_json(config_path, new)
  else:
    old = read_json(config_path)
    changed = check_same(path, old, new, free)
    continuing.check_amount(path, stage, old, new)
    if changed or not (path / "result.json").exists():
      said = _check_numbers(path)
    if changed:
      (path / "result.json").unlink(missing_ok=True)
      write_json(config_path, new)
  _write_meta(path)
  run = Run(path, stage, values, metrics.Writer(path))
  if said:
    run.log(numbers.remark(said))
  if graceful:
    run.heed_signals()
  return run


def claim(
  workdir: str | pathlib.Path,
  stage: str,
  config: Mapping[str, Any],
  free: Collection[str] = (),
) -> None:
  """Joins a directory that several processes share, each with a run below it.

  The first one leaves its configuration there, the others must have the same;
  no lock is taken.

  Raises:
    ValueError: the directory belongs to another stage or configuration, or
      nobody knows to which.
  """
  path = pathlib.Path(workdir).absolute()
  path.mkdir(parents=True, exist_ok=True)
  values = json.loads(json.dumps({"stage": stage, **config}))
  shared = path / "config.json"
  if not shared.exists():
    continuing.check_new(path)
    own = path / f"config.json.{secrets.token_hex(4)}.tmp"
    try:
      write_json(own, values)
      os.link(own, shared)  # whole, and only for the first one
    except FileExistsError:
      pass
    finally:
      own.unlink(missing_ok=True)
  check_same(path, read_json(shared), values, free)


def read_result(workdir: str | pathlib.Path) -> dict[str, Any]:
  """`result.json` of a run directory, empty if it is not complete."""
  return read_json(pathlib.Path(workdir) / "result.json")


def read_config(workdir: str | pathlib.Path) -> dict[str, Any]:
  """`config.json` of a run directory, without the stage's name.

  Raises:
    ValueError: it is not a run directory.
  """
  values = _read_run(workdir)
  values.pop("stage", None)
  return values


def read_stage(workdir: str | pathlib.Path) -> str:
  """The stage that a run directory belongs to, such as "world_model".

  Raises:
    ValueError: it is not a run directory.
  """
  return str(_read_run(workdir).get("stage", ""))


def _read_run(workdir: str | pathlib.Path) -> dict[str, Any]:
  path = pathlib.Path(workdir) / "config.json"
  if not path.exists():
    raise ValueError(f"{workdir}: not a run directory (no config.json)")
  return read_json(path)


def config_differences(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
  """Dotted name, old and new value of every field that differs.

  A field that one side lacks shows as the text "absent".
  """
  old_fields, new_fields = _flatten(old), _flatten(new)
  differences = []
  for name in sorted({*old_fields, *new_fields}):
    before = old_fields.get(name, _MISSING)
    after = new_fields.get(name, _MISSING)
    if before != after:
      differences.append(
        (
          name,
          "absent" if before is _MISSING else before,
          "absent" if after is _MISSING else after,
        )
      )
  return differences


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a JSON file whole or not at all."""
  temporary = path.with_name(path.name + ".tmp")
  with open(temporary, "w", encoding="utf-8") as file:
    json.dump(value, file, indent=2)
    file.write("\n")
    file.flush()
    os.fsync(file.fileno())
  temporary.replace(path)
  _sync(path.parent)  # the name lasts as well


def _sync(folder: pathlib.Path) -> None:
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """A JSON object, empty if the file is missing."""
  if not path.exists():
    return {}
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except json.JSONDecodeError as error:
    raise ValueError(f"{path}: damaged JSON ({error})") from None


def check_same(
  path: pathlib.Path,
  old: Mapping[str, Any],
  new: Mapping[str, Any],
  free: Collection[str],
) -> bool:
  """Compares what a run directory records with what is asked for.

  Returns:
    Whether fields differ that are free to.

  Raises:
    ValueError: others differ; they are listed.
  """

  def is_free(name: str) -> bool:
    return any(name == item or name.startswith(item + ".") for item in free)

  every = config_differences({**_added_since(old, new), **_flatten(old)}, new)
  differences = [item for item in every if not is_free(item[0])]
  if differences:
    lines = [
      f"  {name}: there {before!r}, asked for {after!r}"
      for name, before, after in differences
    ]
    raise ValueError(
      f"{path} holds a run of another configuration:\n"
      + "\n".join(lines)
      + "\nGive the same values, or another --workdir."
    )
  return bool(every)


def _added_since(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, Any]:
  """Defaults of the fields that `new` has and an older version had not."""
  defaults = json.loads(json.dumps(config_lib.to_dict(config_lib.Config())))
  fields = _flatten(defaults)
  missing = _flatten(new).keys() - _flatten(old).keys()
  return {name: fields[name] for name in missing & fields.keys()}


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
  if not isinstance(value, Mapping):
    return {prefix: value}
  flat: dict[str, Any] = {}
  for name, inner in value.items():
    flat.update(_flatten(inner, f"{prefix}.{name}" if prefix else name))
  return flat


def _lock(path: pathlib.Path) -> None:
  """Holds the directory until this process ends, however it ends."""
  if str(path) in _held_locks:
    return
  lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError:
    os.close(lock)
    raise ValueError(f"{path}: another process is using it") from None
  _held_locks[str(path)] = lock


def _check_numbers(path: pathlib.Path) -> list[str]:
  """What decides numbers and differs from the last start; only to be said.

  Raises:
    ValueError: something differs that must not, and there are checkpoints.
  """
  starts = read_json(path / "meta.json").get("starts", [])
  if not starts or not continuing.steps(path):
    return []
  now = {"settings": numbers.settings(), "versions": versions()}
  refused, said = numbers.differences(starts[-1], now)
  if refused:
    raise ValueError(
      f"{path}: {', '.join(refused)} would change the numbers of a run that is "
      "under way, expected as before"
    )
  return said


def _write_meta(path: pathlib.Path) -> None:
  """Records how, where and with what each process of the run started."""
  meta = read_json(path / "meta.json")
  meta.setdefault("starts", []).append(
    {
      "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
      "command": shlex.join(sys.orig_argv),
      "commit": commit(),
      "python": platform.python_version(),
      "platform": platform.platform(),
      "versions": versions(),
      "settings": numbers.settings(),
      "devices": [],  # until jax is awake: `Run.note_devices`
    }
  )
  write_json(path / "meta.json", meta)


def versions() -> dict[str, str]:
  """Installed versions of the packages that matter."""
  return numbers.versions(_PACKAGES)


def commit() -> str:
  """The git commit of this code, "+" if changed, "unknown" without git."""
  root = pathlib.Path(__file__).resolve().parents[2]

  def git(*arguments: str) -> str:
    return subprocess.run(
      ["git", "-C", str(root), *arguments],
      capture_output=True,
      text=True,
      check=True,
      timeout=10,
    ).stdout.strip()

  try:
    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
  except (OSError, subprocess.SubprocessError):
    return "unknown"
