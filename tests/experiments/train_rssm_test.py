"""World-model training as a run: stopped, broken by numbers, out of disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import chex
import jax
import numpy as np
from PIL import Image
import pytest

from data_tools.records import generations
from data_tools.records import shards as shards_lib
from experiments.runs import inputs
from experiments.runs import metrics
from experiments.runs import run_directory
from experiments.training import validation
from pokedreamer_jax import checkpoints
from tests.data_tools import fakes as data_fakes

_STEPS = 24
_SAVE_EVERY = 5
_LOSS = inputs.VALIDATION_LOSS


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
  return [metrics.repeated(row) for row in rows if "loss/total" in row]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
  """A run that nothing disturbs."""
  workdir = tmp_path_factory.mktemp("whole")
  done = _run(data, workdir)
  assert done.returncode == 0, done.stderr
  return workdir


def test_a_run_begins_with_what_another_one_learned_and_a_further_token(
  data, whole, tmp_path
):
  trained = inputs.load_config(str(whole)).world_model
  more = (
    *(f"--begin_from={whole}", "--set=train.steps=2"),
    f"--set=world_model.tokens={trained.tokens} hp2:6",
  )
  done = _run(data, tmp_path, *more)
  assert done.returncode == 0, done.stderr
  assert f"begins with the parameters of {whole}" in done.stdout
  # The very batch that the other one began with, after what it learned since.
  first, now = _rows(whole)[0], _rows(tmp_path)[0]
  assert now["loss/image"] < 0.95 * first["loss/image"]
  recorded = run_directory.read_config(tmp_path)
  assert recorded["begin_from"] == inputs.fingerprint(str(whole))
  assert "hp2" in inputs.load_config(str(tmp_path)).world_model.token_sizes
  # It goes on from its own checkpoint, wherever the other one is by then.
  gone = (f"--begin_from={tmp_path / 'gone'}", *more[1:], "--set=train.steps=3")
  further = _run(data, tmp_path, *gone)
  assert further.returncode == 0, further.stderr
  assert "--begin_from: not read" in further.stdout
  assert run_directory.read_config(tmp_path)["begin_from"] == (
    inputs.fingerprint(str(whole))
  )
  # What cannot change while a run goes on.
  again = _run(data, tmp_path, *more[1:])
  assert again.returncode == 2
  assert "begin_from" in again.stderr


def _interrupt(data, workdir, reached, number):
  """Starts a run, and sends it a signal when so many losses are there."""
  process = subprocess.Popen(
    _command(data, workdir),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
    env=_environment(),
  )
  while process.poll() is None and len(_rows(workdir)) < reached:
    time.sleep(0.002)
  process.send_signal(number)
  _, said = process.communicate()
  return process.returncode, said


def _kill(data, workdir, reached):
  code, _ = _interrupt(data, workdir, reached, signal.SIGKILL)
  assert code == -signal.SIGKILL, "it had ended already"


def test_killed_and_stopped_at_any_moment_every_later_loss_is_the_same(
  data, whole, tmp_path
):
  expected = _rows(whole)
  assert [row["step"] for row in expected] == list(range(1, _STEPS + 1))
  _kill(data, tmp_path, 3)  # before the first checkpoint
  # SIGTERM saves between two checkpoints, and leaves with its own code.
  code, said = _interrupt(data, tmp_path, 12, signal.SIGTERM)
  assert code == 143, said
  step = checkpoints.latest_step(tmp_path)
  assert step == len(_rows(tmp_path)) < _STEPS
  assert f"stopped by SIGTERM, saved at update {step} of {_STEPS}" in said
  _kill(data, tmp_path, 17)  # in what continues from there
  done = _run(data, tmp_path)
  assert done.returncode == 0, done.stderr
  assert "continuing at update" in done.stdout
  assert _rows(tmp_path) == expected
  chex.assert_trees_all_equal(
    checkpoints.load_item(whole, "params"),
    checkpoints.load_item(tmp_path, "params"),
  )


def test_the_flags_of_the_published_script(data, tmp_path):
  flags = (
    *("--epochs=3", "--batch_size=8", "--seq_len=10", "--max_files=1"),
    *("--det_dim=24", "--class_num=3", "--category_num=5", "--lr=2e-3"),
    *("--set=train.keep_every_epoch=true", "--set=train.save_every=999"),
    *("--set=train.log_every=2", "--profile_steps=2"),
  )
  presets = ("--preset=debug", "--set=evaluate.windows=2")
  command = [
    *(sys.executable, "-m", "experiments.train_rssm", *presets),
    *("--set=evaluate.horizon=5", f"--data_dir={data}", *flags),
    f"--out_dir={tmp_path}",
  ]

  def run(*more):
    return subprocess.run(
      [*command, *more], capture_output=True, text=True, env=_environment()
    )

  done = run()
  assert done.returncode == 0, done.stderr
  # Of the first shard's two episodes, of 60 and 61 rows, one is held out:
  # 60 - 10 + 1 = 51 or 52 starts in batches of 8.
  epoch = 7
  recorded = run_directory.read_config(tmp_path)
  assert recorded["train"] | {
    "steps": 3 * epoch, "epochs": 3, "batch_size": 8, "seq_len": 10,
    "learning_rate": 2e-3, "eval_every": 0, "max_files": 1,
  } == recorded["train"]  # fmt: skip
  sizes = {"deter": 24, "classes": 3, "stoch": 5}
  assert recorded["world_model"] | sizes == recorded["world_model"]
  rows = metrics.read(tmp_path / "metrics.jsonl")
  losses = {r["step"]: r[_LOSS] for r in rows if _LOSS in r}
  assert list(losses) == [epoch, 2 * epoch, 3 * epoch]
  steps = sorted(int(p.name) for p in (tmp_path / "checkpoints").glob("[0-9]*"))
  assert steps == list(losses)  # of every epoch
  best = min(losses, key=losses.get)
  assert checkpoints.best_step(tmp_path, _LOSS, best_is_high=False) == best
  # What the checkpoint is said to have lost, it loses.
  config = inputs.load_config(str(tmp_path))
  generation = inputs.open_generation(str(data), tmp_path)
  again = validation.Validator(config, generation).measure(
    inputs.load_world_model(str(tmp_path), best)
  )
  np.testing.assert_allclose(again[_LOSS], losses[best], rtol=1e-4)
  assert inputs.choose_step(str(tmp_path), "best") == best
  assert inputs.choose_step(str(tmp_path), "latest") is None
  assert inputs.choose_step(str(tmp_path), "14") == 14
  for wrong in ("13", "first"):
    with pytest.raises(ValueError, match=r"latest, best or.*\[7, 14, 21\]"):
      inputs.choose_step(str(tmp_path), wrong)
  with Image.open(tmp_path / "dreams.png") as sheet:
    assert sheet.width > 160
  board = b"".join(p.read_bytes() for p in (tmp_path / "tb").iterdir())
  assert board.count(b"dreams") >= 3 and b"PNG" in board
  assert "frames/s" in done.stdout
  assert list((tmp_path / "profile").rglob("*.xplane.pb"))

  useless = run("--kl_alpha=0.5")
  assert useless.returncode == 2
  assert "--kl_alpha=0.5: family v3 does not take it" in useless.stderr

  other = run("--batch_size=4", "--lr=1e-3", "--epochs=2")
  assert other.returncode == 2
  said = other.stderr.splitlines()
  assert [line.strip() for line in said if ": there" in line] == [
    "train.batch_size: there 8, asked for 4",
    "train.learning_rate: there 0.002, asked for 0.001",
  ]


def test_a_nan_in_the_data_is_named_by_its_loss(data, tmp_path):
  folder = tmp_path / "data"
  shutil.copytree(data, folder)
  whole = data_fakes.steps(90, 7)
  whole["reward_terms"][40:50] = np.nan
  shards = folder / generations.SHARDS_DIR
  with shards_lib.ShardWriter(shards, "nan") as writer:
    for number in (7, 8):  # the first of a behaviour is held out
      writer.begin(data_fakes.header(number, "human", "made-up"))
      steps = whole if number == 8 else data_fakes.steps(90, 7)
      for chunk in data_fakes.chunks(steps):
        writer.write(chunk)
      writer.end({"number": number})
  done = _run(folder, tmp_path / "run", "--set=train.save_every=1")
  assert done.returncode == 1, done.stdout
  assert len(done.stderr.strip().splitlines()) == 1
  step = checkpoints.latest_step(tmp_path / "run" / "checkpoints")
  assert step is not None and step >= 1
  said = f"update {step + 1}: grad/norm, loss/reward, loss/total, param/norm"
  assert f"{said} not finite; the last good checkpoint" in done.stderr
  params = checkpoints.load_item(tmp_path / "run", "params")
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


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
