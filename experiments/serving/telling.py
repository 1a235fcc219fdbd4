"""What the page of a session is told, and how far it has drawn."""

from collections.abc import Callable
import time

from experiments.dreaming import moments
from experiments.dreaming import session as session_lib
from experiments.serving import buttons
from experiments.serving import wire

# Takes what goes to the page: text or bytes.
Send = Callable[[str | bytes], None]


class Page:
  """The page of one session, which may be away."""

  def __init__(self) -> None:
    """Nobody is there before `attach`."""
    self._send: Send | None = None
    self._sent = self._drawn = 0  # numbers of frames to acknowledge
    self._thumbnails: set[int] = set()  # that the page has

  @property
  def attached(self) -> bool:
    """Whether a page is there."""
    return self._send is not None

  @property
  def has_drawn(self) -> bool:
    """Whether the last frame is drawn."""
    return self._drawn == self._sent

  def attach(self, send: Send) -> None:
    """A page is there, and has nothing yet."""
    self._send = send
    self._sent = self._drawn = 0
    self.forget_pictures()

  def detach(self, send: Send) -> bool:
    """Whether the page was that one, which is gone now."""
    if self._send != send:
      return False
    self._send = None
    return True

  def drew(self, number: int) -> None:
    """The page says which frame it has drawn."""
    self._drawn = min(max(self._drawn, number), self._sent)

  def forget_pictures(self) -> None:
    """Moments have other numbers from now on."""
    self._thumbnails.clear()

  def say(self, what: str | bytes) -> None:
    """Sends it, if a page is there."""
    if self._send is not None:
      self._send(what)

  def note(self, text: str, error: bool = False) -> None:
    """A line for the person."""
    self.say(wire.text("note", text=text, error=error))

  def tell_state(
    self, session: session_lib.Session, who: str, goal: int, speed: float
  ) -> None:
    """Who plays, and how."""
    self.say(
      wire.text(
        "state",
        who=who,
        goal=goal,
        speed=speed,
        likely=session.likely,
        luck=session.luck,
        beside=session.beside,
        start=session.start.state,
        seed=session.start.seed,
      )
    )

  def tell_step(self, session: session_lib.Session) -> None:
    """What is known of the moment that is shown."""
    here = session.here
    self.say(
      wire.text(
        "step",
        moment=here.number,
        before=here.parent,
        steps=here.steps,
        action=here.action,
        by=here.by,
        luck=here.luck,
        agreed=here.agreed,
        seen=here.real is not None,
        beliefs=here.beliefs,
      )
    )

  def show_dream(
    self, session: session_lib.Session, press: buttons.Press | None = None
  ) -> None:
    """The dream's frame, which the page has to draw before the next step."""
    if self._send is None:
      return
    self._sent += 1
    number, server_ms = 0, 0.0
    if press is not None and press.number:
      number = press.number
      server_ms = 1e3 * (time.monotonic() - press.told_s)
    picture = moments.unpack_frame(session.here.frame)
    here = session.here.number
    self.say(
      wire.frame(wire.DREAM, picture, here, self._sent, number, server_ms)
    )
    if not session.beside:
      self.tell_step(session)

  def show_real(self, session: session_lib.Session) -> None:
    """The game's frame, where it is known, and what is known of the moment."""
    if session.here.real is not None:
      picture = moments.unpack_frame(session.here.real)
      self.say(wire.frame(wire.REAL, picture, session.here.number))
    self.tell_step(session)

  def show_here(self, session: session_lib.Session) -> None:
    """Both frames of the moment one stands at."""
    self.show_dream(session)
    self.show_real(session)

  def tell_tree(self, session: session_lib.Session) -> None:
    """The tree of moments, with pictures that the page lacks."""
    if self._send is None:
      return
    knots = session.tree.knots(session.here)
    for moment, _ in knots:
      if moment.number not in self._thumbnails:
        self._thumbnails.add(moment.number)
        picture = moments.unpack_frame(moment.frame)
        self.say(wire.frame(wire.THUMBNAIL, picture, moment.number))
    self.say(
      wire.text(
        "tree",
        here=session.here.number,
        knots=[
          {
            "moment": moment.number,
            "before": before,
            "steps": moment.steps,
            "name": moment.name,
            "follows": moment.follows,
            "luck": moment.luck,
            "agreed": moment.agreed,
          }
          for moment, before in knots
        ],
      )
    )
