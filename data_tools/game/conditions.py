"""Conditions on the state of a game, written by people.

    has_control and map_name == "Leaf Gym"
    badge_count >= 1 and not dialog_open
    cursor_shown and 0xCC26 == 2

Terms are joined by `and`. A term is a name, `not` a name, or a comparison
(`== != < <= > >=`) of a name with a number or a word. Names are the single
fields of `game_state.GameState` and what it derives; `0xC000` and the like
read one byte of memory, which is all that an unknown game has; `cursor_shown`
asks for a menu cursor on the screen, also where no game runs yet.
"""

from collections.abc import Callable
import dataclasses
import operator
import re
import shlex
from typing import Any

from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.game import roms

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
  "==": operator.eq,
  "!=": operator.ne,
  "<=": operator.le,
  ">=": operator.ge,
  "<": operator.lt,
  ">": operator.gt,
}
_WORDS = ("map_name", "facing_name")  # fields that are text
_PARTIES = ("party_species", "party_hp", "party_max_hp", "party_level",
            "party_xp")  # fmt: skip
FIELDS = (
  *(
    field.name
    for field in dataclasses.fields(game_state.GameState)
    if field.name not in _PARTIES
  ),
  *("badge_count", "facing_name", "total_hp", "total_max_hp"),
)
CURSOR = "cursor_shown"
_ADDRESS = re.compile(r"0x[0-9A-Fa-f]{1,4}")
_SCREEN = slice(
  ram.SCREEN_TILES, ram.SCREEN_TILES + ram.SCREEN_COLUMNS * ram.SCREEN_ROWS
)


@dataclasses.dataclass(frozen=True)
class _Term:
  """`name` compared with `value`, which has the name's type."""

  name: str
  comparison: str
  value: int | str


@dataclasses.dataclass(frozen=True)
class Condition:
  """A parsed condition for one game; made by `parse`."""

  text: str
  rom: roms.Rom
  terms: tuple[_Term, ...]

  def holds(self, memory: Any) -> bool:
    """Whether it holds now; `memory` slices like the 64 KiB address space."""
    state = None
    for term in self.terms:
      if _ADDRESS.fullmatch(term.name):
        found: Any = int(memory[int(term.name, 16)])
      elif term.name == CURSOR:
        found = int(ram.CURSOR_TILE in bytes(memory[_SCREEN]))
      else:
        if state is None:
          state = game_state.from_memory(memory, self.rom.map_names)
        found = getattr(state, term.name)
      if not _OPERATORS[term.comparison](found, term.value):
        return False
    return True


def parse(text: str, rom: roms.Rom) -> Condition:
  """Reads a condition.

  Raises:
    ValueError: malformed, an unknown name, or one that this ROM has not.
  """
  lexer = shlex.shlex(text, posix=True, punctuation_chars="=!<>")
  lexer.commenters = ""
  try:
    words = list(lexer)
  except ValueError as error:
    raise ValueError(f"condition {text!r}: {error}") from None
  terms: list[_Term] = []
  part: list[str] = []
  for word in [*words, "and"]:
    if word != "and":
      part.append(word)
      continue
    terms.append(_term(text, part, rom))
    part = []
  return Condition(text, rom, tuple(terms))


def _term(text: str, words: list[str], rom: roms.Rom) -> _Term:
  if len(words) == 1:
    name, comparison, value = words[0], "!=", "0"
  elif len(words) == 2 and words[0] == "not":
    name, comparison, value = words[1], "==", "0"
  elif len(words) == 3 and words[1] in _OPERATORS:
    name, comparison, value = words
  else:
    raise ValueError(
      f"condition {text!r}: {' '.join(words)!r} is no NAME, not NAME or "
      f"NAME {'|'.join(_OPERATORS)} VALUE"
    )
  is_address = _ADDRESS.fullmatch(name) is not None
  if not is_address and name not in (*FIELDS, CURSOR):
    raise ValueError(
      f"condition {text!r}: unknown name {name!r}; valid are 0xADDRESS, "
      f"{CURSOR}, {', '.join(FIELDS)}"
    )
  if not is_address and not rom.has_ram_fields:
    raise ValueError(
      f"condition {text!r}: {name} is not known of {rom.describe()}; ask for "
      "addresses such as 0xC000"
    )
  if name in _WORDS:
    if len(words) != 3 or comparison not in ("==", "!="):
      raise ValueError(f"condition {text!r}: {name} needs == or != and a word")
    return _Term(name, comparison, value)
  try:
    number = int({"true": "1", "false": "0"}.get(value, value), 0)
  except ValueError:
    raise ValueError(
      f"condition {text!r}: {value!r} is no number, true or false"
    ) from None
  return _Term(name, comparison, number)
