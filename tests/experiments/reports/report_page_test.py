"""The report in a browser: narrow, and in the dark."""

import pytest

from experiments.reports import html_page
from tests.experiments.web import chrome

pytestmark = pytest.mark.skipif(
  chrome.BINARY is None, reason="no chromium on this machine"
)

_PICTURE = (
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='1400' "
  "height='200'/%3E"
)
_BRIGHTNESS = """(name) => {
  const at = document.querySelector(name);
  const style = getComputedStyle(at);
  const back = name == "body" ? style.backgroundColor : style.color;
  return back.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 765;
}"""


def _page():
  table = html_page.table(
    ["policy", *("a long column",) * 9],
    [html_page.TableRow(["random", *("1.00 [0.90, 1.10]",) * 9])],
  )
  steps = list(range(50))
  curves = {"loss": (steps, [2.0**-k for k in steps])}
  return html_page.page(
    "title",
    "lead",
    [
      html_page.first(
        html_page.numbers([("100%", "of games", "clone 25%")] * 4),
        html_page.sentence("What was found in plain words. " * 5),
      ),
      html_page.section("Dreams", html_page.image(_PICTURE, "caption")),
      html_page.section("Play", table),
      html_page.section("Curves", html_page.chart("loss", curves, "updates")),
      html_page.section("Commands", html_page.code("python " + "x" * 300)),
    ],
  )


def test_nothing_is_wider_than_a_phone_and_the_dark_is_dark(tmp_path):
  file = tmp_path / "report.html"
  file.write_text(_page())
  with chrome.Chrome(tmp_path / "profile") as browser:
    for width in (390, 1280):
      browser.size(width, 900)
      browser.ask("Page.navigate", url=file.as_uri())
      browser.wait(
        "document.readyState == 'complete' && document.title == 'title'"
      )
      wide = browser.run("document.documentElement.scrollWidth")
      assert wide <= width
    for scheme, back, ink in (("light", 0.9, 0.1), ("dark", 0.08, 0.9)):
      browser.prefer(scheme)
      shown = {
        name: browser.run(f"({_BRIGHTNESS})('{name}')")
        for name in ("body", "h2", ".sentence", ".number b", "svg text")
      }
      assert abs(shown["body"] - back) < 0.1, (scheme, shown)
      for name in ("h2", ".sentence", ".number b"):
        assert abs(shown[name] - ink) < 0.15, (scheme, name, shown)
    assert not browser.asked or all(
      address.startswith(("file:", "data:")) for address in browser.asked
    )
