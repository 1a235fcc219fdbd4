"""The direction between the packages, seen in fresh processes."""

import ast
import graphlib
import json
import os
import subprocess
import sys

import pytest

from experiments import __main__ as main
from tests import conftest

_HEAVY = ("jax", "flax", "optax", "orbax")

# What data_tools may know of the library: the standard library and numpy.
_SHARED = (
  *("pokedreamer_jax.specs", "pokedreamer_jax.json_files"),
  *("pokedreamer_jax.whole_files", "pokedreamer_jax.goal_specs"),
)


def _imported_by(names):
  """Top-level and own modules that a fresh process has after imports."""
  code = (
    "import importlib, json, sys\n"
    f"for name in {list(names)!r}: importlib.import_module(name)\n"
    "print(json.dumps(sorted(sys.modules)))"
  )
  result = subprocess.run(
    [sys.executable, "-W", "ignore", "-c", code],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    env=os.environ | {"PYTHONPATH": str(conftest.ROOT)},
  )
  assert result.returncode == 0, result.stderr
  return set(json.loads(result.stdout.splitlines()[-1]))


def _modules(package):
  """Dotted names of every module of a package."""
  names = []
  for path in sorted((conftest.ROOT / package).rglob("*.py")):
    parts = path.relative_to(conftest.ROOT).with_suffix("").parts
    names.append(".".join(parts).removesuffix(".__init__"))
  return names


def _below(modules, *roots):
  return {m for m in modules if m.split(".")[0] in roots}


def test_the_contract_and_the_configuration_wake_no_jax():
  modules = _imported_by(
    ["pokedreamer_jax.specs", "pokedreamer_jax.config.presets"]
  )
  assert not _below(modules, *_HEAVY, "pyboy", "grain")


def test_data_tools_never_wake_jax_and_know_the_contract_only():
  modules = _imported_by(_modules("data_tools"))
  assert not _below(modules, *_HEAVY)
  assert not _below(modules, "experiments")
  assert _below(modules, "pokedreamer_jax") == {
    "pokedreamer_jax",
    *_SHARED,
  }


def test_a_collecting_worker_wakes_no_jax():
  code = (
    "import sys\n"
    "from data_tools.game import emulator, roms\n"
    "from data_tools.players import policies\n"
    "from data_tools.records import episodes\n"
    "rom = roms.resolve()\n"
    "with emulator.Emulator(rom) as game:\n"
    "  game.reset(0)\n"
    "  policy = policies.make_policy('random', rom)\n"
    "  for _ in episodes.play(game, policy, 0, 3): pass\n"
    "print(any(m.split('.')[0] in ('jax', 'grain') for m in sys.modules))"
  )
  result = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    env={k: v for k, v in os.environ.items() if k != "POKEDREAMER_ROM"},
  )
  assert result.stdout.split() == ["False"], result.stderr


def test_a_planner_wakes_no_jax_and_no_service():
  modules = _imported_by(
    name
    for name in _modules("pokedreamer_jax")
    if name.startswith("pokedreamer_jax.planner")
  )
  assert not _below(modules, *_HEAVY, "pyboy", "grain")
  assert not _below(modules, "openai", "google", "anthropic", "aiohttp")
  assert not _below(modules, "data_tools", "experiments")


def test_the_library_never_touches_emulator_loader_or_entry_points():
  modules = _imported_by(_modules("pokedreamer_jax"))
  assert not _below(modules, "pyboy", "grain", "array_record")
  assert not _below(modules, "data_tools", "experiments")


# What each package must not import, not even inside a function.
_FORBIDDEN = {
  "data_tools": (*_HEAVY, "experiments"),
  "pokedreamer_jax": ("pyboy", "grain", "data_tools", "experiments"),
}


@pytest.mark.parametrize("package", list(_FORBIDDEN))
def test_imports_inside_functions_keep_the_direction_too(package):
  for path in sorted((conftest.ROOT / package).rglob("*.py")):
    for name in _imports(path):
      assert name.split(".")[0] not in _FORBIDDEN[package], (path, name)
      if package == "data_tools" and name.startswith("pokedreamer_jax."):
        assert name in _SHARED, path


# Rooms from the ground up: arrows lead from a later one to an earlier one,
# also from inside functions. What lies at the top of a package is a room of
# its own name; `""` stands for the others there.
_ROOMS = {
  "pokedreamer_jax": (
    *("specs", "json_files", "whole_files", "goal_specs"),
    *("goal_embeddings", "planner", "config", "frames", "networks"),
    *("world_model", "behaviour"),
    *("evaluation", "training", "interop", "checkpoints"),
  ),
  "data_tools": (
    *("system", "cartridge", "game", "players", "records", "foreign"),
    *("envs", "collecting", "env"),
  ),
  "experiments": (
    "machine",
    "outputs",
    "runs",
    "playing",
    "reports",
    "sharing",
    "training",
    "speed",
    "dreaming",
    "serving",
    "web",
    "",
  ),
}


@pytest.mark.parametrize("package", list(_ROOMS))
def test_arrows_between_rooms_lead_down(package):
  rooms = _ROOMS[package]

  def floor(module):
    parts = module.split(".")
    room = parts[1] if len(parts) > 1 else ""
    return rooms.index(room if room in rooms else "")

  own = set(_modules(package))
  for name in own - {package}:
    path = conftest.ROOT / name.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for imported in _imports(path):
      module = imported if imported in own else imported.rpartition(".")[0]
      if module in own - {package}:
        assert floor(module) <= floor(name), f"{name} imports {module}"


@pytest.mark.parametrize("package", list(_ROOMS))
def test_no_module_is_imported_by_what_it_imports(package):
  own = set(_modules(package))
  arrows = {}
  for name in own:
    path = conftest.ROOT / name.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    named = {
      imported if imported in own else imported.rpartition(".")[0]
      for imported in _imports(path)
    }
    arrows[name] = named & own - {package, name}
  order = graphlib.TopologicalSorter(arrows)
  order.prepare()  # raises CycleError, naming a circle


def test_entry_points_alone_lie_at_the_top_and_are_listed():
  listed = main.verbs()
  assert set(listed) == {
    path.stem
    for path in (conftest.ROOT / "experiments").glob("*.py")
    if path.stem not in main.NOT_VERBS
  }
  for name, line in listed.items():
    assert 10 < len(line) <= 80, name
    text = (conftest.ROOT / "experiments" / f"{name}.py").read_text()
    assert "cli.run_main(main)" in text, name


def _imports(path):
  """Dotted names of everything that a file imports anywhere."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f"{node.module}.{alias.name}" for alias in node.names)
