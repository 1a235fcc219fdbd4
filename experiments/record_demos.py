"""Records demonstrations: a person plays in the terminal.

    python -m experiments.record_demos --workdir=demos

Keys: arrows (or h j k l) move; x or a: A; z or b: B; s or Enter: START;
space: wait; q: end. Every key is one agent step of 24 frames, and the game
waits for it; with --steps_per_s=2.5 it runs at the speed of a Game Boy, and
waits in the game where no key is pressed. A window of 160 columns and 74 rows
shows every pixel, a smaller one a smaller picture: make its font smaller.

The records are those of collect_data, marked as played by a human, and can be
given as --data_dir. Every action is on disk at once: a recording that is
interrupted, even by a lost connection or a crash, keeps what was played, and
the next call turns it into records. Ended by q, Ctrl-C or --most_steps, it
does so itself.

    python -m experiments.record_demos --workdir=demos --inputs=played.inputs

replays an input log instead: one action a line (down left right up a b start
pass); a first line in JSON, as in DIR/logs, says where it began.

    python -m experiments.record_demos --workdir=demos --report

only tells what is there: steps by map, and how far it is to 90,000 steps,
which are 10 hours of play.
"""

import pathlib
import time
from typing import Any

from experiments import cli
from experiments import progress
from experiments import run_directory

_WORKDIR = cli.string("workdir", None, "Directory of the demonstrations.")
_ROM = cli.string("rom", None, "ROM file; default: the practice cartridge.")
_SAVE_STATE = cli.string(
  "save_state", None, "State of make_state to start from; default: power-on."
)
_INPUTS = cli.repeated("inputs", "Input log to replay (repeatable).")
_REPORT = cli.boolean("report", False, "Only tell what is there.")
_SEED = cli.integer("seed", 0, "Decides the frames before the first step.")
_JITTER_FRAMES = cli.integer(
  "jitter_frames", 60, "Most frames to run before the first step."
)
_MOST_STEPS = cli.integer("most_steps", 100_000, "Ends a recording.")
_STEPS_PER_S = cli.string(
  "steps_per_s", "0", "Pace of the game; 0 waits for every key."
)

_POLL_S = 0.2  # how soon a request to stop is seen


def main() -> None:
  """Recovers, plays or replays, and sums up."""
  from data_tools import emulator as emulator_lib
  from data_tools import roms
  from experiments import terminal

  rom = roms.resolve(_ROM.value)
  save_state = emulator_lib.read_save_state(_SAVE_STATE.value, rom)
  pace = _pace()
  logs = [_read_log(path, rom, save_state) for path in _INPUTS.value or ()]
  screen = None
  if not logs and not _REPORT.value:
    screen = terminal.Terminal()
  run = run_directory.open_run(
    _WORKDIR.value or cli.workdir(),
    "record_demos",
    {"rom_sha1": rom.sha1, "pyboy_version": emulator_lib.pyboy_version()},
  )
  with run:
    store = _Store(run, rom)
    store.keep_state(save_state)
    store.recover()
    for log in logs:
      store.add(log, save_state)
    if screen is not None:
      path = store.new_path()
      why = _play(run, rom, save_state, screen, path, pace)
      run.log(f"record: {why}")
      store.record(path)
    entries = store.report()
    if run.stop_requested:
      raise run.stopped(f"{entries} demonstrations")


class _Store:
  """The logs, states and records of one run directory."""

  def __init__(self, run: run_directory.Run, rom: Any):
    from data_tools import generations

    self._run, self._rom = run, rom
    self._logs = run.path / "logs"
    self._states = run.path / "start_states"
    self._shards = run.path / generations.SHARDS_DIR
    self._logs.mkdir(exist_ok=True)

  def keep_state(self, save_state: bytes | None) -> None:
    """Keeps a copy: without it, its logs could not be played again."""
    from data_tools import emulator as emulator_lib
    from data_tools import save_states

    if save_state is None:
      return
    sha1 = save_states.sha1(save_state)
    stamp = save_states.Stamp(
      name=sha1,
      rom_sha1=self._rom.sha1,
      pyboy_version=emulator_lib.pyboy_version(),
      state_sha1=sha1,
      made_by={"copy_of": str(_SAVE_STATE.value)},
    )
    save_states.write(self._states, stamp, save_state)

  def new_path(self) -> pathlib.Path:
    """A log file that is not there yet."""
    from data_tools import demonstrations

    numbers = [
      int(path.stem)
      for path in self._logs.glob("*" + demonstrations.LOG_SUFFIX)
      if path.stem.isdecimal()
    ]
    number = max(numbers, default=-1) + 1
    return self._logs / f"{number:05d}{demonstrations.LOG_SUFFIX}"

  def add(self, log: Any, save_state: bytes | None) -> None:
    """Takes a log from elsewhere, unless it is here already."""
    from data_tools import demonstrations

    if log.digest in self._recorded():
      self._run.log(f"record: demonstration {log.digest} is here already")
      return
    path = self.new_path()
    demonstrations.write_log(path, log)
    self.record(path)

  def recover(self) -> None:
    """Makes records of logs that an earlier call left without."""
    from data_tools import demonstrations
    from data_tools import records

    for stale in self._shards.glob("*" + records.TEMPORARY_SUFFIX):
      stale.unlink()
    known = self._recorded()
    for path in sorted(self._logs.glob("*" + demonstrations.LOG_SUFFIX)):
      try:
        log = demonstrations.read_log(path)
      except ValueError as error:
        self._run.log(f"record: left out: {error}")
        continue
      if len(log.actions) and log.digest not in known:
        self._run.log(f"record: {path.name} was interrupted, recovering it")
        self.record(path)

  def record(self, path: pathlib.Path) -> None:
    """Makes the records of one log."""
    from data_tools import demonstrations
    from data_tools import emulator as emulator_lib
    from data_tools import save_states

    log = demonstrations.read_log(path)
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
    from data_tools import demonstrations
    from data_tools import generations

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
    from data_tools import demonstrations

    return {
      entry.header.collection
      for entry in demonstrations.recorded(self._run.path)
    }


def _read_log(path: str, rom: Any, save_state: bytes | None) -> Any:
  """A log from elsewhere, checked."""
  from data_tools import demonstrations
  from data_tools import emulator as emulator_lib

  default = demonstrations.LogHeader(
    rom_sha1=rom.sha1,
    pyboy_version=emulator_lib.pyboy_version(),
    start_state_sha1=emulator_lib.state_sha1(save_state),
    seed=_SEED.value,
    jitter_frames=0,
  )
  log = demonstrations.read_log(path, default)
  try:
    demonstrations.check(log, rom, save_state)
  except ValueError as error:
    raise ValueError(f"--inputs={path}: {error}") from None
  if not len(log.actions):
    raise ValueError(f"--inputs={path}: no actions in it")
  return log


def _play(
  run: run_directory.Run,
  rom: Any,
  save_state: bytes | None,
  screen: Any,
  path: pathlib.Path,
  pace: float,
) -> str:
  """A person plays one episode to a log; returns why it ended."""
  import numpy as np

  from data_tools import demonstrations
  from data_tools import emulator as emulator_lib
  from data_tools import rewards
  from experiments import terminal
  from pokedreamer_jax import specs

  number = int(path.stem)
  rng = np.random.default_rng([_SEED.value, number])
  seed = int(rng.integers(1 << 32))
  with emulator_lib.Emulator(rom) as game:
    header = demonstrations.LogHeader(
      rom_sha1=rom.sha1,
      pyboy_version=emulator_lib.pyboy_version(),
      start_state_sha1=emulator_lib.state_sha1(save_state),
      seed=seed,
      jitter_frames=game.reset(seed, save_state, _JITTER_FRAMES.value),
    )
    end = rewards.EndOfGame()
    with demonstrations.LogWriter(path, header) as log, screen:
      keys = _Keys(run, screen, pace)
      while log.count < _MOST_STEPS.value:
        if end.update(game.ram()):
          return "the game is beaten"
        screen.draw(
          game.frame(),
          (f"demonstration {number}, step {log.count}", terminal.KEYS_HELP),
        )
        key = keys.next()
        if key == terminal.QUIT:
          return "interrupted" if run.stop_requested else "ended"
        # On disk first: what the game has done can always be repeated.
        action = specs.ACTIONS.index(key)
        log.add(action)
        game.step(action)
  return f"--most_steps={_MOST_STEPS.value} reached"


class _Keys:
  """One action a step: the next key, or at a pace the last one pressed."""

  def __init__(self, run: run_directory.Run, screen: Any, pace: float):
    self._run, self._screen = run, screen
    self._every_s = 1 / pace if pace else None
    self._due_s = time.monotonic()
    self._waiting: list[str] = []

  def next(self) -> str:
    from experiments import terminal

    if self._every_s is not None:
      self._waiting = []
      self._due_s = max(self._due_s + self._every_s, time.monotonic())
    while not self._run.stop_requested:
      if self._every_s is None:
        if self._waiting:
          return self._waiting.pop(0)
        self._waiting += self._screen.keys(_POLL_S)
        continue
      if terminal.QUIT in self._waiting:
        return terminal.QUIT
      left_s = self._due_s - time.monotonic()
      if left_s <= 0:
        return self._waiting[-1] if self._waiting else "pass"
      self._waiting += self._screen.keys(min(left_s, _POLL_S))
    return terminal.QUIT


def _pace() -> float:
  try:
    pace = float(_STEPS_PER_S.value or 0)
  except ValueError:
    pace = -1.0
  if not 0 <= pace <= 60:
    raise ValueError(f"--steps_per_s={_STEPS_PER_S.value}: expected 0 to 60")
  for flag in (_JITTER_FRAMES, _SEED):
    if flag.value < 0:
      raise ValueError(f"--{flag.name}={flag.value}: expected at least 0")
  if _MOST_STEPS.value < 1:
    raise ValueError(f"--most_steps={_MOST_STEPS.value}: expected at least 1")
  return pace


if __name__ == "__main__":
  cli.run_main(main)
