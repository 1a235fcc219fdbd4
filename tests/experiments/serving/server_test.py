"""The server as its page meets it: sessions, limits, and broken messages."""

import asyncio
import functools
import random

import numpy as np
import pytest

pytest.importorskip("aiohttp")

from aiohttp import WSServerHandshakeError

from experiments.dreaming import input_log
from experiments.serving import buttons
from experiments.serving import server as server_lib
from experiments.serving import wire
from tests.experiments.dreaming import made
from tests.experiments.serving import served


def run(test):
  """Runs an asynchronous test, with a limit."""

  @functools.wraps(test)
  def wrapped(*args, **kwargs):
    async def limited():
      async with asyncio.timeout(300):
        await test(*args, **kwargs)

    asyncio.run(limited())

  return wrapped


@run
async def test_files_are_answered_by_name_alone():
  async with served.server() as (_, client):
    for name in ("/", "/page/main.js", "/page/style.css"):
      answer = await client.get(name)
      assert answer.status == 200
      assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for name in (
      "/page/../server.py",
      "/page/server.py",
      "/nothing",
      "/map/5.png",
    ):
      assert (await client.get(name)).status == 404
    for host in ("evil.example", "evil.example:80", ""):
      answer = await client.get("/", headers={"Host": host})
      assert answer.status in (400, 403)


@run
async def test_a_socket_of_another_site_is_refused():
  async with served.server() as (_, client):
    for origin in ("http://evil.example", "null"):
      with pytest.raises(WSServerHandshakeError) as error:
        await client.ws_connect("/ws", headers={"Origin": origin})
      assert error.value.status == 403
    here = f"http://127.0.0.1:{client.port}"
    page = await served.Page.open(client, headers={"Origin": here})
    assert page.welcome["policy"]


@run
async def test_a_press_is_a_step_of_both_games():
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    first = page.said_last("step")
    assert first["steps"] == 0 and first["seen"]
    number = await page.press(3)
    step = await page.hear("step", lambda m: m["steps"] == 1)
    assert step["action"] == 3 and step["by"] == "person" and step["seen"]
    assert {"dream", "real", "surprise", "value", "odds"} <= set(
      step["beliefs"]
    )
    kinds = [frame[:3] for frame in page.frames[-2:]]
    moment = step["moment"]
    assert kinds == [(wire.DREAM, moment, number), (wire.REAL, moment, 0)]


@run
async def test_a_held_button_goes_on_by_itself_and_stops():
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    begun = asyncio.get_running_loop().time()
    await page.say(t="keys", n=1, held=2)
    await page.hear("step", lambda m: m["steps"] == 3)
    passed = asyncio.get_running_loop().time() - begun
    assert passed >= 1.9 * buttons.STEP_S
    await page.say(t="keys", n=2, held=-1)
    await page.say(t="link")
    steps = (await page.hear("link")) and page.said_last("step")["steps"]
    await asyncio.sleep(2.5 * buttons.STEP_S)
    await page.say(t="link")
    await page.hear("link")
    assert page.said_last("step")["steps"] <= steps + 1


@run
async def test_the_next_step_waits_for_the_frame_to_be_drawn():
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    page.acknowledges = False
    for _ in range(3):
      await page.press(1)
    await page.hear("step", lambda m: m["steps"] == 1)
    with pytest.raises(TimeoutError):
      await page.hear("step", lambda m: m["steps"] == 2, limit_s=1.0)
    # Nothing else waits for it.
    await page.say(t="ack", n=2)
    await page.hear("step", lambda m: m["steps"] == 2)


@run
async def test_branches_names_and_going_back():
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    for button in (3, 3, 1):
      end = await page.step(button)
    await page.say(t="save", moment=end["moment"], name="the end")
    tree = await page.hear("tree")
    assert [k["name"] for k in tree["knots"]] == ["", "the end"]
    await page.say(t="rewind", steps=2)
    back = await page.hear("step", lambda m: m["steps"] == 1)
    await page.say(t="luck")
    await page.hear("state")
    await page.press(3)
    tree = await page.hear("tree", lambda m: len(m["knots"]) == 4)
    fork = next(k for k in tree["knots"] if k["moment"] == back["moment"])
    assert sum(k["before"] == fork["moment"] for k in tree["knots"]) == 2
    await page.say(t="go", moment=end["moment"])
    await page.hear("step", lambda m: m["moment"] == end["moment"])
    thumbnails = [f[1] for f in page.frames if f[0] == wire.THUMBNAIL]
    assert len(thumbnails) == len(set(thumbnails)) >= 4


@run
async def test_a_link_plays_the_same_frames_again():
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    await page.say(t="luck")
    for button in (0, 3, 2, 7):
      await page.step(button)
    await page.say(t="sync", side="dream")
    await page.hear("tree")
    await page.say(t="likely", on=True)
    last = await page.step(1)
    await page.say(t="link")
    link = (await page.hear("link"))["link"]
    assert "S" in input_log.from_link(link).moves
    other = await served.Page.open(client)
    await other.say(t="play", link=link)
    again = await other.hear("step", lambda m: m["steps"] == 5)
    assert again["beliefs"] == last["beliefs"]
    frames = [{f[1]: f[3] for f in p.dreams()} for p in (page, other)]
    for moment, picture in frames[0].items():
      np.testing.assert_array_equal(picture, frames[1][moment])
    # The log is over: it is the person's turn.
    assert (await other.hear("state"))["who"] == "person"


@run
async def test_a_session_begins_at_a_recorded_row():
  records = served.Records()
  async with served.server(records=records) as (_, client):
    page = await served.Page.open(client)
    assert page.welcome["records"] == records.told()
    picture = await client.get("/record/0/4.png")
    assert picture.status == 200 and picture.content_type == "image/png"
    for bad in ("/record/1/0.png", "/record/0/6.png", "/record/0/-1.png"):
      assert (await client.get(bad)).status == 404
    await page.step(1)  # something else before
    await page.say(t="record", episode=0, row=4, goes_on=False)
    told = await page.hear("step", lambda m: m["steps"] == 4)
    tree = await page.hear("tree")
    knots = {knot["moment"]: knot for knot in tree["knots"]}
    assert knots[tree["here"]]["name"] == "episode 1, row 4"
    assert knots[tree["here"]]["follows"] and told["seen"]
    # The game stands at the row: a button leads to what would have come.
    course = records.course(0, 5)
    await page.step(int(course.action[4]))
    real = [f for f in page.frames if f[0] == wire.REAL][-1]
    np.testing.assert_array_equal(real[3], course.frame[5])
    # The dream remembers what it would have seen: a link is the same again.
    await page.say(t="link")
    link = (await page.hear("link"))["link"]
    assert input_log.from_link(link).moves.endswith("dulaSr")
    last = page.said_last("step")
    other = await served.Page.open(client)
    await other.say(t="play", link=link)
    again = await other.hear("step", lambda m: m["steps"] == 5)
    assert again["beliefs"] == last["beliefs"]


@run
async def test_a_recording_is_pressed_on_and_a_bad_row_is_a_line(monkeypatch):
  async with served.server(records=served.Records()) as (_, client):
    page = await served.Page.open(client)
    await page.say(t="record", episode=0, row=2, goes_on=True)
    await page.hear("step", lambda m: m["steps"] == 5)  # to the last row
    assert (await page.hear("state"))["who"] == "person"
    await page.say(t="record", episode=0, row=9, goes_on=False)
    note = await page.hear("note", lambda m: m["error"])
    assert "row: 9" in note["text"]
    row = made.Game._row

    def others(game):
      found = row(game)
      if len(game.actions) == 3:
        found["frame"] = found["frame"] ^ 1
      return found

    course = served.Records().course(0, 4)
    monkeypatch.setattr(served.Records, "course", lambda *_: course)
    monkeypatch.setattr(made.Game, "_row", others)
    await page.say(t="record", episode=0, row=4, goes_on=False)
    note = await page.hear("note", lambda m: m["error"])
    assert "row 3 is not what playing it again shows" in note["text"]
    assert (await page.step(0))["steps"] == 4  # it goes on from there
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    assert page.welcome["records"] == []
    assert (await client.get("/record/0/0.png")).status == 404
    await page.say(t="record", episode=0, row=0, goes_on=False)
    note = await page.hear("note", lambda m: m["error"])
    assert "--data_dir" in note["text"]


@run
async def test_the_dream_follows_a_game_out_of_its_title_screen(monkeypatch):
  row = made.Game._row
  titled = lambda game: (
    row(game) | {"game_running": np.array(len(game.actions) > 1)}
  )
  monkeypatch.setattr(made.Game, "_row", titled)
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    await page.step(6)
    await page.press(6)
    tree = await page.hear("tree", lambda m: len(m["knots"]) > 1)
    assert tree["knots"][-1]["follows"] and tree["knots"][-1]["steps"] == 2
    await page.step(3)
    assert page.said_last("step")["steps"] == 3
    await page.say(t="link")
    moves = input_log.from_link((await page.hear("link"))["link"]).moves
    assert moves == "L0;ssSu"


@run
async def test_others_play_and_a_press_takes_over():
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    await page.say(t="speed", speed=8)
    for who in ("policy", "demonstrator"):
      await page.say(t="who", who=who, goal=-1)
      await page.hear("state", lambda m, who=who: m["who"] == who)
      await page.hear(
        "step", lambda m, who=who: m["by"] == who and m["action"] is not None
      )
    await page.press(4)
    await page.hear("state", lambda m: m["who"] == "person")
    await page.hear("step", lambda m: m["by"] == "person" and m["action"] == 4)


@run
async def test_the_same_buttons_again_with_other_luck():
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    await page.say(t="redo")
    assert "no step" in (await page.hear("note"))["text"]
    for button in (1, 3):
      end = await page.step(button)
    await page.say(t="redo")
    again = await page.hear(
      "step", lambda m: m["steps"] == 2 and m["moment"] != end["moment"]
    )
    assert again["luck"] != end["luck"] and again["action"] == end["action"]


@run
async def test_a_game_that_dies_leaves_the_dream_and_is_entered_again():
  games = []
  async with served.server(games) as (_, client):
    page = await served.Page.open(client)
    await page.step(3)
    games[0].lost = True
    await page.press(3)
    note = await page.hear("note")
    assert "dream goes on alone" in note["text"] and note["error"]
    step = await page.step(2)
    assert not step["seen"]
    await page.say(t="sync", side="game")
    again = await page.hear("step", lambda m: m["seen"])
    assert again["steps"] == step["steps"] and len(games) == 2
    assert (await page.step(1))["seen"]


@run
async def test_a_page_that_was_away_finds_its_session():
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    await page.step(3)
    key = page.welcome["session"]
    await page.socket.close()
    again = await served.Page.open(client, key)
    assert again.welcome["session"] == key
    assert again.said_last("step")["steps"] == 1
    third = await served.Page.open(client, key)  # opened twice
    with pytest.raises(ConnectionError):
      await again.hear("nothing")
    assert (await third.step(1))["steps"] == 2
    unknown = await served.Page.open(client, "x" * 20)
    assert unknown.welcome["session"] not in (key, "x" * 20)


@run
async def test_two_pages_play_apart_and_share_steps():
  async with served.server() as (_, client):
    pages = [await served.Page.open(client) for _ in range(2)]
    await asyncio.gather(*(page.step(3) for page in pages))
    await pages[0].step(1)
    assert pages[0].said_last("step")["steps"] == 2
    assert pages[1].said_last("step")["steps"] == 1
    one, other = ({f[1]: f[3] for f in p.dreams()} for p in pages)
    np.testing.assert_array_equal(one[1], other[1])


@run
async def test_more_pages_than_sessions_are_told_so():
  async with served.server(most=1) as (_, client):
    page = await served.Page.open(client)
    other = served.Page(await client.ws_connect("/ws"))
    await other.say(t="hello", session="")
    assert "1 sessions" in (await other.hear("full"))["text"]
    await page.socket.close()
    await asyncio.sleep(0.1)
    await served.Page.open(client)  # who is away makes room


@run
async def test_before_the_model_is_there_a_page_waits():
  async with served.server(ready=False) as (server, client):
    page = served.Page(await client.ws_connect("/ws"))
    await page.say(t="hello", session="")
    await page.hear("loading")
    server.open(server_lib.Ready(served.setting(), {}, ()))
    await page.hear("welcome")


@run
async def test_broken_messages_end_their_own_connection_alone():
  rng = random.Random(0)
  async with served.server() as (_, client):
    bystander = await served.Page.open(client)
    bad = [
      "",
      "null",
      "{",
      '{"t":"keys"}',
      '{"t":"hello","session":""}',
      '{"t":"go","moment":-1}',
      '{"t":"begin","state":"","seed":1e3}',
      b"bytes",
      "x" * (wire.MOST_BYTES + 1),
      "[" * 20_000,
      *(
        "".join(chr(rng.randrange(32, 1000)) for _ in range(50))
        for _ in range(5)
      ),
    ]
    for data in bad:
      page = await served.Page.open(client)
      send = (
        page.socket.send_bytes
        if isinstance(data, bytes)
        else page.socket.send_str
      )
      await send(data)
      with pytest.raises(ConnectionError):
        await page.hear("nothing")
    first = await client.ws_connect("/ws")
    await first.send_str('{"t":"link"}')  # before a hello
    assert (await first.receive()).type.name == "CLOSE"
    assert (await bystander.step(3))["steps"] == 1


@run
async def test_bad_wishes_are_told_and_the_session_goes_on():
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    for wish in (
      {"t": "go", "moment": 99},
      {"t": "who", "who": "nobody", "goal": -1},
      {"t": "who", "who": "log", "goal": -1},
      {"t": "who", "who": "policy", "goal": 7},
      {"t": "speed", "speed": 3},
      {"t": "sync", "side": "moon"},
      {"t": "begin", "state": "/etc/passwd", "seed": 0},
      {"t": "play", "link": "rubbish"},
      {"t": "save", "moment": 0, "name": "\u0007"},
    ):
      await page.say(**wish)
      assert (await page.hear("note"))["error"], wish
    assert (await page.step(3))["steps"] == 1


@run
async def test_too_many_messages_end_a_connection():
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    with pytest.raises(ConnectionError):
      for number in range(2_000):
        await page.say(t="ack", n=number)
      await page.hear("nothing")


@run
async def test_a_clip_is_of_the_session_whose_key_one_has():
  async with served.server() as (_, client):
    page = await served.Page.open(client)
    await page.step(3)
    assert (await client.get("/clip.gif")).status == 404
    key = {"X-Session": page.welcome["session"]}
    answer = await client.get("/clip.gif", headers=key)
    assert answer.content_type == "image/gif"
    assert (await answer.read()).startswith(b"GIF89a")
    assert (await client.get("/clip.gif", headers=key)).status == 429
