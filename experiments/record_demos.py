"""Records demonstrations: a person plays in the terminal.

    python -m experiments.record_demos --workdir=demos

Keys: arrows (or h j k l) move; x or a: A; z or b: B; s or Enter: START;
space: wait; q: end. Every key is one agent step of 24 frames, and the game
waits for it; with --steps_per_s=2.5 it runs at the speed of a Game Boy, and
waits in the game where no key is pressed. Terminals with graphics of their own
(kitty's, or sixels) show every pixel, others as many as they have room for, two
a character: all in a window of 160 columns and 74 rows. Where that is too small
and there is a browser, `python -m experiments.play_dream` shows the game and a
dream of it on a page, to be played there; what is played there is not recorded.

The records are those of collect_data, marked as played by a human, and can be
given as --data_dir. Every action is on disk at once: a recording that is
interrupted, even by a lost connection or a crash, keeps what was played, and
the next call turns it into records. Ended by q, Ctrl-C or --most_steps, it
does so itself.

    python -m experiments.record_demos --workdir=demos --inputs=played.inputs

replays an input log instead: one action a line (down left right up a b start
pass); a first line in JSON, as in DIR/logs, says where it began.

    python -m experiments.record_demos --workdir=demos --report

only tells what is there: steps and hours by map, by badges held and by
situation, and how far it is to 90,000 steps, which are 10 hours of play.
"""

import pathlib
import time
from typing import Any

from experiments.playing import demo_store
from experiments.runs import cli
from experiments.runs import run_directory

_WORKDIR = cli.string("workdir", None, "Directory of the demonstrations.")
_ROM = cli.define_rom()
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
_PICTURE = cli.choice(
  "picture",
  "auto",
  ("auto", "kitty", "sixel", "blocks"),
  "How the game is shown; auto asks the terminal.",
)
_STEPS_PER_S = cli.string(
  "steps_per_s", "0", "Pace of the game; 0 waits for every key."
)

_POLL_S = 0.2  # how soon a request to stop is seen


def main() -> None:
  """Recovers, plays or replays, and sums up."""
  from data_tools.game import emulator as emulator_lib
  from data_tools.game import roms
  from experiments.runs import terminal

  rom = roms.resolve(_ROM.value)
  save_state = emulator_lib.read_save_state(_SAVE_STATE.value, rom)
  pace = _pace()
  logs = [
    demo_store.read_log(path, rom, save_state, _SEED.value)
    for path in _INPUTS.value or ()
  ]
  screen = None
  if not logs and not _REPORT.value:
    kind = _PICTURE.value or "auto"
    screen = terminal.Terminal("" if kind == "auto" else kind)
  run = run_directory.open_run(
    _WORKDIR.value or cli.workdir(),
    "record_demos",
    {"rom_sha1": rom.sha1, "pyboy_version": emulator_lib.pyboy_version()},
  )
  with run:
    store = demo_store.Store(run, rom)
    store.keep_state(save_state, str(_SAVE_STATE.value))
    store.recover()
    for path, log in zip(_INPUTS.value or (), logs, strict=True):
      if log.remark:
        run.log(f"record: --inputs={path}: {log.remark}")
      store.add(log, save_state)
    if screen is not None:
      path = store.new_path()
      why = _play(run, rom, save_state, screen, path, pace)
      run.log(f"record: {why}")
      if small := screen.small():
        run.log(
          f"Note: {small}; a smaller font shows more, and in a browser the "
          "page of `python -m experiments.play_dream`"
        )
      store.record(path)
    entries = store.report()
    if run.stop_requested:
      raise run.stopped(f"{entries} demonstrations")


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

  from data_tools.game import emulator as emulator_lib
  from data_tools.game import input_logs
  from data_tools.game import rewards
  from experiments.runs import terminal
  from pokedreamer_jax import specs

  number = int(path.stem)
  rng = np.random.default_rng([_SEED.value, number])
  seed = int(rng.integers(1 << 32))
  with emulator_lib.Emulator(rom) as game:
    header = input_logs.Header(
      rom_sha1=rom.sha1,
      pyboy_version=emulator_lib.pyboy_version(),
      start_state_sha1=emulator_lib.state_sha1(save_state),
      seed=seed,
      jitter_frames=game.reset(seed, save_state, _JITTER_FRAMES.value),
    )
    end = rewards.EndOfGame()
    with input_logs.Writer(path, header) as log, screen:
      keys = _Keys(run, screen, pace)
      hint = ", small: see experiments.play_dream" if screen.small() else ""
      while log.count < _MOST_STEPS.value:
        if end.update(game.ram()):
          return "the game is beaten"
        screen.draw(
          game.frame(),
          (
            f"demonstration {number}, step {log.count}{hint}",
            terminal.KEYS_HELP,
          ),
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
    from experiments.runs import terminal

    if self._every_s is not None:
      self._waiting = []
      self._due_s = max(self._due_s + self._every_s, time.monotonic())
    looked = False  # at the keys, which a late step must not forget
    while not self._run.stop_requested:
      if self._every_s is None:
        if self._waiting:
          return self._waiting.pop(0)
        self._waiting += self._screen.keys(_POLL_S)
        continue
      if terminal.QUIT in self._waiting:
        return terminal.QUIT
      left_s = self._due_s - time.monotonic()
      if left_s <= 0 and looked:
        return self._waiting[-1] if self._waiting else "pass"
      self._waiting += self._screen.keys(max(min(left_s, _POLL_S), 0.0))
      looked = True
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
