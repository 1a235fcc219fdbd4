"""Trackers of others: they get what the log gets, and can end nothing."""

import json
import os
import subprocess
import sys

from absl.testing import flagsaver
import pytest

from experiments.outputs import about as about_lib
from experiments.outputs import trackers
from experiments.runs import cli
from experiments.runs import metrics
from experiments.runs import run_directory
from tests import conftest

_CONFIG = {"train": {"steps": 3, "mesh": ""}, "seed": 0, "maps": [1, 2]}


class _Fake:
  """Keeps what it is told; fails where it shall."""

  name = "fake"
  run_id = "7"

  def __init__(self, fails=False):
    self.told, self.fails = [], fails

  def scalars(self, step, values):
    if self.fails:
      raise RuntimeError("service away\nand more of it")
    self.told.append((step, dict(values)))

  def image(self, step, name, picture):
    self.told.append((step, name))

  def end(self, how):
    self.told.append(how)


def _open(folder):
  return run_directory.open_run(folder, "clone", _CONFIG, graceful=False)


def _begin(monkeypatch, made):
  """Makes every tracker that of a test; returns how each was begun."""
  begun = []

  def begin(name, directory, about, run_id):
    begun.append((name, directory, about, run_id))
    return made

  monkeypatch.setattr(trackers, "begin", begin)
  return begun


def test_a_tracker_gets_what_the_log_gets(tmp_path, monkeypatch):
  fake = _Fake()
  begun = _begin(monkeypatch, fake)
  with _open(tmp_path) as run:
    run.track(["fake"])
    run.metrics(1, {"loss/total": 2})
    run.finish({"steps": 1})
  assert fake.told == [(1, {"loss/total": 2.0}), trackers.FINISHED]
  ((_, directory, about, run_id),) = begun
  assert (directory, run_id, about.stage) == (tmp_path, "", "clone")
  assert about.facts["commit"] and "jax" in about.facts["versions"]
  meta = json.loads((tmp_path / "meta.json").read_text())
  assert meta["trackers"] == {"fake": "7"}


def test_a_resumed_run_goes_on_under_its_name(tmp_path, monkeypatch):
  begun = _begin(monkeypatch, _Fake())
  for _ in range(2):
    with _open(tmp_path) as run:
      run.track(["fake"])
  assert [run_id for *_, run_id in begun] == ["", "7"]


@pytest.mark.parametrize(
  ("error", "how"),
  [
    (run_directory.Stopped("stopped", 130), trackers.STOPPED),
    (RuntimeError("broken"), trackers.BROKEN),
  ],
)
def test_how_a_run_ended_is_told(tmp_path, monkeypatch, error, how):
  fake = _Fake()
  _begin(monkeypatch, fake)
  with pytest.raises(type(error)), _open(tmp_path) as run:
    run.track(["fake"])
    raise error
  assert fake.told == [how]


def test_a_tracker_that_fails_ends_nothing(tmp_path, monkeypatch, capsys):
  fake = _Fake(fails=True)
  _begin(monkeypatch, fake)
  with _open(tmp_path) as run:
    run.track(["fake"])
    for step in (1, 2):
      run.metrics(step, {"loss": 1.0})
  said = capsys.readouterr().out
  assert said.count("fake is left out from here on (service away)") == 1
  assert [row["step"] for row in metrics.read(tmp_path / metrics.FILE)] == [
    1,
    2,
  ]
  assert fake.told == []


def test_what_is_not_installed_is_one_line(tmp_path):
  for name in ("clone_behaviour", "train_rssm"):
    ended = subprocess.run(
      [
        *(sys.executable, "-m", f"experiments.{name}", "--wandb"),
        f"--workdir={tmp_path / 'run'}",
      ],
      capture_output=True,
      text=True,
      cwd=conftest.ROOT,
      # A folder of that name is no package.
      env=os.environ | {"PYTHONPATH": str(_hiding(tmp_path, "wandb"))},
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr == (
      "Error: --wandb: the package wandb is not installed, expected what "
      "requirements-wandb.txt lists: pip install -r requirements-wandb.txt\n"
    )
    assert not (tmp_path / "run").exists()


def _hiding(folder, name):
  """A folder for PYTHONPATH in which a package seems not to be there."""
  code = (
    "import importlib.util as u\n"
    "_find = u.find_spec\n"
    f"u.find_spec = lambda n, *a: None if n == {name!r} else _find(n, *a)\n"
  )
  (folder / "sitecustomize.py").write_text(code)
  return folder


def test_the_environment_asks_for_trackers_of_all_stages(monkeypatch):
  cli.define_trackers()
  monkeypatch.setattr(trackers, "check", lambda name: None)
  with flagsaver.flagsaver(wandb=True, mlflow=False):
    assert cli.trackers() == ("wandb",)
    monkeypatch.setenv("POKEDREAMER_TRACK", "mlflow,wandb")
    assert cli.trackers() == ("wandb", "mlflow")
    monkeypatch.setenv("POKEDREAMER_TRACK", "tensors")
    with pytest.raises(ValueError, match="expected of wandb, mlflow"):
      cli.trackers()


def test_a_configuration_is_flat():
  assert about_lib.flat({**_CONFIG, "none": None, "self_sha256": "x"}) == {
    **{"train.steps": 3, "train.mesh": "", "seed": 0, "maps": "1, 2"},
    "none": "none",
  }


# In a process of its own: these libraries leave threads and warnings behind.
_REAL = """
import sys
from PIL import Image
from experiments.runs import run_directory
folder, name, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
run = run_directory.open_run(
  folder, "clone", {"train": {"steps": 3}, "seed": 0}, graceful=False
)
with run:
  run.track([name])
  for step in range(first, first + 3):
    run.metrics(step, {"loss/total": 1.0 / step, "val/exact": float("nan")})
  run._writer.image(first, "dreams", Image.new("RGB", (8, 8)))
  if first > 1:
    run.finish({"steps": 4})
"""


def _track(folder, name, **environment):
  for first in (1, 2):  # the second resumes, and does two steps again
    done = subprocess.run(
      [sys.executable, "-c", _REAL, str(folder), name, str(first)],
      capture_output=True,
      text=True,
      cwd=conftest.ROOT,
      env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stdout + done.stderr, done.stdout


def test_wandb_holds_a_run_offline(tmp_path):
  pytest.importorskip("wandb")
  _track(tmp_path, "wandb", WANDB_MODE="offline")
  files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
  assert len(files) == 2
  assert len({path.name for path in files}) == 1  # of one run
  data = b"".join(path.read_bytes() for path in files)
  for text in (b"loss/total", b"train.steps", b"commit"):
    assert text in data


def test_mlflow_holds_a_run_in_files(tmp_path):
  pytest.importorskip("mlflow")
  _track(tmp_path, "mlflow", MLFLOW_TRACKING_URI="")
  (run,) = tmp_path.glob("mlruns/[0-9]*/*/meta.yaml")
  run = run.parent
  rows = (run / "metrics" / "loss" / "total").read_text().splitlines()
  assert [row.split()[2] for row in rows] == ["1", "2", "3", "2", "3", "4"]
  assert (run / "params" / "train.steps").read_text() == "3"
  assert (run / "tags" / "stage").read_text() == "clone"
  assert "status: 3" in (run / "meta.yaml").read_text()  # finished
  assert {p.name for p in (run / "artifacts").iterdir()} == {
    *("run", "dreams_1.png", "dreams_2.png")
  }


def test_nothing_is_imported_that_was_not_asked_for():
  code = (
    "import sys; from experiments import train_rssm; "
    "print({'wandb', 'mlflow'} & set(sys.modules))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
  )
  assert done.stdout.strip() == "set()", done.stderr
