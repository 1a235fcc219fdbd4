"""Flags of the configuration: it is printed, read back and explained."""

import subprocess
import sys

import pytest

from pokedreamer_jax.config import presets
from pokedreamer_jax.config import toml_files
from tests import conftest


def _run(verb, *arguments):
  return subprocess.run(
    [sys.executable, "-m", f"experiments.{verb}", *arguments],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
  )


def _made(text, tmp_path):
  path = tmp_path / "read.toml"
  path.write_text(text)
  return presets.make("debug", values=toml_files.read(path))


@pytest.mark.parametrize(
  ("verb", "own", "override"),
  [
    ("benchmark_imagination", [], []),
    ("quickstart", [], []),
    ("train_policy", ["--algorithm=grpo"], ["policy.algorithm=grpo"]),
    ("train_rssm", ["--det_dim=40"], ["world_model.deter=40"]),
  ],
)
def test_a_verb_prints_what_it_would_take(verb, own, override, tmp_path):
  """Without any flag that it requires, and with what its own flags change."""
  asked = ["--preset=debug", "--set=train.steps=1e1", "--seed=5"]
  done = _run(verb, "--print_config", *asked, *own)
  assert done.returncode == 0 and not done.stderr, done.stderr
  expected = presets.make("debug", ["train.steps=10", *override], 5)
  assert _made(done.stdout, tmp_path) == expected
  assert done.stdout.startswith("# Preset debug: Wiring only")


def test_a_file_is_read_back_and_flags_come_after_it(tmp_path):
  path = tmp_path / "mine.toml"
  printed = _run(
    "train_rssm", "--preset=debug", "--set=train.steps=9", "--print_config"
  ).stdout
  path.write_text(printed)
  again = _run("evaluate", f"--config={path}", "--print_config")
  assert again.stdout == printed
  changed = _run(
    *("evaluate", f"--config={path}", "--seed=3", "--set=train.steps=8"),
    "--print_config",
  )
  made = _made(changed.stdout, tmp_path)
  assert made == presets.make("debug", ["train.steps=8"], 3)


@pytest.mark.parametrize(
  ("text", "flag", "message"),
  [
    ('preset = "debug"', "--preset=tiny", "begins with preset 'debug'"),
    ('preset = "debug"\n[train]\nstepz = 3', "", "did you mean 'train.steps'"),
    ("preset = ", "", "no TOML"),
    ("seed = -1", "", "--seed=-1: expected 0 to"),
    (None, "", "No such file"),
  ],
)
def test_a_bad_file_is_one_line_and_exit_code_2(text, flag, message, tmp_path):
  path = tmp_path / "mine.toml"
  if text is not None:
    path.write_text(text)
  arguments = [f"--config={path}", f"--workdir={tmp_path / 'run'}"]
  done = _run("collect_data", *arguments, *filter(None, [flag]))
  assert done.returncode == 2
  assert message in done.stderr and len(done.stderr.splitlines()) == 1
  assert not (tmp_path / "run").exists()


def test_presets_tell_what_to_expect():
  done = _run("train_rssm", "--preset=help")
  assert done.returncode == 0
  for name in presets.PRESETS:
    assert f"\n{name}:\n" in f"\n{done.stdout}"
    assert presets.about(name).splitlines()[0] in done.stdout
