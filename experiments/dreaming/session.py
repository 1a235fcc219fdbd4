"""One session: where its player stands, what is asked next, what came of it.

No clock, no web and no process: who runs a session takes the work that it
names to a `models.Stepper`, plays the real game as it says, and hands back what
came. A step is two pieces of work: the dream's, and then the look at the real
game's row. Chance is a function of luck and step, so that a log of what was
done gives the same frames again.
"""

from collections.abc import Iterable
import dataclasses
from typing import Any

import numpy as np

from experiments.dreaming import beliefs
from experiments.dreaming import game as game_lib
from experiments.dreaming import input_log
from experiments.dreaming import models
from experiments.dreaming import moments
from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import dream_play

PEOPLE = ("person", "policy", "demonstrator", "log", "record")  # who plays


class Session:
  """What one player does.

  Attributes:
    start: where the game began.
    tree: all moments.
    here: the moment one stands at.
    luck: of the steps from here on.
    likely: whether these take what is most likely.
    beside: whether the real game is played beside the dream.
    goal: what the policy is asked for.
  """

  def __init__(
    self,
    stepper: models.Stepper,
    reader: beliefs.Reader,
    rom_sha1: str,
    start: game_lib.Start,
    luck: int,
    likely: bool = False,
  ):
    """Nothing is seen before `began`."""
    import jax

    self._jax = jax
    self._stepper, self._reader = stepper, reader
    self._like, self._shape = jax.tree.flatten(stepper.nobody)
    self._rom_sha1 = rom_sha1
    self._player = stepper.nobody
    self.start = start
    self.tree = moments.Tree()
    self.here: moments.Moment
    self.luck, self.likely = luck, likely
    self.beside = True
    self.goal = goal_specs.NONE
    self._goal_vector = np.zeros(goal_embeddings.DIM, np.float32)
    self.choice = specs.PASS  # what the policy would press here

  def begin(self, row: game_lib.Row) -> models.Work:
    """Work that sees the first row, from where the dream begins."""
    return self._player, self._ask(
      *(0, specs.PASS),
      row=row,
      sees=True,
      follows=True,
      shows=True,
      is_first=True,
    )

  def began(self, outcome: models.Outcome, row: game_lib.Row) -> moments.Moment:
    """The first moment."""
    self._player, shown = outcome
    self.here = self.tree.add(
      self._moment(shown, None, 0, luck=self.luck, likely=self.likely)
    )
    self._saw(self.here, shown, row, surprised=False)
    return self.here

  def press(self, action: int) -> models.Work:
    """Work that dreams a step.

    Raises:
      ValueError: the session is full, or there is no such button.
    """
    if not 0 <= action < specs.NUM_ACTIONS:
      raise ValueError(f"button: {action}, expected 0..{specs.PASS}")
    if self.tree.is_full:
      raise ValueError(
        f"session: {moments.MOST} moments, no more are kept: begin a new one"
      )
    return self._player, self._ask(
      *(self.here.steps + 1, action), dreams=True, shows=True
    )

  def pressed(
    self, outcome: models.Outcome, action: int, by: str
  ) -> moments.Moment:
    """The moment after a dreamt step, where one stands now."""
    self._player, shown = outcome
    self.here = self.tree.add(
      self._moment(
        shown,
        *(self.here, self.here.steps + 1),
        action=action,
        by=by,
        luck=self.luck,
        likely=self.likely,
      )
    )
    self.choice = int(shown.choice)
    return self.here

  def press_and_see(self, action: int, row: game_lib.Row) -> models.Work:
    """Work that dreams a step and sees the real row that the button led to.

    The same as `press` and `see`, in one call; errors as of `press`.
    """
    player, asked = self.press(action)
    cfg = self._stepper.model.config.world_model
    return player, dataclasses.replace(
      asked,
      sees=np.asarray(True),
      frame=row["frame"],
      ram=dream_play.ram_of(cfg, row),
    )

  def pressed_and_saw(
    self, outcome: models.Outcome, action: int, by: str, row: game_lib.Row
  ) -> moments.Moment:
    """The moment after both."""
    moment = self.pressed(outcome, action, by)
    if moment.real is None:
      self._saw(moment, outcome[1], row)
    return moment

  def see(
    self, row: game_lib.Row, moment: moments.Moment | None = None
  ) -> models.Work:
    """Work that sees the real row of a moment; its dream stays.

    Args:
      row: of the real game.
      moment: one whose parent was seen; None is where one stands.
    """
    if moment is None or moment is self.here:
      moment, player = self.here, self._player
    else:
      player = self._unpacked(moment)
    if moment.parent is not None:
      before = self._unpacked(self.tree[moment.parent])
      player = dataclasses.replace(player, seen=before.seen, real=before.real)
    action = specs.PASS if moment.action is None else moment.action
    asked = self._ask(moment.steps, action, sees=True, row=row)
    return player, dataclasses.replace(
      asked, luck=np.asarray(moment.luck, np.uint32)
    )

  def saw(
    self,
    outcome: models.Outcome,
    row: game_lib.Row,
    moment: moments.Moment | None = None,
  ) -> moments.Moment:
    """The moment, with what the real game shows."""
    player, shown = outcome
    moment = self.here if moment is None else moment
    if moment is self.here:
      self._player = player
    moment.state = self._packed(player)
    self._saw(moment, shown, row)
    return moment

  def missing(self) -> list[moments.Moment]:
    """Moments up to here whose real row was not seen, the first one first."""
    return [m for m in self.tree.path(self.here) if m.real is None]

  def follow(self) -> models.Work:
    """Work that lets the dream go on from what was seen of the real game.

    Raises:
      ValueError: the real game was not seen here.
    """
    if self.here.real is None:
      raise ValueError("resync: the real game is not at this moment")
    return self._player, self._ask(
      *(self.here.steps, specs.PASS), follows=True, shows=True
    )

  def followed(self, outcome: models.Outcome) -> moments.Moment:
    """A moment of its own, at the same step."""
    self._player, shown = outcome
    before = self.here
    moment = self._moment(
      shown,
      *(before, before.steps),
      luck=self.luck,
      likely=self.likely,
      follows=True,
    )
    moment.real = before.real
    moment.beliefs["real"] = before.beliefs.get("real")
    self.here = self.tree.add(moment)
    self.choice = int(shown.choice)
    return self.here

  def look(self) -> models.Work:
    """Work that changes nothing: what the policy would do under a new goal."""
    return self._player, self._ask(self.here.steps, specs.PASS, shows=True)

  def looked(self, outcome: models.Outcome) -> None:
    """What the policy would press here."""
    shown = outcome[1]
    self.choice = int(shown.choice)
    self.here.beliefs |= self._reader.opinions(shown)

  def go(self, moment: moments.Moment) -> moments.Moment:
    """Stands at another moment, with the luck that led there."""
    self._player = self._unpacked(moment)
    self.here = moment
    self.luck, self.likely = moment.luck, moment.likely
    self.choice = int(moment.beliefs.get("choice", specs.PASS))
    return moment

  def pursue(self, goal: goal_specs.Goal) -> None:
    """Asks the policy for something from now on.

    Raises:
      ValueError: it cannot be asked.
    """
    if goal.kind != "none" and not self._stepper.model.reads_goals:
      raise ValueError("goal: this policy was not trained under goals")
    self.goal = goal
    vector = goal_embeddings.embed_goal(goal)
    self._goal_vector = np.asarray(vector, np.float32)

  def buttons(self, moment: moments.Moment | None = None) -> bytes:
    """What was pressed from the start to a moment: where its game stands."""
    path = self.tree.path(self.here if moment is None else moment)
    return bytes(m.action for m in path if m.action is not None)

  def log(self) -> input_log.Log:
    """What was done from the start to here."""
    return input_log.Log(
      model=self._stepper.model.name,
      rom_sha1=self._rom_sha1,
      state=self.start.state,
      seed=self.start.seed,
      jitter_frames=self.start.jitter_frames,
      moves=moves(self.tree.path(self.here)),
    )

  def check(self, log: input_log.Log) -> list[str]:
    """Why a log will not give the same frames here, if so.

    Raises:
      ValueError: it is of another game.
    """
    if log.rom_sha1 != self._rom_sha1:
      raise ValueError(
        f"log: of the game with SHA-1 {log.rom_sha1[:12]}, this is "
        f"{self._rom_sha1[:12]}"
      )
    if log.model != self._stepper.model.name:
      return [
        f"This log was made with model {log.model}, here is "
        f"{self._stepper.model.name}: its dreams will be others."
      ]
    return []

  def clip(self, most: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Frames `[T, 144, 40]` of the last steps: dreamt, and real if all are."""
    path = self.tree.path(self.here)[-most:]
    dreamt = np.stack([moments.unpack_frame(m.frame) for m in path])
    if any(m.real is None for m in path):
      return dreamt, None
    return dreamt, np.stack(
      [moments.unpack_frame(m.real) for m in path if m.real is not None]
    )

  def _ask(
    self,
    step: int,
    action: int,
    row: game_lib.Row | None = None,
    **flags: bool,
  ) -> dream_play.Asked:
    asked: dream_play.Asked = self._stepper.nothing
    changes: dict[str, Any] = {
      name: np.asarray(value, bool) for name, value in flags.items()
    }
    if row is not None:
      cfg = self._stepper.model.config.world_model
      changes |= {"frame": row["frame"], "ram": dream_play.ram_of(cfg, row)}
    return dataclasses.replace(
      asked,
      **changes,
      likely=np.asarray(self.likely, bool),
      action=np.asarray(action, np.int32),
      luck=np.asarray(self.luck, np.uint32),
      step=np.asarray(step, np.uint32),
      goal=self._goal_vector,
    )

  def _moment(
    self,
    shown: dream_play.Shown,
    parent: moments.Moment | None,
    steps: int,
    **known: Any,
  ) -> moments.Moment:
    return moments.Moment(
      number=-1,
      parent=None if parent is None else parent.number,
      steps=steps,
      state=self._packed(self._player),
      frame=moments.pack_frame(shown.frame),
      beliefs=self._reader.dreamt(shown),
      **known,
    )

  def _saw(
    self,
    moment: moments.Moment,
    shown: dream_play.Shown,
    row: game_lib.Row,
    surprised: bool = True,
  ) -> None:
    moment.real = moments.pack_frame(row["frame"])
    moment.beliefs["real"] = self._reader.real(row)
    if surprised:
      moment.beliefs["surprise"] = self._reader.surprise(shown)
    before = 0
    if moment.parent is not None:
      before = self.tree[moment.parent].agreed
    agree = bool((moments.unpack_frame(moment.frame) == row["frame"]).all())
    moment.agreed = before + 1 if agree and moment.parent is not None else 0

  def _packed(self, player: dream_play.Player) -> bytes:
    leaves = self._jax.tree.leaves(player)
    return moments.pack_tree([np.asarray(leaf) for leaf in leaves])

  def _unpacked(self, moment: moments.Moment) -> dream_play.Player:
    leaves = moments.unpack_tree(moment.state, self._like)
    return self._jax.tree.unflatten(self._shape, leaves)


def moves(path: Iterable[moments.Moment]) -> str:
  """The letters of a path from the start on, as `input_log.events` reads."""
  letters: list[str] = []
  luck: int | None = None
  likely = False
  for moment in path:
    if moment.luck != luck:
      letters.append(f"L{moment.luck};")
      luck = moment.luck
    if moment.likely != likely:
      letters.append("M" if moment.likely else "m")
      likely = moment.likely
    if moment.follows:
      letters.append("S")
    if moment.action is not None:
      letters.append(input_log.press(moment.action))
  return "".join(letters)
