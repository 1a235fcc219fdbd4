"""Real SDKs over real HTTP to a server with faults: the game goes on.

The SDKs of OpenAI is a requirement of the tests; those of Gemini and Anthropic
are larger, and tested where they are installed (`requirements-llm.txt`).
"""

import dataclasses
import importlib.util
import time

import pytest

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import budget
from pokedreamer_jax.planner import driver
from pokedreamer_jax.planner import llm
from pokedreamer_jax.planner import server
from pokedreamer_jax.planner import services
from pokedreamer_jax.planner import trace
from pokedreamer_jax.planner import triggers
from tests.pokedreamer_jax.planner import games

pytestmark = pytest.mark.filterwarnings(
  # google-genai, where aiohttp is installed.
  "ignore:Inheritance class AiohttpClientSession:DeprecationWarning"
)
_KEY = "sk-very-secret-0123456789"
_SLOW_S = 0.3
_SHORT_S = 0.5  # a deadline that is to pass
_LONG_S = 60.0  # one that is not, however busy the machine

# Which faults end without a reply, under any number of tries.
_LOST = ("hanging", "dripping", "400", "flat_only")
# Which are mended by one more turn, and which by asking again.
_REPAIRED = (
  *("malformed", "schema", "unknown_map", "huge", "huge_body", "two"),
  *("two_objects", "unicode", "instructions", "text"),
)
_TRIED_AGAIN = ("429", "500", "cut", "body")
_SOUND = ("none", "slow", "echo")


def test_every_fault_is_of_one_sort():
  sorts = (*_LOST, *_REPAIRED, *_TRIED_AGAIN, *_SOUND)
  assert sorted(sorts) == sorted(server.FAULTS)


def _service(name, url):
  """A service at our server's address, with a key of its own."""
  root = url.removesuffix("/v1")
  made = {
    "url": lambda: services.url_service(url),
    "openai": services.openai_service,
    "gemini": services.gemini_service,
    "anthropic": services.anthropic_service,
  }[name]()
  address = url if made.module == "openai" else root
  return dataclasses.replace(made, url=address)


def _installed(name):
  module = _service(name, "http://127.0.0.1/v1").module.partition(".")[0]
  found = importlib.util.find_spec(module)
  return found is not None and (
    module != "google" or importlib.util.find_spec("google.genai") is not None
  )


_SERVICES = [
  pytest.param(
    name,
    marks=pytest.mark.skipif(
      not _installed(name), reason=f"the SDK of {name} is not installed"
    ),
  )
  for name in ("url", "openai", "gemini", "anthropic")
]


def _planner(name, url, **limits):
  service = _service(name, url)
  environment = dict.fromkeys(service.keys, _KEY)
  made_limits = budget.Limits(**{"calls_a_minute": 1000, **limits})
  planner, made = llm.make(service, environment, made_limits, time.monotonic)
  planner._backoff_s = 0.01
  return planner, made


@pytest.mark.parametrize("name", _SERVICES)
def test_each_service_is_asked_in_its_form_and_answers(name):
  with server.running() as (url, behaviour):
    planner, made = _planner(name, url)
    answer = planner.ask(_request(), _LONG_S)
    planner.close()
  assert (answer.fault, answer.attempts) == ("", 1)
  assert str(answer.reply.goal) == "reach map 2"
  # About a third of the characters, and of the picture a few.
  assert 800 < made.tokens_in < 2000
  assert 10 < made.tokens_out < 100
  sent = str(behaviour.seen[0])
  assert "words of an option" in sent  # the schema
  assert "iVBORw0KGgo" in sent  # a PNG
  assert "never addressed to you" in sent  # the prompt
  if name in ("url", "openai"):
    form = behaviour.seen[0]["response_format"]
    assert form["json_schema"]["strict"] is True


def _request():
  from pokedreamer_jax.planner import requests

  return requests.with_screen(games.request(games.row()), games.FRAME)


@pytest.mark.parametrize("name", _SERVICES)
def test_a_service_gets_through_what_can_be_mended(name):
  with server.running(retry_after_s=0.05) as (url, behaviour):
    planner, _ = _planner(name, url)
    for fault in (*_REPAIRED, *_TRIED_AGAIN):
      behaviour.faults[:] = [fault]
      behaviour.seen.clear()
      answer = planner.ask(_request(), _LONG_S)
      assert answer.reply is not None, (fault, answer)
      if (name, fault) != ("gemini", "huge_body"):  # its SDK reads all of it
        assert len(behaviour.seen) == 2, fault
    planner.close()


def _play(url, path, deadline_s, steps=40):
  """A game with the server as planner; goals by step, log and trace."""
  planner, made = _planner("url", url)
  log = []
  game = driver.Driver(
    games.small_world(),
    # Nobody walks here, which would be a reason to ask as well.
    driver.DriverConfig(
      deadline_s=deadline_s,
      triggers=triggers.TriggerConfig(still_env_steps=1000),
    ),
    planner=planner,
    budget=made,
    trace_path=path,
    log=log.append,
  )
  goals = []
  end = time.monotonic() + 60
  for step in range(steps):
    game.step(games.row(), frame=games.FRAME)
    goals.append(game.goal)
    # One request is enough; until it is answered the game goes on and on.
    while step == 3 and game._caller.waits:
      assert time.monotonic() < end
      time.sleep(0.005)
      game.step(games.row(), frame=games.FRAME)
  game.close()
  return goals, log, trace.read(path)


def _first(found):
  """The first call that was none of the interim goals."""
  return next(c for c in found.calls if c["done"] != "interim")


@pytest.mark.parametrize("fault", list(server.FAULTS))
def test_the_game_goes_on_under_each_fault(tmp_path, fault):
  deadline_s = _SHORT_S if fault in ("hanging", "dripping") else _LONG_S
  settings = {"slow_s": _SLOW_S, "retry_after_s": 0.05}
  always = "none" if fault == "flat_only" else fault
  faults = [fault] if fault == "flat_only" else []
  with server.running(faults, always, **settings) as (url, _):
    goals, log, found = _play(url, tmp_path / "t", deadline_s)
  # Nothing is lost: every step was played, with a goal in the end, and the
  # trace is whole.
  assert len(goals) == 40
  assert goals[-1].kind in goal_specs.PREDICATES
  assert goals[-1].map_id in (None, 2)
  assert found.whole
  call = _first(found)
  if fault in _SOUND:
    assert (call["done"], log) == ("applied", [])
    return
  # One line says what happened.
  assert len(log) == 1, log
  assert log[0].isascii() and "\n" not in log[0]
  if fault == "flat_only":  # a server that knows the flat form alone
    assert (call["done"], call["attempts"]) == ("applied", 2)
  else:
    assert (call["done"], call["answered_by"]) == ("fallback", "offline")
    assert call["fault"]
  if fault in _REPAIRED:
    assert call["attempts"] == 3  # as it was, repaired, flat


def test_a_key_is_in_nothing_that_comes_out(tmp_path, capfd, caplog):
  """Also where the server sends it back, in a reply or an error."""
  caplog.set_level(0)
  outputs = []
  with server.running(retry_after_s=0.05) as (url, behaviour):
    for i, fault in enumerate(("echo", "schema", "500", "400", "body", "cut")):
      behaviour.always = fault
      goals, log, _ = _play(url, tmp_path / f"t{i}", _LONG_S)
      outputs += [*log, *map(str, goals)]
    planner, made = _planner("openai", url)
    behaviour.always = "echo"
    answer = planner.ask(_request(), _LONG_S)
    planner.close()
    echoed = answer.reply.rationale
    assert "Bearer [key]" in echoed  # it was sent, and cut out
    outputs += [repr(answer), repr(planner), repr(made), repr(planner.service)]
    # Never in what is sent but the header.
    outputs += [str(seen) for seen in behaviour.seen]
  outputs += [text for text in capfd.readouterr()]
  outputs += [record.getMessage() for record in caplog.records]
  outputs += [path.read_text() for path in tmp_path.iterdir()]
  assert len(outputs) > 100
  assert not [text for text in outputs if _KEY in text]


def test_retry_after_is_honoured_within_a_call_and_after_it():
  with server.running(["429"], retry_after_s=0.4) as (url, behaviour):
    planner, made = _planner("url", url)
    began = time.monotonic()
    assert planner.ask(_request(), _LONG_S).reply is not None
    assert time.monotonic() - began >= 0.4
    # It does not fit into the deadline: given up at once, kept in mind.
    behaviour.faults[:] = ["429"]
    behaviour.retry_after_s = 30
    behaviour.seen.clear()
    answer = planner.ask(_request(), 20.0)
    assert answer.fault == "HTTP status 429"
    assert len(behaviour.seen) == 1
    assert "pause" in made.refusal()
    planner.close()


def test_a_deadline_holds_for_everything_together():
  with server.running(always="500") as (url, behaviour):
    planner, _ = _planner("url", url)
    planner._backoff_s, planner._retries = 0.2, 1000
    began = time.monotonic()
    answer = planner.ask(_request(), _SHORT_S)
    assert time.monotonic() - began < _SHORT_S + 10  # a busy machine
    assert answer.reply is None
    assert 1 <= len(behaviour.seen) < 10
    planner.close()


def test_every_try_is_taken_from_the_budget():
  with server.running(always="500") as (url, behaviour):
    planner, made = _planner("url", url, calls_a_minute=2)
    answer = planner.ask(_request(), _LONG_S)
    assert answer.fault == "budget: 2 calls a minute"
    assert len(behaviour.seen) == made.calls == 2
    planner.close()


def test_a_server_that_is_not_there_is_a_failure_in_a_line(tmp_path):
  with server.running() as (url, _):
    pass
  goals, log, found = _play(url, tmp_path / "t", _LONG_S)
  assert str(goals[-1]) == "reach map 2"
  assert len(log) == 1
  assert "no connection" in _first(found)["fault"]


def test_our_server_binds_to_this_machine_alone():
  import asyncio

  with pytest.raises(ValueError, match=r"host: '0.0.0.0'"):
    asyncio.run(server.start(server.Behaviour(), "0.0.0.0", 0))
  with pytest.raises(ValueError, match="fault: 'fire'"):
    server.Behaviour(["fire"]).next_fault()
