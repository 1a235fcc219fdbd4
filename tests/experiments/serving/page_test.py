"""The served pages in a real browser, where Chromium is installed.

Screenshots go to the folder that PAGE_SCREENSHOTS names, if it is set.
"""

import asyncio
import os
import pathlib
import threading

import pytest

pytest.importorskip("aiohttp")

from experiments.serving import blind_answers
from experiments.serving import blind_server
from experiments.serving import guards
from experiments.serving import server as server_lib
from tests.experiments.serving import blind_test
from tests.experiments.serving import served
from tests.experiments.web import chrome as chrome_lib

pytestmark = pytest.mark.skipif(
  chrome_lib.BINARY is None, reason="no chromium here"
)
_LIMIT_S = 120.0
_READY = (
  "document.querySelector('#veil')?.hidden && !!document.querySelector('.knot')"
)
_UNNAMED = """
[...document.querySelectorAll('button, input, select, canvas, img')].filter(
  e => !e.closest('[hidden]') && !e.closest('.knot') && e.alt !== '' && !(
    e.getAttribute('aria-label') || e.labels?.length || e.alt || e.innerText))
  .map(e => e.outerHTML)
"""


class Site:
  """A server in a thread of its own, that can be ended and begun again."""

  def __init__(self, make):
    """`make()` is a server and what it takes to close what it shares."""
    self._make, self.port = make, 0
    self._loop = asyncio.new_event_loop()
    self._thread = threading.Thread(target=self._loop.run_forever)
    self._thread.start()
    self.begin()

  @property
  def url(self):
    return f"http://127.0.0.1:{self.port}/"

  def begin(self):
    async def begin():
      self._server, self._closes = self._make()
      self._runner, self.port = await server_lib.serve(
        self._server, "127.0.0.1", self.port
      )

    self._run(begin())

  def end(self):
    async def end():
      await self._server.close()
      await self._runner.cleanup()

    self._run(end())
    self._closes()

  def close(self):
    self.end()
    self._loop.call_soon_threadsafe(self._loop.stop)
    self._thread.join()
    self._loop.close()

  def _run(self, work):
    asyncio.run_coroutine_threadsafe(work, self._loop).result(_LIMIT_S)


def _play_server():
  server = server_lib.Server(guards.allowed_names("127.0.0.1"), 3)
  shared = served.setting(records=served.Records())
  server.open(server_lib.Ready(shared, {}, ()))
  return server, shared.batcher.close


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
  with chrome_lib.Chrome(tmp_path_factory.mktemp("profile")) as made:
    yield made


@pytest.fixture
def chrome(browser):
  """The browser, which must ask of nobody else and meet no error."""
  browser.asked.clear()
  browser.wrong.clear()
  yield browser
  wrong = [text for text in browser.wrong if "WebSocket" not in text]
  assert not [text for text in wrong if "ERR_CONNECTION_REFUSED" not in text]
  for url in browser.asked:
    assert url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:")) or (
      url.startswith(("blob:", "data:", "about:"))
    ), url


@pytest.fixture
def site():
  made = Site(_play_server)
  yield made
  made.close()


def _open(chrome, site, width=1280, height=900, scheme="light"):
  page = chrome.new_page()
  chrome.size(width, height)
  chrome.prefer(scheme)
  chrome.go(site.url, _READY)
  return page


def _press(chrome, code, steps):
  chrome.key(code)
  _at(chrome, steps)


def _at(chrome, steps):
  """Waits until the page stands at a step, drawn and told."""
  chrome.wait(
    "document.querySelector('.knot.here')"
    f"?.getAttribute('aria-label').includes('step {steps},')"
  )


def _click(chrome, name):
  chrome.run(f"document.getElementById('{name}').click()")


def _shoot(chrome, name):
  if folder := os.environ.get("PAGE_SCREENSHOTS"):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    chrome.picture(pathlib.Path(folder) / f"{name}.png")


def test_keys_branches_and_take_over(chrome, site):
  _open(chrome, site)
  _press(chrome, "ArrowUp", 1)
  _press(chrome, "KeyX", 2)
  assert "p99" in chrome.run("document.getElementById('pace').innerText")
  chrome.key("KeyF")
  chrome.wait("document.getElementById('tree').innerText.includes('step 2')")
  _press(chrome, "Backspace", 1)
  chrome.key("KeyL")
  chrome.key("ArrowUp")
  chrome.wait("document.querySelectorAll('.knot').length >= 4")
  _shoot(chrome, "branches")
  _click(chrome, "follow")
  chrome.wait("document.getElementById('tree').innerText.includes('resynced')")
  chrome.run(
    "(e => { e.value = 'policy'; e.dispatchEvent(new Event('change')); })("
    "document.getElementById('who'))"
  )
  chrome.wait("!document.getElementById('mine').disabled")
  _click(chrome, "mine")
  chrome.wait("document.getElementById('mine').disabled")
  _click(chrome, "link")
  chrome.wait("document.getElementById('link-text').value.includes('#play=')")


def test_by_keyboard_alone_and_with_labels(chrome, site):
  _open(chrome, site)
  names = []
  for _ in range(40):
    chrome.key("Tab")
    names.append(
      chrome.run(
        "(e => e.getAttribute('aria-label') || e.labels?.[0]?.innerText || "
        "e.innerText || '')(document.activeElement)"
      )
    )
  for wanted in ("Back 1", "Save moment", "Who plays", "Dream from here"):
    assert any(wanted in name for name in names), (wanted, names)
  assert any("random, 6 rows" in name for name in names), names  # an episode
  assert all(name.strip() for name in names[:20]), names
  assert chrome.run(_UNNAMED) == []
  # A key that a field has use for does not play.
  chrome.run("document.getElementById('seed').focus()")
  chrome.key("ArrowUp")
  chrome.run("document.getElementById('dream').focus()")
  _press(chrome, "ArrowUp", 1)


def test_two_pages_and_a_server_that_is_started_anew(chrome, site):
  one, other = _open(chrome, site), _open(chrome, site)
  chrome.look_at(one)
  _press(chrome, "ArrowUp", 1)
  chrome.look_at(other)
  _at(chrome, 0)
  chrome.look_at(one)
  _press(chrome, "ArrowDown", 2)
  _click(chrome, "link")
  chrome.wait("!!document.getElementById('link-text').value")
  site.end()
  chrome.wait("!document.getElementById('veil').hidden")
  _shoot(chrome, "lost")
  site.begin()
  chrome.wait("document.getElementById('veil').hidden")
  _at(chrome, 2)  # it played the session again by itself


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_width_in_both_colours_fits(chrome, site, scheme):
  _open(chrome, site, scheme=scheme)
  _press(chrome, "ArrowRight", 1)
  for width, height in ((360, 740), (820, 1100), (1280, 800), (2560, 1440)):
    chrome.size(width, height)
    chrome.wait(f"innerWidth === {width}")
    chrome.run("new Promise(done => requestAnimationFrame(() => done()))")
    assert chrome.run("document.documentElement.scrollWidth") <= width
    times = chrome.run(
      "document.getElementById('dream').getBoundingClientRect().width"
      " * devicePixelRatio / 160"
    )
    assert times >= 1 and abs(times - round(times)) < 0.01
    _shoot(chrome, f"page_{width}_{scheme}")
  assert chrome.run("document.documentElement.dataset.theme") == scheme


def test_fingers_hold_and_let_go(chrome, site):
  _open(chrome, site, 360, 740)
  place = (
    "(b => { b.scrollIntoView(); const r = b.getBoundingClientRect();"
    " return [r.x + 5, r.y + 5]; })(document.querySelector("
    "'#pads [data-button=\"2\"]'))"
  )
  chrome.touch(*chrome.run(place))
  _at(chrome, 1)
  chrome.touch(*chrome.run(place), held_s=3.0)
  chrome.wait(
    "Number(document.querySelector('.knot.here').getAttribute('aria-label')"
    ".match(/step (\\d+),/)[1]) >= 3"
  )


def test_a_recorded_row_is_begun_at(chrome, site):
  _open(chrome, site)
  chrome.run("document.querySelector('.episode').click()")
  chrome.run(
    "(e => { e.value = '4'; e.dispatchEvent(new Event('input')); })("
    "document.getElementById('row'))"
  )
  chrome.wait("document.getElementById('row-picture').naturalWidth === 160")
  assert chrome.run("document.getElementById('row-number').textContent") == "4"
  _shoot(chrome, "records")
  _click(chrome, "enter-row")
  _at(chrome, 4)
  chrome.wait(
    "document.getElementById('tree').innerText.includes('episode 1, row 4')"
  )
  _press(chrome, "ArrowUp", 5)


def test_real_or_dreamt_is_asked_to_the_end(chrome, tmp_path):
  path = tmp_path / "answers.json"

  def make():
    server = blind_server.Server(guards.allowed_names("127.0.0.1"))
    answers = blind_answers.Answers(path, {"seed": 0})
    server.open(blind_test.clips(), answers, 0)
    return server, lambda: None

  site = Site(make)
  try:
    chrome.new_page()
    chrome.size(1280, 900)
    asks = "document.getElementById('pressed')?.textContent.length > 1"
    chrome.go(site.url, asks)
    _shoot(chrome, "blind")
    assert chrome.run(_UNNAMED) == []
    for width in (360, 2560):
      chrome.size(width, 900)
      chrome.wait(f"innerWidth === {width}")
      assert chrome.run("document.documentElement.scrollWidth") <= width
    of = blind_test.COUNT
    for number in range(1, of + 1):
      chrome.wait(
        "document.getElementById('status').textContent === "
        f"'{number} of {of}' && document.getElementById('told')"
        f".textContent.includes('{number} of')"
      )
      if number % 2:
        chrome.key("ArrowLeft")
      else:
        _click(chrome, "say-right")
    chrome.wait("!document.getElementById('end').hidden")
    table = chrome.run("document.getElementById('result').innerText")
    assert "dream beside the game" in table and "24" in table
    _shoot(chrome, "blind_end")
  finally:
    site.close()
  assert len(blind_answers.Answers(path, {"seed": 0})) == blind_test.COUNT
