"""The directory of `experiments.record_demos`: logs, states and records.

`logs/<number>.inputs` is what was played, `start_states/` where it began,
`shards/` and `generations/` are the records, as in any data directory.
"""

import pathlib

from data_tools.collecting import demonstrations
from data_tools.game import emulator as emulator_lib
from data_tools.game import input_logs
from data_tools.game import roms
from data_tools.game import save_states
from data_tools.records import generations
from data_tools.records import shards
from experiments.runs import progress
from experiments.runs import run_directory


class Store:
  """The logs, states and records of one run directory."""

  def __init__(self, run: run_directory.Run, rom: roms.Rom):
    """Takes an open run directory and the game of all its demonstrations."""
    self._run, self._rom = run, rom
    self._logs = run.path / "logs"
    self._states = run.path / "start_states"
    self._shards = run.path / generations.SHARDS_DIR
    self._logs.mkdir(exist_ok=True)

  def keep_state(self, save_state: bytes | None, origin: str) -> None:
    """Keeps a copy: without it, its logs could not be played again."""
    if save_state is None:
      return
    sha1 = save_states.sha1(save_state)
    stamp = save_states.Stamp(
      name=sha1,
      rom_sha1=self._rom.sha1,
      pyboy_version=emulator_lib.pyboy_version(),
      state_sha1=sha1,
      made_by={"copy_of": origin},
    )
    save_states.write(self._states, stamp, save_state)

  def new_path(self) -> pathlib.Path:
    """A log file that is not there yet."""
    numbers = [
      int(path.stem)
      for path in self._logs.glob("*" + input_logs.LOG_SUFFIX)
      if path.stem.isdecimal()
    ]
    number = max(numbers, default=-1) + 1
    return self._logs / f"{number:05d}{input_logs.LOG_SUFFIX}"

  def add(self, log: input_logs.Log, save_state: bytes | None) -> None:
    """Takes a log from elsewhere, unless it is here already."""
    if log.digest in self._recorded():
      self._run.log(f"record: demonstration {log.digest} is here already")
      return
    path = self.new_path()
    input_logs.write(path, log)
    self.record(path)

  def recover(self) -> None:
    """Makes records of logs that an earlier call left without."""
    for stale in self._shards.glob("*" + shards.TEMPORARY_SUFFIX):
      stale.unlink()
    known = self._recorded()
    for path in sorted(self._logs.glob("*" + input_logs.LOG_SUFFIX)):
      try:
        log = input_logs.read(path)
      except ValueError as error:
        self._run.log(f"record: left out: {error}")
        continue
      if log.digest in known:
        continue
      if log.remark:
        self._run.log(f"record: {path.name}: {log.remark}")
      if len(log.actions):
        self._run.log(f"record: {path.name} was interrupted, recovering it")
        self.record(path)

  def record(self, path: pathlib.Path) -> None:
    """Makes the records of one log."""
    log = input_logs.read(path)
    if not len(log.actions):
      self._run.log(f"record: nothing was played in {path.name}")
      return
    save_state = None
    if log.header.start_state_sha1:
      save_state = emulator_lib.read_save_state(
        save_states.state_path(self._states, log.header.start_state_sha1),
        self._rom,
      )
    total = len(log.actions) + 1
    with progress.Progress("recording", total, "steps") as bar:
      entry = demonstrations.record(
        log, self._rom, save_state, self._shards, f"h{path.stem}", bar.update
      )
    left_over = total - entry.length
    self._run.log(
      f"record: {path.name}: {entry.length} steps"
      + (f", {left_over} more after the game was beaten" if left_over else "")
    )

  def report(self) -> int:
    """Sums up; returns the number of demonstrations."""
    entries = demonstrations.recorded(self._run.path)
    for line in demonstrations.coverage_lines(entries, self._rom):
      self._run.log(line)
    if entries:
      generation = generations.freeze(self._run.path)
      self._run.log(generation.report()[0])
      self._run.finish(
        {
          "episodes": generation.num_episodes,
          "steps": generation.num_steps,
          "steps_wanted": demonstrations.STEPS_WANTED,
          "bytes": generation.size_bytes,
          "generation": generation.digest,
        }
      )
    return len(entries)

  def _recorded(self) -> set[str]:
    return {
      entry.header.collection
      for entry in demonstrations.recorded(self._run.path)
    }


def read_log(
  path: str, rom: roms.Rom, save_state: bytes | None, seed: int = 0
) -> input_logs.Log:
  """Reads the log of an `--inputs` flag.

  Args:
    path: the file; without a header line it begins where `save_state` is.
    rom: the game.
    save_state: where it begins; None for power-on.
    seed: for the header of a log without one.

  Raises:
    ValueError: it is unreadable or empty, or cannot be played here.
  """
  default = input_logs.Header(
    rom_sha1=rom.sha1,
    pyboy_version=emulator_lib.pyboy_version(),
    start_state_sha1=emulator_lib.state_sha1(save_state),
    seed=seed,
    jitter_frames=0,
  )
  log = input_logs.read(path, default)
  try:
    demonstrations.check(log, rom, save_state)
  except ValueError as error:
    raise ValueError(f"--inputs={path}: {error}") from None
  if not len(log.actions):
    raise ValueError(f"--inputs={path}: no actions in it")
  return log
