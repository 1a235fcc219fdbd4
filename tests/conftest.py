"""The whole test run is strict: warnings are errors (`pyproject.toml`), and
silent rank promotion raises."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
  sys.path.insert(0, str(ROOT))

# Notices that are not ours to mend, each with its reason.
EXCEPTIONS = (
  # PyBoy brings its own SDL; nothing here opens a window.
  "ignore:Using SDL2 binaries:UserWarning",
)


def pytest_configure(config):
  for line in EXCEPTIONS:
    config.addinivalue_line("filterwarnings", line)


def pytest_collection_finish():
  # Before the fixtures of a module: what they trace under another setting
  # would be traced again in the tests.
  _make_ranks_strict()


@pytest.fixture(autouse=True)
def _strict_ranks():
  """Raises on rank promotion, without waking jax where a test has no use."""
  _make_ranks_strict()


def _make_ranks_strict():
  if "jax" in sys.modules:
    sys.modules["jax"].config.update("jax_numpy_rank_promotion", "raise")
