import json
import subprocess
import sys

import numpy as np
import pytest

from data_tools import cartridge
from data_tools import generations
from data_tools import roms
from experiments import benchmark_data
from experiments import data_jobs
from tests import conftest


@pytest.fixture
def job(tmp_path):
  settings = data_jobs.Settings(
    roms.resolve(cartridge.CHAPTER_ONE),
    tmp_path,
    "random",
    seconds=0.01,
    repeats=1,
    loader_steps=300,
  )
  job = data_jobs.Job(settings, 0)
  yield job
  job.close()


def test_both_of_a_pair_play_the_same_steps(job, monkeypatch):
  job.pair(20)
  taken = []
  step = job._game.step
  monkeypatch.setattr(job._game, "step", lambda a: (taken.append(a), step(a)))
  job.pair(20)
  # The collector does not execute an action on its last row.
  assert len(taken) == 20 + 19
  assert taken[:19] == taken[20:]


def test_the_loader_draws_from_copies_that_are_records_of_their_own(
  job, tmp_path
):
  job.pair(100)
  job._writer.commit()
  assert job.multiply() == 300
  copies = generations.freeze(tmp_path / "copies")
  assert not copies.skipped
  assert (copies.num_episodes, copies.num_steps) == (3, 300)
  index = job._index()
  first = index.read(0, 0, 100, ["frame"])["frame"]
  np.testing.assert_array_equal(
    index.read(2, 0, 100, ["frame"])["frame"], first
  )
  with data_jobs._Rival(index) as rival, data_jobs._Rival(index, True) as fused:
    batch = rival.batch(0)
    assert batch.shape == (8, 64, 3, 144, 160) and batch.dtype == np.float32
    assert batch.min() >= 0 and batch.max() == 1
    np.testing.assert_allclose(fused.batch(0), batch, rtol=1e-6)
    assert next(rival.frames()) == 8 * 64


@pytest.mark.parametrize(
  "flag, message",
  [
    ("--seconds=0", "--seconds: '0'"),
    ("--repeats=0", "--repeats: 0"),
    ("--sections=disk,speed", "'speed'"),
    ("--sections=loader", "what scaling records"),
  ],
)
def test_bad_flags_end_in_one_line(flag, message):
  done = _run(flag)
  assert done.returncode == 2
  assert message in done.stderr and "Traceback" not in done.stderr


def _run(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "experiments.benchmark_data", *arguments],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
  )


def test_a_short_run_gives_a_table_and_its_numbers(tmp_path):
  path = tmp_path / "b.json"
  done = _run(
    "--seconds=0.2",
    "--repeats=1",
    "--loader_steps=600",
    "--sections=scaling,disk,loader",
    f"--json={path}",
  )
  assert done.returncode == 0, done.stderr
  result = json.loads(path.read_text())
  for section in ("scaling", "disk", "loader"):
    for line in benchmark_data.lines(section, result[section]):
      assert line in done.stdout
  for kind in ("collect", "control"):
    rates = result["scaling"][kind]
    assert rates["ratio"] == pytest.approx(rates["two"] / rates["one"])
  loader = result["loader"]
  assert loader["ratio"] == pytest.approx(
    loader["ours_per_s"] / loader["rival_per_s"]
  )
  assert result["disk"]["bytes_per_step"] > 0
  assert result["disk"]["steps"] <= loader["steps_on_disk"]
