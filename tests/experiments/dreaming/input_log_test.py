"""Logs and links: inverse pairs, limits, and whatever else may come."""

import base64
import json
import zlib

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest

from experiments.dreaming import input_log
from pokedreamer_jax import specs

_LOG = input_log.Log("m@3", "a" * 40, "chapter_one/x", 7, 60, "L5;dduS.Ma")


def test_a_letter_for_each_action():
  assert len(input_log.LETTERS) == specs.NUM_ACTIONS
  letters = "".join(map(input_log.press, range(specs.NUM_ACTIONS)))
  pressed = list(input_log.events(letters))
  assert pressed == [("press", i) for i in range(specs.NUM_ACTIONS)]


def test_letters_are_read_in_order():
  assert list(input_log.events("L5;dMmS")) == [
    ("luck", 5),
    ("press", 0),
    ("likely", True),
    ("likely", False),
    ("follow", None),
  ]
  for bad in ("x", "L5", "L;", "L4294967296;", "d d"):
    with pytest.raises(ValueError, match="log"):
      list(input_log.events(bad))


def test_texts_and_links_come_back():
  assert input_log.from_text(input_log.to_text(_LOG)) == _LOG
  link = input_log.to_link(_LOG)
  assert input_log.from_link(link) == _LOG
  assert set(link) <= set(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
  )


def test_a_link_that_would_fill_the_memory_is_refused():
  bomb = zlib.compress(b" " * 30_000_000, 9)
  link = base64.urlsafe_b64encode(bomb).decode().rstrip("=")
  assert len(link) < input_log.MOST_LINK
  with pytest.raises(ValueError, match="too long"):
    input_log.from_link(link)


@pytest.mark.parametrize(
  "changes",
  [
    {"version": 2},
    {"seed": -1},
    {"seed": True},
    {"seed": 1.5},
    {"moves": 3},
    {"moves": "q"},
    {"moves": "d" * (input_log.MOST_MOVES + 1)},
    {"model": None},
    {"state": "s" * 201},
    {"more": 1},
  ],
)
def test_what_is_no_log_is_refused(changes):
  values = json.loads(input_log.to_text(_LOG)) | changes
  with pytest.raises(ValueError, match="log"):
    input_log.from_text(json.dumps(values))


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_a_log_or_a_line_of_why_not(text):
  for read in (input_log.from_text, input_log.from_link):
    with pytest.raises(ValueError, match=r"log|link"):
      read(text)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 100))
def test_a_damaged_link_is_told(data, at):
  link = input_log.to_link(_LOG)
  raw = bytearray(base64.urlsafe_b64decode(link + "=" * (-len(link) % 4)))
  raw[at % len(raw) : at % len(raw) + len(data)] = data
  damaged = base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
  try:
    input_log.from_link(damaged)
  except ValueError:
    pass
