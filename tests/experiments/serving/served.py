"""A server for the tests: a small model, and games without an emulator."""

import asyncio
import contextlib

import numpy as np

from experiments.dreaming import game as game_lib
from experiments.dreaming import records as records_lib
from experiments.serving import batching
from experiments.serving import driver
from experiments.serving import guards
from experiments.serving import server as server_lib
from experiments.serving import wire
from tests.experiments.dreaming import made


class Records:
  """Recorded episodes of the game without an emulator."""

  ACTIONS = (0, 3, 1, 4, 2, 7)

  def told(self):
    rows = len(self.ACTIONS)
    return [{"behaviour": "random", "rows": rows, "held_out": True}]

  def picture(self, episode, row):
    return self.course(episode, row).frame[-1]

  def course(self, episode, row):
    if episode or not 0 <= row < len(self.ACTIONS):
      raise ValueError(f"row: {row} of episode {episode}, expected another")
    game, start = made.Game(), game_lib.Start("", 5, 0)
    rows = [game.begin(start, None)]
    rows += [game.step(action) for action in self.ACTIONS[:row]]
    return records_lib.Course(
      *(start, None, np.array(self.ACTIONS, np.uint8)),
      np.stack([row["frame"] for row in rows]),
      f"episode 1, row {row}",
    )


def setting(games=None, records=None):
  """What sessions share; `games` collects the games that are made."""

  def make_game():
    game = made.Game()
    if games is not None:
      games.append(game)
    return game

  stepper = made.stepper()
  return driver.Setting(
    stepper=stepper,
    batcher=batching.Batcher(stepper),
    reader=made.reader(),
    rom=made.rom(),
    start=game_lib.Start(),
    make_game=make_game,
    demonstrates=True,
    records=records,
  )


@contextlib.asynccontextmanager
async def server(games=None, most=3, ready=True, records=None):
  """An open server and the client of the tests."""
  from aiohttp import test_utils

  made_server = server_lib.Server(guards.allowed_names("127.0.0.1"), most)
  shared = setting(games, records)
  if ready:
    made_server.open(server_lib.Ready(shared, {}, ("chapter_one/start",)))
  async with test_utils.TestClient(
    test_utils.TestServer(made_server.app())
  ) as client:
    try:
      yield made_server, client
    finally:
      await made_server.close()
      shared.batcher.close()


class Page:
  """What a page does, without a browser."""

  def __init__(self, socket):
    self.socket = socket
    self.said = []  # messages of the server
    self.frames = []  # (kind, moment, answers, picture)
    self.acknowledges = True
    self.number = 0

  @classmethod
  async def open(cls, client, session="", **options):
    page = cls(await client.ws_connect("/ws", **options))
    await page.say(t="hello", session=session)
    page.welcome = await page.hear("welcome")
    await page.hear("tree")
    return page

  async def say(self, **message):
    import json

    await self.socket.send_str(json.dumps(message))

  async def press(self, button):
    """A press and its release; the number of the press."""
    self.number += 2
    await self.say(t="keys", n=self.number - 1, held=button)
    await self.say(t="keys", n=self.number, held=-1)
    return self.number - 1

  async def hear(self, kind, where=lambda message: True, limit_s=60.0):
    """The next message of a kind; everything before it is taken in."""
    import json

    async with asyncio.timeout(limit_s):
      while True:
        message = await self.socket.receive()
        if message.type.name == "BINARY":
          kind_, number, moment, answers, _, picture = wire.read_frame(
            message.data
          )
          self.frames.append((kind_, moment, answers, picture))
          if number and self.acknowledges:
            await self.say(t="ack", n=number)
        elif message.type.name == "TEXT":
          said = json.loads(message.data)
          self.said.append(said)
          if said["t"] == kind and where(said):
            return said
        else:
          raise ConnectionError(self.socket.close_code, message.extra)

  async def step(self, button):
    """Presses and waits for the step that comes of it."""
    await self.press(button)
    steps = self.said_last("step")["steps"] if self.said_last("step") else 0
    return await self.hear("step", lambda m: m["steps"] > steps)

  def said_last(self, kind):
    return next((m for m in reversed(self.said) if m["t"] == kind), None)

  def dreams(self):
    return [frame for frame in self.frames if frame[0] == wire.DREAM]
