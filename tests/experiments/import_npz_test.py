import json
import subprocess
import sys

import numpy as np
import pytest

from data_tools.records import generations
from tests import conftest
from tests.data_tools.foreign import npz_files_test


def _run(module, *arguments):
  return subprocess.run(
    [sys.executable, "-m", f"experiments.{module}", *map(str, arguments)],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
  )


@pytest.fixture(scope="module")
def npz_dir(tmp_path_factory):
  directory = tmp_path_factory.mktemp("npz")
  for number in (1, 2):
    arrays = npz_files_test.columns(90, number, starts=(0, 30))
    npz_files_test.write(directory, number, arrays)
  return directory


def test_files_become_records_and_files_again(npz_dir, tmp_path):
  arguments = [f"--npz_dir={npz_dir}", f"--out_dir={tmp_path / 'data'}"]
  done = _run("import_npz", *arguments, "--max_files=1")
  assert done.returncode == 0, done.stderr
  result = json.loads((tmp_path / "data" / "result.json").read_text())
  assert (result["episodes"], result["steps"]) == (2, 90)
  assert generations.freeze(tmp_path / "data").digest == result["generation"]
  again = _run("import_npz", *arguments)  # all files now: another import
  assert again.returncode == 2 and "transitions_0002.npz" in again.stderr
  back = _run(
    "export_npz",
    f"--data_dir={tmp_path / 'data'}",
    f"--out_dir={tmp_path / 'back'}",
    "--save_interval=50",
  )
  assert back.returncode == 0, back.stderr
  frames = [
    np.load(path)["obs"] for path in sorted((tmp_path / "back").glob("*.npz"))
  ]
  assert [len(f) for f in frames] == [50, 40]
  original = np.load(npz_dir / "transitions_0001.npz")["obs"]
  np.testing.assert_array_equal(np.concatenate(frames), original)


def test_a_foreign_colour_ends_in_one_line(tmp_path):
  arrays = npz_files_test.columns(5)
  arrays["obs"][3, 10, 10] = 1, 2, 3
  npz_files_test.write(tmp_path, 1, arrays)
  done = _run("import_npz", f"--npz_dir={tmp_path}", f"--workdir={tmp_path}/d")
  assert done.returncode == 2
  (line,) = [x for x in done.stderr.splitlines() if x.startswith("Error")]
  assert "transitions_0001.npz: obs[3] has 1 foreign colours" in line
