"""How soon the page of `play_dream` is there, and how soon it shows a press.

    python -m tests.experiments.serving.measure_page OUT.json [ARGUMENT ...]

starts `experiments.play_dream` with these arguments: three times without any
compiled program kept, once so on one core, once with what the last start left.
Then it presses keys in a headless Chromium, alone and beside three players
without a browser. Two minutes on two free cores; writes a JSON object. Times
from key to pixel are the page's own, from the event to the canvas painted in a
frame of the browser; a screen's own delay is no part of them.
"""

import asyncio
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import aiohttp

from experiments.machine import numbers
from experiments.machine import provenance
from experiments.serving import wire
from tests.experiments.web import chrome as chrome_lib

_COLD = 3
_PRESSES = 150
_BESIDE = 3  # players without a browser
KEYS = ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "KeyX")
_READY = (
  "document.querySelector('#veil')?.hidden && !!document.querySelector('.knot')"
)
_TICK = os.sysconf("SC_CLK_TCK")


class Served:
  """The command, from its start to its end."""

  def __init__(self, cache, arguments, cores=""):
    self.began_s = time.monotonic()
    prefix = ["taskset", "-c", cores] if cores else []
    command = [sys.executable, "-m", "experiments.play_dream", "--port=0"]
    self._process = subprocess.Popen(
      [*prefix, *command, *arguments],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)},
    )
    self.url, self.lines, self.times = "", [], {}
    while not self.url:
      line = self._line()
      if line.startswith("http"):
        self.url = line.strip()
    self.times["answers_s"] = self.age_s()
    # What it prints later is read by nobody but this thread.
    self._reader = threading.Thread(target=self._read)
    self._reader.start()

  def age_s(self):
    return round(time.monotonic() - self.began_s, 2)

  def cpu_s(self):
    """Of the process itself, without the emulators'."""
    text = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text()
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK

  def settle(self, limit_s=60.0):
    """Waits until it is idle for three seconds; whether it came to that."""
    deadline_s, quiet, before = time.monotonic() + limit_s, 0, self.cpu_s()
    while time.monotonic() < deadline_s and quiet < 3:
      time.sleep(1.0)
      now = self.cpu_s()
      quiet, before = (quiet + 1 if now - before < 0.05 else 0), now
    return quiet == 3

  def end(self):
    """Ctrl-C; the exit code."""
    self._process.send_signal(signal.SIGINT)
    code = self._process.wait(60)
    self._reader.join()
    self._process.stdout.close()
    return code

  def _line(self):
    line = self._process.stdout.readline()
    assert line, ("it ended", self.lines)
    self.lines.append(line)
    return line

  def _read(self):
    for line in self._process.stdout:
      self.lines.append(line)
      if line.startswith("Ready"):
        self.times["ready_s"] = self.age_s()
        self.times["ready_cpu_s"] = self.cpu_s()


def start(chrome, cache, arguments, cores=""):
  """Starts it and opens its page; the server and what it took."""
  served = Served(cache, arguments, cores)
  chrome.new_page()
  chrome.go(served.url, _READY)
  served.times["first_frame_s"] = served.age_s()
  return served, served.times


def press(chrome, served, count):
  """Presses keys, one after another; what the page says of it."""
  rng, before_s = random.Random(0), served.cpu_s()
  for number in range(1, count + 1):
    chrome.key(rng.choice(KEYS))
    chrome.wait(f"{PACE}.includes('({number} pr')")
    time.sleep(rng.uniform(0.05, 0.2))
  told = chrome.run(PACE)
  found = [float(n) for n in re.findall(r" (\d+\.\d)", told)]
  assert len(found) == 4, told
  names = ("p50_ms", "p99_ms", "server_p50_ms", "server_p99_ms")
  used_ms = 1e3 * (served.cpu_s() - before_s)
  return dict(zip(names, found, strict=True)) | {
    "presses": count,
    "server_cpu_ms_a_press": round(used_ms / count, 1),
  }


PACE = "document.getElementById('pace').textContent"


class Players:
  """Players without a browser, who press several times a second."""

  def __init__(self, url, count):
    self._loop, self.times_ms = asyncio.new_event_loop(), []
    self._stopped = asyncio.Event()
    self._ready = threading.Semaphore(0)
    self._thread = threading.Thread(target=self._run, args=(url, count))
    self._thread.start()
    for _ in range(count):
      assert self._ready.acquire(timeout=60), "a player does not begin"

  def end(self):
    """From buttons sent to the dream's frame there, of all, in ms."""
    self._loop.call_soon_threadsafe(self._stopped.set)
    self._thread.join()
    return sorted(self.times_ms)

  def _run(self, url, count):
    async def play():
      async with aiohttp.ClientSession() as client:
        await asyncio.gather(
          *(self._play(client, url, i) for i in range(count))
        )

    self._loop.run_until_complete(play())
    self._loop.close()

  async def _play(self, client, url, number):
    rng, told = random.Random(number), 0
    async with client.ws_connect(f"{url}ws") as socket:
      await socket.send_json({"t": "hello", "session": ""})
      await self._draw(socket, 0)
      self._ready.release()
      while not self._stopped.is_set():
        told += 2
        keys = {"t": "keys", "n": told - 1, "held": rng.randrange(5)}
        began_s = time.perf_counter()
        await socket.send_json(keys)
        await socket.send_json(keys | {"n": told, "held": -1})
        await self._draw(socket, told - 1)
        self.times_ms.append(1e3 * (time.perf_counter() - began_s))
        await asyncio.sleep(rng.uniform(0.1, 0.4))

  async def _draw(self, socket, number):
    """Takes what comes, until the dream's frame that answers a press."""
    while True:
      message = await socket.receive(60)
      assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
      if message.type is aiohttp.WSMsgType.TEXT:
        continue
      kind, acknowledge, _, answers, _, _ = wire.read_frame(message.data)
      if acknowledge:
        await socket.send_json({"t": "ack", "n": acknowledge})
      if kind == wire.DREAM and answers == number:
        return


def _quantile(values, share):
  return round(values[min(len(values) - 1, int(share * len(values)))], 1)


def measure(folder, arguments):
  """Everything; JSON-ready."""
  found = {
    "arguments": arguments,
    "commit": provenance.commit(),
    "cpu_count": os.cpu_count(),
    "processor": numbers.processor(),
    "load_average_before": os.getloadavg(),
    "versions": provenance.versions(),
    "cold": [],
  }
  with chrome_lib.Chrome(folder / "profile") as chrome:
    for number in range(_COLD):
      served, times = start(chrome, folder / f"cold{number}", arguments)
      found["cold"].append(times)
      _say("cold", times)
      if number == _COLD - 1:
        served.settle()  # what it compiles beside is kept as well
      assert served.end() == 130, served.lines
    cores = str(min(os.sched_getaffinity(0)))
    served, times = start(chrome, folder / "one_core", arguments, cores)
    found["cold_on_one_core"] = times
    _say("cold on one core", times)
    assert served.end() == 130, served.lines
    served, times = start(chrome, folder / f"cold{_COLD - 1}", arguments)
    found["warm"] = times
    _say("warm", times)
    try:
      found["settled"] = served.settle()
      found["alone"] = press(chrome, served, _PRESSES)
      _say("alone", found["alone"])
      players = Players(served.url, _BESIDE)
      chrome.go(served.url, _READY)  # its numbers begin anew
      try:
        beside = press(chrome, served, _PRESSES * 2 // 3)
      finally:
        others = players.end()
      beside |= {
        "others_presses": len(others),
        "others_p50_ms": _quantile(others, 0.5),
        "others_p99_ms": _quantile(others, 0.99),
      }
      found[f"beside_{_BESIDE}"] = beside
      _say("beside others", beside)
    finally:
      assert served.end() == 130, served.lines
  found["load_average_after"] = os.getloadavg()
  return found


def _say(what, times):
  print(f"{what}: {json.dumps(times)}", flush=True)


def main():
  out, *arguments = sys.argv[1:]
  began_s = time.monotonic()
  with tempfile.TemporaryDirectory(prefix="page") as folder:
    found = measure(pathlib.Path(folder), arguments)
  found["took_s"] = round(time.monotonic() - began_s, 1)
  pathlib.Path(out).write_text(json.dumps(found, indent=2) + "\n")
  print(f"wrote {out} after {found['took_s']} s")


if __name__ == "__main__":
  main()
