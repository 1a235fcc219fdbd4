"""Random damage to files, and what came of it."""

import traceback

import numpy as np
import pytest

from tests import conftest


def long(count):
  """A parameter for the tests that run for minutes."""
  return pytest.param(count, marks=pytest.mark.slow)


def check_flips(paths, read, count, seed=0):
  """Flips a random bit of a random file, `count` times, and reads.

  `read` has to raise a ValueError of one line, in a line of this project, or
  to give what it gave before.

  Returns:
    How many of the flips were refused.
  """
  paths = sorted(paths)
  rng = np.random.default_rng(seed)
  before = read()
  refused = 0
  for number in range(count):
    path = paths[number % len(paths)]
    good = path.read_bytes()
    bad = bytearray(good)
    place, bit = int(rng.integers(len(bad))), int(rng.integers(8))
    bad[place] ^= 1 << bit
    path.write_bytes(bytes(bad))
    try:
      found = read()
    except ValueError as error:
      assert len(str(error).splitlines()) == 1, str(error)
      raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
      assert str(conftest.ROOT) in raised_in and ".venv" not in raised_in
      refused += 1
    else:
      assert found == before, f"{path.name}, byte {place}, bit {bit}"
    finally:
      path.write_bytes(good)
  assert read() == before
  return refused
