"""The world model's training in two processes, killed, stopped and refused."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

from absl import flags
from absl.testing import flagsaver
import chex
import numpy as np
import pytest

from experiments.runs import distributed
from experiments.runs import inputs
from experiments.runs import metrics
from experiments.runs import run_directory
from pokedreamer_jax import checkpoints
from tests.data_tools import fakes as data_fakes

_STEPS = 24
_LOSS = inputs.VALIDATION_LOSS
_LIMIT_S = 600


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  directory = tmp_path_factory.mktemp("data")
  episodes = [(n, 60 + n, "random") for n in range(4)]
  data_fakes.write(directory, "made-up", episodes)
  return directory


def _start(data, workdir, *more):
  # The sizes of `train_rssm_test.py`, whose programs are compiled by then.
  arguments = [
    *("--preset=debug", f"--data_dir={data}", f"--workdir={workdir}"),
    *(f"--set=train.steps={_STEPS}", "--set=train.log_every=1"),
    *("--set=train.save_every=5", "--set=train.eval_every=6"),
    *("--set=evaluate.windows=2", "--set=evaluate.horizon=5", *more),
  ]
  return subprocess.Popen(
    [sys.executable, "-m", "experiments.train_rssm", *arguments],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=os.environ
    | {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"},
  )


def _start_pair(data, workdir, of_one=((), ())):
  """Two processes; `of_one` are the flags that each has alone."""
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    port = listener.getsockname()[1]
  return [
    _start(
      *(data, workdir, "--set=train.mesh=data=1,fsdp=2", *of_one[i]),
      *(f"--coordinator=localhost:{port}", "--num_processes=2"),
      f"--process_id={i}",
    )
    for i in range(2)
  ]


def _ended(*processes):
  """Exit codes, and what each said on stdout and stderr."""
  said = [process.communicate(timeout=_LIMIT_S) for process in processes]
  return [process.returncode for process in processes], said


def _rows(workdir):
  """What was recorded at each step, apart from the time."""
  return [
    metrics.repeated(row) for row in metrics.read(workdir / "metrics.jsonl")
  ]


def _send_at(step, workdir, processes, victims, number):
  """Sends a signal once the losses of `step` are there."""
  while not any(row["step"] >= step for row in _rows(workdir)):
    if any(process.poll() is not None for process in processes):
      pytest.fail(f"ended too early: {_ended(*processes)}")
    time.sleep(0.01)
  for victim in victims:
    victim.send_signal(number)


def _assert_close(found, expected):
  assert [row.keys() for row in found] == [row.keys() for row in expected]
  for row, other in zip(found, expected, strict=True):
    for name in row:
      if name.startswith(("loss/", "val/loss/", "step")):
        np.testing.assert_allclose(
          row[name], other[name], rtol=1e-5, atol=1e-6, err_msg=name
        )


def _holds_of(process, workdir, step):
  """Whether a process has written arrays of a checkpoint."""
  share = workdir / "checkpoints" / str(step) / "params"
  return any((share / f"ocdbt.process_{process}" / "d").iterdir())


# Two minutes; the update of two processes is in `mesh_test.py`.
@pytest.mark.slow
def test_two_processes_and_then_one_give_the_losses_of_one(data, tmp_path):
  whole, parts = tmp_path / "whole", tmp_path / "parts"
  codes, said = _ended(_start(data, whole))
  assert codes == [0], said
  expected = _rows(whole)
  assert [row["step"] for row in expected[:7]] == [1, 2, 3, 4, 5, 6, 6]

  pair = _start_pair(data, parts)
  _send_at(7, parts, pair, pair[1:], signal.SIGTERM)
  codes, said = _ended(*pair)
  assert codes == [143, 143], said
  stopped = checkpoints.latest_step(parts)
  assert 7 < stopped < 18
  for _, stderr in said:
    assert f"stopped by SIGTERM, saved at update {stopped} of" in stderr
  assert "updates" in said[0][0] and "updates" not in said[1][0]
  assert _holds_of(0, parts, stopped) and _holds_of(1, parts, stopped)
  found = _rows(parts)
  assert found[-1]["step"] == stopped
  _assert_close(found, expected[: len(found)])
  assert _LOSS in found[6]  # validated
  assert (parts / "dreams.png").exists()

  codes, said = _ended(_start(data, parts))
  assert codes == [0], said
  assert f"continuing at update {stopped}" in said[0][0]
  _assert_close(_rows(parts), expected)
  best = [checkpoints.best_step(d, _LOSS, False) for d in (whole, parts)]
  assert best[0] == best[1]
  starts = json.loads((parts / "meta.json").read_text())["starts"]
  assert len(starts) == 2  # one for the pair


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
  """A run of two processes that nothing disturbs."""
  workdir = tmp_path_factory.mktemp("whole")
  codes, said = _ended(*_start_pair(data, workdir))
  assert codes == [0, 0], said
  assert checkpoints.load_item(workdir, "loop")["step"] == _STEPS
  return workdir


@pytest.mark.slow
def test_killed_together_every_later_loss_is_the_same(data, whole, tmp_path):
  for step in (3, 13):  # before the first checkpoint, and between two
    pair = _start_pair(data, tmp_path)
    _send_at(step, tmp_path, pair, pair, signal.SIGKILL)
    assert _ended(*pair)[0] == [-signal.SIGKILL] * 2, "they had ended already"
  codes, said = _ended(*_start_pair(data, tmp_path))
  assert codes == [0, 0], said
  assert "continuing at update" in said[0][0]
  assert _rows(tmp_path) == _rows(whole)
  results = map(run_directory.read_result, (tmp_path, whole))
  assert next(results) == next(results) != {}
  chex.assert_trees_all_equal(
    checkpoints.load_item(whole, "params"),
    checkpoints.load_item(tmp_path, "params"),
  )


@pytest.mark.slow
def test_two_processes_continue_what_one_began(data, whole, tmp_path):
  alone = _start(data, tmp_path)
  _send_at(7, tmp_path, [alone], [alone], signal.SIGKILL)
  assert _ended(alone)[0] == [-signal.SIGKILL]
  codes, said = _ended(*_start_pair(data, tmp_path))
  assert codes == [0, 0], said
  assert "continuing at update" in said[0][0]
  _assert_close(_rows(tmp_path), _rows(whole))


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_where_one_is_killed_the_other_ends(data, tmp_path, victim):
  pair = _start_pair(data, tmp_path)
  _send_at(7, tmp_path, pair, [pair[victim]], signal.SIGKILL)
  killed_s = time.monotonic()
  codes, said = _ended(*pair)
  assert codes[victim] == -signal.SIGKILL
  assert codes[1 - victim] not in (0, 143), said
  assert time.monotonic() - killed_s < 120
  assert checkpoints.latest_step(tmp_path) >= 5


@pytest.mark.slow
def test_what_is_not_finite_ends_all_after_the_last_good_step(data, tmp_path):
  rate = ("--set=train.learning_rate=1e10", "--set=train.warmup_steps=0")
  more = (*rate, "--set=train.save_every=1")
  codes, said = _ended(*_start_pair(data, tmp_path, (more, more)))
  assert codes == [1, 1], said
  step = checkpoints.latest_step(tmp_path)
  for _, stderr in said:
    assert f"Error: update {step + 1}: " in stderr
    assert "not finite; the last good checkpoint" in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_a_process_that_fails_ends_all_with_its_line(data, tmp_path):
  codes, said = _ended(*_start_pair(data, tmp_path, ((), ("--seed=1",))))
  assert codes == [2, 2], said
  for _, stderr in said:
    assert "\n  seed: there 0, asked for 1\n" in stderr
    assert "Traceback" not in stderr and "stack" not in stderr
  assert said[0][1].startswith("Error: process 1: ")
  # Process 0 may have begun by then, and made the folder; nothing is in it.
  assert not list(tmp_path.glob("checkpoints/[0-9]*"))
  assert not _rows(tmp_path)


def test_where_jax_finds_no_cluster_it_says_so(data, tmp_path):
  codes, said = _ended(_start(data, tmp_path, "--coordinator=auto"))
  assert codes == [2], said
  assert "--coordinator=auto: jax finds no cluster here" in said[0][1]
  assert "--coordinator=HOST:PORT" in said[0][1]
  assert len(said[0][1].strip().splitlines()) == 1


@pytest.mark.parametrize(
  ("given", "message"),
  [
    ({"process_id": 1}, "--coordinator and --num_processes missing"),
    (
      {"coordinator": "a:1", "num_processes": 2},
      "--process_id missing: --coordinator, --num_processes and --process_id",
    ),
    ({"coordinator": "auto", "process_id": 0}, "expected neither"),
    (
      {"coordinator": "here", "num_processes": 2, "process_id": 0},
      "--coordinator=here: expected HOST:PORT or auto",
    ),
    (
      {"coordinator": "a:1", "num_processes": 2, "process_id": 2},
      "--process_id=2: expected 0 to 1",
    ),
    (
      {"coordinator": "a:1", "num_processes": 0, "process_id": 0},
      "--num_processes=0: expected at least 1",
    ),
  ],
)
def test_flags_that_are_no_group_say_why(given, message):
  distributed.define_flags()
  flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(**given):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
      distributed.join()
  assert "\n" not in str(caught.value)
