"""The wheel: what is in it, and that it works where nothing else is."""

import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

from tests import conftest

_PACKAGES = ("data_tools", "experiments", "pokedreamer_jax")
_PROJECT = tomllib.loads((conftest.ROOT / "pyproject.toml").read_text())
_EXTRAS = _PROJECT["project"]["optional-dependencies"]

_STEP_SCRIPT = """
import data_tools.env, gymnasium, sys
from data_tools.game import roms
from experiments.machine import provenance
from experiments.runs import run_directory
from pokedreamer_jax.config import presets
env = gymnasium.make("PokeDreamer/PracticeSmall-v0")
frame, info = env.reset(seed=0)
env.step(env.action_space.sample())
env.close()
print(roms.resolve().path)
print(frame.shape, info["state"]["map_name"], presets.make("tiny").seed)
print(provenance.commit())
"""


def _listed(name):
  """The lines of a list of requirements, without what it is built on."""
  lines = (conftest.ROOT / name).read_text().splitlines()
  return sorted(x for x in lines if x.strip() and x[0] not in "#-")


def _files():
  """Every file of the packages, by its place in the wheel."""
  return {
    str(path.relative_to(conftest.ROOT))
    for package in _PACKAGES
    for path in (conftest.ROOT / package).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
  }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  """Builds the wheel from a copy, offline: this folder stays as it is."""
  source = tmp_path_factory.mktemp("source")
  for path in conftest.ROOT.iterdir():
    if path.is_file() and path.name != ".git":
      shutil.copy(path, source)
  # The tests go along: that they stay out is for the build to see to.
  for name in (*_PACKAGES, "tests", "benchmarks"):
    shutil.copytree(
      conftest.ROOT / name,
      source / name,
      ignore=shutil.ignore_patterns("__pycache__"),
    )
  code = "from setuptools import build_meta as b; b.build_wheel('dist')"
  done = subprocess.run(
    [sys.executable, "-c", code], cwd=source, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  (found,) = (source / "dist").glob("*.whl")
  return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
  """The wheel, unpacked: a place like site-packages."""
  folder = tmp_path_factory.mktemp("outer") / "packages"
  with zipfile.ZipFile(wheel) as archive:
    archive.extractall(folder)
  # It lies inside a repository of somebody else, whose commit is not ours.
  git = ["git", "-C", str(folder.parent), "-c", "user.name=x"]
  subprocess.run([*git, "init", "-q"], check=True)
  message = ["commit", "-q", "--allow-empty", "-m", "theirs"]
  subprocess.run([*git, "-c", "user.email=x@x", *message], check=True)
  return folder


def _python(installed, cwd, *arguments, **options):
  keep = {k: v for k, v in os.environ.items() if k != "POKEDREAMER_ROM"}
  done = subprocess.run(
    [sys.executable, "-W", "ignore", *arguments],
    cwd=cwd,
    env=keep | {"PYTHONPATH": str(installed)},
    capture_output=True,
    text=True,
    **options,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout.splitlines()


def test_the_wheel_holds_the_packages_whole_and_nothing_else(wheel):
  names = {
    name
    for name in zipfile.ZipFile(wheel).namelist()
    if ".dist-info/" not in name
  }
  assert names == _files()


def test_the_wheel_asks_for_what_the_lists_name(installed):
  (found,) = importlib.metadata.distributions(path=[str(installed)])
  plain = [x for x in found.requires or () if "extra ==" not in x]
  assert sorted(map(_normal, plain)) == sorted(
    map(_normal, _listed("requirements.txt"))
  )
  assert set(found.metadata.get_all("Provides-Extra")) == set(_EXTRAS)


def _normal(requirement):
  """Without the order of bounds and spaces."""
  name, bounds = re.fullmatch(r"([\w.\[\]-]+)\s*(.*)", requirement).groups()
  return name, sorted(bounds.split(","))


@pytest.mark.parametrize("extra", list(_EXTRAS))
def test_an_extra_repeats_its_list(extra):
  assert sorted(_EXTRAS[extra]) == _listed(f"requirements-{extra}.txt")


def test_every_list_has_an_extra():
  lists = {p.stem for p in conftest.ROOT.glob("requirements-*.txt")}
  named = {f"requirements-{extra}" for extra in _EXTRAS}
  assert lists - named == {"requirements-test-sb3"}


@pytest.mark.parametrize("way", ["script", "stdin", "-c"])
def test_an_environment_steps_far_from_the_sources(installed, tmp_path, way):
  if way == "script":
    (tmp_path / "mine.py").write_text(_STEP_SCRIPT)
    lines = _python(installed, tmp_path, "mine.py")
  elif way == "stdin":
    lines = _python(installed, tmp_path, "-", input=_STEP_SCRIPT)
  else:
    lines = _python(installed, tmp_path, "-c", _STEP_SCRIPT)
  rom, seen, commit = lines[-3:]
  assert pathlib.Path(rom).is_relative_to(installed)
  assert seen.startswith("(144, 160, 3) ")
  assert commit == f"v{_PROJECT['project']['version']}"


def test_commands_are_found_far_from_the_sources(installed, tmp_path):
  lines = _python(installed, tmp_path, "-m", "experiments.doctor", "--help")
  assert any("--need_disk_mib" in line for line in lines)


def test_the_doctor_names_no_list_that_is_not_there(installed, tmp_path):
  code = (
    "from experiments import doctor as d; print(d._install('x.txt', 'jax'))"
  )
  assert _python(installed, tmp_path, "-c", code) == ['pip install "jax"']
