"""The published schemas are the enforced ones, and requests conform to them."""

import dataclasses
import json

import numpy as np
import pytest

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import json_schema
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema
from tests.pokedreamer_jax.planner import games


def test_the_files_are_what_the_code_says():
  made = schema.files()
  assert {path.name for path in schema.FOLDER.iterdir()} == set(made)
  for name, text in made.items():
    found = (schema.FOLDER / name).read_text(encoding="utf-8")
    assert found == text, (
      'python -c "from pokedreamer_jax.planner import schema; schema.write()"'
    )


def _read(name):
  return json.loads((schema.FOLDER / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
  "switches",
  [
    {},
    {"walkthrough": True},
    {f.name: False for f in dataclasses.fields(schema.Switches)},
  ],
)
def test_requests_conform_to_the_published_schema(switches):
  request = games.request(games.row(), games.row(map_id=2), **switches)
  request = requests.with_screen(request, games.FRAME)
  value = json.loads(json.dumps(request.to_json()))
  assert json_schema.check(value, _read("request.json"), "request") == []
  # As it is sent nothing is lost but what says nothing, and it conforms too.
  sent = json.loads(json.dumps(request.to_wire()))
  assert json_schema.check(sent, _read("request.json"), "request") == []
  assert list(sent)[:3] == list(value)[:3]
  _assert_lost(value, sent)
  # What is asked for comes first.
  assert list(value)[:3] == ["version", "last_goal", "trigger"]


def _assert_lost(value, sent):
  """`sent` is `value` without null, false and empty lists."""
  if isinstance(value, dict):
    for name, part in value.items():
      if part is None or part is False or part == []:
        assert name not in sent
      else:
        _assert_lost(part, sent[name])
    assert not sent.keys() - value.keys()
  elif isinstance(value, list):
    assert len(value) == len(sent)
    for part, other in zip(value, sent, strict=True):
      _assert_lost(part, other)
  else:
    assert (value, type(value)) == (sent, type(sent))


def test_a_reply_of_ours_conforms_with_its_vector():
  value = json.loads(
    json.dumps(schema.Reply(goal_specs.Goal("map", 2)).to_json())
  )
  assert json_schema.check(value, _read("reply.json"), "reply") == []
  assert len(value["goal_embedding"]) == 64


def test_services_are_asked_without_limits_that_some_refuse():
  text = json.dumps(schema.wire_schema())
  for word in ("maximum", "minimum", "maxLength", "maxItems", "embedding"):
    assert word not in text
  wire = schema.wire_schema()
  assert wire["required"] == list(wire["properties"])
  assert wire["additionalProperties"] is False


@pytest.mark.parametrize(
  ("kind", "value", "fault"),
  [
    ({"type": "integer"}, True, "True, expected integer"),
    ({"type": "integer"}, 1.0, "1.0, expected integer"),
    ({"type": "number"}, 1, ""),
    ({"type": "string"}, None, "None, expected string"),
    ({"type": ["integer", "null"]}, None, ""),
    ({"type": "integer", "minimum": 0, "maximum": 3}, 4, "4, expected 0 to 3"),
    ({"type": "number", "minimum": 0, "maximum": 1}, float("nan"), "nan, exp"),
    ({"type": "string", "enum": ["a"]}, "b", "'b', expected one of ['a']"),
    ({"type": "string", "maxLength": 2}, "abc", "3 characters, at most 2"),
    (
      {"type": "array", "items": {"type": "integer"}},
      [1, "x"],
      "'x', expected",
    ),
    (
      {"type": "array", "items": {}, "maxItems": 1},
      [1, 2],
      "2 items, expected",
    ),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "x", "'x', expected"),
  ],
)
def test_each_fault_has_its_line(kind, value, fault):
  faults = json_schema.check(value, kind, "it")
  if fault:
    assert len(faults) == 1
    assert fault in faults[0]
  else:
    assert faults == []


def test_faults_are_few_and_ascii():
  kind = json_schema.closed_object({"a": {"type": "integer"}})
  value = {"\u202e": 1, "a": "\ud800"}
  faults = json_schema.check(value, kind, "it")
  assert len(faults) == 2
  assert all(fault.isascii() and "\n" not in fault for fault in faults)
  many = {"type": "array", "items": {"type": "integer"}}
  assert len(json_schema.check(["x"] * 1000, many, "it")) <= 8


def test_a_screen_is_a_png_of_the_frame():
  import io

  from PIL import Image

  from pokedreamer_jax.planner import screens

  rng = np.random.default_rng(0)
  frame = rng.integers(0, 256, games.FRAME.shape, np.uint8)
  with Image.open(io.BytesIO(screens.png(frame))) as image:
    image.load()
    assert image.size == (160, 144)
    grey = np.asarray(image)
  # Shade 0 is white; the leftmost pixel is in the low bits.
  assert grey[5, 4 * 7] == 255 - 85 * (frame[5, 7] & 3)
  assert grey[5, 4 * 7 + 3] == 255 - 85 * (frame[5, 7] >> 6)
  with pytest.raises(ValueError, match="frame: uint8"):
    screens.png(frame[:10])
