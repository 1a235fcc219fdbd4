"""What a card tells of the repository's benchmarks is of that very model."""

import json

from experiments.reports import benchmarks


def _first():
  path = benchmarks.FOLDER / "world_model_tiny.json"
  return json.loads(path.read_text())["tiny"][0]


def test_a_policy_has_the_numbers_of_its_world_model():
  row = _first()
  config = {"inputs": {"world_model": row["world_model"]}}
  ((file, table),) = benchmarks.of_world_model(config, {"config": "x"})
  assert file == "world_model_tiny.json"
  cells = dict(zip(table.header, table.rows[0], strict=True))
  line = row["all"][cells["open loop"]]
  assert cells["exact @15"] == f"{line['15']['exact']:.2f}"
  assert str(row["windows"]) in table.note
  # A world model is known by its own mark.
  assert benchmarks.of_world_model({}, row["world_model"])[0][1] == table


def test_another_model_of_the_preset_has_none(tmp_path, monkeypatch):
  mark = _first()["world_model"]
  assert not benchmarks.of_world_model({}, mark | {"step": 1})
  monkeypatch.setattr(benchmarks, "FOLDER", tmp_path / "no_repository")
  assert not benchmarks.of_world_model({}, mark)
