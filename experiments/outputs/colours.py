"""Verdicts, notes and headings in colour, where a terminal can show it."""

from typing import TextIO

from experiments.outputs import folding
from experiments.outputs import screen

# What is marked at the beginning of a line, and how.
_STYLES = {
  r"(?m)^\[yes\]": "bold green",
  r"(?m)^\[NO\] ": "bold red",
  r"(?m)^\[n/a\]": "bold yellow",
  r"(?m)^Note:": "yellow",
  r"(?m)^(Result|Next:|Report:)": "bold",
  r"(?m)^ *# .*$": "dim",
}


def show(text: str, stream: TextIO) -> None:
  """Prints lines; anything but a terminal gets them as they are."""
  text = folding.for_stream(text, stream)
  if not screen.is_lively(stream):
    print(text, file=stream, flush=True)
    return
  from rich import console
  from rich import text as rich_text

  lines = rich_text.Text(text)
  for pattern, style in _STYLES.items():
    lines.highlight_regex(pattern, style)
  console.Console(file=stream, highlight=False).print(lines, soft_wrap=True)
  stream.flush()
