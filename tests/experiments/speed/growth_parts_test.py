"""Each part of the growth benchmark at tiny sizes, and what it runs."""

import dataclasses
import mmap
import os
import pathlib
import signal

import numpy as np
import pytest

from data_tools.records import generations
from data_tools.records import loader
from experiments.machine import processes
from experiments.speed import growth_data
from experiments.speed import growth_evaluation
from experiments.speed import growth_memory
from experiments.speed import growth_runs
from experiments.speed import growth_sizes
from experiments.speed import growth_verbs
from pokedreamer_jax.config import presets


def test_synthetic_records_are_whole_and_all_different(tmp_path):
  records = growth_data.Records(str(tmp_path))
  steps = growth_data.EPISODE_STEPS + 100
  written = records.write(steps)
  generation = generations.freeze(tmp_path)
  assert not generation.skipped
  assert (generation.num_steps, generation.num_episodes) == (steps, 2)
  assert written["bytes"] < 1000 * steps  # packed, as played ones are
  index = loader.EpisodeIndex(generation, "all")
  one, two = (index.read(i, 0, 100, ["frame"])["frame"] for i in (0, 1))
  assert (one != two).any()
  found = records.read()
  assert found["steps"] == steps
  assert all(
    found[f"{name}_s"] > 0 for name in ("freeze", "early_batch", "batch")
  )


def test_widths_are_scaled_and_all_else_stays():
  config = presets.make("tiny")
  assert growth_sizes.scale(config, 1) == config
  twice = growth_sizes.scale(config, 2)
  assert twice.world_model.deter == 2 * config.world_model.deter
  assert twice.world_model.tile_units == 2 * config.world_model.tile_units
  assert twice.actor_critic.units == 2 * config.actor_critic.units
  same = dataclasses.asdict(twice.world_model)
  same |= {
    name: getattr(config.world_model, name)
    for name in ("deter", "hidden", "tile_units", "block_units")
  }
  assert same == dataclasses.asdict(config.world_model)
  assert growth_sizes.scale(config, 1e-3).world_model.hidden == 8


def test_a_checkpoint_is_as_large_as_what_it_holds(tmp_path):
  found = {}
  for size in (2**16, 2**20):  # of noise, which does not compress
    noise = np.random.default_rng(0).random(size, np.float32)
    folder = tmp_path / str(size)
    found[size] = growth_sizes.keep({"params": {"kernel": noise}}, folder)
    assert found[size]["save_s"] > 0 and found[size]["restore_s"] > 0
  more = found[2**20]["checkpoint_bytes"] - found[2**16]["checkpoint_bytes"]
  assert more == pytest.approx(4 * (2**20 - 2**16), rel=0.2)


@pytest.mark.slow
def test_a_wider_model_has_more_parameters_and_takes_more_of_all():
  rows = growth_sizes.measure(presets.make("debug"), [1, 8], 3)
  (small, one), (large, eight) = sorted(rows.items())
  assert 600_000 < small < 800_000 < large
  assert all(value > 0 for value in one.values())
  for name in ("update_s", "dream_s", "checkpoint_bytes"):
    assert eight[name] > one[name]


def _verb(folder, name, text):
  """A module `experiments.NAME` of a folder that is gone to."""
  package = folder / "experiments"
  package.mkdir(exist_ok=True)
  (package / "__init__.py").write_text("")
  (package / f"{name}.py").write_text(text)


def test_a_run_tells_what_its_children_took_too_and_what_it_held(
  tmp_path, monkeypatch
):
  _verb(
    tmp_path,
    "busy",
    "import subprocess, sys, time\n"
    "held = bytearray(200 << 20)\n"
    "code = 'import time\\nwhile time.process_time() < .5: pass'\n"
    "subprocess.run([sys.executable, '-c', code])\n"
    "time.sleep(.3)\n",
  )
  monkeypatch.chdir(tmp_path)
  larger = bytearray(os.urandom(1 << 20)) * 500  # than what is run
  seen = []
  ran = growth_runs.run("busy", [], tmp_path / "log.txt", seen.append)
  assert 0.5 < ran.cpu_s < 5 and ran.wall_s > 0.8
  assert 200 < ran.peak_mib < 400
  assert len(seen) > 5 and len(set(seen)) == 1
  del larger


def test_who_is_asked_to_end_ends_what_it_runs_and_tidies_up(
  tmp_path, monkeypatch
):
  _verb(tmp_path, "long", "import time\ntime.sleep(60)")
  monkeypatch.chdir(tmp_path)
  kept = signal.getsignal(signal.SIGTERM)
  seen = []

  def watch(pid):
    seen.append(pid)
    os.kill(os.getpid(), signal.SIGTERM)

  with pytest.raises(SystemExit) as left, growth_runs.ending_in_order():
    growth_runs.run("long", [], tmp_path / "log.txt", watch)
  assert left.value.code == 143 and len(seen) == 1
  with pytest.raises(ProcessLookupError):
    os.kill(seen[0], 0)
  assert signal.getsignal(signal.SIGTERM) == kept


def test_a_run_that_fails_says_its_last_line(tmp_path, monkeypatch):
  _verb(tmp_path, "bad", "print('one')\nprint('no room')\nraise SystemExit(2)")
  monkeypatch.chdir(tmp_path)
  with pytest.raises(RuntimeError, match=r"bad ended with 2, .* no room"):
    growth_runs.run("bad", [], tmp_path / "log.txt")


def test_a_verb_that_only_says_its_help_is_timed():
  found = growth_verbs.measure(["compare"], 1)
  assert set(found) == {"compare"}
  assert found["compare"]["cpu_s"] > 0 and found["compare"]["peak_mib"] > 5
  (line,) = growth_verbs.lines(found)
  assert line.startswith("compare ")


def test_evaluations_are_of_all_records_and_then_of_all_windows(monkeypatch):
  calls = []

  def run(verb, arguments, log, environment):
    del log
    assert environment["JAX_COMPILATION_CACHE_DIR"]
    given = dict(item.removeprefix("--").split("=", 1) for item in arguments)
    calls.append((verb, arguments))
    if verb != "collect_data":
      assert pathlib.Path(given["data_dir"]).name == "data"
    return growth_runs.Ran(1.0, float(len(calls)), 10.0)

  class Frozen:
    num_steps = property(
      lambda self: 100 * sum(verb == "collect_data" for verb, _ in calls)
    )

  monkeypatch.setattr(growth_runs, "run", run)
  monkeypatch.setattr(generations, "freeze", lambda path: Frozen())
  steps, windows = growth_evaluation.measure(
    ["--preset=debug"], [2, 4], [5, 10]
  )
  verbs = [verb for verb, _ in calls]
  one = ["collect_data", "train_rssm", "evaluate"]
  assert verbs == 3 * one + 2 * ["evaluate"]
  # The first round, which compiles, is not counted.
  assert list(steps) == [200, 300] and list(windows) == [5, 10]
  assert [row["begin_training_s"] for row in steps.values()] == [5.0, 8.0]
  assert [row["evaluate_s"] for row in windows.values()] == [10.0, 11.0]
  dreamt = [
    item
    for verb, arguments in calls
    for item in arguments
    if item.startswith("--set=evaluate.windows")
  ]
  assert [int(item.rpartition("=")[2]) for item in dreamt] == [5, 5, 5, 5, 10]


def test_memory_is_sampled_once_an_update_that_is_told(tmp_path, monkeypatch):
  held = iter(range(10**9))
  monkeypatch.setattr(
    processes, "anonymous_bytes", lambda pid: next(held) << 20
  )
  watch = growth_memory.Watch(tmp_path)
  watch(1)  # nothing is there yet
  with (tmp_path / "metrics.jsonl").open("a") as file:
    for step in range(5, 505, 5):
      for name in ("loss", "val/loss"):  # two lines of one update
        file.write(f'{{"step": {step}, "time_s": 0.1, "{name}": 1.0}}\n')
        file.flush()
        watch(1)
      watch(1)  # nothing new
  found = watch.result()
  assert found["updates"] == list(range(5, 505, 5))
  # The second line of an update is looked at as well, and left out.
  assert found["mib"] == list(range(0, 200, 2))
  assert found["bytes_an_update"] == pytest.approx(2 * 2**20 / 5)
  (line,) = growth_memory.lines({"train_rssm": found})
  assert "GROWS" in line


def test_memory_needs_samples(tmp_path):
  with pytest.raises(RuntimeError, match="0 samples"):
    growth_memory.Watch(tmp_path).result()


@pytest.mark.skipif(
  not os.path.exists("/proc/self/status"), reason="needs Linux"
)
def test_memory_that_is_allocated_is_seen_and_of_the_dead_there_is_none():
  before = processes.anonymous_bytes(os.getpid())
  block = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
  block.write(b"x" * (64 << 20))
  after = processes.anonymous_bytes(os.getpid())
  assert before is not None and after is not None
  assert 60 < (after - before) / 2**20 < 80
  block.close()
  assert processes.anonymous_bytes(2**30) is None


@pytest.mark.slow
def test_an_evaluation_is_measured_by_the_verbs_themselves():
  steps, windows = growth_evaluation.measure(["--preset=debug"], [3], [4])
  (recorded,) = steps
  assert 100 < recorded <= 3 * 96 and list(windows) == [4]
  for row in (*steps.values(), *windows.values()):
    assert all(value > 0 for value in row.values())


@pytest.mark.slow
def test_trainings_are_watched_to_their_ends():
  found = growth_memory.measure(["--preset=debug"], 200, 200)
  assert list(found) == ["train_rssm", "train_policy"]
  for row in found.values():
    low, high = row["interval"]
    assert row["updates"][-1] > 150 and len(row["updates"]) >= 50
    assert low <= row["bytes_an_update"] <= high
    assert 100 < row["mib"][-1] < 4096
