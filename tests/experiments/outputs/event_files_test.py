"""TensorBoard shows what the metrics log holds, read by its own reader."""

import math
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

from PIL import Image
import pytest

from experiments.outputs import about as about_lib
from experiments.outputs import event_files
from experiments.runs import metrics

_KILLED = """
import os, signal, sys
from experiments.runs import metrics
writer = metrics.Writer(sys.argv[1])
for step in range(10, 220, 10):
  writer.write(step, {f"loss/part_{i}": 1.0 / step for i in range(30)})
os.kill(os.getpid(), signal.SIGKILL)
"""


def _shown(directory):
  """Name -> [(step, value)], as TensorBoard has it."""
  accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator"
  )
  accumulator = accumulators.EventAccumulator(str(directory / "tb"))
  accumulator.Reload()
  return {
    name: [(e.step, e.value) for e in accumulator.Scalars(name)]
    for name in accumulator.Tags()["scalars"]
  }


def _logged(directory):
  """The same of the metrics log."""
  rows = metrics.read(directory / metrics.FILE)
  names = {name for row in rows for name in row} - {"step", "time_s"}
  return {
    name: list(zip(*metrics.curve(rows, name), strict=True)) for name in names
  }


def _assert_alike(directory):
  shown, logged = _shown(directory), _logged(directory)
  assert shown.keys() == logged.keys()
  for name, points in logged.items():
    assert [step for step, _ in shown[name]] == [step for step, _ in points]
    found = [value for _, value in shown[name]]
    assert found == pytest.approx([v for _, v in points], 1e-6, nan_ok=True)


def _write(writer, steps, value=1.0):
  for step in steps:
    writer.write(step, {"loss/total": value / step, "loss/kl": value})


def test_a_resumed_run_replaces_what_it_does_again(tmp_path):
  writer = metrics.Writer(tmp_path)
  _write(writer, range(1, 11))
  writer.close()
  writer = metrics.Writer(tmp_path)  # within the same second
  writer.truncate(5)
  _assert_alike(tmp_path)  # also where it writes nothing more
  _write(writer, range(6, 9), 3.0)
  writer.close()
  _write(writer, [9], 3.0)  # opens anew
  writer.close()
  _assert_alike(tmp_path)
  assert len(_shown(tmp_path)["loss/kl"]) == 9


@pytest.mark.parametrize("seconds", [-3600.0, 0.0, 3600.0])
def test_the_clock_does_not_matter(tmp_path, monkeypatch, seconds):
  real_s = time.time()
  for number in range(3):
    now_s = real_s + number * seconds
    monkeypatch.setattr(time, "time", lambda now_s=now_s: now_s)
    writer = metrics.Writer(tmp_path)
    writer.truncate(5 * number)
    _write(writer, range(5 * number + 1, 5 * number + 8), number + 1.0)
    writer.close()
  _assert_alike(tmp_path)
  assert len(_shown(tmp_path)["loss/kl"]) == 17


def test_a_killed_run_shows_all_it_has_logged(tmp_path):
  done = subprocess.run(
    [sys.executable, "-c", _KILLED, str(tmp_path)],
    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
  )
  assert done.returncode == -signal.SIGKILL
  assert len(_shown(tmp_path)) == 30
  _assert_alike(tmp_path)


def test_what_the_files_lost_is_shown_again(tmp_path):
  writer = metrics.Writer(tmp_path)
  picture = Image.new("RGB", (8, 6), (10, 200, 30))
  _write(writer, range(1, 5))
  writer.image(4, "dreams", picture)
  _write(writer, range(5, 11))
  writer.close()
  (path,) = (tmp_path / "tb").iterdir()
  whole = path.read_bytes()
  rng = random.Random(0)
  for case in range(12):
    for other in (tmp_path / "tb").iterdir():
      other.unlink()
    data = bytearray(whole)
    if case % 3 == 0:  # a power cut
      del data[rng.randrange(len(data)) :]
    elif case % 3 == 1:  # a bit
      data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    if case % 3 < 2:  # else somebody has removed it
      path.write_bytes(bytes(data))
    writer = metrics.Writer(tmp_path)
    writer.write(11 + case, {"loss/kl": 0.5})
    writer.close()
    _assert_alike(tmp_path)


def test_nothing_is_shown_twice_where_nothing_is_missing(tmp_path):
  for start in (1, 6, 11):
    writer = metrics.Writer(tmp_path)
    writer.truncate(start - 1)
    _write(writer, range(start, start + 5))
    writer.close()
  assert len(event_files.points(tmp_path / "tb")) == 30
  sizes = [path.stat().st_size for path in (tmp_path / "tb").iterdir()]
  assert len(sizes) == 3 and max(sizes) < 2 * min(sizes)


def test_files_of_an_older_version_are_gone_on_from(tmp_path):
  import tensorboardX

  writer = metrics.Writer(tmp_path)
  _write(writer, range(1, 6))
  writer.close()
  for path in (tmp_path / "tb").iterdir():
    path.unlink()
  board = tensorboardX.SummaryWriter(str(tmp_path / "tb"))
  for step in range(1, 9):  # three of them were dropped since
    board.add_scalar("loss/total", 1.0 / step, step)
    board.add_scalar("loss/kl", 1.0, step)
  board.close()
  writer = metrics.Writer(tmp_path)
  _write(writer, [6])
  writer.close()
  _assert_alike(tmp_path)


def test_values_that_are_no_numbers_are_shown_as_such(tmp_path):
  writer = metrics.Writer(tmp_path)
  values = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1e300, "e": 1e-3}
  writer.write(1, values)
  writer.close()
  shown = {name: points[0][1] for name, points in _shown(tmp_path).items()}
  assert math.isnan(shown["a"])
  assert [shown[name] for name in "bcd"] == [math.inf, -math.inf, math.inf]
  metrics.Writer(tmp_path).truncate(1)
  assert len(event_files.points(tmp_path / "tb")) == 5  # no doubt, no second


def test_pictures_are_shown(tmp_path):
  pytest.importorskip("tensorboard")
  from tensorboard.backend.event_processing import event_accumulator

  writer = metrics.Writer(tmp_path)
  writer.image(3, "dreams", Image.new("RGB", (8, 6), (10, 200, 30)))
  writer.close()
  accumulator = event_accumulator.EventAccumulator(str(tmp_path / "tb"))
  accumulator.Reload()
  (event,) = accumulator.Images("dreams")
  assert (event.step, event.width, event.height) == (3, 8, 6)
  assert event.encoded_image_string.startswith(b"\x89PNG")


def test_names_sort_behind_all_that_are_there(tmp_path):
  for name in (
    "events.out.tfevents.0000000009.host",
    "events.out.tfevents.9999999999",
    "zzz.tfevents",
  ):
    (tmp_path / name).write_bytes(b"")
    before = max(path.name for path in tmp_path.iterdir())
    board = event_files.Board(tmp_path, [])
    assert board.path.name > before
    assert "tfevents" in board.path.name


def test_a_board_that_cannot_be_written_never_ends_a_run(tmp_path):
  said = []
  (tmp_path / "tb").write_text("in the way")
  writer = metrics.Writer(tmp_path, said.append)
  _write(writer, range(1, 4))
  writer.image(3, "dreams", Image.new("RGB", (8, 6)))
  writer.close()
  assert len(said) == 1 and str(tmp_path / "tb") in said[0]
  (tmp_path / "tb").unlink()
  writer = metrics.Writer(tmp_path, said.append)
  _write(writer, [4])
  writer.close()
  _assert_alike(tmp_path)
  assert len(_shown(tmp_path)["loss/kl"]) == 4
  assert pathlib.Path(tmp_path / "tb").is_dir()


def test_the_run_is_told_in_text_and_as_hyperparameters(tmp_path):
  accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator"
  )
  config = {"train": {"steps": 3, "mesh": "a|b"}, "seed": 0}
  about = about_lib.About("runs/a", "clone", config, {"commit": "0123"})
  for steps in (range(1, 4), range(3, 6)):  # the second process resumes at 2
    writer = metrics.Writer(tmp_path)
    writer.about = lambda: about
    writer.truncate(steps[0] - 1)
    _write(writer, steps)
    writer.close()
  _assert_alike(tmp_path)
  shown = accumulators.EventAccumulator(str(tmp_path / "tb"))
  shown.Reload()
  texts = {
    name: [e.tensor_proto.string_val[0].decode() for e in shown.Tensors(name)]
    for name in shown.Tags()["tensors"]
    if name.endswith("text_summary")
  }
  assert set(texts) == {
    "run/configuration/text_summary",
    "run/environment/text_summary",
  }
  assert r"| train.mesh | a\|b |" in texts["run/configuration/text_summary"][0]
  assert "| commit | 0123 |" in texts["run/environment/text_summary"][-1]
  start = shown.SummaryMetadata("_hparams_/session_start_info")
  assert b"train.steps" in start.plugin_data.content
