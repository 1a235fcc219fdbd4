"""The whole test run is strict: warnings are errors (`pyproject.toml`), and
silent rank promotion raises.

It compiles in a hurry: `QUICK_XLA` is for every process of the fast tests. The
learning checks (`-m slow`) run as a user does.
"""

import importlib.metadata
import os
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

# Compiling is most of what the fast tests take. Of an update of the `debug`
# preset it takes 16.7 s of one core without, 9.6 s with the first two of these
# and 3.4 s with all.
QUICK_XLA = (
  "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
# Later versions lack it, and a flag that XLA does not know ends the process.
if importlib.metadata.version("jaxlib").startswith("0.10."):
  QUICK_XLA += " --xla_cpu_use_fusion_emitters=false"


def pytest_configure(config):
  if "not slow" in config.option.markexpr:  # before anything wakes jax
    # What is set from outside comes last, and wins.
    given = os.environ.get("XLA_FLAGS", "")
    if QUICK_XLA not in given:
      os.environ["XLA_FLAGS"] = f"{QUICK_XLA} {given}".strip()
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
