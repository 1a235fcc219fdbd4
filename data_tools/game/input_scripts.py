"""Scripts of inputs: a small text format that plays a game to some moment.

    # a comment
    press a               one agent step (24 frames) with the button
    press down 3          three such steps
    wait 30               30 steps without input
    walk up 3             three tiles, each step repeated while blocked
    until has_control     waits until a condition holds, see `conditions`
    press b until not dialog_open within 200
                          presses on every step until it holds
    press start every 5 until game_running
                          presses on every fifth step
    save before_gym       names the state of this moment

Buttons are down, left, right, up, a, b, start. An `until` that takes more than
1,000 steps (or those of `within`) is an error, as is a `walk` that is blocked.
"""

from collections.abc import Callable
import dataclasses
import pathlib
import re
from typing import Any
from typing import Protocol

from data_tools.game import conditions
from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.system import files
from pokedreamer_jax import specs

FOLDER = pathlib.Path(__file__).parent / "scripts"
SUFFIX = ".txt"
DEFAULT_WITHIN_STEPS = 1000
_MOST_SCRIPT_BYTES = 1 << 20
_MOST_COUNT = 100_000
_BLOCKED_STEPS = 8  # presses without a move: the way is blocked
_SETTLE_STEPS = 40  # most steps until the player can walk on a new map

_BUTTONS = tuple(name for name in specs.ACTIONS if name != "pass")
_DIRECTIONS = ("down", "left", "right", "up")
_LINE = re.compile(
  r"press (?P<button>\S+)( (?P<times>\d+))?"
  r"|wait (?P<wait>\d+)"
  r"|walk (?P<direction>\S+)( (?P<tiles>\d+))?"
  r"|(press (?P<repeated>\S+)( every (?P<every>\d+))? )?"
  r"until (?P<condition>.+?)( within (?P<within>\d+))?"
  r"|save (?P<save>\S+)"
)


class Game(Protocol):
  """What a script plays, such as `emulator.Emulator`."""

  @property
  def memory(self) -> Any:
    """Slices like the 64 KiB address space."""

  def step(self, action: int) -> None:
    """Runs one agent step."""


@dataclasses.dataclass(frozen=True)
class Command:
  """One line; only the fields of its kind mean something."""

  kind: str  # "press", "walk", "until" or "save"
  where: str  # for messages: number and text of the line
  action: int = specs.PASS
  count: int = 1  # steps of a press, tiles of a walk
  condition: conditions.Condition | None = None
  every: int = 1  # steps from press to press of an `until`
  within: int = DEFAULT_WITHIN_STEPS  # most steps of an `until`
  name: str = ""  # of the state to save


@dataclasses.dataclass(frozen=True)
class Script:
  """A parsed script for one game."""

  name: str
  text: str
  commands: tuple[Command, ...]

  @property
  def saves(self) -> list[str]:
    """Names of the states that it saves."""
    return [c.name for c in self.commands if c.kind == "save"]


def names() -> list[str]:
  """Scripts that come with the project."""
  return sorted(path.stem for path in FOLDER.glob("*" + SUFFIX))


def read(name: str, rom: roms.Rom) -> Script:
  """Reads a script file, or one of those that come with the project.

  Raises:
    ValueError: there is none, or a line is malformed; all are named.
  """
  path = FOLDER / (name + SUFFIX) if name in names() else pathlib.Path(name)
  try:
    text = files.read(path, _MOST_SCRIPT_BYTES).decode("utf-8")
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, "strerror", None) or "no text"
    raise ValueError(
      f"script {name}: {reason}; expected a file or one of {names()}"
    ) from None
  return parse(text, rom, path.stem)


def parse(text: str, rom: roms.Rom, name: str = "script") -> Script:
  """Reads the text of a script.

  Raises:
    ValueError: a line is malformed, or a state is saved twice.
  """
  commands = []
  for number, line in enumerate(text.splitlines(), 1):
    line = " ".join(line.partition("#")[0].split())
    if line:
      where = f"script {name}, line {number}, {line!r}"
      try:
        commands.append(_command(line, where, rom))
      except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
  if not commands:
    raise ValueError(f"script {name}: no commands in it")
  script = Script(name, text, tuple(commands))
  if len(set(script.saves)) != len(script.saves):
    raise ValueError(f"script {name}: saves a name twice: {script.saves}")
  return script


def run(
  script: Script,
  game: Game,
  save: Callable[[str], None] = lambda name: None,
  stepped: Callable[[int], None] = lambda action: None,
) -> None:
  """Plays a script.

  Args:
    script: what to play.
    game: where it stands is where the script begins.
    save: called with the name where the script saves.
    stepped: called with the action after every step.

  Raises:
    ValueError: a condition did not come, or a way was blocked; the message
      says on which line and where the game stood.
  """

  def step(action: int) -> None:
    game.step(action)
    stepped(action)

  for command in script.commands:
    if command.kind == "save":
      save(command.name)
    elif command.kind == "press":
      for _ in range(command.count):
        step(command.action)
    elif command.kind == "walk":
      _walk(command, game, step)
    else:
      _until(command, game, step)


def _command(line: str, where: str, rom: roms.Rom) -> Command:
  match = _LINE.fullmatch(line)
  if match is None:
    raise ValueError(
      "expected press BUTTON [TIMES], wait STEPS, walk DIRECTION [TILES], "
      "[press BUTTON [every STEPS]] until CONDITION [within STEPS] or save NAME"
    )
  count = lambda group: _count(match[group] or "1")
  if match["button"]:
    return Command("press", where, _button(match["button"]), count("times"))
  if match["wait"]:
    return Command("press", where, specs.PASS, count("wait"))
  if match["direction"]:
    if match["direction"] not in _DIRECTIONS:
      raise ValueError(
        f"direction {match['direction']!r}, expected one of {list(_DIRECTIONS)}"
      )
    if not rom.has_ram_fields:
      raise ValueError(f"walk needs the position: {rom.describe()}")
    action = specs.ACTIONS.index(match["direction"])
    return Command("walk", where, action, count("tiles"))
  if match["save"]:
    return Command("save", where, name=match["save"])
  return Command(
    "until",
    where,
    _button(match["repeated"]) if match["repeated"] else specs.PASS,
    condition=conditions.parse(match["condition"], rom),
    every=count("every"),
    within=_count(match["within"] or str(DEFAULT_WITHIN_STEPS)),
  )


def _button(name: str) -> int:
  if name not in _BUTTONS:
    raise ValueError(f"button {name!r}, expected one of {list(_BUTTONS)}")
  return specs.ACTIONS.index(name)


def _count(text: str) -> int:
  if not 0 < int(text) <= _MOST_COUNT:
    raise ValueError(f"{text}: expected 1 to {_MOST_COUNT}")
  return int(text)


def _until(command: Command, game: Game, step: Callable[[int], None]) -> None:
  assert command.condition is not None
  for t in range(command.within):
    if command.condition.holds(game.memory):
      return
    step(command.action if t % command.every == 0 else specs.PASS)
  if not command.condition.holds(game.memory):
    raise ValueError(
      f"{command.where}: not so within {command.within} steps; "
      f"{_whereabouts(game, command.condition.rom)}"
    )


def _walk(command: Command, game: Game, step: Callable[[int], None]) -> None:
  for _ in range(_SETTLE_STEPS):  # a step from before is none of these tiles
    if not game_state.is_arriving(game.memory):
      break
    step(specs.PASS)
  for tile in range(command.count):
    before = _place(game)
    for _ in range(_BLOCKED_STEPS):
      # A step that is walked and not told yet must not become two.
      arrives = game_state.is_arriving(game.memory)
      step(specs.PASS if arrives else command.action)
      if _place(game) != before:
        break
    else:
      raise ValueError(
        f"{command.where}: blocked after {tile} tiles at map {before[0]}, "
        f"x {before[1]}, y {before[2]}"
      )
    if _place(game)[0] != before[0]:  # another map: it is drawn first
      for _ in range(_SETTLE_STEPS):
        if game_state.from_memory(game.memory).has_control:
          break
        step(specs.PASS)


def _place(game: Game) -> tuple[int, int, int]:
  memory = game.memory
  return memory[ram.MAP_ID], memory[ram.PLAYER_X], memory[ram.PLAYER_Y]


def _whereabouts(game: Game, rom: roms.Rom) -> str:
  if not rom.has_ram_fields:
    return "unknown game"
  state = game_state.from_memory(game.memory, rom.map_names)
  if not state.game_running:
    return "no game is running"
  return (
    f"the game is at {state.map_name}, x {state.x}, y {state.y}"
    f"{', in a battle' if state.in_battle else ''}"
    f"{', text open' if state.dialog_open else ''}"
  )
