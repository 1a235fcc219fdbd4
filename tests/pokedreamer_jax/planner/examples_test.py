"""The request and the reply that the papers show are what is published."""

import base64
import json
import struct

import numpy as np
import pytest

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.planner import brain
from pokedreamer_jax.planner import json_schema
from pokedreamer_jax.planner import schema
from tests import conftest


@pytest.fixture(scope="module")
def request_value():
  return json.loads((conftest.ROOT / "docs/planner_request.json").read_text())


@pytest.fixture(scope="module")
def reply():
  return json.loads((conftest.ROOT / "docs/planner_reply.json").read_text())


def test_they_are_valid(request_value, reply):
  assert json_schema.check(request_value, schema.request_schema(), "r") == []
  assert json_schema.check(reply, schema.reply_schema(), "r") == []
  # What is checked is not everything.
  assert json_schema.check(reply, schema.request_schema(), "r")
  other = {**request_value, "buttons": ["a"]}
  assert json_schema.check(other, schema.request_schema(), "r")


def test_the_screen_is_one(request_value):
  png = base64.b64decode(request_value["screenshot"], validate=True)
  assert png.startswith(b"\x89PNG")
  size = struct.unpack(">II", png[16:24])
  assert size == (specs.FRAME_WIDTH, specs.FRAME_HEIGHT)


def test_the_reply_is_one_of_the_options_with_its_vector(request_value, reply):
  assert reply["goal"] in [o["goal"] for o in request_value["options"]]
  goal = goal_specs.parse(reply["goal"], free_text=False)
  np.testing.assert_allclose(
    reply["goal_embedding"], goal_embeddings.embed_goal(goal), atol=1e-6
  )
  assert request_value["last_goal"]["outcome"] == "reached"
  said = brain.answer(request_value)
  assert said == {name: reply[name] for name in ("goal", "rationale")}
  assert reply["predicate"]["kind"] == goal.kind


def test_nothing_of_a_walkthrough_is_in_it(request_value):
  assert "ahead" not in request_value["knowledge"]
