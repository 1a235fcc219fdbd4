"""The door for programs: what it loads."""

import subprocess
import sys

import chex
import pytest

from experiments import library
from tests import conftest
from tests.experiments.dreaming import made


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Run directories of the small model, one of each stage."""
  root = tmp_path_factory.mktemp("runs")
  for stage in ("world_model", "clone", "policy"):
    (root / stage).mkdir()
    made.run_of(root / stage, stage)
  return root


def test_a_policy_holds_its_world_model(runs):
  policy, world = runs / "policy", runs / "world_model"
  agent = library.load_agent(policy)
  assert agent.config == library.load_config(world)
  whole = library.load_world_model(world)
  chex.assert_trees_all_equal(whole, agent.world_params)
  chex.assert_trees_all_equal(whole, library.load_world_model(policy, 5))
  assert library.load_critic(policy) is not None
  assert library.load_critic(runs / "clone") is None
  assert library.load_agent(runs / "clone").actor_params is not None


def test_what_is_not_there_is_a_line(runs):
  for load, directory, step, message in (
    (library.load_agent, "world_model", "latest", "a run of world_model, exp"),
    (library.load_critic, "world_model", "latest", "expected one of clone or"),
    (library.load_agent, "policy", 6, r"step 6: expected latest.*\[5\]"),
    (library.load_world_model, "world_model", "best", "no checkpoint was vali"),
    (library.load_world_model, "nowhere", "latest", "not a run directory"),
  ):
    with pytest.raises(ValueError, match=message) as caught:
      load(runs / directory, step)
    assert "\n" not in str(caught.value)


def test_the_door_wakes_nothing_heavy():
  code = (
    "import sys; from experiments import library; "
    "heavy = {'jax', 'flax', 'orbax', 'pyboy', 'grain', 'gymnasium'}; "
    "print(sorted(heavy & set(sys.modules)))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
  )
  assert done.stdout.strip() == "[]", done.stderr
