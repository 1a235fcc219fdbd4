"""A running game is shown to this machine, and to nobody by another name."""

import http.client
import io
import json

import numpy as np
import pytest

from experiments.serving import agent_view
from pokedreamer_jax import specs

_FRAME = np.zeros((specs.FRAME_HEIGHT, specs.PACKED_WIDTH), np.uint8)


def _get(page, path, **headers):
  address = page.url.removeprefix("http://").rstrip("/")
  connection = http.client.HTTPConnection(address, timeout=20)
  connection.request("GET", path, headers=headers)
  answer = connection.getresponse()
  body = answer.read()
  connection.close()
  return answer, body


@pytest.fixture
def page():
  made = agent_view.make("page", 0)
  yield made
  made.close()


def test_the_page_shows_the_latest_picture_and_state(page):
  assert page.url.startswith("http://127.0.0.1:")
  answer, body = _get(page, "/")
  assert answer.status == 200 and b"view.js" in body
  assert _get(page, "/screen.png")[0].status == 404  # nothing yet
  page.show(_FRAME, {"env step": 3, "goal": "talk <b>"})
  page.show(_FRAME, {"env step": 4, "goal": "talk <b>"})
  answer, body = _get(page, "/screen.png?4")
  assert answer.getheader("Content-Type") == "image/png"
  assert body.startswith(b"\x89PNG")
  answer, body = _get(page, "/state.json")
  assert json.loads(body) == {"env step": "4", "goal": "talk <b>"}
  # A goal's words are put there as text.
  script = _get(page, "/view.js")[1]
  assert b"textContent = value" in script and b"innerHTML" not in script


def test_another_name_gets_nothing(page):
  page.show(_FRAME, {})
  answer, body = _get(page, "/state.json", Host="evil.example")
  assert answer.status == 403 and b"{" not in body
  assert _get(page, "/../etc/passwd")[0].status == 404
  policy = answer.getheader("Content-Security-Policy")
  assert "default-src 'none'" in policy


def test_a_terminal_gets_some_pictures_a_second():
  class Screen(io.StringIO):
    def isatty(self):
      return True

  screen = Screen()
  view = agent_view.Terminal(screen)
  for step in range(50):
    view.show(_FRAME, {"env step": step})
  assert screen.getvalue().count("env step") < 10
  lines = agent_view.picture(_FRAME)
  assert len(lines) == 36 and all(line.count("\u2580") == 80 for line in lines)
  with pytest.raises(ValueError, match="--view=terminal: stdout is no"):
    agent_view.Terminal(io.StringIO())
