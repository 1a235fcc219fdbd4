"""The page in a real browser, where playwright and Chromium are installed.

Screenshots go to the folder that PAGE_SCREENSHOTS names, if it is set.
"""

import asyncio
import contextlib
import os
import pathlib
import shutil

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("playwright", reason="playwright is not installed")

from playwright import async_api

from experiments.serving import guards
from experiments.serving import server as server_lib
from tests.experiments.serving import served

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(_CHROMIUM is None, reason="no chromium here")
_LIMIT_S = 600.0
_LIMIT_MS = 120_000.0


class Site:
  """A server, a browser, and what they asked for."""

  def __init__(self, browser, games):
    self._browser, self.games = browser, games
    self.asked: list[str] = []
    self.wrong: list[str] = []
    self.port = 0

  async def begin(self):
    self._server = server_lib.Server(guards.allowed_names("127.0.0.1"), 3)
    self._shared = served.setting(self.games)
    self._server.open(server_lib.Ready(self._shared, {}, ()))
    self._runner, self.port = await server_lib.serve(
      self._server, "127.0.0.1", self.port
    )

  async def end(self):
    await self._server.close()
    await self._runner.cleanup()
    self._shared.batcher.close()

  async def open(self, width=1280, height=900, **options):
    context = await self._browser.new_context(
      viewport={"width": width, "height": height}, **options
    )
    page = await context.new_page()
    page.set_default_timeout(_LIMIT_MS)
    page.on("request", lambda request: self.asked.append(request.url))
    page.on("pageerror", lambda error: self.wrong.append(str(error)))
    page.on(
      "console",
      lambda told: (
        self.wrong.append(told.text)
        if told.type == "error" and "WebSocket" not in told.text
        else None
      ),
    )
    await page.goto(f"http://127.0.0.1:{self.port}/")
    await ready(page)
    return page


@contextlib.asynccontextmanager
async def site():
  async with async_api.async_playwright() as playwright:
    browser = await playwright.chromium.launch(
      executable_path=_CHROMIUM, args=["--no-sandbox"], timeout=_LIMIT_MS
    )
    made = Site(browser, [])
    await made.begin()
    try:
      yield made
    finally:
      await browser.close()
      await made.end()
  assert not made.wrong
  here = f"127.0.0.1:{made.port}/"
  for url in made.asked:
    assert here in url or url.startswith(("blob:", "data:")), url


def run(test):
  """Runs an asynchronous test, with a limit."""

  def wrapped():
    async def limited():
      async with asyncio.timeout(_LIMIT_S):
        async with site() as made:
          await test(made)

    asyncio.run(limited())

  wrapped.__name__ = test.__name__
  return wrapped


async def ready(page):
  await page.wait_for_selector("#veil", state="hidden")
  await until(page, "!!document.querySelector('.knot')")


async def until(page, condition):
  """Waits until something is so in the page, whose rules forbid `eval`."""
  async with asyncio.timeout(_LIMIT_MS / 1e3):
    while not await page.evaluate(condition):
      await asyncio.sleep(0.05)


async def steps_are(page, steps):
  """Waits until the page stands at a step, drawn and told."""
  await until(
    page,
    "document.querySelector('.knot.here')"
    f"?.getAttribute('aria-label').includes('step {steps},')",
  )


async def keep(page, name):
  if folder := os.environ.get("PAGE_SCREENSHOTS"):
    path = pathlib.Path(folder) / f"{name}.png"
    await page.screenshot(path=path, full_page=True)


@run
async def test_keys_touch_branches_and_take_over(made):
  page = await made.open()
  await page.keyboard.press("ArrowUp")
  await steps_are(page, 1)
  await page.keyboard.press("KeyX")
  await steps_are(page, 2)
  assert "p99" in await page.inner_text("#pace")
  await page.keyboard.press("KeyF")
  await page.wait_for_selector("text=step 2")
  await page.keyboard.press("Backspace")
  await steps_are(page, 1)
  await page.keyboard.press("KeyL")
  await page.keyboard.press("ArrowUp")
  await until(page, "document.querySelectorAll('.knot').length >= 4")
  await keep(page, "branches")
  await page.click("#follow")
  await page.wait_for_selector(".knot:has-text('resynced')")
  await page.select_option("#who", "policy")
  await until(page, "!document.getElementById('mine').disabled")
  await page.click("#mine")
  await until(page, "document.getElementById('mine').disabled")
  await page.click("#link")
  await until(page, "document.getElementById('link-text').value !== ''")
  assert "#play=" in await page.input_value("#link-text")


@run
async def test_by_keyboard_alone_and_with_labels(made):
  page = await made.open()
  names = []
  for _ in range(40):
    await page.keyboard.press("Tab")
    names.append(
      await page.evaluate(
        "(() => { const e = document.activeElement; return e.getAttribute"
        "('aria-label') || e.labels?.[0]?.innerText || e.innerText || ''})()"
      )
    )
  for wanted in ("Back 1", "Save moment", "Who plays", "Dream from here"):
    assert any(wanted in name for name in names), (wanted, names)
  assert all(name.strip() for name in names[:20]), names
  lacking = await page.evaluate(
    "[...document.querySelectorAll('button, input, select, canvas')].filter("
    "e => !e.closest('[hidden]') && !e.closest('.knot') && !("
    "e.getAttribute('aria-label') || e.labels?.length || e.innerText))"
    ".map(e => e.outerHTML)"
  )
  assert lacking == []


@run
async def test_two_pages_and_a_server_that_is_started_anew(made):
  one, other = await made.open(), await made.open()
  await one.keyboard.press("ArrowUp")
  await steps_are(one, 1)
  await steps_are(other, 0)
  await one.keyboard.press("ArrowDown")
  await steps_are(one, 2)
  await one.click("#link")
  await until(one, "!!document.getElementById('link-text').value")
  await made.end()
  await one.wait_for_selector("#veil:not([hidden])")
  await made.begin()
  await one.wait_for_selector("#veil", state="hidden")
  await steps_are(one, 2)  # it played the session again by itself


@run
async def test_every_width_and_both_colours_fit(made):
  for width, height, scheme in (
    (360, 740, "light"),
    (820, 1100, "dark"),
    (1280, 800, "dark"),
    (2560, 1440, "light"),
  ):
    page = await made.open(width, height, color_scheme=scheme)
    await page.keyboard.press("ArrowRight")
    await steps_are(page, 1)
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    size = await page.evaluate(
      "document.getElementById('dream').getBoundingClientRect().width"
      " * devicePixelRatio / 160"
    )
    assert abs(size - round(size)) < 0.01
    await keep(page, f"page_{width}_{scheme}")
    await page.context.close()


@run
async def test_fingers_hold_and_let_go(made):
  page = await made.open(360, 740, has_touch=True, is_mobile=True)
  await page.tap("#pads [data-button='2']")
  await steps_are(page, 1)
  box = await page.locator("#pads [data-button='3']").bounding_box()
  await page.mouse.move(box["x"] + 5, box["y"] + 5)
  await page.mouse.down()
  await steps_are(page, 3)  # two more, at the game's own pace
  await page.mouse.up()
