"""Seals and lists: what was written comes back, anything else is refused."""

import json

import pytest

from pokedreamer_jax import whole_files
from tests import flips


@pytest.fixture(autouse=True)
def _nothing_older():
  whole_files.remark()


def _write(path, values):
  path.write_text(json.dumps(values))


def _read(path):
  try:
    values = json.loads(path.read_bytes())
  except ValueError:
    raise ValueError(f"{path}: no JSON") from None
  return whole_files.unseal(values, path)


def test_sealing_is_undone_by_unsealing(tmp_path):
  values = {"b": (1, 2.5, float("nan")), "a": {"x": None}, "é": "ü"}
  path = tmp_path / "a.json"
  _write(path, whole_files.seal(values))
  found = _read(path)
  assert list(found) == ["b", "a", "é"] and found["b"][:2] == [1, 2.5]
  assert whole_files.seal(whole_files.seal(values)) == whole_files.seal(values)
  assert not whole_files.remark()


@pytest.mark.parametrize("count", [300, flips.long(20000)])
def test_no_flip_gives_other_values(tmp_path, count):
  path = tmp_path / "a.json"
  values = {"train": {"steps": 150, "rate": 3e-4}, "name": "a", "on": True}
  path.write_text(json.dumps(whole_files.seal(values), indent=1))
  assert flips.check_flips([path], lambda: _read(path), count) > count * 0.8


def test_what_has_no_seal_is_read_and_told_once(tmp_path):
  path = tmp_path / "a.json"
  _write(path, {"a": 1})
  assert _read(path) == _read(path) == {"a": 1}
  assert f"{path}: written by an older version" in whole_files.remark()
  assert not whole_files.remark()


def test_a_seal_under_another_name_is_no_older_file(tmp_path):
  path = tmp_path / "a.json"
  _write(path, whole_files.seal({"a": 1}))
  path.write_text(path.read_text().replace("self_sha256", "self_sha257"))
  with pytest.raises(ValueError, match=r"a\.json: damaged"):
    _read(path)
  with pytest.raises(ValueError, match="no JSON object"):
    whole_files.unseal([1], path)


def _folder(tmp_path):
  folder = tmp_path / "7"
  (folder / "params").mkdir(parents=True)
  (folder / "params" / "w").write_bytes(bytes(range(100)))
  (folder / "loop").write_text("{}")
  (folder / "note").write_text("later")
  whole_files.write_list(folder, {"step": 7}, ["note"])
  return folder


def test_a_list_names_the_file_that_differs(tmp_path):
  folder = _folder(tmp_path)
  listed = whole_files.check_list(folder)
  assert listed["step"] == 7
  assert set(listed["files"]) == {"params/w", "loop"}
  (folder / "note").write_text("another")
  whole_files.check_list(folder)
  weights = folder / "params" / "w"
  for damage, words in (
    (lambda: weights.write_bytes(bytes(100)), "7/params/w: damaged .its SHA"),
    (lambda: weights.write_bytes(b""), "0 bytes, 100 were written"),
    (lambda: weights.unlink(), "7/params/w: No such file"),
    (lambda: (folder / "whole.json").write_text("{"), "whole.json: damaged"),
    (lambda: (folder / "whole.json").write_text("{}"), "it has no self_sha"),
    (lambda: (folder / "whole.json").unlink(), "whole.json: No such file"),
  ):
    damage()
    with pytest.raises(whole_files.Damaged, match=words):
      whole_files.check_list(folder)


def test_of_other_parts_only_the_sizes_are_looked_at(tmp_path):
  folder = _folder(tmp_path)
  (folder / "params" / "w").write_bytes(bytes(100))
  whole_files.check_list(folder, {"loop"})
  with pytest.raises(whole_files.Damaged):
    whole_files.check_list(folder, {"params"})
  (folder / "params" / "w").write_bytes(b"short")
  with pytest.raises(whole_files.Damaged):
    whole_files.check_list(folder, {"loop"})


def test_steps_are_finished_by_their_list_or_by_an_older_note(tmp_path):
  _folder(tmp_path)
  for name, note in (
    ("1", '{"custom_metadata": null}'),
    ("2", '{"custom_metadata": {"listed": 1}}'),
    ("3", '{"custom'),
    ("4", "[]"),
    ("x", "{}"),
    ("8.orbax-checkpoint-tmp", "{}"),
  ):
    (tmp_path / name).mkdir()
    (tmp_path / name / whole_files.ORBAX_NOTE).write_text(note)
  (tmp_path / "9").mkdir()
  assert whole_files.steps(tmp_path) == ([1, 7], [2, 3, 4, 9])
  assert whole_files.steps(tmp_path / "absent") == ([], [])
