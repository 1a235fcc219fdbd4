"""A learner killed at random moments ends as one that nobody disturbed."""

import json
import os
import random
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.runs import metrics
from pokedreamer_jax import checkpoints
from tests import conftest

_KILLS = 12
_LONGEST_S = 12.0  # from the start to a kill; a start takes half of it


def _command(verb, *flags):
  return [sys.executable, "-m", f"experiments.{verb}", "--preset=debug", *flags]


def _start(command):
  return subprocess.Popen(
    command,
    cwd=conftest.ROOT,
    env=os.environ | {"POKEDREAMER_ROM": ""},
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def _finish(command):
  process = _start(command)
  _, errors = process.communicate()
  assert process.returncode == 0, errors


def _rows(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return [metrics.repeated(json.loads(line)) for line in lines]


@pytest.mark.slow
def test_random_kills_change_no_bit(tmp_path):
  data = tmp_path / "data"
  _finish(
    _command("collect_data", "--policy=random", f"--workdir={data}", "--seed=1")
  )

  def train(name):
    return _command(
      "train_rssm",
      *(f"--data_dir={data}", f"--workdir={tmp_path / name}"),
      *("--set=train.steps=120", "--set=train.save_every=7"),
      *("--set=train.log_every=1", "--set=train.eval_every=60"),
    )

  _finish(train("whole"))
  rng = random.Random(0)
  killed = 0
  for _ in range(_KILLS):
    process = _start(train("killed"))
    try:
      process.communicate(timeout=rng.uniform(1.0, _LONGEST_S))
      assert process.returncode == 0
    except subprocess.TimeoutExpired:
      process.kill()
      process.communicate()
      killed += 1
  _finish(train("killed"))
  assert killed >= _KILLS // 2
  assert _rows(tmp_path / "killed") == _rows(tmp_path / "whole")
  for item in ("params", "opt"):
    jax.tree.map(
      np.testing.assert_array_equal,
      checkpoints.load_item(tmp_path / "killed", item),
      checkpoints.load_item(tmp_path / "whole", item),
    )
