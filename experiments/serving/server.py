"""The server of the page: files, pictures, clips, and a socket a session.

It listens before the model is there, so that a page can be opened at once and
waits. A page that breaks the rules loses its connection, and nothing else is
touched; a session outlives its connection for a while, so that a page that was
away finds it again.
"""

import asyncio
from collections.abc import Callable
import contextlib
import dataclasses
import logging
import pathlib
import secrets
import time
from typing import Any

from experiments.dreaming import clips
from experiments.dreaming import world_map
from experiments.serving import driver as driver_lib
from experiments.serving import guards
from experiments.serving import wire
from pokedreamer_jax.planner import screens

try:
  from aiohttp import WSCloseCode
  from aiohttp import WSMsgType
  from aiohttp import web
except ImportError as error:
  raise ImportError(
    "aiohttp is missing: pip install -r requirements-play.txt"
  ) from error

PAGE = pathlib.Path(__file__).parent / "page"
TYPES = {
  ".html": "text/html",
  ".css": "text/css",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
}
_KEPT_S = 600.0  # a session without a page
_HELLO_S = 10.0  # for the first message
# Half of it is what a page may take to answer: a busy machine is no lost one.
_HEARTBEAT_S = 60.0
_PER_S, _AT_ONCE = 120.0, 240.0  # messages of a page
_MOST_OUT = 1_024  # messages that wait for a page that does not read
_CLIP_EVERY_S = 2.0
_log = logging.getLogger(__name__)


def guarding(names: frozenset[str]) -> Any:
  """A middleware that answers by these names alone, with `guards.HEADERS`."""

  @web.middleware
  async def guard(request: web.Request, handler: Callable) -> Any:
    if not guards.may_ask(request.headers.get("Host", ""), names):
      raise web.HTTPForbidden(text="This name is not answered here.\n")
    response = await handler(request)
    if not isinstance(response, web.WebSocketResponse):
      response.headers.update(guards.HEADERS)
    return response

  return guard


def answer_file(files: dict[str, bytes], request: web.Request) -> web.Response:
  """The file that a request names; `/` is `index.html`."""
  name = request.match_info.get("name", "index.html")
  if name not in files:
    raise web.HTTPNotFound
  return web.Response(
    body=files[name],
    content_type=TYPES[pathlib.PurePath(name).suffix],
    charset="utf-8",
  )


@dataclasses.dataclass(frozen=True)
class Ready:
  """What there is once the model is loaded."""

  setting: driver_lib.Setting
  maps: dict[int, world_map.Drawing]
  starts: tuple[str, ...]  # names of start states


class Server:
  """All sessions, and what answers their pages."""

  def __init__(self, names: frozenset[str], most_sessions: int):
    """Nothing is ready before `open`.

    Args:
      names: by which browsers may ask for it.
      most_sessions: with a page at the same time.
    """
    self._names = names
    self._most = most_sessions
    self._ready: asyncio.Future[Ready] = (
      asyncio.get_running_loop().create_future()
    )
    self._drivers: dict[str, driver_lib.Driver] = {}
    self._tasks: dict[str, asyncio.Task] = {}
    self._sockets: dict[str, web.WebSocketResponse] = {}
    self._clips = asyncio.Semaphore(1)
    self._clip_s = 0.0
    self._files = {
      path.name: path.read_bytes()
      for path in sorted(PAGE.iterdir())
      if path.suffix in TYPES
    }

  def open(self, ready: Ready) -> None:
    """From now on sessions begin."""
    self._ready.set_result(ready)

  def app(self) -> web.Application:
    """What a runner serves."""
    app = web.Application(
      middlewares=[guarding(self._names)], client_max_size=wire.MOST_BYTES
    )
    app.router.add_get("/", self._file)
    app.router.add_get("/page/{name}", self._file)
    app.router.add_get("/map/{id:[0-9]{1,3}}.png", self._map)
    app.router.add_get(
      "/record/{episode:[0-9]{1,7}}/{row:[0-9]{1,7}}.png", self._record
    )
    app.router.add_get("/clip.{kind:mp4|gif}", self._clip)
    app.router.add_get("/ws", self._socket)
    return app

  async def close(self) -> None:
    """Ends all sessions."""
    for socket in list(self._sockets.values()):
      with contextlib.suppress(Exception):
        await socket.close(code=WSCloseCode.GOING_AWAY)
    for key in list(self._drivers):
      await self._forget(key)
    if not self._ready.done():
      self._ready.cancel()

  # Requests.

  async def _file(self, request: web.Request) -> web.Response:
    return answer_file(self._files, request)

  async def _map(self, request: web.Request) -> web.Response:
    drawing = None
    if self._ready.done():
      drawing = self._ready.result().maps.get(int(request.match_info["id"]))
    if drawing is None:
      raise web.HTTPNotFound
    return web.Response(body=drawing.png, content_type="image/png")

  async def _record(self, request: web.Request) -> web.Response:
    """The picture of a recorded row."""
    records = self._ready.done() and self._ready.result().setting.records
    if not records:
      raise web.HTTPNotFound
    episode, row = (int(request.match_info[n]) for n in ("episode", "row"))
    try:
      packed = await asyncio.to_thread(records.picture, episode, row)
    except ValueError:
      raise web.HTTPNotFound from None
    return web.Response(body=screens.png(packed), content_type="image/png")

  async def _clip(self, request: web.Request) -> web.Response:
    """The last steps of a session, whose key is in a header."""
    driver = self._drivers.get(request.headers.get("X-Session", ""))
    if driver is None or driver.session is None:
      raise web.HTTPNotFound
    kind = request.match_info["kind"]
    async with self._clips:
      if time.monotonic() - self._clip_s < _CLIP_EVERY_S:
        raise web.HTTPTooManyRequests
      self._clip_s = time.monotonic()
      frames = driver.session.clip(clips.MOST_STEPS[kind])
      data, suffix = await asyncio.to_thread(clips.make, kind, *frames)
    return web.Response(
      body=data,
      content_type={".mp4": "video/mp4"}.get(suffix, f"image/{suffix[1:]}"),
    )

  # The socket.

  async def _socket(self, request: web.Request) -> web.StreamResponse:
    host = request.headers.get("Host", "")
    if not guards.may_connect(host, request.headers.get("Origin")):
      raise web.HTTPForbidden(text="Another site may not connect here.\n")
    socket = web.WebSocketResponse(
      heartbeat=_HEARTBEAT_S, max_msg_size=wire.MOST_BYTES, compress=False
    )
    await socket.prepare(request)
    try:
      await self._talk(socket)
    except wire.Broken as error:
      await socket.close(
        code=WSCloseCode.POLICY_VIOLATION, message=str(error).encode()[:100]
      )
    return socket

  async def _talk(self, socket: web.WebSocketResponse) -> None:
    """One connection, from its first message to its end."""
    hello = await self._hello(socket)
    if hello is None:
      return
    ready = await self._wait(socket)
    key, driver = await self._driver(ready, hello["session"])
    if driver is None:
      await socket.send_str(
        wire.text("full", text=f"{self._most} sessions are played already.")
      )
      return
    outbox: asyncio.Queue[str | bytes] = asyncio.Queue(_MOST_OUT)

    def send(what: str | bytes) -> None:
      with contextlib.suppress(asyncio.QueueFull):
        outbox.put_nowait(what)

    writer = asyncio.create_task(_write(socket, outbox))
    try:
      other = self._sockets.get(key)
      self._sockets[key] = socket
      if other is not None:  # the same page, opened again
        await other.close(code=WSCloseCode.OK, message=b"taken over")
      send(self._welcome(ready, key))
      driver.attach(send)
      await self._listen(socket, driver, outbox)
    finally:
      driver.detach(send)
      if self._sockets.get(key) is socket:
        del self._sockets[key]
      writer.cancel()

  async def _hello(
    self, socket: web.WebSocketResponse
  ) -> dict[str, Any] | None:
    try:
      message = await socket.receive(timeout=_HELLO_S)
    except TimeoutError:
      raise wire.Broken("no hello") from None
    if message.type is not WSMsgType.TEXT:
      return None
    hello = wire.read(message.data)
    if hello["t"] != "hello":
      raise wire.Broken("no hello")
    return hello

  async def _wait(self, socket: web.WebSocketResponse) -> Ready:
    """Waits for the model, telling so."""
    if not self._ready.done():
      await socket.send_str(wire.text("loading"))
    return await asyncio.shield(self._ready)

  async def _driver(
    self, ready: Ready, key: str
  ) -> tuple[str, driver_lib.Driver | None]:
    """The session of a key, or a new one; None where no more is played."""
    await self._tidy()
    if key in self._drivers:
      return key, self._drivers[key]
    if len(self._drivers) >= self._most:
      away = [k for k, d in self._drivers.items() if not d.attached]
      if not away:
        return "", None
      await self._forget(min(away, key=lambda k: self._drivers[k].seen_s))
    key = secrets.token_urlsafe(18)
    driver = driver_lib.Driver(ready.setting)
    self._drivers[key] = driver
    self._tasks[key] = asyncio.create_task(driver.run())
    self._tasks[key].add_done_callback(lambda task: self._ended(key, task))
    return key, driver

  def _ended(self, key: str, task: asyncio.Task) -> None:
    """A session that ended by itself is forgotten; its page begins anew."""
    if task.cancelled():
      return
    if (error := task.exception()) is not None:
      _log.error("A session ended", exc_info=error)
    self._drivers.pop(key, None)
    self._tasks.pop(key, None)
    if (socket := self._sockets.get(key)) is not None:
      code = WSCloseCode.INTERNAL_ERROR
      closing = asyncio.ensure_future(socket.close(code=code))
      closing.add_done_callback(lambda done: done.exception())

  async def _tidy(self) -> None:
    """Forgets sessions whose pages have been away for long."""
    now_s = time.monotonic()
    for key, driver in list(self._drivers.items()):
      if not driver.attached and now_s - driver.seen_s > _KEPT_S:
        await self._forget(key)

  async def _forget(self, key: str) -> None:
    self._drivers.pop(key, None)
    task = self._tasks.pop(key, None)
    if task is not None:
      task.cancel()
      with contextlib.suppress(asyncio.CancelledError, Exception):
        await task

  async def _listen(
    self,
    socket: web.WebSocketResponse,
    driver: driver_lib.Driver,
    outbox: asyncio.Queue,
  ) -> None:
    """Hears messages until the page is gone.

    Raises:
      wire.Broken: one is no message of a page, or there are too many.
    """
    bucket = guards.Bucket(_PER_S, _AT_ONCE)
    async for message in socket:
      if message.type is not WSMsgType.TEXT:
        raise wire.Broken("no text")
      if not bucket.take(time.monotonic()):
        raise wire.Broken("too many messages")
      if outbox.full():
        raise wire.Broken("this page does not read")
      heard = wire.read(message.data)
      if heard["t"] == "hello":
        raise wire.Broken("a second hello")
      driver.hear(heard)

  def _welcome(self, ready: Ready, key: str) -> str:
    setting = ready.setting
    model = setting.stepper.model
    return wire.text(
      "welcome",
      session=key,
      model=model.name,
      game=setting.rom.name,
      policy=model.has_policy,
      value=model.params.critic is not None,
      reads_goals=model.reads_goals,
      demonstrator=setting.demonstrates,
      goals=[_words(goal, setting.rom.map_names) for goal in setting.goals],
      starts=list(ready.starts),
      records=setting.records.told() if setting.records else [],
      maps=[drawing.told() for drawing in ready.maps.values()],
    )


def _words(goal: Any, map_names: Any) -> str:
  """A goal for people: maps by their names."""
  text = str(goal)
  if goal.map_id is not None and goal.map_id in map_names:
    text += f" ({map_names[goal.map_id]})"
  return text


async def _write(socket: web.WebSocketResponse, outbox: asyncio.Queue) -> None:
  """Sends what waits, in order; ends with the connection."""
  with contextlib.suppress(ConnectionError, RuntimeError):
    while True:
      what = await outbox.get()
      if isinstance(what, bytes):
        await socket.send_bytes(what)
      else:
        await socket.send_str(what)


async def serve(
  server: Any, address: str, port: int
) -> tuple[web.AppRunner, int]:
  """Listens.

  Args:
    server: what answers, as its `app` says.
    address: to listen on.
    port: 0 takes one that is free.

  Returns:
    What is to be cleaned up in the end, and the port.

  Raises:
    OSError: the port is taken, or the address is none of this machine.
  """
  runner = web.AppRunner(server.app(), access_log=None)
  await runner.setup()
  site = web.TCPSite(runner, address, port)
  try:
    await site.start()
  except BaseException:
    await runner.cleanup()
    raise
  return runner, runner.addresses[0][1]
