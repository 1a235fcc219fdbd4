import json
import os
import signal
import subprocess
import sys
import time

from data_tools import cartridge
from data_tools.game import roms
from data_tools.game import start_states
from data_tools.records import generations
from data_tools.records import start_mix
from tests import conftest

_SMALL = (
  "--preset=debug", "--episodes=4", "--episode_length=80",
  "--policy=sticky_random=0.5,random=0.5",
)  # fmt: skip


def _command(*flags):
  return [sys.executable, "-m", "experiments.collect_data", *map(str, flags)]


def _environment(**more):
  clean = {k: v for k, v in os.environ.items() if k != "POKEDREAMER_ROM"}
  return clean | {"PYTHONUNBUFFERED": "1"} | more


def _run(*flags, **environment):
  return subprocess.run(
    _command(*flags),
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    env=_environment(**environment),
    timeout=120,
  )


def _refused(result, *words):
  """One line, exit code 2, and it names these words."""
  assert result.returncode == 2, result.stderr
  assert len(result.stderr.strip().splitlines()) == 1, result.stderr
  for word in words:
    assert word in result.stderr


def test_it_records_resumes_and_sums_up(tmp_path):
  data = tmp_path / "data"
  first = _run(f"--workdir={data}", *_SMALL)
  assert first.returncode == 0, first.stderr
  assert "4 episodes, 320 steps" in first.stdout
  result = json.loads((data / "result.json").read_text())
  assert (result["episodes"], result["steps"]) == (4, 320)
  covered = result["coverage"]
  assert sum(covered["situations"].values()) == 320
  assert covered["maps"]["of"] == 6 and covered["maps"]["rows"]["home"] > 0
  assert len(covered["maps"]["unseen"]) == 6 - len(covered["maps"]["rows"])
  assert covered["starts"] == {"power_on": {"episodes": 4, "rows": 320}}
  assert f"coverage: {len(covered['maps']['rows'])} of 6 maps" in first.stdout
  # Again, by the other name of the flag: nothing is played.
  again = _run(f"--out_dir={data}", *_SMALL, "--workers=1")
  assert again.returncode == 0, again.stderr
  assert "processes: " not in again.stdout and "steps/s" in first.stdout
  assert f"generation {result['generation']}" in again.stdout
  # More episodes are added to the ones there.
  more = _run(f"--workdir={data}", *_SMALL, "--episodes=5")
  assert more.returncode == 0, more.stderr
  assert "collect: 1 episodes, 80 steps" in more.stdout
  assert generations.freeze(data).num_episodes == 5
  # Another length is another collection: refused, field by field.
  other = _run(f"--workdir={data}", *_SMALL, "--episode_length=81")
  assert other.returncode == 2
  assert "collect.episode_length: there 80, asked for 81" in other.stderr
  assert generations.freeze(data).num_episodes == 5


def test_a_signal_keeps_what_is_complete_and_the_same_command_continues(
  tmp_path,
):
  flags = (
    f"--workdir={tmp_path}", *_SMALL, "--episodes=400", "--episode_length=200"
  )  # fmt: skip
  for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
    process = subprocess.Popen(
      _command(*flags),
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      cwd=conftest.ROOT,
      env=_environment(),
    )
    for line in process.stdout:
      head, _, _ = line.partition("/400 episodes")
      if head != line and int(head.split()[-1]) >= 3:
        process.send_signal(number)
        break
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    told = stderr[stderr.index("To continue: ") :]
    assert "-m experiments.collect_data" in told
  found = generations.freeze(tmp_path)
  assert 6 <= found.num_episodes < 400 and found.skipped == ()


def test_a_signal_to_all_processes_twice_is_one_to_the_collector(tmp_path):
  """As SLURM stops what gives way, or systemd a unit."""
  process = subprocess.Popen(
    _command(
      f"--workdir={tmp_path}", *_SMALL, "--workers=4", "--episodes=4000"
    ),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    cwd=conftest.ROOT,
    env=_environment(),
    start_new_session=True,
  )
  for line in process.stdout:
    head, _, _ = line.partition("/4000 episodes")
    if head != line and int(head.split()[-1]) >= 8:
      break
  os.killpg(process.pid, signal.SIGTERM)
  time.sleep(0.02)  # two at once arrive as one
  os.killpg(process.pid, signal.SIGTERM)
  _, stderr = process.communicate(timeout=60)
  assert process.returncode == 143, stderr
  assert "stopped by SIGTERM, saved" in stderr and "Traceback" not in stderr
  # Shards are open for a minute: without the workers they had been lost.
  found = generations.freeze(tmp_path)
  assert found.num_episodes >= 8 and found.skipped == ()


def test_an_unknown_game_is_recorded_and_says_so(tmp_path):
  data = bytearray(cartridge.CHAPTER_ONE.read_bytes())
  data[0x7FF0] ^= 1
  data[0x14E:0x150] = roms.global_checksum(data)
  rom = tmp_path / "patched.gb"
  rom.write_bytes(data)
  # The preset's mix has a demonstrator, which cannot play it.
  result = _run(
    f"--workdir={tmp_path / 'data'}", "--preset=debug", "--episodes=2",
    "--episode_length=80", POKEDREAMER_ROM=str(rom),
  )  # fmt: skip
  assert result.returncode == 0, result.stderr
  assert "unknown game, frames only" in result.stdout
  assert "no demonstrator for this game" in result.stdout
  assert generations.freeze(tmp_path / "data").num_steps == 160
  asked_for = _run(
    f"--workdir={tmp_path / 'other'}", f"--rom={rom}", "--policy=demonstrator"
  )
  _refused(asked_for, "demonstrator", "practice cartridges only")


def test_bad_input_is_one_line(tmp_path):
  _refused(
    _run(f"--workdir={tmp_path / 'a'}", f"--out_dir={tmp_path / 'b'}"),
    "two names of one directory",
  )
  workdir = f"--workdir={tmp_path / 'data'}"
  _refused(_run(workdir, "--rom=/absent.gb"), "/absent.gb", "No such file")
  _refused(_run(workdir, "--policy=walker"), "walker", "sticky_random")
  _refused(_run(workdir, "--save_state=/absent"), "/absent", "No such file")
  _refused(_run(), "--workdir")
  _refused(_run(workdir, "--episodes=0"), "episodes: 0")
  bad_state = tmp_path / "bad.state"
  bad_state.write_bytes(b"\x01" * 100)
  result = _run(workdir, f"--save_state={bad_state}", *_SMALL)
  _refused(result, "save state", "does not fit")


def test_collectors_share_a_folder_and_one_is_killed(tmp_path):
  data = tmp_path / "data"
  flags = (
    f"--workdir={data}", *_SMALL, "--workers=1", "--episodes=16",
    "--episode_length=300", "--set=collect.shard_s=1", "--collector_count=2",
  )  # fmt: skip
  processes = [
    subprocess.Popen(
      _command(*flags, f"--collector_index={index}"),
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      cwd=conftest.ROOT,
      env=_environment(),
    )
    for index in (0, 1)
  ]
  while not list(data.glob("shards/c001-*")):
    assert processes[1].poll() is None
    time.sleep(0.01)
  processes[1].kill()
  processes[1].communicate()
  stdout, _ = processes[0].communicate(timeout=100)
  assert processes[0].returncode == 0, stdout
  assert "others still owe" in stdout and "(collector 1: " in stdout
  assert not (data / "result.json").exists()
  # Another setting in the same folder is refused; the same completes it.
  other = _run(*flags, "--collector_index=1", "--episode_length=301")
  assert other.returncode == 2
  assert "collect.episode_length: there 300, asked for 301" in other.stderr
  again = _run(*flags, "--collector_index=1")
  assert again.returncode == 0, again.stderr
  assert "nobody owes anything, all 16 episodes are there" in again.stdout
  result = json.loads((data / "result.json").read_text())
  assert (result["episodes"], result["owed"]) == (16, {})
  assert result["generation"] == generations.freeze(data).digest
  # A single collector has nothing left to do there.
  alone = _run(*(flag for flag in flags if "collector_count" not in flag))
  assert alone.returncode == 0 and "steps/s;" not in alone.stdout, alone.stderr


def test_what_is_played_may_join_the_records_of_others(tmp_path):
  data, own = tmp_path / "data", tmp_path / "own"
  join = (f"--workdir={own}", f"--add_to={data}", *_SMALL, "--seed=5")
  _refused(_run(*join), str(data))
  assert not own.exists()
  first = _run(f"--workdir={data}", *_SMALL)
  assert first.returncode == 0, first.stderr
  joined = _run(*join, "--episodes=2")
  assert joined.returncode == 0, joined.stderr
  assert generations.freeze(data).num_episodes == 6
  assert not (own / "shards").exists()
  result = json.loads((own / "result.json").read_text())
  assert result["episodes"] == 6  # of the folder, as all who record tell
  # The same again plays nothing, and more of it adds to it.
  assert "processes: " not in _run(*join, "--episodes=2").stdout
  assert _run(*join, "--episodes=3").returncode == 0
  assert generations.freeze(data).num_episodes == 7
  for flags, words in (
    (("--collector_count=2",), "--add_to and --collector_count: expected one"),
    (("--follow=x",), "--follow and --add_to: expected one of them"),
    (("--rom=great_vale",), "expected the same one"),
  ):
    _refused(_run(*join, *flags), words)


def test_episodes_start_from_several_states(tmp_path):
  rom = roms.resolve(cartridge.GREAT_VALE)
  name = start_states.names(rom.sha1)[-1]
  data, game = tmp_path / "data", (f"--rom={cartridge.GREAT_VALE}", *_SMALL)
  flags = (f"--workdir={data}", *game, f"--start_states=power_on,{name}")
  first = _run(*flags)
  assert first.returncode == 0, first.stderr
  for word in ("maps ", "tiles ", "battles ", " free"):
    assert word in first.stdout
  starts = {
    entry.header.start_state_sha1
    for _, entry in generations.freeze(data).episodes()
  }
  assert len(starts) == 2 and "" in starts
  for sha1 in starts - {""}:
    assert start_mix.kept(data, sha1)
  _refused(_run(*flags, f"--save_state={name}"), "--start_states")
  other = _run(*flags[:-1], f"--start_states={name}")
  assert other.returncode == 2
  assert "collect.start_states: there 'power_on=0.5" in other.stderr
  one = _run(f"--workdir={tmp_path / 'one'}", *game, f"--save_state={name}")
  assert one.returncode == 0, one.stderr
  (sha1,) = {
    entry.header.start_state_sha1
    for _, entry in generations.freeze(tmp_path / "one").episodes()
  }
  assert start_mix.kept(tmp_path / "one", sha1) and sha1 in starts
