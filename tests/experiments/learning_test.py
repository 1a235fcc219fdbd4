"""The learning checks: a smaller quickstart has to learn, in minutes."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """A quickstart of 64 episodes and 2,000 updates of the world model."""
  path = tmp_path_factory.mktemp("quickstart")
  subprocess.run(
    [
      *(sys.executable, "-m", "experiments.quickstart", f"--workdir={path}"),
      "--set=collect.episodes=64",
      "--set=train.steps=2000",
      "--set=policy.updates=60",
      "--set=policy.scratch_updates=60",
    ],
    cwd=_ROOT,
    env={**os.environ, "PYTHONPATH": str(_ROOT)},
    check=True,
  )
  return path


def _result(path: pathlib.Path) -> dict:
  return json.loads((path / "result.json").read_text())


@pytest.mark.parametrize("than", ["frozen frame", "shuffled actions"])
def test_dreams_are_better_than(workdir, than):
  rows = _result(workdir / "evaluation" / "world_model")["comparisons"]
  checked = [r for r in rows if r["than"] == than and r["step"] in (5, 15, 50)]
  assert len(checked) == 9
  for row in checked:
    assert row["low"] > 0, row


@pytest.mark.parametrize("policy", ["clone", "policy", "policy_scratch"])
def test_it_plays_better_than_random(workdir, policy):
  rows = _result(workdir / "evaluation" / "play")["comparisons"]
  (row,) = [r for r in rows if (r["policy"], r["than"]) == (policy, "random")]
  assert row["low"] > 0, row


def test_the_clone_and_the_policy_earn_the_badge(workdir):
  policies = _result(workdir / "evaluation" / "play")["policies"]
  assert policies["random"]["badges"]["mean"] == 0
  for name in ("clone", "policy"):
    assert policies[name]["badges"]["mean"] >= 0.5, name
