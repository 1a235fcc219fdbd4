"""Chromium by its own protocol over a pipe: no driver, no port."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import time

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")
_LIMIT_S = 240.0
_KEYS = {
  "ArrowDown": 40,
  "ArrowLeft": 37,
  "ArrowRight": 39,
  "ArrowUp": 38,
  "KeyX": 88,
  "KeyF": 70,
  "KeyL": 76,
  "Enter": 13,
  "Space": 32,
  "Backspace": 8,
  "Tab": 9,
}


class Chrome:
  """One browser, and the page that is looked at; to be used as a context."""

  def __init__(self, profile):
    self._profile = profile
    self.asked: list[str] = []  # addresses
    self.wrong: list[str] = []  # errors of scripts

  def __enter__(self):
    theirs_in, self._out = os.pipe()
    self._in, theirs_out = os.pipe()
    high = [
      fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
      for fd in (theirs_in, theirs_out)
    ]
    self._pid = os.posix_spawn(
      BINARY,
      [
        *(BINARY, "--headless=new", "--no-sandbox", "--disable-gpu"),
        *("--remote-debugging-pipe", f"--user-data-dir={self._profile}"),
        *("--no-first-run", "--disable-dev-shm-usage", "about:blank"),
      ],
      os.environ,
      file_actions=[
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, high[0], 3),
        (os.POSIX_SPAWN_DUP2, high[1], 4),
      ],
    )
    for fd in (*high, theirs_in, theirs_out):
      os.close(fd)
    self._rest, self._number, self._session = b"", 0, None
    self.new_page()
    return self

  def __exit__(self, *error):
    self._session = None
    with contextlib.suppress(OSError, AssertionError):
      self.ask("Browser.close")
    deadline_s = time.monotonic() + 10
    while os.waitpid(self._pid, os.WNOHANG)[0] == 0:
      if time.monotonic() > deadline_s:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        break
      time.sleep(0.05)
    os.close(self._in)
    os.close(self._out)

  def ask(self, method, **params):
    """The answer to a command."""
    self._number += 1
    told = {"id": self._number, "method": method, "params": params}
    if self._session:
      told["sessionId"] = self._session
    os.write(self._out, json.dumps(told).encode() + b"\0")
    while True:
      message = self._read()
      if message.get("id") == self._number:
        assert "error" not in message, (method, message["error"])
        return message["result"]
      self._event(message)

  def run(self, script):
    """What JavaScript comes to."""
    done = self.ask(
      "Runtime.evaluate",
      expression=script,
      awaitPromise=True,
      returnByValue=True,
    )
    assert "exceptionDetails" not in done, done
    return done["result"].get("value")

  def new_page(self):
    """Looks at a new page, with nothing stored; its name, for `look_at`."""
    self._session = None
    context = self.ask("Target.createBrowserContext")["browserContextId"]
    target = self.ask(
      "Target.createTarget", url="about:blank", browserContextId=context
    )["targetId"]
    self._session = self.ask(
      "Target.attachToTarget", targetId=target, flatten=True
    )["sessionId"]
    for domain in ("Page", "Runtime", "Network", "Log"):
      self.ask(f"{domain}.enable")
    return self._session

  def look_at(self, page):
    """Looks at another page from here on."""
    self._session = page

  def wait(self, script):
    """Waits until JavaScript is true."""
    deadline_s = time.monotonic() + _LIMIT_S
    while not (value := self.run(script)):
      assert time.monotonic() < deadline_s, (script, self.wrong)
      time.sleep(0.05)
    return value

  def open(self, path):
    """Opens a file, and waits until its page is ready."""
    self.go(path.as_uri(), "document.documentElement?.dataset.whole")

  def go(self, url, ready):
    """Opens an address, and waits until JavaScript is true there."""
    self.ask("Page.navigate", url=url)
    self.wait(ready)

  def key(self, code, down=True, up=True):
    """Presses a key, lets go of it, or both."""
    value = {"code": code, "windowsVirtualKeyCode": _KEYS[code], "key": code}
    if down:
      self.ask("Input.dispatchKeyEvent", type="rawKeyDown", **value)
    if up:
      self.ask("Input.dispatchKeyEvent", type="keyUp", **value)

  def touch(self, x, y, held_s=0.0):
    """A finger."""
    at = [{"x": x, "y": y}]
    self.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=at)
    time.sleep(held_s)
    self.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

  def size(self, width, height):
    """Of the window, in pixels."""
    self.ask(
      "Emulation.setDeviceMetricsOverride",
      width=width,
      height=height,
      deviceScaleFactor=1,
      mobile=False,
    )

  def prefer(self, scheme):
    """Light or dark."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    self.ask("Emulation.setEmulatedMedia", features=features)

  def picture(self, path):
    """A screenshot of the whole page."""
    data = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
    path.write_bytes(base64.b64decode(data["data"]))

  def _read(self):
    while b"\0" not in self._rest:
      ready, _, _ = select.select([self._in], [], [], _LIMIT_S)
      assert ready, "the browser does not answer"
      data = os.read(self._in, 1 << 20)
      assert data, "the browser is gone"
      self._rest += data
    line, _, self._rest = self._rest.partition(b"\0")
    return json.loads(line)

  def _event(self, message):
    params = message.get("params", {})
    if message["method"] == "Network.requestWillBeSent":
      self.asked.append(params["request"]["url"])
    elif message["method"] == "Runtime.exceptionThrown":
      self.wrong.append(str(params["exceptionDetails"]))
    elif message["method"] == "Log.entryAdded":
      if params["entry"]["level"] == "error":
        self.wrong.append(params["entry"]["text"])
