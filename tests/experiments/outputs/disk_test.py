"""A full disk: nothing half written, and the place is named."""

import contextlib
import errno
import os
import pathlib
import subprocess

from PIL import Image
import pytest

from experiments.outputs import disk
from experiments.outputs import event_files
from experiments.runs import json_store
from experiments.runs import metrics
from experiments.runs import run_directory


@pytest.fixture
def small_disk(tmp_path):
  """A file system of 256 KiB and 64 inodes."""
  path = tmp_path / "small"
  path.mkdir()
  command = ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=64", "none"]
  if os.geteuid() or subprocess.run([*command, path]).returncode:
    pytest.skip("only root may mount a small disk")
  yield path
  subprocess.run(["umount", "-l", path], check=True)


def _fill(folder, leave=0):
  with contextlib.suppress(OSError), open(folder / "ballast", "wb") as file:
    while True:
      file.write(b"x" * 512)
      file.flush()
  status = os.statvfs(folder)
  size = (folder / "ballast").stat().st_size
  assert status.f_bavail == 0
  os.truncate(folder / "ballast", size - leave)


def test_a_full_disk_leaves_whole_lines(small_disk):
  said = []
  writer = metrics.Writer(small_disk, said.append)
  for step in range(50):
    writer.write(step, {"loss": 0.5})
  _fill(small_disk, leave=8192)
  written = 50
  with pytest.raises(OSError, match="No space") as caught:
    for step in range(50, 5000):
      writer.write(step, {"loss": 0.5})
      written += 1
  assert caught.value.filename == str(small_disk / metrics.FILE)
  assert caught.value.errno == errno.ENOSPC
  text = (small_disk / metrics.FILE).read_bytes()
  assert text.endswith(b"}\n") and text.count(b"\n") == written > 60
  # TensorBoard may have been the first to find no room: one line.
  assert len(said) <= 1 and all(str(small_disk / "tb") in s for s in said)
  (small_disk / "ballast").unlink()
  metrics.Writer(small_disk, said.append).truncate(10**6)
  assert len(event_files.points(small_disk / "tb")) == written


def test_tensorboard_is_dropped_with_a_line_and_the_log_goes_on(small_disk):
  said = []
  writer = metrics.Writer(small_disk, said.append)
  writer.write(0, {"loss": 0.5})
  _fill(small_disk)
  noise = Image.effect_noise((300, 300), 90)
  writer.image(0, "dreams", noise)  # larger than what is left of a page
  writer.image(0, "dreams", noise)
  writer.write(1, {"loss": 0.25})
  (line,) = said
  assert "TensorBoard is left out" in line and str(small_disk / "tb") in line
  assert "No space left on device" in line and "\n" not in line
  assert len(metrics.read(small_disk / metrics.FILE)) == 2


def test_a_log_that_cannot_be_written_ends_nothing(small_disk, capsys):
  run = run_directory.open_run(small_disk, "stage", {"a": 1}, graceful=False)
  with run:
    _fill(small_disk)
    for number in range(200):
      run.log(f"line {number} " + "x" * 100)
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 201
  assert sum(str(small_disk / "log.txt") in line for line in lines) == 1


def test_a_result_is_whole_or_not_there(small_disk):
  _fill(small_disk)
  with pytest.raises(OSError, match="No space") as caught:
    json_store.write_json(small_disk / "result.json", {"a": "x" * 9999})
  assert caught.value.filename == str(small_disk / "result.json.tmp")
  assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_the_place_is_named(small_disk):
  _fill(small_disk)
  deep = small_disk / "checkpoints" / "30" / "params"
  full = os.strerror(errno.ENOSPC)
  for error in (
    OSError(errno.ENOSPC, full, str(deep)),
    RuntimeError(f'Error writing "{deep}": {full} [OS error 28]'),
  ):
    line = disk.describe(error)
    assert line == f"{deep}: {full} (0 MiB are free)"
  error = TypeError(f"thread 7: {full} [28]")
  places = [pathlib.Path("/dev"), small_disk / "run"]
  assert disk.describe(error, places).startswith(
    f"{small_disk / 'run'}: {full}"
  )
  group = ExceptionGroup("saving", [ValueError("x"), error])
  assert disk.is_full(group) and not disk.is_full(ValueError("x"))


def test_inodes_that_are_used_up_are_named(small_disk):
  with pytest.raises(OSError, match="No space") as caught:
    for number in range(100):
      (small_disk / str(number)).touch()
  line = disk.describe(caught.value)
  assert "all 64 inodes are used" in line and str(small_disk) in line
