"""A disk that fills up while a stage works: three lines, and all data kept."""

import contextlib
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

import pytest

from experiments.outputs import event_files
from experiments.runs import metrics
from tests import conftest

_SIZE_MIB = 24
_MOMENTS = 20


@pytest.fixture
def small_disk(tmp_path):
  path = tmp_path / "small"
  path.mkdir()
  command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_MIB}m", "none"]
  if os.geteuid() or subprocess.run([*command, path]).returncode:
    pytest.skip("only root may mount a small disk")
  yield path
  subprocess.run(["umount", "-l", path], check=True)


class _Ballast:
  """Takes all room that there is, as soon as there is some."""

  def __init__(self, folder: pathlib.Path):
    self._path = folder / "ballast"
    self._full = threading.Event()
    self._ended = threading.Event()
    self._thread = threading.Thread(target=self._fill, daemon=True)

  def start(self):
    self._thread.start()
    self._full.wait()

  def stop(self):
    self._ended.set()
    self._thread.join()
    self._path.unlink(missing_ok=True)

  def _fill(self):
    with open(self._path, "ab", buffering=0) as file:
      while not self._ended.is_set():
        with contextlib.suppress(OSError):
          while not self._ended.is_set():
            file.write(b"x" * 4096)
        self._full.set()
        time.sleep(0.005)


def _start(arguments, stderr):
  return subprocess.Popen(
    [sys.executable, "-m", *arguments],
    stdout=subprocess.DEVNULL,
    stderr=stderr,
    cwd=conftest.ROOT,
    env=os.environ | {"PYTHONPATH": str(conftest.ROOT)},
  )


def _await_rows(process, log):
  """Until rows are added; those after the restored step go before."""
  smallest = None
  while process.poll() is None:
    size = log.stat().st_size if log.exists() else 0
    if smallest is not None and size > smallest:
      return
    smallest = size
    time.sleep(0.01)
  raise AssertionError("ended before it trained")


def _run(arguments):
  with open(os.devnull, "wb") as nowhere:
    assert _start(arguments, nowhere).wait(timeout=300) == 0


@pytest.mark.slow
def test_training_on_a_disk_that_fills_up_at_random_moments(
  small_disk, tmp_path
):
  data_dir = tmp_path / "data"
  _run(["experiments.collect_data", "--preset=debug", f"--workdir={data_dir}"])
  workdir = small_disk / "run"
  arguments = [
    "experiments.train_rssm",
    *("--preset=debug", f"--data_dir={data_dir}", f"--workdir={workdir}"),
    *("--set=train.log_every=1", "--set=train.save_every=3"),
    *("--set=train.eval_every=40", "--set=train.steps=100000"),
  ]
  rng = random.Random(0)
  outcomes = {"before training": 0, "in training": 0}
  rows_before = []
  for moment in range(_MOMENTS):
    errors = tmp_path / f"{moment}.txt"
    with open(errors, "wb") as file:
      process = _start(arguments, file)
    log = workdir / metrics.FILE
    if moment % 4 == 0:  # from the start on
      time.sleep(rng.uniform(0, 4))
    else:
      _await_rows(process, log)
      time.sleep(rng.uniform(0, 2))
    ballast = _Ballast(small_disk)
    ballast.start()
    try:
      code = process.wait(timeout=120)
    finally:
      process.kill()
      ballast.stop()
    text = errors.read_text()
    lines = [line for line in text.splitlines() if line]
    assert code == 1, (moment, code, text)
    assert len(lines) == 3, (moment, text)
    assert lines[0].startswith("Error: ") and str(small_disk) in lines[0]
    words = ("No space left on device", "a checkpoint needs")
    assert any(word in lines[0] for word in words)
    assert "python -m experiments.train_rssm" in lines[2]
    rows = metrics.read(log) if log.exists() else []
    # Nothing but what came after the restored checkpoint is done again.
    for old, new in zip(rows_before, rows, strict=False):
      assert metrics.repeated(old) == metrics.repeated(new)
    outcomes["before training" if moment % 4 == 0 else "in training"] += 1
    assert not rows_before or len(rows) > len(rows_before) - 4
    rows_before = rows
  print(outcomes, rows_before[-1]["step"])
  # With room again it goes on, and shows all.
  steps = rows_before[-1]["step"] + 3
  _run([*arguments[:-1], f"--set=train.steps={steps}"])
  assert json.loads((workdir / "result.json").read_text())["steps"] == steps
  rows = metrics.read(workdir / metrics.FILE)
  assert {row["step"] for row in rows} == set(range(1, steps + 1))
  shown = event_files.points(workdir / "tb")
  logged = sum(len(row) - 2 for row in rows)
  assert len(shown) == logged
