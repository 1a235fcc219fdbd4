"""Keys go to their own service alone; stand-ins show what SDKs are asked."""

import asyncio
import dataclasses
import types

import pytest

from pokedreamer_jax.planner import llm
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import services
from pokedreamer_jax.planner import wire
from tests.pokedreamer_jax.planner import games

_CONVERSATION = wire.Conversation(
  "be brief", (("user", "ask"),), "cGljdHVyZQ==", schema.wire_schema()
)


def test_an_address_of_ones_own_gets_no_key_of_a_service():
  service = services.url_service("http://127.0.0.1:8000")
  assert service.url == "http://127.0.0.1:8000/v1"
  others = {"OPENAI_API_KEY": "sk-1", "GEMINI_API_KEY": "2"}
  assert services.key_of(service, others) == ""
  own = {**others, "PLANNER_API_KEY": "mine"}
  assert services.key_of(service, own) == "mine"


def test_a_key_does_not_travel_in_the_clear():
  own = {"PLANNER_API_KEY": "mine"}
  for url in ("https://far.example/v1", "http://localhost:1", "http://[::1]:1"):
    assert services.key_of(services.url_service(url), own) == "mine"
  with pytest.raises(ValueError, match="expected an https address") as error:
    services.key_of(services.url_service("http://far.example/v1"), own)
  assert "mine" not in str(error.value)
  assert services.key_of(services.url_service("http://far.example"), {}) == ""


@pytest.mark.parametrize(
  "url",
  [
    *("ftp://host/v1", "host:80", "http://", "http://me:word@host/v1", ""),
    *("https://host/v1?key=word", "http://host/#word", "file:///etc/passwd"),
  ],
)
def test_other_addresses_are_refused_and_not_repeated(url):
  with pytest.raises(ValueError, match="planner_url: expected") as error:
    services.url_service(url)
  assert "word" not in str(error.value).replace("password", "")


@pytest.mark.parametrize(
  ("service", "key"),
  [
    (services.openai_service(), "OPENAI_API_KEY"),
    (services.gemini_service(), "GEMINI_API_KEY or GOOGLE_API_KEY"),
    (services.anthropic_service(), "ANTHROPIC_API_KEY"),
  ],
)
def test_a_service_without_its_key_names_the_variable(service, key):
  with pytest.raises(ValueError, match=f"no key, expected it in {key}"):
    services.key_of(service, {"PLANNER_API_KEY": "mine"})


def test_an_sdk_that_is_not_there_is_named():
  service = dataclasses.replace(services.openai_service(), module="not_there")
  with pytest.raises(ValueError, match="not_there is not installed"):
    services.load(service)


def test_prompts_know_no_game():
  # No walkthrough: what is sent of every game is the same and names none.
  text = llm.system_prompt().lower()
  for word in ("pokemon", "pallet", "vale", "brock", "gym", "red", "pikachu"):
    assert f" {word}" not in text
  assert "{" not in text.replace("{map_id}", "").replace(
    "{number}", ""
  ).replace("{y} {x}", "")


class _Streaming:
  """A response of the SDKs of OpenAI and Anthropic, and what asked for it."""

  def __init__(self, body):
    self.asked, self._body = {}, body
    self.with_streaming_response = self

  def create(self, **asked):
    self.asked = asked
    return self

  async def __aenter__(self):
    return self

  async def __aexit__(self, *unused):
    pass

  async def iter_bytes(self):
    yield self._body


def _ask(service, client):
  return asyncio.run(wire.ask(service, None, client, _CONVERSATION, 2.0, "k"))


def test_anthropic_is_asked_for_messages_with_a_schema():
  stand_in = _Streaming(
    b'{"content": [{"type": "text", "text": "th"}, {"type": "text", "text": '
    b'"is"}], "usage": {"input_tokens": 7, "output_tokens": 2}, '
    b'"stop_reason": "end_turn"}'
  )
  client = types.SimpleNamespace(messages=stand_in)
  body = _ask(services.anthropic_service("claude"), client)
  assert body == wire.Body("this", 7, 2)
  asked = stand_in.asked
  assert asked["output_config"]["format"]["schema"] == schema.wire_schema()
  picture = asked["messages"][0]["content"][0]["source"]
  assert picture["data"] == _CONVERSATION.png_base64
  assert (asked["model"], asked["timeout"]) == ("claude", 2.0)


def test_gemini_is_asked_for_content_with_a_schema():
  asked = {}

  async def generate_content(**given):
    asked.update(given)
    usage = types.SimpleNamespace(
      prompt_token_count=7, candidates_token_count=2
    )
    return types.SimpleNamespace(
      candidates=[1], text="this", usage_metadata=usage
    )

  models = types.SimpleNamespace(generate_content=generate_content)
  client = types.SimpleNamespace(aio=types.SimpleNamespace(models=models))
  body = _ask(services.gemini_service("flash"), client)
  assert body == wire.Body("this", 7, 2)
  assert asked["config"]["response_json_schema"] == schema.wire_schema()
  assert asked["config"]["http_options"] == {"timeout": 2000}
  picture = asked["contents"][0]["parts"][1]["inline_data"]
  assert picture["data"] == _CONVERSATION.png_base64


def test_a_reply_cut_at_its_limit_is_none():
  stand_in = _Streaming(
    b'{"choices": [{"message": {"content": "half"}, "finish_reason": '
    b'"length"}]}'
  )
  client = types.SimpleNamespace(
    chat=types.SimpleNamespace(completions=stand_in)
  )
  body = _ask(services.openai_service(), client)
  assert body.fault == "reply: cut at its limit"
  assert (body.tokens_in, body.tokens_out) == (None, None)


def test_a_request_names_no_more_than_its_switches():
  off = dict.fromkeys(
    ("map_graph", "walkability", "visited_cells", "milestones"), False
  )
  known = games.request(games.row(), **off).knowledge
  parts = dataclasses.asdict(known)
  assert all(part is None for part in parts.values())
  maps = games.request(games.row(), **off).maps
  assert [(m.map_id, m.cells, m.to) for m in maps] == [(1, None, None)]
  maps = games.request(games.row()).maps
  # Where map 2 leads to is not told before one was there.
  assert [(m.map_id, m.cells, m.to) for m in maps] == [
    (1, 1, (2,)),
    (2, 0, None),
  ]
  # By default nothing of what demonstrations did next is in it.
  text = llm.request_text(games.request(games.row()))
  assert games.request(games.row()).knowledge.ahead is None
  assert "earn badge" not in text
  assert "reach map 3" not in text  # no way there from maps visited
  told = games.request(games.row(), walkthrough=True)
  assert told.knowledge.ahead[-1] == "earn badge 0"
