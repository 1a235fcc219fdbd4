"""The examples run, at tiny sizes, and say in a line what they lack."""

import json
import os
import re
import runpy
import subprocess
import sys

from PIL import Image
import pytest

from tests import conftest
from tests.experiments.dreaming import made

_FOLDER = conftest.ROOT / "examples"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Run directories of a small model."""
  root = tmp_path_factory.mktemp("runs")
  for stage in ("world_model", "policy"):
    (root / stage).mkdir()
    made.run_of(root / stage, stage)
  return root


def _run(name, monkeypatch, capsys, *arguments):
  """What an example prints."""
  monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
  runpy.run_path(str(_FOLDER / f"{name}.py"), run_name="__main__")
  return capsys.readouterr().out


def test_the_page_lists_what_is_there():
  page = (_FOLDER / "README.md").read_text(encoding="utf-8")
  listed = set(re.findall(r"examples[./](\w+)[ .`]", page))
  there = {p.stem for p in _FOLDER.glob("*") if p.suffix in (".py", ".ipynb")}
  assert listed == there - {"__init__"}


def test_experience_is_recorded_and_read(tmp_path, monkeypatch, capsys):
  sheet = tmp_path / "sheet.png"
  sizes = ("--episodes=4", "--length=48", "--workers=1", "--windows=3")
  places = (f"--data_dir={tmp_path / 'data'}", f"--out={sheet}")
  out = _run("record_and_read", monkeypatch, capsys, *sizes, *places)
  assert "frame (3, 8, 144, 40) uint8" in out
  with Image.open(sheet) as picture:
    assert picture.size == (8 * 160, 3 * 144)


def test_a_dream_is_filmed(runs, tmp_path, monkeypatch, capsys):
  film = tmp_path / "film.webp"
  sizes = ("--seen=2", "--steps=3", f"--out={film}")
  model = f"--model={runs / 'policy'}"
  out = _run("dream_beside_the_game", monkeypatch, capsys, model, *sizes)
  assert re.match(r"right [.#]{4}\n", out)
  with Image.open(film) as picture:
    assert (picture.size, picture.n_frames) == ((320, 144), 4)


def test_plans_are_made(runs, monkeypatch, capsys):
  sizes = ("--games=2", "--steps=2", "--plans=8", "--ahead=3", "--rounds=2")
  model = f"--model={runs / 'world_model'}"
  out = _run("plan_in_dreams", monkeypatch, capsys, model, *sizes)
  assert [line.split()[0] for line in out.splitlines()] == ["random", "planner"]


def test_a_model_that_is_not_there_is_a_line():
  ended = subprocess.run(
    [sys.executable, "-m", "examples.plan_in_dreams", "--model=nowhere"],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
  )
  assert ended.returncode == 1
  assert re.fullmatch(r"Error: nowhere: not a run dir.*\n", ended.stderr)


def test_missing_packages_are_a_line():
  ended = subprocess.run(
    # Without site-packages, as any other Python of the machine.
    [sys.executable, "-S", "-m", "examples.record_and_read"],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
  )
  assert ended.returncode == 2
  assert re.fullmatch(r"Error: missing packages: .*numpy.*\n", ended.stderr)


def test_the_notebook_runs(runs):
  nbformat = pytest.importorskip("nbformat")
  nbclient = pytest.importorskip("nbclient")
  pytest.importorskip("ipykernel")
  notebook = nbformat.read(_FOLDER / "tour.ipynb", as_version=4)
  sizes = notebook.cells[1]
  assert sizes.source.startswith("MODEL")
  sizes.source = f"MODEL = {str(runs / 'policy')!r}\nSTEPS, PLANS = 3, 4"
  env = os.environ | {"PYTHONPATH": str(conftest.ROOT)}
  client = nbclient.NotebookClient(
    notebook, timeout=300, resources={"metadata": {"path": str(runs)}}
  )
  client.execute(env=env)
  outputs = [
    output
    for cell in notebook.cells
    for output in cell.get("outputs", ())
    if "image/png" in output.get("data", {})
  ]
  assert len(outputs) == 3
  assert "best begins" in json.dumps(notebook)


def test_the_notebook_carries_no_output():
  notebook = json.loads((_FOLDER / "tour.ipynb").read_text(encoding="utf-8"))
  code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
  assert code and not any(c["outputs"] or c["execution_count"] for c in code)
