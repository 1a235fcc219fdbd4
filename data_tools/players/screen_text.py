"""Reads what is written on the screen: lines, menus and their cursor."""

from typing import Any

from data_tools.cartridge import generator
from data_tools.game import ram_addresses as ram
from pokedreamer_jax import specs

_CHARACTERS = {tile: letter for letter, tile in generator.CHARSET.items()}
_CURSOR = generator.CHARSET["▶"]
_A = specs.ACTIONS.index("a")


def read(memory: Any) -> list[str]:
  """The 18 lines of the screen, 20 characters each; scenery is blank."""
  tiles = memory[
    ram.SCREEN_TILES : ram.SCREEN_TILES + ram.SCREEN_COLUMNS * ram.SCREEN_ROWS
  ]
  letters = "".join([_CHARACTERS.get(tile, " ") for tile in tiles])
  return [
    letters[i : i + ram.SCREEN_COLUMNS]
    for i in range(0, len(letters), ram.SCREEN_COLUMNS)
  ]


def cursor(lines: list[str]) -> tuple[int, int] | None:
  """(row, column) of the menu's cursor, None without a menu."""
  for row, line in enumerate(lines):
    column = line.find(_CHARACTERS[_CURSOR])
    if column >= 0:
      return row, column
  return None


def marked(lines: list[str]) -> str:
  """The text right of the cursor, "" without one."""
  at = cursor(lines)
  return lines[at[0]][at[1] + 1 :].strip() if at else ""


def entries(lines: list[str]) -> list[str]:
  """Texts in the cursor's column, from top to bottom."""
  at = cursor(lines)
  if at is None:
    return []
  texts = [line[at[1] + 1 :].strip() for line in lines[_top(lines, at) :]]
  return [text for text in texts if text]


def steer(lines: list[str], word: str) -> int | None:
  """The action that brings the cursor to `word`, A when it is there.

  None where no menu shows the word.
  """
  at = cursor(lines)
  if at is None:
    return None
  places = [
    (row, line.index(word) - 1)
    for row, line in enumerate(lines)
    if word in line and line.index(word) > 0
  ]
  places = [
    (row, column)
    for row, column in places
    if lines[row][column] in (" ", _CHARACTERS[_CURSOR])
  ]
  if not places:
    return None
  return go_to(
    lines,
    min(places, key=lambda place: (place[1] != at[1], abs(place[0] - at[0]))),
  )


def go_to(lines: list[str], place: tuple[int, int]) -> int | None:
  """The action that brings the cursor to a (row, column), A when it is there.

  None without a menu.
  """
  at = cursor(lines)
  if at is None:
    return None
  row, column = place
  if place == at:
    return _A
  if row != at[0]:
    return specs.ACTIONS.index("down" if row > at[0] else "up")
  return specs.ACTIONS.index("right" if column > at[1] else "left")


def _top(lines: list[str], at: tuple[int, int]) -> int:
  """First line of the menu: above it the cursor's column is written on."""
  row = at[0]
  while row and lines[row - 1][at[1]] == " ":
    row -= 1
  return row
