"""Watching a game that runs: on the terminal, or as a page of this machine.

Nothing is asked of who watches, and nothing waits for one: the game leaves its
latest picture here, and whoever looks takes it from another thread.
"""

from collections.abc import Mapping
import contextlib
import http.server
import json
import sys
import threading
import time
from typing import Any
from typing import TextIO

import numpy as np

from data_tools.game import frame_codec
from experiments.serving import guards
from pokedreamer_jax.planner import screens

VIEWS = ("none", "terminal", "page")
_TERMINAL_S = 0.2  # between pictures
_HOST = "127.0.0.1"
_PAGE = b"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<title>A game of both systems</title><style>
body { margin: 24px; font: 16px/1.5 system-ui, sans-serif; color: #1d2329; }
img { width: 480px; image-rendering: pixelated; border: 1px solid #dfe3e8; }
dl { display: grid; grid-template-columns: 130px 1fr; max-width: 480px; }
dt { color: #66707b; } dd { margin: 0; }
</style></head><body><img id="screen" alt="the screen"><dl id="state"></dl>
<script src="/view.js"></script></body></html>
"""
_SCRIPT = b"""const screen = document.getElementById("screen");
const list = document.getElementById("state");
async function look() {
  try {
    const state = await (await fetch("/state.json")).json();
    screen.src = "/screen.png?" + state["env step"];
    list.replaceChildren(...Object.entries(state).flatMap(([name, value]) => {
      const term = document.createElement("dt");
      const text = document.createElement("dd");
      term.textContent = name;
      text.textContent = value;
      return [term, text];
    }));
  } catch { list.textContent = "The game has ended."; return; }
  setTimeout(look, 250);
}
look();
"""


class View:
  """Takes every picture and shows none; the others show some."""

  def show(self, frame: np.ndarray, state: Mapping[str, Any]) -> None:
    """A row of the game.

    Args:
      frame: `[144, 40]` uint8, packed.
      state: name -> what is told of it.
    """

  def close(self) -> None:
    """The game has ended."""


class Terminal(View):
  """Draws half-block characters, some times a second."""

  def __init__(self, stream: TextIO):
    """Takes the terminal; raises ValueError where it is none."""
    if not stream.isatty():
      raise ValueError("--view=terminal: stdout is no terminal, expected one")
    self._stream, self._next_s = stream, 0.0
    stream.write("\x1b[2J")

  def show(self, frame: np.ndarray, state: Mapping[str, Any]) -> None:
    if time.monotonic() < self._next_s:
      return
    self._next_s = time.monotonic() + _TERMINAL_S
    told = ", ".join(f"{name} {value}" for name, value in state.items())
    text = "\n".join([*picture(frame), f"\x1b[0m\x1b[K{told}"])
    self._stream.write(f"\x1b[H{text}\n")
    self._stream.flush()


def picture(frame: np.ndarray) -> list[str]:
  """Lines of 80 half blocks that show a frame `[144, 40]` half as large."""
  grey = frame_codec.unpack_grey(frame)
  small = grey.reshape(72, 2, 80, 2).mean(axis=(1, 3))
  shade = (232 + np.rint(small / 255 * 23)).astype(int)  # of 256 colours
  return [
    "".join(
      f"\x1b[38;5;{upper};48;5;{lower}m\u2580"
      for upper, lower in zip(shade[y], shade[y + 1], strict=True)
    )
    for y in range(0, 72, 2)
  ]


class Page(View):
  """Serves the latest picture to this machine."""

  def __init__(self, port: int = 0):
    """Listens at once, on loopback alone.

    Raises:
      OSError: the port is taken.
    """
    self._latest: tuple[np.ndarray, dict[str, Any]] | None = None
    view = self

    class Handler(_Handler):
      """Knows its view."""

      def latest(self) -> tuple[np.ndarray, dict[str, Any]] | None:
        return view._latest

    self._server = http.server.ThreadingHTTPServer((_HOST, port), Handler)
    self._server.daemon_threads = True
    self.url = f"http://{_HOST}:{self._server.server_address[1]}/"
    self._thread = threading.Thread(
      target=self._server.serve_forever, name="view", daemon=True
    )
    self._thread.start()

  def show(self, frame: np.ndarray, state: Mapping[str, Any]) -> None:
    self._latest = (frame, dict(state))

  def close(self) -> None:
    self._server.shutdown()
    self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers what the page asks for, and nobody of another name."""

  timeout = 10.0  # seconds that somebody may take to ask

  def latest(self) -> tuple[np.ndarray, dict[str, Any]] | None:
    """The row shown last."""
    raise NotImplementedError

  def do_GET(self) -> None:
    """Sends the page, its script, the picture or the state."""
    if not guards.may_ask(
      self.headers.get("Host", ""), guards.allowed_names(_HOST)
    ):
      self._send(403, "text/plain", b"asked for by another name\n")
      return
    path, latest = self.path.partition("?")[0], self.latest()
    if path == "/":
      self._send(200, "text/html; charset=utf-8", _PAGE)
    elif path == "/view.js":
      self._send(200, "text/javascript", _SCRIPT)
    elif path == "/screen.png" and latest:
      self._send(200, "image/png", screens.png(latest[0]))
    elif path == "/state.json" and latest:
      body = json.dumps({k: str(v) for k, v in latest[1].items()})
      self._send(200, "application/json", body.encode())
    else:
      self._send(404, "text/plain", b"nothing here\n")

  def log_message(self, *arguments: Any) -> None:
    """Says nothing: the terminal is the game's."""

  def _send(self, status: int, kind: str, body: bytes) -> None:
    headers = guards.HEADERS | {
      # The style of the page stands in it.
      "Content-Security-Policy": guards.HEADERS[
        "Content-Security-Policy"
      ].replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
    }
    with contextlib.suppress(ConnectionError):  # who looked has left
      self.send_response(status)
      for name, value in headers.items():
        self.send_header(name, value)
      self.send_header("Content-Type", kind)
      self.send_header("Content-Length", str(len(body)))
      self.end_headers()
      self.wfile.write(body)


def make(name: str, port: int) -> View:
  """The view of `VIEWS`.

  Raises:
    ValueError: a terminal is asked for where there is none.
    OSError: the port is taken.
  """
  if name == "terminal":
    return Terminal(sys.stdout)
  return Page(port) if name == "page" else View()
