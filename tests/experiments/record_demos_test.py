"""A person at a terminal is stood in for by a pseudo-terminal."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.collecting import demonstrations
from data_tools.game import emulator as emulator_lib
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import generations
from pokedreamer_jax import specs
from tests import conftest

_BEGIN = b"sxsx"  # START A START A: the game begins
_WALK = b"\x1b[B\x1b[B\x1b[D  "
_NAMES = ["start", "a", "start", "a", "down", "down", "left", "pass", "pass"]


def _command(*flags):
  return [sys.executable, "-m", "experiments.record_demos", *map(str, flags)]


def _environment():
  clean = {k: v for k, v in os.environ.items() if k != "POKEDREAMER_ROM"}
  return clean | {"PYTHONUNBUFFERED": "1", "TERM": "xterm-256color"}


def _run(*flags):
  return subprocess.run(
    _command(*flags),
    stdin=subprocess.DEVNULL,
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    env=_environment(),
    timeout=120,
  )


class _Player:
  """Runs the command on a terminal of 160 columns and 74 rows."""

  def __init__(self, *flags, size=(74, 160), answer=b""):
    self._ours, theirs = pty.openpty()
    self._answer = answer  # to what the command asks its terminal
    size = struct.pack("HHHH", *size, 0, 0)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    self.attributes_before = termios.tcgetattr(theirs)
    self._theirs = theirs
    self.process = subprocess.Popen(
      _command(*flags),
      stdin=theirs,
      stdout=theirs,
      stderr=theirs,
      cwd=conftest.ROOT,
      env=_environment(),
      start_new_session=True,
    )
    self.seen = ""

  def press(self, keys):
    os.write(self._ours, keys)

  def wait_for(self, text, timeout_s=30):
    until = time.monotonic() + timeout_s
    while text not in self.seen:
      assert time.monotonic() < until, (text, self.seen[-2000:])
      self._take(0.2)

  def end(self, timeout_s=60):
    """Exit code, once everything is said."""
    until = time.monotonic() + timeout_s
    while self.process.poll() is None:
      assert time.monotonic() < until, self.seen[-2000:]
      self._take(0.1)
    while self._take(0.1):
      pass
    return self.process.returncode

  def attributes(self):
    return termios.tcgetattr(self._theirs)

  def hang_up(self):
    """The terminal goes away, as where a connection is lost."""
    os.close(self._ours)
    os.close(self._theirs)
    self._ours = self._theirs = None

  def close(self):
    if self.process.poll() is None:
      self.process.kill()
    self.process.wait()
    if self._ours is not None:
      self.hang_up()

  def _take(self, timeout_s):
    ready, _, _ = select.select([self._ours], [], [], timeout_s)
    if ready:
      self.seen += os.read(self._ours, 1 << 16).decode(errors="replace")
      if self._answer and "\x1b[c" in self.seen:
        os.write(self._ours, self._answer)
        self._answer = b""
    return bool(ready)


@pytest.fixture
def player():
  made = []

  def make(*flags, **terminal):
    made.append(_Player(*flags, **terminal))
    made[-1].wait_for(", step 0")  # what is typed earlier is dropped
    return made[-1]

  yield make
  for one in made:
    one.close()


def _entries(workdir):
  return demonstrations.recorded(workdir)


def _names(workdir, number=0):
  text = (workdir / "logs" / f"{number:05d}.inputs").read_text()
  lines = text.splitlines()[1:]
  return [line for line in lines if not line.startswith("end ")]


def test_a_person_plays_in_the_terminal(player, tmp_path):
  work = tmp_path / "demos"
  one = player(f"--workdir={work}")
  assert "▀" in one.seen and "\x1b[?25l" in one.seen
  one.press(_BEGIN + _WALK)
  one.wait_for("step 9")
  one.press(b"q")
  assert one.end() == 0, one.seen
  assert one.attributes() == one.attributes_before
  assert "\x1b[?25h" in one.seen and "\x1b[?1049l" in one.seen
  assert _names(work) == _NAMES
  (entry,) = _entries(work)
  assert entry.length == 10 and entry.header.behaviour == "human"
  assert (
    entry.header.jitter_frames
    == json.loads((work / "logs" / "00000.inputs").read_text().splitlines()[0])[
      "jitter_frames"
    ]
  )
  assert "1 demonstrations, 10 of 90,000 steps: 0.0 %" in one.seen
  result = json.loads((work / "result.json").read_text())
  assert (result["episodes"], result["steps"]) == (1, 10)
  # Its log, replayed elsewhere, gives the same episode; again, nothing.
  log = work / "logs" / "00000.inputs"
  other = tmp_path / "other"
  for expected in ("10 steps", "is here already"):
    again = _run(f"--workdir={other}", f"--inputs={log}")
    assert again.returncode == 0, again.stderr
    assert expected in again.stdout
  (copy,) = _entries(other)
  assert (copy.digest, copy.header) == (entry.digest, entry.header)


@pytest.mark.parametrize(
  ("answer", "begin", "end"),
  [
    (b"\x1b_Gi=31;OK\x1b\\\x1b[?62c", "\x1b_Ga=T", "\x1b_Ga=d,d=I"),
    (b"\x1b[?62;4;22c", "\x1bP0;1q", "\x1b[?25h"),
  ],
)
def test_a_terminal_with_graphics_shows_them(
  player, tmp_path, answer, begin, end
):
  one = player(f"--workdir={tmp_path}", size=(24, 80), answer=answer)
  assert begin in one.seen and "▀" not in one.seen
  one.press(b"s")
  one.wait_for("step 1")
  one.press(b"q")
  assert one.end() == 0, one.seen
  assert end in one.seen
  assert "Note" not in one.seen and "small" not in one.seen
  assert _names(tmp_path) == ["start"]


def test_a_small_terminal_says_what_shows_more(player, tmp_path):
  one = player(f"--workdir={tmp_path}", size=(24, 80))
  assert "step 0, small: see experiments.play_dream" in one.seen
  one.press(b"q")
  assert one.end() == 0, one.seen
  seen = " ".join(one.seen.split())
  assert "80 columns and 24 rows show 48 x 44 of 160 x 144 pixels" in seen
  assert "python -m experiments.play_dream" in seen


def test_ctrl_c_keeps_what_was_played_and_the_next_call_adds(player, tmp_path):
  work = tmp_path / "demos"
  one = player(f"--workdir={work}")
  one.press(_BEGIN)
  one.wait_for("step 4")
  one.process.send_signal(signal.SIGINT)
  assert one.end() == 130, one.seen
  assert one.attributes() == one.attributes_before
  assert [e.length for e in _entries(work)] == [5]
  # Another session goes to another log.
  two = player(f"--workdir={work}", "--most_steps=3", "--seed=1")
  two.press(b"xxxxxx")
  assert two.end() == 0, two.seen
  assert "--most_steps=3 reached" in two.seen
  assert sorted(e.length for e in _entries(work)) == [4, 5]
  assert _names(work, 1) == ["a"] * 3


def test_a_killed_recording_is_recovered_by_the_next_call(player, tmp_path):
  work = tmp_path / "demos"
  one = player(f"--workdir={work}")
  one.press(_BEGIN + _WALK)
  one.wait_for("step 9")
  one.process.kill()
  one.end()
  assert _entries(work) == []
  log = work / "logs" / "00000.inputs"
  with open(log, "a") as file:
    file.write("sta")  # as if it had died while it wrote
  # A shard that a kill during the conversion left, and an unreadable log.
  stale = work / generations.SHARDS_DIR / "h00009-00000.arrayrecord.tmp"
  stale.parent.mkdir()
  stale.write_bytes(b"half")
  (work / "logs" / "00001.inputs").write_text("")
  done = _run(f"--workdir={work}", "--report")
  assert done.returncode == 0, done.stderr
  assert "00000.inputs was interrupted, recovering it" in done.stdout
  assert "left out a last line without an end: 'sta'" in done.stdout
  assert "left out: input log" in done.stdout
  assert [e.length for e in _entries(work)] == [10]
  assert not stale.exists()
  once_more = _run(f"--workdir={work}", "--report")
  assert "recovering" not in once_more.stdout
  assert "without an end" not in once_more.stdout
  assert [e.length for e in _entries(work)] == [10]


def test_a_lost_connection_loses_nothing(player, tmp_path):
  one = player(f"--workdir={tmp_path}")
  one.press(_BEGIN)
  one.wait_for("step 4")
  one.hang_up()
  one.process.wait(30)
  done = _run(f"--workdir={tmp_path}", "--report")
  assert done.returncode == 0, done.stderr
  assert [e.length for e in _entries(tmp_path)] == [5]
  assert _names(tmp_path) == _NAMES[:4]


def test_at_a_pace_the_game_goes_on_without_keys(player, tmp_path):
  one = player(f"--workdir={tmp_path}", "--steps_per_s=20", "--most_steps=12")
  one.wait_for("step 3")
  one.press(b"x")
  assert one.end() == 0, one.seen
  names = _names(tmp_path)
  assert len(names) == 12
  assert names.count("a") == 1 and names.count("pass") == 11


def test_a_start_state_is_kept_for_recovery(player, tmp_path):
  states = tmp_path / "states"
  made = subprocess.run(
    [
      sys.executable, "-m", "experiments.make_state", "--name=start",
      "--script=chapter_one_start", f"--out_dir={states}",
    ],
    cwd=conftest.ROOT, env=_environment(), capture_output=True, text=True,
  )  # fmt: skip
  assert made.returncode == 0, made.stderr
  work = tmp_path / "demos"
  one = player(f"--workdir={work}", f"--save_state={states / 'start.state.xz'}")
  one.press(b"jj")
  one.wait_for("step 2")
  one.process.kill()
  one.end()
  # The state is gone, and no flag names it: its copy serves.
  for path in states.iterdir():
    path.unlink()
  done = _run(f"--workdir={work}", "--report")
  assert done.returncode == 0, done.stderr
  (entry,) = _entries(work)
  assert entry.length == 3 and entry.header.start_state_sha1
  assert "-1" not in entry.summary["map_steps"]  # a game runs from row 0


def test_a_won_game_ends_the_recording(tmp_path):
  rom = roms.resolve(cartridge.CHAPTER_ONE)
  policy = policies.make_policy("demonstrator", rom)
  policy.reset(np.random.default_rng(0))
  names = []
  with emulator_lib.Emulator(rom) as game:
    game.replay_reset(0)
    while not game.memory[ram.HALL_OF_FAME] and len(names) < 2000:
      action = policy.act(game.memory)
      names.append(specs.ACTIONS[action])
      game.step(action)
  log = tmp_path / "won.txt"  # no header: from power-on
  log.write_text("".join(f"{name}\n" for name in [*names, "a", "a"]))
  work = tmp_path / "demos"
  done = _run(f"--workdir={work}", f"--inputs={log}")
  assert done.returncode == 0, done.stderr
  (entry,) = _entries(work)
  assert entry.summary["is_terminal"] and entry.length == len(names) + 1
  assert "2 more after the game was beaten" in done.stdout


def test_bad_input_is_one_line(tmp_path):
  work = tmp_path / "demos"
  log = tmp_path / "log"
  log.write_text("down\njump\n")
  for flags, words in (
    ((), "no terminal"),
    ((f"--inputs={log}",), "line 2: 'jump'"),
    (("--inputs=/absent",), "No such file"),
    (("--steps_per_s=fast",), "--steps_per_s=fast"),
    (("--jitter_frames=-1", "--report"), "--jitter_frames=-1"),
    (("--save_state=/absent", "--report"), "/absent"),
  ):
    done = _run(f"--workdir={work}", *flags)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert words in done.stderr
  assert not work.exists()
