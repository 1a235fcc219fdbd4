"""Runs one session: its steps, its real game, and what its page is told.

One task does everything in order, so that nothing overlaps but the dream's step
and the game's: a page that says something while a step is made is heard after
it. A page draws a dream's frame before the next step is made.
"""

import asyncio
import collections
from collections.abc import Callable
from collections.abc import Iterator
from concurrent import futures
import dataclasses
import math
import secrets
import time
from typing import Any

from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from experiments.dreaming import beliefs
from experiments.dreaming import game as game_lib
from experiments.dreaming import input_log
from experiments.dreaming import models
from experiments.dreaming import moments
from experiments.dreaming import records as records_lib
from experiments.dreaming import session as session_lib
from experiments.serving import batching
from experiments.serving import buttons
from experiments.serving import telling
from experiments.serving import wire
from pokedreamer_jax import goal_specs

_MOST_INBOX = 64
_LOG_SPEED = 4.0  # of real time, where a log is played again


@dataclasses.dataclass(frozen=True)
class Setting:
  """What all sessions of a server share."""

  stepper: models.Stepper
  batcher: batching.Batcher
  reader: beliefs.Reader
  rom: roms.Rom
  start: game_lib.Start
  make_game: Callable[[], game_lib.Game]
  goals: tuple[goal_specs.Goal, ...] = ()
  demonstrates: bool = False  # whether a demonstrator plays this game
  save_state: bytes | None = None  # where `start` begins
  records: records_lib.Records | None = None  # rows to begin at


class Driver:
  """One session and who plays it."""

  def __init__(self, setting: Setting):
    """Does nothing before `run`."""
    self._setting = setting
    self._page = telling.Page()
    self._inbox: collections.deque[dict[str, Any]] = collections.deque()
    self._changed = asyncio.Event()
    self._buttons, self._pace = buttons.Buttons(), buttons.Pace()
    self._who, self._goal = "person", -1
    self._log: Iterator[input_log.Event] = iter(())
    self._game: game_lib.Game | None = None
    self._game_at: int | None = None  # moment that the game stands at
    self._thread = futures.ThreadPoolExecutor(1, "game")
    self.session: session_lib.Session | None = None
    self.seen_s = time.monotonic()  # when a page was there last

  @property
  def attached(self) -> bool:
    """Whether a page is there."""
    return self._page.attached

  def attach(self, send: telling.Send) -> None:
    """A page is there: a new one, or one that was away."""
    self._page.attach(send)
    self._buttons.release()
    self._inbox.append({"t": "look"})
    self._changed.set()

  def detach(self, send: telling.Send) -> None:
    """The page is gone, unless another one took its place."""
    if self._page.detach(send):
      self._buttons.release()
      self.seen_s = time.monotonic()

  def hear(self, message: dict[str, Any]) -> None:
    """Takes a message of the page.

    Raises:
      wire.Broken: more than a page says while a step is made.
    """
    if message["t"] == "keys":
      held = message["held"]
      now_s = time.monotonic()
      self._buttons.tell(message["n"], None if held < 0 else held, now_s)
    elif message["t"] == "ack":
      self._page.drew(message["n"])
    elif len(self._inbox) >= _MOST_INBOX:
      raise wire.Broken("too much is waiting")
    else:
      self._inbox.append(message)
    self._changed.set()

  async def run(self) -> None:
    """Plays, until it is cancelled."""
    try:
      await self._begin(self._setting.start, self._setting.save_state)
      while True:
        self._changed.clear()
        if self._inbox:
          await self._do(self._inbox.popleft())
        elif not await self._play():
          await self._wait()
    except game_lib.Gone as error:  # there is not even a first frame
      self._page.note(f"No game: {error}", error=True)
    finally:
      self._thread.shutdown(wait=False, cancel_futures=True)
      if self._game is not None:
        self._game.close()

  async def _wait(self) -> None:
    now_s = time.monotonic()
    wait_s = math.inf
    if self.attached and self._page.has_drawn:
      pace = self._buttons if self._who == "person" else self._pace
      wait_s = pace.wait_s(now_s)
    try:
      limit_s = None if math.isinf(wait_s) else wait_s
      await asyncio.wait_for(self._changed.wait(), limit_s)
    except TimeoutError:
      pass

  # What the page asks for.

  async def _do(self, message: dict[str, Any]) -> None:
    session = self.session
    assert session is not None
    kind = message["t"]
    try:
      await getattr(self, f"_do_{kind}")(session, message)
    except ValueError as error:
      self._page.note(str(error), error=True)
    except game_lib.Gone as error:
      self._lose_game(error)

  async def _do_look(self, session, message) -> None:
    self._tell_state()
    self._page.show_here(session)
    self._page.tell_tree(session)

  async def _do_who(self, session, message) -> None:
    who, goal = message["who"], message["goal"]
    if who not in session_lib.PEOPLE or who in ("log", "record"):
      raise ValueError(f"who: {who!r}, expected person, policy, demonstrator")
    if who == "policy" and not self._setting.stepper.model.has_policy:
      raise ValueError("who: no policy was given to this server (--policy)")
    if who == "demonstrator" and not self._setting.demonstrates:
      raise ValueError("who: no demonstrator plays this game")
    if goal >= len(self._setting.goals):
      raise ValueError(f"goal: {goal}, there is none of this number")
    session.pursue(self._setting.goals[goal] if goal >= 0 else goal_specs.NONE)
    self._goal = goal
    self._take_over(who)
    session.looked(await self._setting.batcher.run(session.look()))
    self._tell_state()
    self._page.tell_step(session)

  async def _do_speed(self, session, message) -> None:
    self._pace.set_speed(message["speed"])
    self._tell_state()

  async def _do_likely(self, session, message) -> None:
    session.likely = message["on"]
    self._tell_state()

  async def _do_luck(self, session, message) -> None:
    session.luck = secrets.randbelow(1 << 32)
    self._tell_state()

  async def _do_redo(self, session, message) -> None:
    """The steps since the last knot, with the same buttons and other luck."""
    start = session.tree.since_knot(session.here)
    pressed = session.buttons()[len(session.buttons(start)) :]
    if not pressed:
      raise ValueError("redo: no step was made since this moment was saved")
    session.go(start)
    session.luck = secrets.randbelow(1 << 32)
    self._replay(iter([("press", action) for action in pressed]))
    self._page.show_here(session)
    self._page.tell_tree(session)

  async def _do_save(self, session, message) -> None:
    moment = session.tree[message["moment"]]
    session.tree.save(moment, message["name"])
    self._page.tell_tree(session)

  async def _do_go(self, session, message) -> None:
    self._take_over("person")
    session.go(session.tree[message["moment"]])
    self._tell_state()
    self._page.show_here(session)
    self._page.tell_tree(session)

  async def _do_rewind(self, session, message) -> None:
    moment = session.tree.back(session.here, message["steps"])
    await self._do_go(session, {"moment": moment.number})

  async def _do_sync(self, session, message) -> None:
    if message["side"] == "dream":
      await self._catch_up()
      await self._follow(session)
    elif message["side"] == "game":
      session.beside = True
      await self._enter(session)
    else:
      raise ValueError("side: expected dream or game")
    self._tell_state()
    self._page.show_here(session)
    self._page.tell_tree(session)

  async def _do_beside(self, session, message) -> None:
    session.beside = message["on"]
    if session.beside:
      await self._catch_up()
      self._page.show_real(session)
    self._tell_state()

  async def _do_begin(self, session, message) -> None:
    """A new session in the place of this one."""
    seed, rom = message["seed"], self._setting.rom
    state, save_state = message["state"], None
    if state == self._setting.start.state:
      save_state = self._setting.save_state
    else:
      save_state = _named_state(state, rom)
    jitter = self._setting.stepper.model.config.collect.jitter_frames
    start = game_lib.Start(state, seed, jitter if seed else 0)
    self._take_over("person")
    await self._begin(start, save_state)
    await self._do_look(self.session, message)

  async def _do_play(self, session, message) -> None:
    """Begins where a log began and plays it again."""
    log = input_log.from_link(message["link"])
    for remark in session.check(log):
      self._page.note(remark)
    save_state = self._setting.save_state
    if log.state != self._setting.start.state:
      save_state = _named_state(log.state, self._setting.rom)
    start = game_lib.Start(log.state, log.seed, log.jitter_frames)
    played = list(input_log.events(log.moves))
    # Where it stands first is what the dream began with.
    luck = next((value for kind, value in played if kind == "luck"), 0)
    await self._begin(start, save_state, luck)
    await self._do_look(self.session, message)
    self._replay(iter(played))

  async def _do_record(self, session, message) -> None:
    """Begins at a recorded row: its episode is played again and looked at."""
    records = self._setting.records
    if records is None:
      raise ValueError("record: this server has no records (--data_dir)")
    row = message["row"]
    if row >= moments.MOST - 1:
      raise ValueError(f"row: {row}, expected below {moments.MOST - 1}")
    course = await asyncio.to_thread(records.course, message["episode"], row)
    self._take_over("person")
    await self._begin(course.start, course.save_state)
    session = self.session
    assert session is not None
    try:
      await self._relive(session, course)
      if row:
        await self._follow(session)
      session.tree.save(session.here, course.name)
    finally:  # where it got to is shown in any case
      await self._do_look(session, message)
    if message["goes_on"]:
      rest = course.action[row:-1].tolist()
      self._replay(iter([("press", action) for action in rest]))

  async def _relive(self, session, course: records_lib.Course) -> None:
    """Plays an episode up to its row, every row seen; the dream beside it.

    Raises:
      ValueError: the game shows another frame than was recorded.
    """
    game, told_s = self._open_game(), time.monotonic()
    for number, frame in enumerate(course.frame):
      if number:
        action = int(course.action[number - 1])
        self._game_at = None
        row = await self._in_thread(game.step, action)
        work = session.press_and_see(action, row)
        outcome = await self._setting.batcher.run(work)
        session.pressed_and_saw(outcome, action, "record", row)
        self._game_at = session.here.number
      if (moments.unpack_frame(session.here.real) != frame).any():
        raise ValueError(
          f"{course.name}: row {number} is not what playing it again shows"
        )
      if time.monotonic() - told_s > 1.0:
        told_s = time.monotonic()
        self._page.note(f"{number} of {len(course.frame) - 1} rows are seen.")

  async def _do_link(self, session, message) -> None:
    log = session.log()
    self._page.say(
      wire.text("link", link=input_log.to_link(log), log=input_log.to_text(log))
    )

  # Steps.

  async def _play(self) -> bool:
    """Makes a step, if one is due."""
    if not self.attached or not self._page.has_drawn:
      return False
    now_s = time.monotonic()
    if self._buttons.pressed and self._who != "person":
      self._take_over("person")
      self._tell_state()
    press = None
    if self._who == "person":
      press = self._buttons.take(now_s)
    elif self._pace.take(now_s):
      try:
        press = await self._others_press()
      except ValueError as error:
        self._give_up(str(error))
      except game_lib.Gone as error:
        self._lose_game(error)
    if press is None:
      return False
    try:
      await self._step(press)
    except ValueError as error:
      self._give_up(str(error))
    except game_lib.Gone as error:
      self._lose_game(error)
    return True

  async def _others_press(self) -> buttons.Press | None:
    """What the policy, the demonstrator or a log does now."""
    session = self.session
    assert session is not None
    if self._who == "policy":
      return buttons.Press(session.choice)
    if self._who == "demonstrator":
      await self._enter(session)
      choose = self._open_game().choose
      return buttons.Press(await self._in_thread(choose, session.start.seed))
    for kind, value in self._log:
      if kind == "press":
        return buttons.Press(value)
      if kind == "luck":
        session.luck = value
      elif kind == "likely":
        session.likely = value
      else:
        await self._catch_up()
        await self._follow(session)
        self._page.show_here(session)
        self._page.tell_tree(session)
        return None  # once this is drawn it goes on
    self._give_up("")
    return None

  async def _step(self, press: buttons.Press) -> None:
    session = self.session
    assert session is not None
    before, by = session.here, self._who
    early = None
    if session.beside and before.number == self._game_at and before.real:
      game = self._open_game()
      early = asyncio.ensure_future(self._in_thread(game.step, press.action))
      self._game_at = None
    try:
      work = session.press(press.action)
      outcome = await self._setting.batcher.run(work)
    except Exception:
      if early is not None:  # the game's thread must be free again
        await asyncio.gather(early, return_exceptions=True)
      raise
    count = len(session.tree)
    here = session.pressed(outcome, press.action, by)
    branched = len(session.tree) > count and before.number != here.number - 1
    self._page.show_dream(session, press)
    if early is not None:
      row = await early
      self._game_at = here.number
      if here.real is None:
        await self._see(session, row, here)
    if session.beside:
      await self._catch_up()
      self._page.show_real(session)
      if by != "log" and _begins(before, here):
        await self._follow(session)
        self._page.show_here(session)
        branched = True
    if branched:
      self._page.tell_tree(session)

  async def _follow(self, session: session_lib.Session) -> None:
    work = session.follow()
    before = session.here.number
    session.followed(await self._setting.batcher.run(work))
    if self._game_at == before:
      self._game_at = session.here.number

  async def _see(self, session, row, moment: moments.Moment) -> None:
    work = session.see(row, moment)
    session.saw(await self._setting.batcher.run(work), row, moment)

  async def _catch_up(self) -> None:
    """Plays the real game to where one stands, all rows on the way seen."""
    session = self.session
    assert session is not None
    for moment in session.missing():
      game = self._open_game()
      at, self._game_at = self._game_at, None
      if at is not None and at == moment.parent and moment.action is not None:
        row = await self._in_thread(game.step, moment.action)
      else:
        row = await self._in_thread(game.enter, session.buttons(moment))
      self._game_at = moment.number
      await self._see(session, row, moment)

  async def _enter(self, session: session_lib.Session) -> None:
    """Brings the real game to where one stands."""
    await self._catch_up()
    if self._game_at == session.here.number:
      return
    self._game_at = None
    game = self._open_game()
    row = await self._in_thread(game.enter, session.buttons())
    real = session.here.real
    if real is not None and (moments.unpack_frame(real) != row["frame"]).any():
      raise ValueError("resync: the game shows another frame than it did")
    self._game_at = session.here.number

  async def _begin(
    self,
    start: game_lib.Start,
    save_state: bytes | None,
    luck: int | None = None,
  ) -> None:
    setting = self._setting
    self._state_bytes = save_state
    self._game_at = None
    if self._game is None or self._game.lost:
      self._game = setting.make_game()
    row = await self._in_thread(self._game.begin, start, save_state)
    luck = start.seed if luck is None else luck
    session = session_lib.Session(
      setting.stepper, setting.reader, setting.rom.sha1, start, luck
    )
    session.began(await setting.batcher.run(session.begin(row)), row)
    if self._goal >= 0:
      session.pursue(setting.goals[self._goal])
    self.session = session
    self._game_at = session.here.number
    self._page.forget_pictures()

  def _open_game(self) -> game_lib.Game:
    if self._game is None or self._game.lost:
      raise game_lib.Gone("the game's process has ended")
    return self._game

  def _lose_game(self, error: Exception) -> None:
    """Goes on without the real game; a new one waits to be entered."""
    session, setting = self.session, self._setting
    assert session is not None
    if self._game is not None:
      self._game.close()
    self._game, self._game_at = None, None
    session.beside = False
    self._page.note(
      f"{error}. The dream goes on alone; re-enter the game.", True
    )
    self._game = setting.make_game()
    self._thread.submit(self._game.begin, session.start, self._state_bytes)
    self._tell_state()

  async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(self._thread, function, *args)

  def _tell_state(self) -> None:
    assert self.session is not None
    self._page.tell_state(self.session, self._who, self._goal, self._pace.speed)

  def _take_over(self, who: str) -> None:
    self._who = who
    self._log = iter(())

  def _replay(self, log: Iterator[input_log.Event]) -> None:
    self._take_over("log")
    self._log = log
    self._pace.set_speed(_LOG_SPEED)
    self._tell_state()

  def _give_up(self, why: str) -> None:
    """The person's turn."""
    session = self.session
    assert session is not None
    self._take_over("person")
    if why:
      self._page.note(why, error=True)
    self._tell_state()
    self._page.tell_tree(session)


def _begins(before: moments.Moment, here: moments.Moment) -> bool:
  """Whether the real game leaves its title screen and the dream does not.

  Which press it is that begins a game hangs on a frame or two, which nobody
  sees: the dream follows, rather than stay behind at the first step.
  """
  ran, runs = (m.beliefs.get("real", {}).get("running") for m in (before, here))
  return ran is False and runs is True and not here.agreed


def _named_state(name: str, rom: roms.Rom) -> bytes | None:
  """A named start state of a game, which a page may ask for; "" is power-on.

  Raises:
    ValueError: there is none of this name: files are not a page's to open.
  """
  from data_tools.game import start_states

  names = start_states.names(rom.sha1)
  if name and name not in names:
    raise ValueError(f"start: {name!r}, expected one of {names} or power-on")
  return emulator_lib.read_save_state(name, rom) if name else None
