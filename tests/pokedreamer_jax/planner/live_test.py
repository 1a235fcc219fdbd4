"""Real services, where their keys are set: `make test-llm`."""

import os
import time

import pytest

from pokedreamer_jax.planner import budget
from pokedreamer_jax.planner import llm
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import services
from tests.pokedreamer_jax.planner import games

pytestmark = [
  pytest.mark.llm,
  pytest.mark.filterwarnings(
    "ignore:Inheritance class AiohttpClientSession:DeprecationWarning"
  ),
]
_URL = os.environ.get("PLANNER_URL", "")
_MODEL = os.environ.get("PLANNER_MODEL", "local")


def _service(name):
  if name == "url":
    if not _URL:
      pytest.skip("PLANNER_URL is not set: no server of one's own was asked")
    return services.url_service(_URL, _MODEL)
  made = {
    "openai": services.openai_service,
    "gemini": services.gemini_service,
    "anthropic": services.anthropic_service,
  }[name]()
  if not any(os.environ.get(key) for key in made.keys):
    pytest.skip(f"{' or '.join(made.keys)} is not set: {name} was not asked")
  return made


@pytest.mark.parametrize("name", ["openai", "gemini", "anthropic", "url"])
def test_a_service_names_a_goal(name):
  service = _service(name)
  planner, made = llm.make(service, os.environ, budget.Limits(), time.monotonic)
  rows = games.row(), games.row(map_id=2)
  request = requests.with_screen(games.request(*rows), games.FRAME)
  began = time.monotonic()
  answer = planner.ask(request, 60.0)
  planner.close()
  print(f"{name} {service.model}: {time.monotonic() - began:.1f} s, {answer}")
  assert answer.fault == ""
  assert answer.reply is not None
  assert 0 < made.tokens_in <= budget.MOST_TOKENS_IN
  assert 0 < made.tokens_out <= budget.MOST_TOKENS_OUT
