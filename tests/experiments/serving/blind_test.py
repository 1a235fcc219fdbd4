"""Pairs are balanced and told of to nobody; answers are kept and summed up."""

import asyncio
import contextlib
import functools
import json

import numpy as np
import pytest

pytest.importorskip("aiohttp")

from aiohttp import test_utils

from experiments.playing import blind_pairs
from experiments.serving import blind_answers
from experiments.serving import blind_server
from experiments.serving import guards
from pokedreamer_jax import specs

COUNT = 24
_SHAPE = (COUNT, blind_pairs.STEPS + 1, specs.FRAME_HEIGHT, specs.PACKED_WIDTH)
_SHOWN = {"model": "m", "records": "r", "pairs": COUNT, "seed": 0}


def clips():
  """Frames that say what they are: 1 is real, 2 real again, 3 dreamt."""
  blank = functools.partial(np.full, _SHAPE, dtype=np.uint8)
  return blind_pairs.Clips(
    *(blank(9), blank(1), blank(2), blank(3)),
    np.zeros((COUNT, blind_pairs.STEPS), np.uint8),
    np.arange(COUNT),
  )


@contextlib.asynccontextmanager
async def _client(path, opened=True):
  server = blind_server.Server(guards.allowed_names("127.0.0.1"))
  answers = blind_answers.Answers(path, _SHOWN)
  if opened:
    server.open(clips(), answers, 0)
  async with test_utils.TestClient(
    test_utils.TestServer(server.app())
  ) as client:
    yield client, answers
  await server.close()


def _run(test):
  @functools.wraps(test)
  def wrapped(tmp_path):
    asyncio.run(asyncio.wait_for(test(tmp_path), 120))

  del wrapped.__wrapped__
  return wrapped


def test_sides_lengths_and_controls_are_balanced():
  asked = blind_answers.plan(COUNT, 3)
  assert sorted(one["pair"] for one in asked) == list(range(COUNT))
  controls = [one for one in asked if one["kind"] == blind_answers.CONTROL]
  assert len(controls) == 6
  for kind in (blind_answers.DREAM, blind_answers.CONTROL):
    of = [one for one in asked if one["kind"] == kind]
    left = sum(one["dreamt"] == "left" for one in of)
    assert abs(2 * left - len(of)) <= 2 * len(blind_pairs.LENGTHS) / 2
    for steps in blind_pairs.LENGTHS.values():
      assert sum(one["steps"] == steps for one in of) == len(of) // 3
  assert asked != blind_answers.plan(COUNT, 4)


@_run
async def test_a_sitting_from_the_first_pair_to_the_result(tmp_path):
  async with _client(tmp_path / "answers.json") as (client, answers):
    told = await (await client.post("/sitting")).json()
    key = told["key"]
    for number in range(COUNT):
      assert (told["number"], told["of"]) == (number, COUNT)
      # Nothing that is told says which is which, or of what kind.
      assert set(told) <= {"key", "number", "of", "steps", "buttons"}
      assert len(told["buttons"]) == told["steps"]
      body = await (
        await client.get("/clips", headers={"X-Sitting": key})
      ).read()
      sides = np.frombuffer(body, np.uint8).reshape(2, told["steps"] + 1, -1)
      kinds = sides[:, 0, 0].tolist()
      assert kinds in ([1, 3], [3, 1], [1, 2], [2, 1])
      dreamt = "left" if kinds[0] > 1 else "right"
      told = await (
        await client.post("/answer", json=_said(key, number, dreamt))
      ).json()
    assert told["result"]["dream"]["all"]["value"] == 1.0
    assert told["result"]["dream"]["30 s"]["n"] == 6
    assert told["result"]["real"]["all"]["n"] == 6
    assert len(answers) == COUNT
    gone = await client.get("/clips", headers={"X-Sitting": key})
    assert gone.status == 404
  kept = json.loads((tmp_path / "answers.json").read_text())
  assert kept["shown"] == _SHOWN
  assert kept["result"]["dream"]["all"]["low"] == pytest.approx(0.824, abs=1e-3)
  again = blind_answers.Answers(tmp_path / "answers.json", _SHOWN)
  assert len(again) == COUNT


def _said(key, number, side):
  return {"key": key, "number": number, "said": side, "seconds": 1.5}


@_run
async def test_what_no_page_says_is_refused_and_counts_for_nothing(tmp_path):
  async with _client(tmp_path / "answers.json") as (client, answers):
    key = (await (await client.post("/sitting")).json())["key"]
    good = _said(key, 0, "left")
    for bad, status in (
      ({**good, "said": "both"}, 400),
      ({**good, "seconds": -1}, 400),
      ({**good, "seconds": float("nan")}, 400),
      ({**good, "seconds": "soon"}, 400),
      ({**good, "more": 1}, 400),
      ({**good, "key": "other"}, 404),
      ({**good, "key": ["x"]}, 404),
      ({**good, "number": 1}, 409),
      ([], 400),
    ):
      answer = await client.post("/answer", data=json.dumps(bad))
      assert answer.status == status, bad
    for body in (b"{", b"[" * 3000, b"\xff", b"x" * 10_000):
      assert (await client.post("/answer", data=body)).status in (400, 413)
    other = {"Origin": "http://example.com"}
    for path in ("/answer", "/sitting"):
      answer = await client.post(path, json=good, headers=other)
      assert answer.status == 403
    answer = await client.get("/", headers={"Host": "example.com"})
    assert answer.status == 403
    assert (await client.get("/page/../play_dream.py")).status == 404
    assert len(answers) == 0
    assert (await client.post("/answer", json=good)).status == 200
    assert (await client.post("/answer", json=good)).status == 409  # twice
    assert len(answers) == 1


@_run
async def test_pages_wait_until_clips_are_made(tmp_path):
  async with _client(tmp_path / "answers.json", opened=False) as (client, _):
    page = await client.get("/")
    assert page.status == 200 and "default-src 'none'" in str(page.headers)


def test_a_file_about_something_else_is_left_alone(tmp_path):
  path = tmp_path / "answers.json"
  answers = blind_answers.Answers(path, _SHOWN)
  asked = blind_answers.plan(COUNT, 0)[0]
  answers.add(asked | {"sitting": "s", "said": "left", "seconds": 1.0})
  before = path.read_bytes()
  with pytest.raises(ValueError, match="name another file"):
    blind_answers.Answers(path, _SHOWN | {"seed": 1})
  path.write_text(json.dumps({"shown": _SHOWN, "answers": [{"kind": "x"}]}))
  with pytest.raises(ValueError, match="name another file"):
    blind_answers.Answers(path, _SHOWN)
  path.write_bytes(before)
  with pytest.raises(ValueError, match="no folder"):
    blind_answers.Answers(tmp_path / "no" / "a.json", _SHOWN)
