"""Whatever a run directory's JSON has become: one line with the file."""

import json
import pathlib
import random

import pytest

from experiments.playing import collect_follow
from experiments.runs import adoptions
from experiments.runs import inputs
from experiments.runs import plans
from experiments.runs import run_directory
from pokedreamer_jax import whole_files
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib

_DAMAGE = {
  "empty": b"",
  "cut": b'{"a": 1, "b',
  "zeros": bytes(64),
  "latin": b'{"a": "\xe9"}',
  "list": b"[1, 2]",
  "number": b"7",
  "null": b"null",
  "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
  "digits": b'{"a": ' + b"1" * 5000 + b"}",
  "twice": b'{"stage": "x", "stage": "y"}',
}
_CONFIG = config_lib.to_dict(presets.make("debug"))


def _open(path):
  run_directory.open_run(path, "world_model", _CONFIG, graceful=False).close()


_READERS = {
  "config.json": [
    _open,
    lambda path: inputs.load_config(str(path)),
    run_directory.read_stage,
  ],
  "meta.json": [_open],
  "result.json": [run_directory.read_result],
  "generations.json": [adoptions.read],
  "costs.json": [plans.read_costs],
}


@pytest.mark.parametrize("damage", _DAMAGE)
@pytest.mark.parametrize("name", _READERS)
def test_damage_is_one_line(tmp_path, name, damage):
  _open(tmp_path)
  (tmp_path / name).write_bytes(_DAMAGE[damage])
  for reader in _READERS[name]:
    with pytest.raises(ValueError, match=name) as caught:
      reader(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
  ("name", "values"),
  [
    ("meta.json", {"starts": {}}),
    ("costs.json", {"stages": []}),
    ("costs.json", {"notes": "much"}),
    ("generations.json", {"looked_until": 3}),
    ("generations.json", {"looked_until": "3", "adopted": []}),
    ("generations.json", {"looked_until": 3, "adopted": [{"update": 1}]}),
    ("generations.json", {"looked_until": 3, "adopted": ["x"]}),
  ],
)
def test_other_values_are_named(tmp_path, name, values):
  _open(tmp_path)
  (tmp_path / name).write_text(json.dumps(values))
  for reader in _READERS[name]:
    with pytest.raises(ValueError, match=name):
      reader(tmp_path)


def test_a_damaged_name_is_no_default(tmp_path):
  _open(tmp_path)
  path = tmp_path / "config.json"
  values = json.loads(path.read_text())
  values.pop(whole_files.SEAL)  # as older versions wrote it
  whole = json.dumps(values, indent=2)
  expected = inputs.load_config(str(tmp_path))
  for name in ("train", "steps", "family", "world_model", "evaluate"):
    path.write_text(whole.replace(f'"{name}":', f'"{name[:-1]}x":', 1))
    with pytest.raises(ValueError, match=r"unknown|no 'world_model'"):
      inputs.load_config(str(tmp_path))
  path.write_text(whole)
  assert inputs.load_config(str(tmp_path)) == expected


def test_random_bits_raise_nothing_else(tmp_path):
  _open(tmp_path)
  path = tmp_path / "config.json"
  whole = path.read_bytes()
  rng = random.Random(0)
  for _ in range(300):
    data = bytearray(whole)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))
    try:
      inputs.load_config(str(tmp_path))
    except ValueError as error:
      assert len(str(error).splitlines()) == 1 and str(tmp_path) in str(error)


def test_rounds_are_never_lost(tmp_path: pathlib.Path):
  for number in range(3):
    collect_follow.note(tmp_path, {"round": number})
  path = tmp_path / collect_follow.ROUNDS_FILE
  whole = path.read_bytes()
  path.write_bytes(whole + b'{"round": 3, "mi')
  assert len(collect_follow.rounds(tmp_path)) == 3
  path.write_bytes(whole.replace(b'{"round": 1', b'{"round" 1'))
  with pytest.raises(ValueError, match="line 2 damaged"):
    collect_follow.rounds(tmp_path)
  with pytest.raises(ValueError, match="line 2 damaged"):
    collect_follow.note(tmp_path, {"round": 3})
  assert path.read_bytes().count(b"\n") == 3
