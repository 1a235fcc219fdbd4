"""Long lines on a terminal: ended between words, never inside one."""

import os
import re
import textwrap
from typing import TextIO

_COMMAND = re.compile(r"^(.*?: )?( *(?:\$ )?)(\S*python\S* -m .*)$")
_LEAST_COLUMNS = 20


def for_stream(text: str, stream: TextIO) -> str:
  """The text as it is to be printed; unchanged where that is no terminal."""
  try:
    if not stream.isatty():
      return text
    columns = os.get_terminal_size(stream.fileno()).columns
  except (OSError, ValueError):
    return text
  return fold(text, columns)


def fold(text: str, columns: int) -> str:
  """Breaks lines that are longer than a terminal is wide.

  A command goes on after a backslash, so that it can be copied; a comment of it
  keeps its place. A word that is longer than a line is left to the terminal.

  Args:
    text: lines.
    columns: of the terminal; a width of few is none (a terminal may say 0).
  """
  if columns < _LEAST_COLUMNS:
    return text
  return "\n".join(
    line if len(line) <= columns else _folded(line, columns)
    for line in text.split("\n")
  )


def _folded(line: str, columns: int) -> str:
  if found := _COMMAND.match(line):
    said, indent, command = found.groups()
    comment = ""
    if "   # " in command:
      command, _, comment = command.partition("   # ")
    lines = [said.rstrip()] if said else []
    lines += [f"{indent}# {comment}"] if comment else []
    parts = _wrapped(command, indent, f"{' ' * len(indent)}  ", columns - 2)
    return "\n".join([*lines, " \\\n".join(parts)])
  indent = line[: len(line) - len(line.lstrip())]
  # Columns of a table stay where they are.
  if "  " in line.strip():
    return line
  return "\n".join(_wrapped(line.strip(), indent, f"{indent}  ", columns))


def _wrapped(text: str, first: str, then: str, width: int) -> list[str]:
  return textwrap.wrap(
    text,
    width,
    initial_indent=first,
    subsequent_indent=then,
    break_long_words=False,
    break_on_hyphens=False,
  )
