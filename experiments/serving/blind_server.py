"""The server of "real or dreamt": two clips at a time, and what was said.

Nothing that a page is sent tells which clip is dreamt before it has answered.
"""

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import secrets
from typing import Any

from aiohttp import web
import numpy as np

from experiments.playing import blind_pairs
from experiments.serving import blind_answers
from experiments.serving import guards
from experiments.serving import server as server_lib
from pokedreamer_jax import specs

PAGE = pathlib.Path(__file__).parent / "blind"
_SHARED = ("style.css", "frames.js", "icon.svg")  # of the other page
_MOST_SITTINGS = 64
_MOST_BYTES = 4 * 1024  # of an answer
_MOST_S = 24 * 3600.0


@dataclasses.dataclass
class _Sitting:
  """One person's questions, and how many are answered."""

  asked: list[dict[str, Any]]
  at: int = 0


class Server:
  """Asks everybody who opens the page, all the same pairs in another order."""

  def __init__(self, names: frozenset[str]):
    """Nothing is asked before `open`; `names` as of the other server."""
    self._names = names
    self._clips: asyncio.Future[blind_pairs.Clips] = (
      asyncio.get_running_loop().create_future()
    )
    self._answers: blind_answers.Answers
    self._seed = 0
    self._sittings: dict[str, _Sitting] = {}
    self._lock = asyncio.Lock()
    paths = [*PAGE.iterdir(), *(server_lib.PAGE / name for name in _SHARED)]
    self._files = {
      path.name: path.read_bytes()
      for path in paths
      if path.suffix in server_lib.TYPES
    }

  def open(
    self, clips: blind_pairs.Clips, answers: blind_answers.Answers, seed: int
  ) -> None:
    """From now on it asks."""
    self._answers, self._seed = answers, seed
    self._clips.set_result(clips)

  def app(self) -> web.Application:
    """What a runner serves."""
    app = web.Application(
      middlewares=[server_lib.guarding(self._names)],
      client_max_size=_MOST_BYTES,
    )
    app.router.add_get("/", self._file)
    app.router.add_get("/page/{name}", self._file)
    app.router.add_post("/sitting", self._begin)
    app.router.add_get("/clips", self._show)
    app.router.add_post("/answer", self._answer)
    return app

  async def close(self) -> None:
    """Nobody waits any more."""
    if not self._clips.done():
      self._clips.cancel()

  async def _file(self, request: web.Request) -> web.Response:
    return server_lib.answer_file(self._files, request)

  async def _begin(self, request: web.Request) -> web.Response:
    """A new sitting: its key, and what is asked first."""
    _check_origin(request)
    with contextlib.suppress(asyncio.TimeoutError):
      await asyncio.wait_for(asyncio.shield(self._clips), 20.0)
    if not self._clips.done():
      return web.json_response({"loading": True})
    while len(self._sittings) >= _MOST_SITTINGS:  # the oldest
      del self._sittings[next(iter(self._sittings))]
    clips = self._clips.result()
    seed = self._seed + len(self._answers) + len(self._sittings)
    sitting = _Sitting(blind_answers.plan(len(clips.groups), seed))
    key = secrets.token_urlsafe(18)
    self._sittings[key] = sitting
    return web.json_response({"key": key, **self._told(sitting)})

  async def _show(self, request: web.Request) -> web.Response:
    """Both clips of the question that is asked: packed frames, left first."""
    sitting = self._sitting(request.headers.get("X-Sitting", ""))
    if sitting.at >= len(sitting.asked):
      raise web.HTTPNotFound
    left, right = _sides(self._clips.result(), sitting.asked[sitting.at])
    return web.Response(
      body=left.tobytes() + right.tobytes(),
      content_type="application/octet-stream",
    )

  async def _answer(self, request: web.Request) -> web.Response:
    """Takes an answer and says what comes next, and in the end what it was."""
    _check_origin(request)
    try:
      said = json.loads(await request.text())
      key, number = said["key"], said["number"]
      side, seconds = said["said"], float(said["seconds"])
    except (ValueError, KeyError, TypeError, RecursionError):
      raise web.HTTPBadRequest(text="No answer of the page.\n") from None
    if set(said) != {"key", "number", "said", "seconds"} or (
      side not in blind_answers.SIDES or not 0 <= seconds <= _MOST_S
    ):
      raise web.HTTPBadRequest(text="No answer of the page.\n")
    sitting = self._sitting(key)
    async with self._lock:
      if number != sitting.at or sitting.at >= len(sitting.asked):
        raise web.HTTPConflict(text="This was answered already.\n")
      asked = sitting.asked[sitting.at]
      told = asked | {"sitting": key[:6], "said": side, "seconds": seconds}
      await asyncio.to_thread(self._answers.add, told)
      sitting.at += 1
    return web.json_response(self._told(sitting))

  def _sitting(self, key: Any) -> _Sitting:
    if not isinstance(key, str) or key not in self._sittings:
      raise web.HTTPNotFound(text="No such sitting: open the page anew.\n")
    return self._sittings[key]

  def _told(self, sitting: _Sitting) -> dict[str, Any]:
    """What is asked next, or the result."""
    whole = {"number": sitting.at, "of": len(sitting.asked)}
    if sitting.at == len(sitting.asked):
      return whole | {"result": self._answers.result}
    asked = sitting.asked[sitting.at]
    steps = asked["steps"]
    pressed = self._clips.result().action[asked["pair"], :steps]
    return whole | {
      "steps": steps,
      "buttons": [specs.ACTIONS[action] for action in pressed.tolist()],
    }


def _sides(
  clips: blind_pairs.Clips, asked: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
  """Left and right, `[steps + 1, 144, 40]`."""
  pair, rows = asked["pair"], slice(asked["steps"] + 1)
  dream = asked["kind"] == blind_answers.DREAM
  other = (clips.dreamt if dream else clips.again)[pair, rows]
  real = clips.real[pair, rows]
  return (other, real) if asked["dreamt"] == "left" else (real, other)


def _check_origin(request: web.Request) -> None:
  host = request.headers.get("Host", "")
  if not guards.may_connect(host, request.headers.get("Origin")):
    raise web.HTTPForbidden(text="Another site may not answer here.\n")
