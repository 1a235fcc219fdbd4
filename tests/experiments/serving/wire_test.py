"""Messages of a page: the known ones, and anything else."""

import json

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from experiments.serving import wire
from tests.pokedreamer_jax import fakes

_GOOD = (
  {"t": "hello", "session": ""},
  {"t": "keys", "n": 3, "held": -1},
  {"t": "ack", "n": 0},
  {"t": "who", "who": "policy", "goal": -1},
  {"t": "speed", "speed": 2},
  {"t": "likely", "on": True},
  {"t": "redo"},
  {"t": "save", "moment": 4, "name": "lake"},
  {"t": "begin", "state": "", "seed": 4},
)
_BAD = (
  *("", "null", "[]", "3", '"hello"', "{", "[" * 5000, '{"t": []}'),
  *('{"t": "hello"}', '{"t": "nothing"}', '{"n": 1}', "{}"),
  '{"t": "hello", "session": "", "more": 1}',
  '{"t": "keys", "n": true, "held": 1}',
  '{"t": "keys", "n": 1.0, "held": 1}',
  '{"t": "keys", "n": 1, "held": 8}',
  '{"t": "keys", "n": -1, "held": 0}',
  '{"t": "speed", "speed": NaN}',
  '{"t": "speed", "speed": 1e400}',
  '{"t": "likely", "on": 1}',
  '{"t": "save", "moment": 1, "name": 5}',
  json.dumps({"t": "hello", "session": "x" * 65}),
  '{"t": "ack", "n": ' + "9" * 5000 + "}",
)


@pytest.mark.parametrize("message", _GOOD)
def test_what_a_page_says_is_read(message):
  assert wire.read(json.dumps(message)) == message


@pytest.mark.parametrize("data", _BAD)
def test_what_no_page_says_is_broken(data):
  with pytest.raises(wire.Broken):
    wire.read(data)


_json = st.recursive(
  st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
  lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
  max_leaves=8,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(wire.KINDS)), st.data())
def test_whatever_the_fields_hold_it_is_read_or_broken(kind, data):
  fields = wire.KINDS[kind]
  message = {"t": kind} | {name: data.draw(_json) for name in fields}
  try:
    read = wire.read(json.dumps(message))
  except wire.Broken:
    return
  for name, (type_, *_) in fields.items():
    assert type(read[name]) is type_


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_broken(text):
  try:
    wire.read(text)
  except wire.Broken:
    pass


def test_frames_come_back():
  picture = fakes.screens()[2]
  data = wire.frame(wire.DREAM, picture, 7, 8, 9, 1.5)
  assert len(data) == 20 + 5760
  *head, found = wire.read_frame(data)
  assert head == [wire.DREAM, 8, 7, 9, 1.5]
  np.testing.assert_array_equal(found, picture)
