"""The exported page, opened from disk in a real browser where there is one.

Screenshots go to the folder that PAGE_SCREENSHOTS names, if it is set.
"""

import os
import pathlib
import time

import pytest

from tests.experiments.web import chrome as chrome_lib
from tests.experiments.web import exported

pytestmark = pytest.mark.skipif(
  chrome_lib.BINARY is None, reason="no chromium here"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
  """A folder; PAGE_EXPORTED names another one, say of a trained model."""
  given = os.environ.get("PAGE_EXPORTED")
  if given:
    return pathlib.Path(given) / "index.html"
  folder = tmp_path_factory.mktemp("exported") / "page"
  exported.write(folder)
  return folder / "index.html"


@pytest.fixture
def chrome(page, tmp_path):
  """A browser in which the page is ready."""
  with chrome_lib.Chrome(tmp_path / "profile") as browser:
    browser.size(1280, 900)
    browser.prefer("light")
    browser.open(page)
    yield browser
    assert not browser.wrong
    for url in browser.asked:
      assert url.startswith((page.parent.as_uri(), "data:", "about:")), url
    assert browser.asked


def _step(chrome):
  return int(chrome.run("document.getElementById('step').textContent"))


def _picture(chrome):
  return chrome.run("document.getElementById('dream').toDataURL()")


def _click(chrome, name):
  chrome.run(f"document.getElementById('{name}').click()")


def _shoot(chrome, name):
  if folder := os.environ.get("PAGE_SCREENSHOTS"):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    chrome.picture(pathlib.Path(folder) / f"{name}.png")


def test_keys_step_and_time_goes_back(chrome):
  first = _picture(chrome)
  pressed = ["ArrowDown", "KeyX", "ArrowLeft", "Enter", "Space", "ArrowUp"] * 2
  shown = [first]
  for number, code in enumerate(pressed, 1):
    chrome.key(code)
    assert _step(chrome) == number
    shown.append(_picture(chrome))
  assert len(set(shown)) > 3
  chrome.key("KeyF")
  assert chrome.run("document.getElementById('saved').children.length") == 1
  for number in range(len(pressed) - 1, len(pressed) - 4, -1):
    chrome.key("Backspace")
    assert (_step(chrome), _picture(chrome)) == (number, shown[number])
  _click(chrome, "back10")
  assert (_step(chrome), _picture(chrome)) == (0, first)
  # The most likely way is always the same; what was saved is still there.
  chrome.key(pressed[0])
  assert _picture(chrome) == shown[1]
  chrome.run("document.querySelector('#saved button').click()")
  assert (_step(chrome), _picture(chrome)) == (len(pressed), shown[-1])
  chrome.key("Backspace")
  assert (_step(chrome), _picture(chrome)) == (len(pressed) - 1, shown[-2])
  _shoot(chrome, "played")


def test_a_held_key_repeats_in_real_time_until_it_is_let_go(chrome):
  chrome.key("ArrowDown", up=False)
  assert _step(chrome) == 1
  time.sleep(1.5)
  chrome.key("ArrowDown", down=False)
  steps = _step(chrome)
  assert 2 <= steps <= 5, steps  # 4, on a machine with nothing else to do
  time.sleep(1.0)
  assert _step(chrome) == steps


def test_fingers_press_and_hold(chrome):
  at = "document.querySelector('[data-button=\"3\"]').getBoundingClientRect()"
  box = chrome.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({at})")
  chrome.touch(*box)
  assert _step(chrome) == 1
  chrome.touch(*box, held_s=1.0)
  steps = _step(chrome)
  assert steps >= 3, steps
  time.sleep(0.6)
  assert _step(chrome) == steps


def test_controls_keep_their_own_keys(chrome):
  chrome.run("document.getElementById('save').focus()")
  chrome.key("Enter")
  assert _step(chrome) == 0  # else it would be the game's start
  chrome.key("ArrowDown")
  assert _step(chrome) == 1
  chrome.run("document.getElementById('when').focus()")
  chrome.key("ArrowLeft")
  assert chrome.run("document.getElementById('when').max") == "1"


def test_new_luck_is_another_way_and_the_same_luck_the_same(chrome):
  # The last start: of a trained model a battle, which hangs on chance.
  chrome.run("document.querySelector('#starts button:last-child').click()")
  chrome.key("KeyL")
  assert not chrome.run("document.getElementById('likely').checked")

  def way():
    _click(chrome, "back10")
    for _ in range(8):
      chrome.key("KeyX")
    return [
      chrome.run("document.getElementById('facts').textContent"),
      _picture(chrome),
    ]

  first = way()
  assert way() == first
  others = []
  for _ in range(6):
    chrome.key("KeyL")
    others.append(way())
  assert any(other != first for other in others)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_widths_in_light_and_dark(page, tmp_path, scheme):
  with chrome_lib.Chrome(tmp_path / "profile") as chrome:
    chrome.prefer(scheme)
    chrome.open(page)
    assert chrome.run("document.documentElement.dataset.theme") == scheme
    for width, height in ((360, 740), (820, 1100), (1280, 900), (2560, 1300)):
      chrome.size(width, height)
      time.sleep(0.2)
      beyond = chrome.run(
        "(end => [...document.querySelectorAll('body *')].filter(e => "
        "!e.closest('.strip, .skip') && e.getBoundingClientRect().right > end)"
        ".map(e => e.outerHTML.slice(0, 80)))"
        "(document.documentElement.clientWidth)"
      )
      assert beyond == [], width
      wide = chrome.run("document.getElementById('dream').clientWidth")
      assert wide % 160 == 0 and 2 * 160 <= wide <= width, (width, wide)
      _shoot(chrome, f"{scheme}-{width}")
    assert not chrome.wrong


def test_everything_has_a_name_and_the_keyboard_reaches_it(chrome):
  nameless = chrome.run(
    "[...document.querySelectorAll('button, input, [role=img]')].filter("
    "e => !(e.getAttribute('aria-label') || e.textContent.trim() "
    "|| (e.labels && e.labels.length))).map(e => e.outerHTML)"
  )
  assert nameless == []
  reached = set()
  for _ in range(40):
    chrome.key("Tab")
    reached.add(
      chrome.run("(e => e.id || e.textContent.trim())(document.activeElement)")
    )
  for name in ("theme", "when", "save", "likely", "luck", "dream"):
    assert name in reached, reached
  # Said after a pause, so that a reader comes to an end.
  said = chrome.wait(
    "(e => e.textContent.includes('Battle') && e.textContent)"
    "(document.getElementById('status'))"
  )
  label = chrome.run("document.getElementById('dream').ariaLabel")
  assert said in label


def test_text_from_a_name_is_text(chrome):
  names = chrome.run(
    "[...document.querySelectorAll('#starts span')].map(e => e.textContent)"
  )
  if not os.environ.get("PAGE_EXPORTED"):
    assert names[0] == "start 0 <&>"


def test_a_damaged_folder_says_so(tmp_path):
  folder = tmp_path / "page"
  exported.write(folder)
  (folder / "model.js").write_text("globalThis.pokeDreamerModel = {")
  with chrome_lib.Chrome(tmp_path / "profile") as chrome:
    chrome.ask("Page.navigate", url=(folder / "index.html").as_uri())
    said = chrome.wait(
      "(e => e && !e.hidden && e.textContent)(document.getElementById('note'))"
    )
    assert said == (
      "The dream cannot begin: model.js or starts.js is missing or damaged"
    )
