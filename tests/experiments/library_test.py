"""The door for programs: what it loads, and that docs/library.md runs."""

import re
import subprocess
import sys

import chex
import pytest

from experiments import library
from tests import conftest
from tests.experiments.dreaming import made

_PAGE = (conftest.ROOT / "docs" / "library.md").read_text(encoding="utf-8")
_PROGRAMS = dict(re.findall(r"(?ms)^## ([^\n]*)\n```python\n(.*?)```", _PAGE))
# Sizes that the page names, made small.
_SMALL = {
  "GAMES": 2,
  "STEPS": 3,
  "PLANS": 4,
  "AHEAD": 15,
  "STREAMS": 2,
  "LENGTH": 3,
  "UPDATES": 2,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Run directories of the small model, one of each stage."""
  root = tmp_path_factory.mktemp("runs")
  for stage in ("world_model", "clone", "policy"):
    (root / stage).mkdir()
    made.run_of(root / stage, stage)
  return root


def test_a_policy_holds_its_world_model(runs):
  policy, world = runs / "policy", runs / "world_model"
  agent = library.load_agent(policy)
  assert agent.config == library.load_config(world)
  whole = library.load_world_model(world)
  chex.assert_trees_all_equal(whole, agent.world_params)
  chex.assert_trees_all_equal(whole, library.load_world_model(policy, 5))
  assert library.load_critic(policy) is not None
  assert library.load_critic(runs / "clone") is None
  assert library.load_agent(runs / "clone").actor_params is not None


def test_what_is_not_there_is_a_line(runs):
  for load, directory, step, message in (
    (library.load_agent, "world_model", "latest", "a run of world_model, exp"),
    (library.load_critic, "world_model", "latest", "expected one of clone or"),
    (library.load_agent, "policy", 6, r"step 6: expected latest.*\[5\]"),
    (library.load_world_model, "world_model", "best", "no checkpoint was vali"),
    (library.load_world_model, "nowhere", "latest", "not a run directory"),
  ):
    with pytest.raises(ValueError, match=message) as caught:
      load(runs / directory, step)
    assert "\n" not in str(caught.value)


def test_the_door_wakes_nothing_heavy():
  code = (
    "import sys; from experiments import library; "
    "heavy = {'jax', 'flax', 'orbax', 'pyboy', 'grain', 'gymnasium'}; "
    "print(sorted(heavy & set(sys.modules)))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
  )
  assert done.stdout.strip() == "[]", done.stderr


def _run(title, runs, monkeypatch, capsys):
  """What a program of the page leaves, and what it prints."""
  code = _PROGRAMS[title]
  named = re.search(r"^([A-Z]+(?:, [A-Z]+)+) = [\d, ]+$", code, re.MULTILINE)
  if named:
    sizes = ", ".join(str(_SMALL[name]) for name in named[1].split(", "))
    code = code.replace(named[0], f"{named[1]} = {sizes}")
  home = runs / "home"
  (home / "runs").mkdir(parents=True, exist_ok=True)
  if not (home / "runs" / "quickstart").exists():
    (home / "runs" / "quickstart").symlink_to(runs)
  monkeypatch.chdir(home)
  script = {"__name__": "library"}
  exec(compile(code, f"docs/library.md, {title}", "exec"), script)
  return script, capsys.readouterr().out


def test_the_page_has_six_programs_of_some_lines():
  assert len(_PROGRAMS) == 6
  for title, code in _PROGRAMS.items():
    assert 10 <= len(code.splitlines()) <= 60, title
    assert max(map(len, code.splitlines())) <= 80, title


def test_a_policy_acts(runs, monkeypatch, capsys):
  script, out = _run("Act in the emulator", runs, monkeypatch, capsys)
  assert script["action"].shape == (2,) and out.startswith("badges [")
  assert script["row"]["game_running"].all()


def test_a_walk_is_dreamt(runs, monkeypatch, capsys):
  script, out = _run("Dream", runs, monkeypatch, capsys)
  assert script["frames"].shape == (2, 16, 144, 160, 3)
  assert out.startswith("(2, 16, 144, 160, 3)") and "new_maps" in out


def test_a_plan_is_chosen(runs, monkeypatch, capsys):
  script, _ = _run("Plan by random shooting", runs, monkeypatch, capsys)
  assert script["plans"].shape == (1, 4, 15)
  assert script["action"][0] == script["plans"][0, int(script["best"]), 0]
  assert int(script["state"].time[0]) == 2  # of the third row


def test_a_small_policy_trains(runs, monkeypatch, capsys):
  title = "Train a small policy on an environment"
  script, out = _run(title, runs, monkeypatch, capsys)
  assert len(out.splitlines()) == 2
  kernel = script["weights"]["params"]["layers_2"]["kernel"]
  assert kernel.shape == (64, 8) and abs(kernel).sum() > 0
  assert script["paid"].shape == ()


def test_rewards_of_ones_own_are_paid(runs, monkeypatch, capsys):
  _, out = _run("Your own reward", runs, monkeypatch, capsys)
  by_name, by_weights, by_function, weights = out.splitlines()
  assert float(by_function) > 0 == float(by_weights)
  assert float(by_name) < 0  # time costs
  assert "'new_maps': 0.5" in weights


def test_a_network_of_ones_own_dreams(runs, monkeypatch, capsys):
  script, out = _run("Your own network", runs, monkeypatch, capsys)
  assert out.strip() == "(15, 8)" and script["dreamt"].action.shape == (15, 8)
