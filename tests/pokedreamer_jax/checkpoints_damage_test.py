"""Damaged, partial and exchanged checkpoints: one line, or what was saved."""

import json
import os
import shutil
import signal
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import checkpoints
from pokedreamer_jax import whole_files
from tests import flips


def _params(step):
  return {"w": jnp.full((40, 50), float(step)), "b": jnp.arange(7) + step}


def _save(directory, steps=(10, 20), **options):
  store = checkpoints.Store(directory, best="score", keep=3, **options)
  for step in steps:
    store.save(
      step,
      {"params": _params(step), "opt": {"n": jnp.int32(step)}},
      {"step": step},
      {"score": float(-step)},
    )
  store.close()
  return store


@pytest.fixture
def directory(tmp_path):
  whole_files.remark()
  _save(tmp_path)
  return tmp_path


def _restore(directory, **options):
  """Everything of the step that a trainer would go on from."""
  store = checkpoints.Store(directory, best="score", keep=3, **options)
  try:
    items, loop = store.restore(
      {"params": _params(0), "opt": {"n": jnp.int32(0)}}
    )
  finally:
    store.close()
  return int(items["opt"]["n"]), np.asarray(items["params"]["w"]).tolist(), loop


def _load(directory):
  """Everything that players read."""
  found = checkpoints.load_item(directory, "params")
  return (
    np.asarray(found["w"]).tolist(),
    np.asarray(found["b"]).tolist(),
    int(checkpoints.load_item(directory, "opt")["n"]),
    checkpoints.load_item(directory, "loop"),
    checkpoints.best_step(directory, "score"),
  )


def _files(folder):
  return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("count", [100, flips.long(4000)])
def test_no_flip_in_a_step_gives_players_other_values(directory, count):
  paths = _files(directory / "20")
  refused = flips.check_flips(paths, lambda: _load(directory), count)
  listed = len(whole_files.read_list(directory / "20")["files"])
  assert refused >= count * listed // (listed + 3)


@pytest.mark.parametrize("count", [40, flips.long(1500)])
def test_no_flip_in_a_step_gives_trainers_other_values(directory, count):
  paths = _files(directory / "20")
  flips.check_flips(paths, lambda: _restore(directory), count, seed=1)
  assert checkpoints.Store(directory).steps() == [10, 20]


def test_the_list_says_what_the_step_is_of(tmp_path):
  _save(tmp_path, about={"config": {"a": 1}})
  listed = whole_files.read_list(tmp_path / "20")
  assert (listed["step"], listed["config"]) == (20, {"a": 1})
  files = {
    p.relative_to(tmp_path / "20").as_posix() for p in _files(tmp_path / "20")
  }
  assert files - set(listed["files"]) == {
    *("whole.json", "_CHECKPOINT_METADATA", "commit_success.txt")
  }
  seen = []
  store = checkpoints.Store(tmp_path, check=seen.append)
  store.restore({})
  store.close()
  assert seen[0]["config"] == {"a": 1}


def test_damage_names_the_file_the_step_and_what_is_whole(directory):
  data = max(_files(directory / "20" / "params"), key=os.path.getsize)
  data.write_bytes(data.read_bytes()[:-1] + b"?")
  for read in (_load, _restore):
    with pytest.raises(ValueError) as caught:
      read(directory)
    assert str(data) in str(caught.value)
    assert "the newest whole step is 10" in str(caught.value)
    assert "--resume_step=10" in str(caught.value)
  (directory / "10" / "loop" / "metadata").write_text("{}")
  with pytest.raises(ValueError, match="no other step is whole"):
    _load(directory)


def test_what_is_not_read_is_not_compared(directory):
  data = max(_files(directory / "20" / "opt"), key=os.path.getsize)
  data.write_bytes(bytes(data.stat().st_size))
  assert checkpoints.load_item(directory, "params")["w"][0, 0] == 20
  with pytest.raises(ValueError, match="20/opt"):
    checkpoints.load_item(directory, "opt")


@pytest.mark.parametrize("how", ["empty", "no list", "no note", "one item"])
def test_a_step_that_is_not_whole_blocks_nobody(directory, how):
  folder = directory / "30"
  if how == "empty":
    folder.mkdir()
  else:
    _save(directory, [30])
    whole = folder / whole_files.LIST
    whole.unlink()
    if how == "no note":
      (folder / whole_files.ORBAX_NOTE).unlink()
    elif how == "one item":
      for path in folder.iterdir():
        path.unlink() if path.is_file() else None
      shutil.rmtree(folder / "params")
  assert checkpoints.latest_step(directory) == 20
  assert checkpoints.load_item(directory, "loop") == {"step": 20}
  store = checkpoints.Store(directory)
  assert store.latest_step() == 20
  assert len(store.remarks) == 1 and "checkpoint 30 of" in store.remarks[0]
  store.close()
  assert (directory / "left_out" / "30").is_dir()
  assert checkpoints.Store(directory).remarks == []
  _save(directory, [30])
  assert _restore(directory)[0] == 30


def test_going_on_from_an_older_step_keeps_the_newer_ones_aside(directory):
  _save(directory, [30])
  assert _restore(directory, resume_step=20)[0] == 20
  assert (directory / "left_out" / "30" / whole_files.LIST).exists()
  # The same command, stopped and given again, goes on from what it has saved.
  _save(directory, [25], resume_step=20)
  assert _restore(directory, resume_step=20)[0] == 25
  assert _restore(directory)[0] == 25
  with pytest.raises(ValueError, match=r"no step 30, found \[10, 20, 25\]"):
    _restore(directory, resume_step=30)
  (directory / "20" / "loop" / "metadata").write_text('{"step":21}')
  with pytest.raises(ValueError, match="newest whole step is 25"):
    _restore(directory, resume_step=20)


def test_a_renamed_step_is_refused(directory):
  (directory / "20").rename(directory / "40")
  for read in (_load, _restore):
    with pytest.raises(ValueError, match="40: its list is of 20; the newest"):
      read(directory)


def _make_older(folder):
  (folder / whole_files.LIST).unlink()
  note = folder / whole_files.ORBAX_NOTE
  values = json.loads(note.read_text()) | {"custom_metadata": {}}
  note.write_text(json.dumps(values))


def test_steps_of_older_versions_are_read_with_a_remark(directory):
  for step in ("10", "20"):
    _make_older(directory / step)
  assert _restore(directory)[2] == {"step": 20}
  assert "20: written by an older version" in whole_files.remark()
  (directory / "20" / "loop" / "metadata").write_text('{"step": 10}')
  with pytest.raises(ValueError, match="20: its loop says step 10; the newest"):
    _restore(directory)
  shutil.rmtree(directory / "20" / "params" / "d")
  for read in (_load, _restore):
    with pytest.raises(ValueError, match="cannot be read") as caught:
      read(directory)
    assert len(str(caught.value).splitlines()) == 1


# Killed at the second save, just before or just after its list is written.
_VICTIM = """
import os, signal, sys, jax.numpy as jnp
from pokedreamer_jax import checkpoints, whole_files
write, calls = whole_files.write_list, []
def struck(*arguments):
  calls.append(1)
  if len(calls) == 2 and sys.argv[2] == "before":
    os.kill(os.getpid(), signal.SIGKILL)
  write(*arguments)
  if len(calls) == 2:
    os.kill(os.getpid(), signal.SIGKILL)
whole_files.write_list = struck
store = checkpoints.Store(sys.argv[1])
for step in (10, 20):
  store.save(step, {"params": {"w": jnp.full(9, float(step))}}, {"step": step})
  store.wait()
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_the_list_leaves_the_step_before(tmp_path, when):
  ended = subprocess.run(
    [sys.executable, "-W", "ignore", "-c", _VICTIM, str(tmp_path), when],
    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    capture_output=True,
    text=True,
  )
  assert ended.returncode == -signal.SIGKILL, ended.stderr
  assert checkpoints.latest_step(tmp_path) == 10
  store = checkpoints.Store(tmp_path)
  _, loop = store.restore({})
  assert loop == {"step": 10}
  store.save(20, {"params": _params(20)}, {"step": 20})
  store.close()
  assert sorted(p.name for p in tmp_path.iterdir()) == ["10", "20"]
  whole_files.check_list(tmp_path / "20")
