"""The real game beside a dream: an emulator in a process of its own.

The child plays what it is told and answers with rows of step fields. It keeps
states of the machine on the way, so that a moment is entered again by playing
a few buttons and not all of them; a machine that goes on from a state shows
what it would have shown (`data_tools/records/replay.py`).
"""

import collections
import contextlib
import copy
import dataclasses
from multiprocessing import connection as connections
from typing import Any

import numpy as np

from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import episodes
from data_tools.system import children

Row = dict[str, Any]  # step fields, without a leading axis

_EVERY = 32  # steps between kept states of the machine
_MOST_KEPT = 128  # of 110 kB each
_LIMIT_S = 60.0  # for an answer; thousands of buttons may be played for one


@dataclasses.dataclass(frozen=True)
class Start:
  """Where a game begins."""

  state: str = ""  # name of a start state, for people; "" is power-on
  seed: int = 0  # of the frames that are waited
  jitter_frames: int = 0  # most frames to wait


class Gone(Exception):
  """The process of the game died, or does not answer."""


class Game:
  """The child process; one question at a time, from any thread."""

  def __init__(self, rom: roms.Rom, demonstrator: str = "demonstrator"):
    """Starts it; to be called by the main thread, with which it ends."""
    self._child = children.Child(_work, rom, demonstrator, name="game")
    self._lost = False

  @property
  def lost(self) -> bool:
    """Whether it is gone."""
    return self._lost or not self._child.is_alive()

  def begin(self, start: Start, save_state: bytes | None) -> Row:
    """The first row of a game.

    Raises:
      ValueError: the state does not fit.
      Gone: the process is.
    """
    return self._ask("begin", start, save_state)

  def step(self, action: int) -> Row:
    """The next row, after a button."""
    return self._ask("step", action)

  def enter(self, actions: bytes) -> Row:
    """The row after these buttons from the start on."""
    return self._ask("enter", actions)

  def choose(self, seed: int) -> int:
    """What the demonstrator would press now.

    Args:
      seed: of its taste; another one makes another demonstrator.

    Raises:
      ValueError: it does not play this game.
    """
    return self._ask("choose", seed)

  def close(self) -> None:
    """Ends the process."""
    with contextlib.suppress(OSError, ValueError):
      self._child.connection.send(("close",))
    self._child.close(patience_s=0.2)
    self._lost = True

  def _ask(self, *question: Any) -> Any:
    if self.lost:
      raise Gone("the game's process has ended")
    try:
      self._child.connection.send(question)
      if not self._child.connection.poll(_LIMIT_S):
        self._lost = True
        self._child.kill()
        raise Gone(f"the game did not answer within {_LIMIT_S:.0f} s")
      kind, answer = self._child.connection.recv()
    except (EOFError, OSError) as error:
      self._lost = True
      raise Gone(f"the game's process {self._child.how_it_ended()}") from error
    if kind == "ok":
      return answer
    if kind == "ValueError":
      raise ValueError(answer)
    self._lost = True
    raise Gone(f"the game's process: {answer}")


def _work(
  connection: connections.Connection, rom: roms.Rom, demonstrator: str
) -> None:
  """Answers questions, in the child."""
  with contextlib.suppress(EOFError, OSError), _Machine(rom) as machine:
    player = _Chooser(demonstrator, machine)
    while (question := connection.recv())[0] != "close":
      name, *arguments = question
      try:
        ask = player.choose if name == "choose" else getattr(machine, name)
        connection.send(("ok", ask(*arguments)))
      except Exception as error:
        connection.send(children.explain(error))


class _Machine:
  """An emulator, what was pressed since its start, and states on the way."""

  def __init__(self, rom: roms.Rom):
    self.emulator = emulator_lib.Emulator(rom)
    self._actions = bytearray()
    # Buttons from the start on -> machine and reader there, oldest first.
    self._kept: collections.OrderedDict[bytes, tuple[bytes, Any]]
    self._kept = collections.OrderedDict()

  def __enter__(self) -> "_Machine":
    return self

  def __exit__(self, *error: object) -> None:
    self.emulator.close()

  def begin(self, start: Start, save_state: bytes | None) -> Row:
    self._kept.clear()
    self._restart = (start, save_state)
    self.emulator.reset(start.seed, save_state, start.jitter_frames)
    self._reader = episodes.RowReader(self.emulator.rom)
    self._actions = bytearray()
    return self._row()

  def step(self, action: int) -> Row:
    if len(self._actions) % _EVERY == 0:
      self._keep()
    self.emulator.step(action)
    self._actions.append(action)
    return self._row()

  def enter(self, actions: bytes) -> Row:
    # A state that was gone back to shows nothing before its next step.
    near = max(
      (known for known in self._kept if _begins(actions, known)),
      key=len,
      default=None,
    )
    if near is None:
      row = self.begin(*self._restart)
    else:
      state, reader = self._kept[near]
      self._kept.move_to_end(near)
      self.emulator.resume(state)
      self._reader = copy.deepcopy(reader)
      self._actions = bytearray(near)
    for action in actions[len(self._actions) :]:
      row = self.step(action)
    return row

  def _keep(self) -> None:
    known = bytes(self._actions)
    if known not in self._kept:
      reader = copy.deepcopy(self._reader)
      self._kept[known] = self.emulator.save_state(), reader
      while len(self._kept) > _MOST_KEPT:
        self._kept.popitem(last=False)

  def _row(self) -> Row:
    row = self._reader.read(
      self.emulator.frame()[None], self.emulator.ram()[None]
    )
    return {name: np.array(value[0]) for name, value in row.items()}


def _begins(actions: bytes, known: bytes) -> bool:
  return len(known) < len(actions) and actions.startswith(known)


class _Chooser:
  """The demonstrator, looking at a machine's memory."""

  def __init__(self, behaviour: str, machine: _Machine):
    self._behaviour, self._machine = behaviour, machine
    self._seed: int | None = None

  def choose(self, seed: int) -> int:
    emulator = self._machine.emulator
    if seed != self._seed:
      self._policy = policies.make_policy(self._behaviour, emulator.rom)
      self._policy.reset(episodes.policy_rng(seed))
      self._seed = seed
    return int(self._policy.act(emulator.memory))


def demonstrates(rom: roms.Rom, behaviour: str = "demonstrator") -> bool:
  """Whether a demonstrator plays this game."""
  try:
    policies.make_policy(behaviour, rom)
  except ValueError:
    return False
  return True
