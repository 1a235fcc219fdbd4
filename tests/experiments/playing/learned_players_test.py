import collections
import json
import shutil
import signal
import subprocess

import chex
import jax
import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import generations
from data_tools.records import loader
from experiments.playing import collect_follow
from experiments.playing import learned_players
from experiments.runs import inputs
from experiments.runs import run_directory
from pokedreamer_jax import checkpoints
from pokedreamer_jax import specs
from pokedreamer_jax import whole_files
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic
from tests import conftest
from tests.data_tools.foreign import torch_fakes
from tests.experiments import collect_data_test
from tests.pokedreamer_jax import fakes


def test_a_frozen_policy_records_and_resumes(tmp_path):
  path = tmp_path / "policy.zip"
  torch_fakes.policy_file(path, torch_fakes.policy_arrays())
  flags = (
    f"--workdir={tmp_path / 'data'}",
    *("--preset=debug", "--episode_length=30", "--workers=1"),
    f"--policy=sb3={path}:eps=0.1",
  )
  first = collect_data_test._run(*flags, "--episodes=2")
  assert first.returncode == 0, first.stderr
  more = collect_data_test._run(*flags, "--episodes=3")
  assert more.returncode == 0, more.stderr
  assert "collect: 1 episodes, 30 steps" in more.stdout
  generation = generations.freeze(tmp_path / "data")
  assert (generation.num_episodes, generation.num_steps) == (3, 90)
  behaviours = {e.header.behaviour for _, e in generation.episodes()}
  (behaviour,) = behaviours
  assert behaviour.startswith("sb3:") and behaviour.endswith(":eps=0.1")
  result = json.loads((tmp_path / "data" / "result.json").read_text())
  assert result["behaviours"][behaviour]["episodes"] == 3
  # Other weights are another collection.
  torch_fakes.policy_file(path, torch_fakes.policy_arrays(num_actions=6))
  other = collect_data_test._run(*flags, "--episodes=3")
  assert other.returncode == 2
  assert "collect.policy_mix: there 'sb3:" in other.stderr


def test_bad_policies_end_in_one_line(tmp_path):
  (tmp_path / "text.zip").write_text("text")
  for policy, word in (
    (f"sb3={tmp_path / 'text.zip'}", "damaged zip"),
    (f"sb3={tmp_path / 'absent.zip'}", "No such file"),
    (f"sb3={tmp_path / 'text.zip'}:eps=2", "expected sb3=PATH"),
  ):
    refused = collect_data_test._run(
      f"--workdir={tmp_path / 'data'}", f"--policy={policy}"
    )
    assert refused.returncode == 2
    assert word in refused.stderr and "Traceback" not in refused.stderr


@pytest.fixture(scope="module")
def agent_run(tmp_path_factory):
  """A run directory with an untrained agent, and its configuration."""
  directory = tmp_path_factory.mktemp("agent")
  config = fakes.config()
  with run_directory.open_run(
    directory, "policy", config_lib.to_dict(config), graceful=False
  ) as run:
    store = run.checkpoints()
    _save(store, config, 7)
  return directory, config


def _save(store, config, step, **changed):
  actor = actor_critic.init_actor(
    config.actor_critic, jax.random.key(step), policy_inputs.size(config)
  )
  world = fakes.params(config.world_model) | changed
  store.save(step, {"actor": actor, "world_model": world}, {"step": step})


_ZSTD_MAGIC = (0xFD2FB528).to_bytes(4, "little")  # begins a stored array
_FAMILIES = {
  "v3": fakes.config,
  "pixels_in": lambda: fakes.config("world_model.encoder=pixels"),
  "v2": lambda: fakes.config_v2("actor_critic.units=16"),
}


@pytest.mark.parametrize("family", _FAMILIES)
def test_playing_reads_no_byte_of_the_decoder(tmp_path, family):
  config = _FAMILIES[family]()
  # What cannot be compressed lies in the files as it is.
  noise = np.random.default_rng(0).bytes(1 << 16)
  decoder = {"noise": np.frombuffer(noise, np.uint8)}
  with run_directory.open_run(
    tmp_path, "policy", config_lib.to_dict(config), graceful=False
  ) as run:
    store = run.checkpoints()
    _save(store, config, 7, decoder=decoder)
    store.close()
  whole = inputs.load_agent(str(tmp_path))
  np.testing.assert_array_equal(
    whole.world_params["decoder"]["noise"], decoder["noise"]
  )
  files = [
    path
    for path in (tmp_path / "checkpoints" / "7").rglob("*")
    if path.is_file() and noise[1000:1064] in path.read_bytes()
  ]
  for path in files:
    data = bytearray(path.read_bytes())
    begin = data.rfind(_ZSTD_MAGIC, 0, data.find(noise[1000:1064]))
    data[begin : begin + len(_ZSTD_MAGIC)] = bytes(len(_ZSTD_MAGIC))
    path.write_bytes(data)
  assert files
  # Listed as it is now, so that reading alone can tell.
  folder = tmp_path / "checkpoints" / "7"
  about = whole_files.read_list(folder)
  about.pop("files")
  whole_files.write_list(folder, about, checkpoints._UNLISTED)
  shape = jax.ShapeDtypeStruct((len(noise),), np.uint8)
  with pytest.raises(Exception, match="error while reading array"):
    checkpoints.load_item(
      tmp_path, "world_model", template={"decoder": {"noise": shape}}
    )
  part = inputs.load_player(str(tmp_path))
  assert {"decoder", "reward", "continue"}.isdisjoint(part.world_params)
  rows = {"frame": fakes.screens()[:4], "is_first": np.array([True] * 4)}
  rows = specs.empty_steps(4) | rows
  acted = []
  for agent in (whole, part):
    player = learned_players.AgentPlayer(agent, 4, greedy=False)
    for seed in range(3):
      actions = player.act(
        rows, np.zeros(4, np.uint8), np.linspace(0.1, 0.9, 4) + 0.01 * seed
      )
      # Copied: the next step uses the state up.
      acted.append((actions, jax.tree.map(np.array, player._state.model)))
      rows = rows | {"is_first": np.zeros(4, bool)}
    rows = rows | {"is_first": np.array([True] * 4)}
  chex.assert_trees_all_equal(acted[:3], acted[3:])


def test_a_player_of_other_sizes_than_its_configuration_is_named(tmp_path):
  config = fakes.config()
  with run_directory.open_run(
    tmp_path, "policy", config_lib.to_dict(config), graceful=False
  ) as run:
    store = run.checkpoints()
    other = fakes.params(config.world_model)["encoder"]
    other = jax.tree.map(lambda leaf: leaf[..., :1], other)
    _save(store, config, 7, encoder=other)
    store.close()
  with pytest.raises(ValueError, match=r"does not fit: encoder/") as caught:
    inputs.load_player(str(tmp_path))
  assert "\n" not in str(caught.value)


def test_a_checkpoint_is_a_share_of_a_mix(tmp_path, agent_run):
  directory, _ = agent_run
  flags = (
    f"--workdir={tmp_path / 'data'}",
    *("--preset=debug", "--episode_length=30", "--workers=1"),
    f"--policy=policy={directory}:eps=0.2=0.5,random=0.5",
  )
  first = collect_data_test._run(*flags, "--episodes=4")
  assert first.returncode == 0, first.stderr
  generation = generations.freeze(tmp_path / "data")
  assert (generation.num_episodes, generation.num_steps) == (4, 120)
  played = collections.Counter(
    entry.header.behaviour for _, entry in generation.episodes()
  )
  name = inputs.fingerprint(str(directory))
  learned = f"policy:{name['config']}@7:eps=0.2"
  assert played == {learned: 2, "random": 2}
  chosen = specs.BEHAVIOURS.index("policy")
  for header, steps in loader.EpisodeIndex(generation, "all").episodes():
    assert (chosen in steps["behaviour"]) == (header.behaviour == learned)
  more = collect_data_test._run(*flags, "--episodes=5")
  assert more.returncode == 0, more.stderr
  assert "collect: 1 episodes, 30 steps" in more.stdout


def test_the_same_weights_have_one_name_wherever_they_lie(tmp_path, agent_run):
  directory, _ = agent_run
  rom = roms.resolve(cartridge.CHAPTER_ONE)
  copy = tmp_path / "copy"
  shutil.copytree(directory, copy)
  mixes = [
    learned_players.resolve(f"random,policy={path}=0.3", rom)[0]
    for path in (directory, copy)
  ]
  assert mixes[0] == mixes[1] and mixes[0].endswith("@7=0.3")


def test_an_agent_remembers_what_was_played(agent_run):
  directory, _ = agent_run
  rom = roms.resolve(cartridge.CHAPTER_ONE)
  _, players, _ = learned_players.resolve(f"policy={directory}", rom)
  (make,) = players.values()
  rows = specs.empty_steps(2)
  rows["is_first"][:] = True
  results = []
  for played in ([0, 0], [0, 0], [0, 5]):
    player = make(2)
    player.act(rows, np.zeros(2, np.uint8), np.array([0.1, 0.1]))
    later = rows | {"is_first": np.zeros(2, bool)}
    player.act(later, np.array(played, np.uint8), np.array([0.7, 0.7]))
    results.append(np.asarray(player._state.model.deter))
  np.testing.assert_array_equal(results[0], results[1])
  np.testing.assert_array_equal(results[0][0], results[2][0])
  assert np.abs(results[0][1] - results[2][1]).max() > 0


def test_a_run_without_a_checkpoint_is_one_line(tmp_path):
  refused = collect_data_test._run(
    f"--workdir={tmp_path / 'data'}", f"--policy=policy={tmp_path}=0.5,random"
  )
  assert refused.returncode == 2
  assert "not a run directory" in refused.stderr


def test_rounds_follow_the_newest_checkpoint_until_stopped(tmp_path):
  directory, config = tmp_path / "agent", fakes.config()
  data = tmp_path / "data"
  process = _follow(data, directory, "--episodes=2")
  lines = []
  try:
    _until(process, lines, "waiting for a checkpoint")
    with run_directory.open_run(
      directory, "policy", config_lib.to_dict(config), graceful=False
    ) as run:
      store = run.checkpoints()
      _save(store, config, 7)
      store.wait()
      _until(process, lines, "round 1 plays policy:")
      _save(store, config, 9)
      store.wait()
      _until(process, lines, "@9:eps=0.1")
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
  finally:
    process.kill()
  assert process.returncode == 143, rest
  rounds = collect_follow.rounds(data)
  assert [facts["round"] for facts in rounds] == list(range(len(rounds)))
  assert "@7:" in rounds[0]["policy_mix"] and "@7:" in rounds[1]["policy_mix"]
  assert ":round=1@7:" in rounds[1]["policy_mix"]
  # A generation for each round, each with two episodes more.
  for number, facts in enumerate(rounds):
    path = data / generations.GENERATIONS_DIR / f"{facts['generation']}.json"
    assert generations.load(path).num_episodes == 2 * (number + 1)
  headers = [e.header for _, e in generations.load(path).episodes()]
  seeds = [header.seed for header in headers]
  assert len(set(seeds)) == len(seeds)  # no episode is played twice
  kinds = {policies.over_rounds(header.behaviour) for header in headers}
  assert len(kinds) == 1 < len({header.behaviour for header in headers})


def test_a_round_played_anew_repeats_no_episode(tmp_path):
  directory, config = tmp_path / "agent", fakes.config()
  data = tmp_path / "data"
  with run_directory.open_run(
    directory, "policy", config_lib.to_dict(config), graceful=False
  ) as run:
    store = run.checkpoints()
    for step in (7, 9):
      _save(store, config, step)
      store.wait()
      process = _follow(
        data, directory, "--episodes=4",
        f"--policy=policy={directory}=0.5,random=0.5",
      )  # fmt: skip
      try:
        lines = []
        _until(process, lines, "round 0 plays policy:")
        assert f"@{step}=0.5,random=0.5" in lines[-1]
        _until(process, lines, "round 1 plays")
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
      finally:
        process.kill()
      assert process.returncode == 143, rest
      # Killed before a round was noted: its episodes are there.
      (data / collect_follow.ROUNDS_FILE).unlink()
  entries = [entry for _, entry in generations.freeze(data).episodes()]
  behaviours = [entry.header.behaviour for entry in entries]
  assert behaviours.count("random") >= 2
  assert {name[-2:] for name in behaviours if name != "random"} == {"@7", "@9"}
  digests = [entry.digest for entry in entries]
  assert len(set(digests)) == len(digests)


def test_the_seed_of_a_round_is_that_of_its_number_and_mix():
  plans = [(s, n, mix) for s in (0, 1) for n in (0, 1) for mix in "ab"]
  seeds = [collect_follow.seed_of(*plan) for plan in plans]
  assert len(set(seeds)) == len(plans)
  assert seeds == [collect_follow.seed_of(*plan) for plan in plans]


def _follow(data, directory, *more):
  return subprocess.Popen(
    collect_data_test._command(
      f"--workdir={data}", "--preset=debug", "--episode_length=30",
      "--workers=1", f"--follow={directory}", *more,
    ),
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    cwd=conftest.ROOT,
    env=collect_data_test._environment(),
  )  # fmt: skip


def _until(process, lines, word):
  """Reads the output up to a line with this word."""
  for line in process.stdout:
    lines.append(line)
    if word in line:
      return
  raise AssertionError(f"{word!r} is not in {''.join(lines)}")
