import json
import os
import subprocess
import sys

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import emulator as emulator_lib
from data_tools.game import game_state
from data_tools.game import input_logs
from data_tools.game import roms
from data_tools.game import save_states
from data_tools.records import generations
from pokedreamer_jax import specs
from pokedreamer_jax import whole_files
from tests import conftest


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.CHAPTER_ONE)


def _run(module, *flags):
  clean = {k: v for k, v in os.environ.items() if k != "POKEDREAMER_ROM"}
  return subprocess.run(
    [sys.executable, "-m", f"experiments.{module}", *map(str, flags)],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    env=clean,
    timeout=120,
  )


def _refused(result, *words):
  assert result.returncode == 2, result.stderr
  assert len(result.stderr.strip().splitlines()) == 1, result.stderr
  for word in words:
    assert word in result.stderr


def test_a_script_makes_the_same_state_again_and_others_start_there(
  tmp_path, rom
):
  flags = ("--script=chapter_one_start", "--name=start")
  made = []
  for name in ("one", "two"):
    done = _run("make_state", *flags, f"--out_dir={tmp_path / name}")
    assert done.returncode == 0, done.stderr
    assert "start.state.xz: step 3 at home" in done.stdout
    made.append(save_states.read_stamp(tmp_path / name / "start.state.xz"))
  assert made[0] == made[1]
  assert made[0].rom_sha1 == rom.sha1
  assert "until game_running" in made[0].made_by["script"]
  path = tmp_path / "one" / "start.state.xz"
  with emulator_lib.Emulator(rom) as game:
    game.reset(0, emulator_lib.read_save_state(path, rom))
    assert game_state.from_memory(game.memory).has_control
  # Collecting from there: its first row has a game running.
  collected = _run(
    "collect_data", f"--save_state={path}", "--preset=debug", "--episodes=1",
    "--episode_length=20", "--policy=random", f"--workdir={tmp_path / 'data'}",
  )  # fmt: skip
  assert collected.returncode == 0, collected.stderr
  ((_, entry),) = generations.freeze(tmp_path / "data").episodes()
  assert entry.header.start_state_sha1 == made[0].state_sha1
  # A foreign ROM, and a foreign version, are refused before anything is made.
  stamp = path.with_name("start.state.json")
  good = whole_files.unseal(json.loads(stamp.read_text()), stamp)
  for module, more in (
    ("collect_data", ("--preset=debug",)),
    ("evaluate", ("--what=play", "--player=random", "--preset=debug")),
    ("make_state", ("--script=chapter_one_start", "--name=x")),
  ):
    work = tmp_path / f"{module}_refused"
    directory = "--out_dir" if module == "make_state" else "--workdir"
    call = (module, f"--save_state={path}", f"{directory}={work}", *more)
    for changes, words in (
      ({"rom_sha1": "0" * 40}, "ROM SHA-1"),
      ({"pyboy_version": "2.0.0"}, "PyBoy version"),
    ):
      stamp.write_text(json.dumps(whole_files.seal(good | changes)))
      _refused(_run(*call), words, "start.state.xz")
      assert not work.exists()


def test_play_makes_a_state_and_a_later_one_goes_on_from_it(tmp_path, rom):
  first = _run(
    "make_state", "--policy=demonstrator", "--seed=3", "--name=caught",
    "--until=party_size >= 2 and has_control", f"--out_dir={tmp_path}",
  )  # fmt: skip
  assert first.returncode == 0, first.stderr
  path = tmp_path / "caught.state.xz"
  stamp = save_states.read_stamp(path)
  assert stamp.made_by["seed"] == 3 and stamp.made_by["at"]["party_size"] >= 2
  script = tmp_path / "waits.txt"
  script.write_text("wait 2\nsave early\nwait 3\nsave late\n")
  then = _run(
    "make_state", f"--script={script}", f"--save_state={path}",
    f"--out_dir={tmp_path}",
  )  # fmt: skip
  assert then.returncode == 0, then.stderr
  later = save_states.read_stamp(tmp_path / "late.state.xz")
  assert later.made_by["start_state_sha1"] == stamp.state_sha1
  assert later.made_by["at"]["party_size"] >= 2
  assert later.made_by["steps"] == 5
  assert (tmp_path / "early.state.xz").exists()


def test_what_a_person_played_makes_a_state(tmp_path, rom):
  # Pressed keys that begin a game and walk; the log of a recording.
  keys = ["start", "a"] * 20 + ["down", "right", "down", "left"] * 5
  header = input_logs.Header(rom.sha1, emulator_lib.pyboy_version(), "", 4, 17)
  path = tmp_path / "00000.inputs"
  actions = np.array([specs.ACTIONS.index(key) for key in keys], np.uint8)
  input_logs.write(path, input_logs.Log(header, actions))
  whole = path.read_text().splitlines(keepends=True)
  # The recording was killed here: no last line that closes it.
  path.write_text("".join(whole[:-1]) + "do")
  for name, more in (("whole", ()), ("early", ("--until=game_running",))):
    done = _run(
      "make_state", f"--inputs={path}", f"--name={name}",
      f"--out_dir={tmp_path}", *more,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "left out a last line without an end: 'do'" in done.stdout
  stamps = {
    name: save_states.read_stamp(tmp_path / f"{name}.state.xz")
    for name in ("whole", "early")
  }
  early = stamps["early"].made_by["steps"]
  assert stamps["whole"].made_by["steps"] == len(keys) > early > 0
  with emulator_lib.Emulator(rom) as game:
    game.replay_reset(17)
    for step, action in enumerate(actions):
      if step == early:
        state = game.save_state()
        assert save_states.sha1(state) == stamps["early"].state_sha1
      game.step(int(action))
    state = game.save_state()
  assert save_states.sha1(state) == stamps["whole"].state_sha1
  refused = _run(
    "make_state", f"--inputs={path}", "--name=x", f"--out_dir={tmp_path}",
    "--until=in_battle",
  )  # fmt: skip
  _refused(refused, f"within {len(keys)} steps", str(path))
  _refused(
    _run(
      "make_state", f"--inputs={path}", "--name=x",
      "--rom=great_vale",
    ),
    "rom_sha1",
  )  # fmt: skip


def test_bad_input_is_one_line_and_writes_nothing(tmp_path):
  out = f"--out_dir={tmp_path / 'states'}"
  script = tmp_path / "script.txt"
  script.write_text("wait 2\nuntil in_battle within 3\n")
  walk = ("--policy=random", "--name=x", "--most_steps=5")
  for flags, words in (
    ((), ("--script", "--policy")),
    ((f"--script={script}",), ("--name",)),
    (
      (f"--script={script}", "--name=a"),
      ("line 2", "not so within 3", "no game is running"),
    ),
    (("--script=chapter_one_start", "--name=../up"), ("state name",)),
    ((*walk, "--until=has_kontrol"), ("has_kontrol", "has_control")),
    ((*walk, "--until=in_battle"), ("within 5 steps of random",)),
    (("--policy=walker", "--name=x", "--until=x"), ("walker", "random")),
  ):
    _refused(_run("make_state", out, *flags), *words)
  assert not (tmp_path / "states").exists()


def test_the_help_says_what_was_never_run():
  done = _run("make_state", "--help")
  assert done.returncode == 0
  assert "NEVER RUN ON THE REAL ROM" in done.stdout
