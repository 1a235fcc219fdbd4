import json
import subprocess
import sys

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import roms
from data_tools.records import generations
from experiments import benchmark_data
from experiments.speed import data_jobs
from experiments.speed import loader_rivals
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
  frames = loader_rivals.rgb_episodes(index)
  with (
    loader_rivals.Rival(frames) as rival,
    loader_rivals.Rival(frames, True) as fused,
  ):
    batch = rival.batch(0)
    assert batch.shape == (8, 64, 3, 144, 160) and batch.dtype == np.float32
    assert batch.min() >= 0 and batch.max() == 1
    np.testing.assert_allclose(fused.batch(0), batch, rtol=1e-6)
    assert next(rival.frames()) == 8 * 64


def test_torch_gives_the_samples_that_the_numpy_rival_gives():
  torch = pytest.importorskip("torch")
  rng = np.random.default_rng(0)
  episodes = [
    rng.integers(0, 256, (length, 144, 160, 3)).astype(np.uint8)
    for length in (64, 70)
  ]
  windows = loader_rivals.WindowDataset(episodes)
  assert len(windows) == 1 + 7
  for number, start in ((0, 0), (1, 0), (7, 6)):
    expected = episodes[min(number, 1)][start : start + 64]
    found = windows[number]
    assert found.dtype == torch.float32
    np.testing.assert_allclose(
      found.numpy(), expected.transpose(0, 3, 1, 2) / np.float32(255)
    )


def test_torch_batches_are_as_large_as_memory_allows():
  sizes = [loader_rivals.torch_batch_size(gib << 30) for gib in (64, 8, 2, 0)]
  assert sizes == [64, 16, 4, 1]
  held = 7 * 64 * 3 * 144 * 160 * 4  # bytes for a batch of one window
  for size, gib in zip(sizes[1:3], (8, 2), strict=True):
    assert size * held <= (gib << 30) / 3 < 2 * size * held


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
  for other, ratios in loader["against"].items():
    assert loader["batches"][other][1] == 64
    for name in ("ours", "cached"):
      expected = loader[f"{name}_per_s"] / loader[f"{other}_per_s"]
      assert ratios[name]["ratio"] == pytest.approx(expected)
  assert {"rival", "fused", "copy"} <= set(loader["against"])
  assert result["disk"]["bytes_per_step"] > 0
  assert result["disk"]["steps"] <= loader["steps_on_disk"]
