"""The world model's training in two processes, killed, stopped and refused."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

from absl.testing import flagsaver
import numpy as np
import pytest

from experiments import cli
from experiments import distributed
from experiments import inputs
from experiments import metrics
from experiments import run_directory
from experiments import shared_run
from pokedreamer_jax import checkpoints
from tests.data_tools import fakes as data_fakes

_STEPS = 16
_LIMIT_S = 300


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  directory = tmp_path_factory.mktemp("data")
  episodes = [(n, 60 + n, "random") for n in range(4)]
  data_fakes.write(directory, "made-up", episodes)
  return directory


def _start(data, workdir, *more):
  arguments = [
    *("--preset=debug", f"--data_dir={data}", f"--workdir={workdir}"),
    *(f"--set=train.steps={_STEPS}", "--set=train.log_every=1"),
    *("--set=train.save_every=4", "--set=train.eval_every=8"),
    *("--set=world_model.hidden=256",),  # large enough to be cut
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


def _start_pair(data, workdir, *more, of_one=((), ())):
  """Both processes; `of_one` are the flags that one of them has alone."""
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    port = listener.getsockname()[1]
  return [
    _start(
      *(data, workdir, "--set=train.mesh=data=1,fsdp=2", *more, *of_one[i]),
      *(f"--coordinator=localhost:{port}", "--num_processes=2"),
      f"--process_id={i}",
    )
    for i in range(2)
  ]


def _ended(*processes):
  """Exit codes, and what each said on stdout and stderr."""
  said = [process.communicate(timeout=_LIMIT_S) for process in processes]
  return [process.returncode for process in processes], said


def _losses(workdir):
  rows = metrics.read(workdir / "metrics.jsonl")
  return {
    row["step"]: {k: v for k, v in row.items() if k != "time_s"}
    for row in rows
    if "loss/total" in row
  }


def _signal_at(processes, workdir, step, victims, number):
  """Sends a signal once the losses of `step` are there."""
  while step not in _losses(workdir):
    assert all(process.poll() is None for process in processes)
    time.sleep(0.002)
  for victim in victims:
    victim.send_signal(number)


def _assert_close(found, expected):
  for step, row in found.items():
    for name, value in row.items():
      if name.startswith("loss/"):
        np.testing.assert_allclose(
          value, expected[step][name], rtol=1e-5, atol=1e-6, err_msg=name
        )


@pytest.fixture(scope="module")
def pair(data, tmp_path_factory):
  """What two processes made of a run that nothing disturbs."""
  workdir = tmp_path_factory.mktemp("pair")
  codes, said = _ended(*_start_pair(data, workdir))
  assert codes == [0, 0], said
  assert "loss" in said[0][0] and len(said[1][0].splitlines()) == 1, said
  return workdir


def test_two_processes_give_the_losses_of_one(data, pair, tmp_path):
  codes, said = _ended(_start(data, tmp_path))
  assert codes == [0], said
  found, expected = _losses(pair), _losses(tmp_path)
  assert list(found) == list(expected) == list(range(1, _STEPS + 1))
  _assert_close(found, expected)
  one, two = (
    run_directory.read_result(tmp_path),
    run_directory.read_result(pair),
  )
  assert one.keys() == two.keys()
  loss = inputs.VALIDATION_LOSS
  np.testing.assert_allclose(two[loss], one[loss], rtol=1e-5)
  for name in ("config.json", "meta.json", "dreams.png", "log.txt"):
    assert (pair / name).exists()
  lines = (pair / "metrics.jsonl").read_text().splitlines()
  assert len(lines) == _STEPS + 2  # each update and validation once
  assert len(json.loads((pair / "meta.json").read_text())["starts"]) == 1
  # Both have written their shares.
  best = checkpoints.best_step(pair, loss, best_is_high=False)
  kept = sorted(int(path.name) for path in (pair / "checkpoints").iterdir())
  assert kept == sorted({12, 16, best})
  for process in range(2):
    share = pair / "checkpoints" / "16" / "params" / f"ocdbt.process_{process}"
    assert list((share / "d").iterdir()), process
  assert checkpoints.load_item(pair, "loop")["step"] == _STEPS


def test_killed_stopped_and_continued_by_another_number_of_processes(
  data, pair, tmp_path
):
  expected = _losses(pair)
  both = _start_pair(data, tmp_path)
  _signal_at(both, tmp_path, 6, both, signal.SIGKILL)
  assert _ended(*both)[0] == [-signal.SIGKILL] * 2
  assert checkpoints.latest_step(tmp_path) == 4

  both = _start_pair(data, tmp_path)
  _signal_at(both, tmp_path, 9, both[1:], signal.SIGTERM)
  codes, said = _ended(*both)
  assert codes == [143, 143], said
  step = checkpoints.latest_step(tmp_path)
  assert 9 < step < _STEPS
  for _, stderr in said:
    assert f"stopped by SIGTERM, saved at update {step} of" in stderr
  found = _losses(tmp_path)
  assert found == {n: row for n, row in expected.items() if n <= step}

  codes, said = _ended(_start(data, tmp_path))
  assert codes == [0], said
  assert f"continuing at update {step}" in said[0][0]
  found = _losses(tmp_path)
  assert list(found) == list(expected)
  _assert_close(found, expected)


def test_a_process_that_fails_ends_all_with_its_line(data, tmp_path):
  began_s = time.monotonic()
  codes, said = _ended(*_start_pair(data, tmp_path, of_one=((), ("--seed=1",))))
  assert codes == [2, 2], said
  for _, stderr in said:
    assert "\n  seed: there 0, asked for 1\n" in stderr
    assert "Traceback" not in stderr
  assert said[0][1].startswith("Error: process 1: ")
  assert not (tmp_path / "metrics.jsonl").exists()
  assert time.monotonic() - began_s < 60


@pytest.mark.parametrize(
  ("flags", "message"),
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
    ({"coordinator": "auto"}, "jax finds no cluster here"),
  ],
)
def test_flags_that_are_no_group_say_why(flags, message):
  cli.flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(**flags):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
      distributed.join()
  assert "\n" not in str(caught.value)
