"""Whatever the bytes are: a value within the limits, or one line."""

import dataclasses
import json
import os
import random

import pytest

from pokedreamer_jax import json_files

_GOOD = {"step": 3, "names": ["a", {"b": None}], "share": 0.5, "on": True}


@dataclasses.dataclass(frozen=True)
class _Entry:
  count: int
  share: float
  names: tuple[str, ...] = ()
  facts: dict[str, int] = dataclasses.field(default_factory=dict)


def test_what_json_writes_is_read(tmp_path):
  path = tmp_path / "good.json"
  path.write_text(json.dumps(_GOOD))
  assert json_files.read(path) == json_files.read_object(path) == _GOOD
  for value in (1, "é", [], None, 10**300, -1e300):
    path.write_text(json.dumps(value))
    assert json_files.read(path) == value


@pytest.mark.parametrize(
  ("data", "words"),
  [
    (b"", "Expecting value"),
    (b'{"a": 1', "delimiter"),
    (b'{"a": 1} x', "Extra data"),
    (b'{"a": "\xff"}', "no UTF-8 at byte 7"),
    (b"\0" * 40, "Expecting value"),
    (b"[]", "a list, expected an object"),
    (b"null", "null, expected an object"),
    (b"7", "a whole number, expected an object"),
    (b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper than 64"),
    (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper"),
    (b'{"a": ' + b"9" * 5000 + b"}", "a number of 5000 digits"),
    (b'{"a": 1e999}', "1e999: out of range"),
    (b'{"a": NaN}', "NaN, expected a finite number"),
    (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' stands twice"),
  ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path, data, words):
  path = tmp_path / "bad.json"
  path.write_bytes(data)
  with pytest.raises(ValueError, match=words) as caught:
    json_files.read_object(path)
  text = str(caught.value)
  assert text.startswith(f"{path}: damaged JSON (")
  assert "\n" not in text and len(text) < len(str(path)) + 200


def test_the_deepest_that_is_allowed():
  depth = json_files.MOST_DEPTH
  json_files.parse("[" * depth + "]" * depth, "it")
  with pytest.raises(ValueError, match="deeper"):
    json_files.parse("[" * (depth + 1) + "]" * (depth + 1), "it")


def test_numbers_that_are_none_where_they_are_measured():
  found = json_files.parse('{"a": NaN, "b": -Infinity}', "it", allow_nan=True)
  assert found["a"] != found["a"] and found["b"] == -float("inf")


def test_only_regular_files_of_a_size_are_read(tmp_path):
  pipe = tmp_path / "pipe"
  os.mkfifo(pipe)
  for path, words in (
    (pipe, "a pipe, expected a regular file"),
    (tmp_path, "a directory, expected"),
    ("/dev/zero", "a device, expected"),
  ):
    with pytest.raises(ValueError, match=words):
      json_files.read(path)
  large = tmp_path / "large.json"
  large.write_text(json.dumps("x" * 99))
  with pytest.raises(ValueError, match="larger than 100 bytes"):
    json_files.read(large, most_bytes=100)
  assert json_files.read(large, most_bytes=101) == "x" * 99
  with pytest.raises(FileNotFoundError):
    json_files.read(tmp_path / "absent")


def test_a_dataclass_takes_its_own_types_alone():
  entry = json_files.fill(_Entry, {"count": 2, "share": 1}, "it")
  assert entry == _Entry(2, 1.0) and type(entry.share) is float
  for values, words in (
    ([], "a list, expected an object"),
    ({"count": 2}, r"it lacks \['share'\]"),
    ({"count": 2, "share": 0.5, "more": 1}, r"unknown \['more'\]"),
    ({"count": 2.0, "share": 0.5}, "count: 2.0, expected a whole number"),
    ({"count": True, "share": 0.5}, "count: True, expected a whole number"),
    ({"count": 2, "share": "0.5"}, "share: '0.5', expected a number"),
    ({"count": 2, "share": float("nan")}, "share: nan, expected a finite"),
    ({"count": 2, "share": 1, "facts": []}, r"facts: \[\], expected an object"),
  ):
    with pytest.raises(ValueError, match=words):
      json_files.fill(_Entry, values, "it")


def test_random_damage_never_raises_anything_else():
  rng = random.Random(0)
  whole = json.dumps(_GOOD).encode()
  for _ in range(2000):
    data = bytearray(whole)
    for _ in range(rng.randrange(1, 4)):
      data[rng.randrange(len(data))] = rng.randrange(256)
    try:
      json_files.fill(_Entry, json_files.parse(bytes(data), "it"), "it")
    except ValueError as error:
      assert str(error).startswith("it: damaged")
