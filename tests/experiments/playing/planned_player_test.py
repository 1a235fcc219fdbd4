"""Records of a policy that the offline planner leads."""

import types

import jax
import numpy as np
import pytest

from data_tools import cartridge
from data_tools.collecting import collector
from data_tools.collecting import lockstep
from data_tools.collecting import progress as collect_progress
from data_tools.collecting import worker as collect_worker
from data_tools.game import emulator
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from experiments.playing import dual_agent
from experiments.playing import learned_players
from experiments.playing import planned_player
from experiments.playing import planner_knowledge
from experiments.playing import planners
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.planner import knowledge as knowledge_lib
from tests.experiments import collect_data_test
from tests.experiments.playing import goal_policies

_LENGTH = 60
_STATE = "great_vale/brookmere"
_GAME = ("--rom=great_vale", f"--start_states={_STATE}")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
  """A policy that reads goals, and records that teach a planner."""
  root = tmp_path_factory.mktemp("planned")
  goal_policies.write(root / "policy")
  made = collect_data_test._run(
    f"--workdir={root / 'data'}",
    *("--preset=debug", "--episodes=2", "--episode_length=150"),
    *("--policy=demonstrator", "--workers=1", *_GAME),
  )
  assert made.returncode == 0, made.stderr
  return root


def _knowledge(root):
  rom = roms.resolve(cartridge.GREAT_VALE)
  return planner_knowledge.learn(generations.freeze(root / "data"), rom.sha1)


def _play(directory, make, num_envs):
  """Three episodes from within the game, as recorded."""
  rom = roms.resolve(cartridge.GREAT_VALE)
  state = emulator.read_save_state(_STATE, rom)
  behaviour = "policy:00112233aabb:planner=00112233aabb@7:eps=0.25"
  collection = collector.make_collection(
    rom, 3, _LENGTH, behaviour, 60, save_state=state
  )
  shards = directory / "shards"
  shards.mkdir(parents=True)
  tally = collect_progress.Tally(shards, 3, 3, _LENGTH)
  task = collect_worker.Task(
    rom,
    {collection.start_state_sha1: state},
    collection,
    shards,
    *("v", 1 << 26, 60.0),
  )
  lockstep.play(task, (0, 1, 2), make, num_envs, 1, tally)
  index = loader.EpisodeIndex(generations.freeze(directory), "all")
  return {header.episode: steps for header, steps in index.episodes()}


def test_each_episode_has_a_planner_of_its_own(tmp_path, world, monkeypatch):
  rom = roms.resolve(cartridge.GREAT_VALE)
  drivers = []
  make_driver = planners.make

  def spied(*arguments):
    drivers.append(make_driver(*arguments))
    return drivers[-1]

  monkeypatch.setattr(planners, "make", spied)
  make = planned_player.maker(
    str(world / "policy"), None, _knowledge(world), rom.map_names, False
  )
  alone = _play(tmp_path / "alone", make, 1)
  assert len(drivers) == 3
  beside = _play(tmp_path / "beside", make, 2)
  assert len(drivers) == 6
  for driver in drivers:
    numbers = driver.summary()
    assert numbers["env_steps"] == _LENGTH
    assert numbers["env_steps_with_goal"] > _LENGTH / 2
  assert alone.keys() == beside.keys() == {0, 1, 2}
  for number, steps in alone.items():
    for name, array in steps.items():
      np.testing.assert_array_equal(array, beside[number][name], name)


def test_own_play_joins_what_taught_the_planner_and_goes_on(tmp_path, world):
  flags = (
    f"--workdir={tmp_path / 'play'}",
    f"--add_to={world / 'data'}",
    *("--preset=debug", "--episode_length=40", "--workers=1", *_GAME),
    f"--policy=policy={world / 'policy'}:planner:eps=0.1",
  )
  first = collect_data_test._run(*flags, "--episodes=1")
  assert first.returncode == 0, first.stderr
  known = knowledge_lib.load(tmp_path / "play" / planner_knowledge.FILE)
  # The records have grown; what it began with is what it goes on with.
  more = collect_data_test._run(*flags, "--episodes=2")
  assert more.returncode == 0, more.stderr
  assert "collect: 1 episodes, 40 steps" in more.stdout
  generation = generations.freeze(world / "data")
  led = [
    entry.header.behaviour
    for _, entry in generation.episodes()
    if "policy:" in entry.header.behaviour
  ]
  assert len(led) == 2 and len(set(led)) == 1
  assert f":planner={known.sha256[:12]}@7:eps=0.1" in led[0]


def test_a_planner_that_cannot_lead_is_refused_in_one_line(tmp_path, world):
  policy = f"policy={world / 'policy'}"
  for mix, *words in (
    (f"{policy}:planner", "knows nothing", "--add_to", "--knowledge"),
    (f"sb3={tmp_path / 'p.zip'}:planner", "expected sb3=PATH"),
    (f"{policy}:planned", "not a run directory"),
  ):
    collect_data_test._refused(
      collect_data_test._run(
        f"--workdir={tmp_path / 'data'}", f"--policy={mix}", *_GAME
      ),
      *words,
    )


def test_a_policy_without_goals_is_led_by_nobody(tmp_path):
  goal_policies.write(tmp_path, "actor_critic.reads_goal=false")
  rom = roms.resolve(cartridge.GREAT_VALE)
  with pytest.raises(ValueError, match="it was not trained under goals"):
    learned_players.resolve(f"policy={tmp_path}:planner", rom)


def test_it_decides_by_its_own_chance_and_by_what_was_pressed(monkeypatch):
  given = []

  class Dual:
    def __init__(self, *_):
      pass

    def decide(self, rows, playing, keys, action_tm1):
      given.append((playing, jax.random.key_data(keys), action_tm1))
      return types.SimpleNamespace(actions=np.zeros(2, np.uint8))

  monkeypatch.setattr(dual_agent, "DualAgent", Dual)
  player = planned_player.PlannedPlayer(None, None, lambda: None, 2, False)
  rows = specs.empty_steps(2)
  rows["is_first"][0] = True  # nobody plays on the other stream
  chance, pressed = np.array([0.25, 0.75]), np.array([3, 5], np.uint8)
  player.act(rows, pressed, chance)
  ((playing, keys, action_tm1),) = given
  assert playing.tolist() == [True, False]
  expected = jax.random.key_data(acting.keys_of(chance, 2))
  np.testing.assert_array_equal(keys, expected)
  assert (keys[0] != keys[1]).any()
  np.testing.assert_array_equal(action_tm1, pressed)
