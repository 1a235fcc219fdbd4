"""The command itself in a real browser: its model, its game, its numbers."""

import random
import re

import pytest

pytest.importorskip("aiohttp")

from tests.experiments.serving import measure_page
from tests.experiments.web import chrome as chrome_lib

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(chrome_lib.BINARY is None, reason="no chromium here"),
]
_STEPS = 200
# Of the step that is shown: its number, and whether both games are seen there.
_STANDS = """
(() => {
  const knot = document.querySelector('.knot.here');
  const step = knot?.getAttribute('aria-label').match(/step (\\d+)/);
  return [Number(step?.[1] ?? -1), document.getElementById('agree').innerText,
    document.getElementById('differs').innerText];
})()
"""


def test_two_hundred_steps_beside_the_game(tmp_path):
  """Both agree on most of them; where not, the dream is set to the game."""
  cache = tmp_path / "cache"
  with chrome_lib.Chrome(tmp_path / "profile") as chrome:
    served, _ = measure_page.start(chrome, cache, [])
    try:
      chrome.run(
        "(e => { e.checked = true; e.dispatchEvent(new Event('change')); })("
        "document.getElementById('likely'))"
      )
      agreed = [_step(chrome, n) for n in range(1, _STEPS + 1)]
      told = chrome.run(measure_page.PACE)
    finally:
      assert served.end() == 130, served.lines
    assert not chrome.wrong, chrome.wrong
    assert all("127.0.0.1" in url for url in chrome.asked), chrome.asked
  # Nobody draws the game's own luck; where it shows, both part for a while.
  assert sum(agreed) >= 0.85 * _STEPS, (sum(agreed), told)
  assert f"({_STEPS} presses)" in told
  p50_ms, p99_ms = (float(n) for n in re.findall(r"p\d\d (\d+\.\d)", told))
  assert 0 < p50_ms <= p99_ms


def _step(chrome, number):
  """One press; whether both games show the same after it."""
  key = random.Random(number // 3).choice(measure_page.KEYS)
  chrome.key(key)
  chrome.wait(f"{_STANDS}[0] === {number}")
  chrome.wait(f"/agreement/.test({_STANDS}[1])")
  same = "Every pixel agrees" in chrome.run(_STANDS)[2]
  if not same:
    chrome.run("document.getElementById('follow').click()")
    chrome.wait(f"/Every pixel/.test({_STANDS}[2])")
  return same
