"""World-model training as a run: killed, broken by its numbers, out of disk."""

import json
import os
import signal
import subprocess
import sys
import time

import chex
import jax
import numpy as np
import pytest

from pokedreamer_jax import checkpoints
from tests.data_tools import fakes as data_fakes

_STEPS = 24
_SAVE_EVERY = 5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  directory = tmp_path_factory.mktemp("data")
  episodes = [(n, 60 + n, "random") for n in range(4)]
  data_fakes.write(directory, "made-up", episodes)
  return directory


def _command(data, workdir, *more):
  return [
    *(sys.executable, "-m", "experiments.train_rssm", "--preset=debug"),
    *(f"--data_dir={data}", f"--workdir={workdir}"),
    *(f"--set=train.steps={_STEPS}", "--set=train.log_every=1"),
    *(f"--set=train.save_every={_SAVE_EVERY}", "--set=train.eval_every=999"),
    *("--set=evaluate.windows=2", "--set=evaluate.horizon=5"),
    *more,
  ]


def _environment():
  return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def _run(data, workdir, *more):
  return subprocess.run(
    _command(data, workdir, *more),
    capture_output=True,
    text=True,
    env=_environment(),
  )


def _rows(workdir):
  path = workdir / "metrics.jsonl"
  lines = path.read_text().splitlines() if path.exists() else []
  rows = []
  for line in lines:
    try:
      rows.append(json.loads(line))
    except json.JSONDecodeError:  # half a line so far
      break
  return [
    {k: v for k, v in row.items() if k != "time_s"}
    for row in rows
    if "loss/total" in row
  ]


def test_killed_at_any_moment_every_later_loss_is_the_same(data, tmp_path):
  whole = _run(data, tmp_path / "whole")
  assert whole.returncode == 0, whole.stderr
  expected = _rows(tmp_path / "whole")
  assert [row["step"] for row in expected] == list(range(1, _STEPS + 1))
  for reached in (3, 13):  # before the first checkpoint, and between two
    process = subprocess.Popen(
      _command(data, tmp_path / "parts"),
      stdout=subprocess.DEVNULL,
      stderr=subprocess.STDOUT,
      env=_environment(),
    )
    while process.poll() is None and len(_rows(tmp_path / "parts")) < reached:
      time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it had ended already"
  done = _run(data, tmp_path / "parts")
  assert done.returncode == 0, done.stderr
  assert "continuing at update" in done.stdout
  assert _rows(tmp_path / "parts") == expected
  chex.assert_trees_all_equal(
    checkpoints.load_item(tmp_path / "whole", "params"),
    checkpoints.load_item(tmp_path / "parts", "params"),
  )


def test_what_is_not_finite_is_named_and_never_saved(data, tmp_path):
  # Every step is saved, few are logged: what is saved is looked at first.
  done = _run(
    data,
    tmp_path,
    *("--set=train.learning_rate=1e10", "--set=train.warmup_steps=0"),
    *("--set=train.log_every=7", "--set=train.save_every=1"),
  )
  assert done.returncode == 1
  assert "not finite; the last good checkpoint" in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  step = checkpoints.latest_step(tmp_path / "checkpoints")
  assert step is not None
  params = checkpoints.load_item(tmp_path, "params")
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_a_full_disk_is_said_plainly(data, tmp_path):
  workdir = tmp_path / "small"
  workdir.mkdir()
  mounted = subprocess.run(
    ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(workdir)],
    capture_output=True,
  )
  if mounted.returncode:
    pytest.skip("no right to mount a small disk")
  try:
    done = _run(data, workdir / "run")
  finally:
    subprocess.run(["umount", "-l", str(workdir)], check=True)
  assert done.returncode == 1, done.stderr
  first, *rest = done.stderr.strip().splitlines()
  assert "a checkpoint needs" in first
  assert "What was saved before is kept" in rest[0]
  assert "--preset=debug" in rest[1] and len(rest) == 2
