"""The directory of one run: what it was told, what it did, what came out.

    DIR/config.json meta.json metrics.jsonl tb/ checkpoints/ log.txt result.json

The same command on the same directory resumes. A directory of another
configuration is refused with the fields that differ; `result.json` exists
once the run is complete.
"""

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
import contextlib
import errno
import json
import math
import os
import pathlib
import platform
import secrets
import shlex
import signal
import sys
import threading
import time
from typing import Any
from typing import TextIO

from data_tools.system import files
from data_tools.system import locks
from experiments.machine import numbers
from experiments.machine import provenance
from experiments.outputs import about as about_lib
from experiments.outputs import folding
from experiments.outputs import screen
from experiments.outputs import trackers
from experiments.runs import comparing
from experiments.runs import continuing
from experiments.runs import json_store
from experiments.runs import metrics
from experiments.runs import shipped
from pokedreamer_jax import json_files
from pokedreamer_jax import whole_files

# Set in the environment of a stage that another entry point has started.
PARENT_VARIABLE = "POKEDREAMER_PARENT"

# Signals that ask a run to save and leave: Ctrl-C, an orderly end, and the end
# of the terminal.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_held_locks: dict[str, locks.Lock] = {}  # path -> of this process
# What file systems without links answer.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_HALF_WRITTEN_S = 5.0
# SLURM tells a job that it takes the place of SIGTERM twice within a moment,
# once its step and once all that belongs to it.
_ECHO_S = 5.0


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
    self.free: Collection[str] | None = None  # set by `open_run`
    self.resume_step: int | None = None  # of `--resume_step`
    self._writer = writer
    self._writer.about = self.about
    self._noted_devices = False
    self._signal: int | None = None
    self._asked_s = 0.0  # when it came
    self._stores: list[Any] = []
    self._log_failed = False
    self._open = contextlib.ExitStack()  # what `close` ends

  @property
  def screen(self) -> TextIO:
    """Where progress is shown."""
    return sys.stdout

  def log(self, text: str) -> None:
    """Prints a line and keeps it in `log.txt`, as far as either works."""
    print(folding.for_stream(text, sys.stdout), flush=True)
    self.keep(text)

  def keep(self, text: str) -> None:
    """Adds a line to `log.txt` alone; that it failed is said once."""
    path = self.path / "log.txt"
    try:
      with open(path, "ab", buffering=0) as file:
        # Names of files need not be UTF-8.
        file.write((text + "\n").encode("utf-8", "backslashreplace"))
    except OSError as error:
      if not self._log_failed:
        self._log_failed = True
        print(f"Note: {path}: {error.strerror}; lines are missing there")

  def metrics(self, step: int, values: Mapping[str, float]) -> None:
    """Records scalars at a step, in JSON lines and TensorBoard."""
    self._writer.write(step, values)

  def about(self) -> about_lib.About:
    """What this run is, for those who show it."""
    meta = json_store.read_json(self.path / "meta.json")
    start = (meta.get("starts") or [{}])[-1]
    versions = [f"{n} {v}" for n, v in start.get("versions", {}).items()]
    facts = {
      "commit": str(start.get("commit", "unknown")),
      "command": str(start.get("command", "")),
      "devices": ", ".join(start.get("devices") or numbers.devices()),
      "python": str(start.get("python", "")),
      "platform": str(start.get("platform", "")),
      "versions": ", ".join(versions),
    }
    name = f"{self.path.parent.name}/{self.path.name}"
    return about_lib.About(name, self.stage, self.config, facts)

  def track(self, names: Iterable[str]) -> None:
    """Shows what is recorded from here on in trackers, see `outputs.trackers`.

    Their names for the run are kept, so that a process that resumes goes on.

    Raises:
      ValueError: a tracker is not installed, or refuses.
    """
    known = json_store.read_json(self.path / "meta.json").get("trackers", {})
    for name in names:
      began = str(known.get(name, ""))
      tracker = trackers.begin(name, self.path, self.about(), began)
      self._writer.add_tracker(tracker)
      known = {**known, name: tracker.run_id}
      self.note(trackers=known)

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
      steps = whole_files.steps(self.path / "checkpoints")[0]
      older = (
        f" If the same happens each time this run goes on from {steps[-1]}, go "
        f"on from an older checkpoint with --resume_step={steps[-2]}."
        if len(steps) > 1
        else ""
      )
      raise Failed(
        f"update {step}: {', '.join(bad)} not finite; the last good checkpoint "
        f"stays in {self.path / 'checkpoints'}. A lower learning rate may "
        f"help, in another --workdir.{older}"
      )

  def truncate_metrics(self, step: int) -> None:
    """Drops the metrics after `step`, when resuming from there."""
    self._writer.truncate(step)

  def checkpoints(self, keep: int = 2, **kwargs: Any):
    """The run's `pokedreamer_jax.checkpoints.Store`; imports jax.

    It goes on from `resume_step`, and says what it leaves out.
    """
    from pokedreamer_jax import checkpoints

    self.note_devices()
    writer = self._writer

    class Store(checkpoints.Store):
      """Metrics last through a power cut where their checkpoint does."""

      def save(self, *args: Any, **kwargs: Any) -> None:
        writer.sync()
        super().save(*args, **kwargs)

    store = Store(
      self.path / "checkpoints",
      keep=keep,
      about={
        "stage": self.stage,
        "config": self.config,
        "config_sha256": whole_files.seal(self.config)[whole_files.SEAL],
        "data": self.config.get("generation", ""),
      },
      check=self._check_about,
      resume_step=self.resume_step,
      **kwargs,
    )
    self._stores.append(store)
    for line in store.remarks:
      self.log(line)
    return store

  def _check_about(self, listed: Mapping[str, Any]) -> None:
    """Refuses a checkpoint that was saved under another configuration."""
    if self.free is None:
      return
    old = {"stage": listed["stage"], **listed["config"]}
    new = {"stage": self.stage, **self.config}
    comparing.check_same(self.path / "checkpoints", old, new, self.free)

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
    json_store.write_json(self.path / "result.json", whole_files.seal(result))

  def note(self, **facts: Any) -> None:
    """Adds facts to `meta.json`, such as a data fingerprint."""
    meta = json_store.read_json(self.path / "meta.json")
    meta.update(facts)
    json_store.write_json(self.path / "meta.json", meta)

  def note_devices(self) -> None:
    """Records what jax runs on, once it is awake; says where it was other.

    Called where a run opens its checkpoints and where it ends.
    """
    starts = json_store.read_json(self.path / "meta.json").get("starts", [])
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
    """Whether one of `STOPPING` asks to save and leave."""
    return bool(self.stop_signal)

  @property
  def stop_signal(self) -> int:
    """Number of the signal that asks to save and leave, 0 if there is none."""
    return self._signal or 0

  def listen(self, remarks: Iterable[str] = ()) -> None:
    """From here on the screen is not waited for, and remarks are logged.

    Args:
      remarks: what was to be said before.
    """
    self._open.enter_context(screen.hurry(self.keep))
    self._writer.say = self.log
    for text in remarks:
      self.log(text)

  def heed_signals(self) -> None:
    """From here on the signals of `STOPPING` set `stop_requested`.

    SIGHUP stays ignored where it is: `nohup` wants the run to go on.
    """
    if threading.current_thread() is threading.main_thread():
      for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
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

  def close(self, how: str = "") -> None:
    """Ends what is being written; others may use the directory then.

    A checkpoint that is under way when a run fails is completed.

    Args:
      how: the run ended, one of `outputs.trackers`, for those who show it.
    """
    while self._stores:
      self._stores.pop().close()
    self._writer.close()
    ended = trackers.FINISHED if self.finished else trackers.STOPPED
    self._writer.end_trackers(how or ended)
    self._open.close()
    lock = _held_locks.pop(str(self.path), None)
    if lock is not None:
      lock.close()

  def __enter__(self) -> "Run":
    return self

  def __exit__(self, kind: object, error: object, trace: object) -> None:
    orderly = error is None or isinstance(error, Stopped)
    self.close("" if orderly else trackers.BROKEN)

  def _request_stop(self, number: int, frame: object) -> None:
    del frame
    if self._signal is not None and number == signal.SIGHUP:
      return  # shell and kernel both tell that a terminal is gone
    if number == self._signal == signal.SIGTERM:
      if time.monotonic() - self._asked_s < _ECHO_S:
        return
    if self._signal not in (None, signal.SIGHUP):
      # A second time: at once, without saving.
      signal.signal(number, signal.SIG_DFL)
      os.kill(os.getpid(), number)
      return
    self._signal = number
    self._asked_s = time.monotonic()
    screen.tell_at_once(
      b"\nStopping after this step, saving; again to stop at once.\n"
    )


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
  path = _make(workdir)
  # Through JSON, so that tuples are the lists that will be read back.
  values: dict[str, Any] = json.loads(json.dumps(dict(config)))
  _lock(path)
  config_path = path / "config.json"
  new = {"stage": stage, **values}
  said = []
  if not config_path.exists():
    continuing.check_new(path)
    json_store.write_json(config_path, whole_files.seal(new))
  else:
    old = json_store.read_whole(config_path)
    changed = comparing.check_same(path, old, new, free)
    continuing.check_amount(path, stage, old, new)
    if changed or not (path / "result.json").exists():
      said = _check_numbers(path)
    if changed:
      (path / "result.json").unlink(missing_ok=True)
      json_store.write_json(config_path, whole_files.seal(new))
  _write_meta(path)
  remarks: list[str] = []
  run = Run(path, stage, values, metrics.Writer(path, remarks.append))
  run.listen(remarks)
  run.free = free
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
  path = _make(workdir)
  values = json.loads(json.dumps({"stage": stage, **config}))
  shared = path / "config.json"
  if not shared.exists():
    continuing.check_new(path)
    own = path / f"config.json.{secrets.token_hex(4)}.tmp"
    files.remove_abandoned(path, "config.json.*")
    try:
      json_store.write_json(own, whole_files.seal(values))
      _link(own, shared)
    except FileExistsError:
      pass
    finally:
      own.unlink(missing_ok=True)
  comparing.check_same(path, _read_shared(shared), values, free)


def _link(own: pathlib.Path, shared: pathlib.Path) -> None:
  """Gives a file a second name, whole, and only for the first that asks.

  Where the file system has no links the first one writes the file there, and
  others may see half of it for a moment.
  """
  try:
    os.link(own, shared)
  except OSError as error:
    if error.errno not in _NO_LINKS:
      raise
    with open(shared, "x", encoding="utf-8") as file:
      file.write(own.read_text(encoding="utf-8"))
      file.flush()
      os.fsync(file.fileno())


def _read_shared(path: pathlib.Path) -> dict[str, Any]:
  """As `read_whole`, of a file that another process may be about to write."""
  end_s = time.monotonic() + _HALF_WRITTEN_S
  while True:
    try:
      return json_store.read_whole(path)
    except ValueError:
      if time.monotonic() > end_s:
        raise
    time.sleep(0.05)


def _make(workdir: str | pathlib.Path) -> pathlib.Path:
  """The directory, made if it is missing.

  Raises:
    ValueError: a library would not take its name.
  """
  path = pathlib.Path(workdir).absolute()
  try:
    str(path).encode("utf-8")
  except UnicodeEncodeError:
    raise ValueError(
      f"{path}: its name is no UTF-8, expected one that records and "
      "checkpoints can be written under"
    ) from None
  path.mkdir(parents=True, exist_ok=True)
  return path


def read_result(workdir: str | pathlib.Path) -> dict[str, Any]:
  """`result.json` of a run directory, empty if it is not complete."""
  return json_store.read_whole(pathlib.Path(workdir) / "result.json")


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
  path = shipped.find(workdir) / "config.json"
  if not path.exists():
    raise ValueError(
      f"{workdir}: not a run directory (no config.json){shipped.remark()}"
    )
  return json_store.read_whole(path)


def _lock(path: pathlib.Path) -> None:
  """Holds the directory until this process ends, however it ends."""
  if str(path) in _held_locks:
    return
  try:
    _held_locks[str(path)] = locks.Lock(path / ".lock")
  except locks.Taken:
    raise ValueError(f"{path}: another process is using it") from None


def _check_numbers(path: pathlib.Path) -> list[str]:
  """What decides numbers and differs from the last start; only to be said.

  Raises:
    ValueError: something differs that must not, and there are checkpoints.
  """
  starts = json_store.read_json(path / "meta.json").get("starts", [])
  if not starts or not continuing.steps(path):
    return []
  now = {"settings": numbers.settings(), "versions": provenance.versions()}
  refused, said = numbers.differences(starts[-1], now)
  if refused:
    raise ValueError(
      f"{path}: {', '.join(refused)} would change the numbers of a run that is "
      "under way, expected as before"
    )
  return said


def _write_meta(path: pathlib.Path) -> None:
  """Records how, where and with what each process of the run started."""
  meta = json_store.read_json(path / "meta.json")
  starts = meta.setdefault("starts", [])
  json_files.as_list(starts, f"{path / 'meta.json'}: starts").append(
    {
      "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
      "command": shlex.join(sys.orig_argv),
      "commit": provenance.commit(),
      "python": platform.python_version(),
      "platform": platform.platform(),
      "versions": provenance.versions(),
      "settings": numbers.settings(),
      "devices": [],  # until jax is awake: `Run.note_devices`
    }
  )
  json_store.write_json(path / "meta.json", meta)
