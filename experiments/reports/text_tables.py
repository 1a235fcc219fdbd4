"""Tables and verdicts, and how a terminal shows them."""

from collections.abc import Sequence
import dataclasses
import shutil
import textwrap


@dataclasses.dataclass(frozen=True)
class Table:
  """Text cells, first column left-aligned.

  Attributes:
    title: above it.
    header: one text per column.
    rows: cells.
    kinds: per row "", "faint" (a reference line) or "strong" (the subject).
    note: below it, or empty.
    group: columns that stay together where a table has to be split.
  """

  title: str
  header: list[str]
  rows: list[list[str]]
  kinds: list[str]
  note: str = ""
  group: int = 1


@dataclasses.dataclass(frozen=True)
class Verdict:
  """A statement and whether it holds; None where it was not measured."""

  holds: bool | None
  text: str


NOTHING = "-"  # a cell of what was not measured


def plain_table(table: Table) -> list[str]:
  """Lines of a table for a terminal; a wide one is split by columns.

  A part of it leaves out the rows that say nothing there.
  """
  lines = []
  for columns in _blocks(table):
    cells = [[row[c] for c in columns] for row in [table.header, *table.rows]]
    cells[1:] = filter(_says_something, cells[1:])
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for index, row in enumerate(cells):
      text = [row[0].ljust(widths[0])]
      text += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
      lines.append("  " + "  ".join(text).rstrip())
      if index == 0:
        lines.append("  " + "-" * (sum(widths) + 2 * (len(widths) - 1)))
    lines.append("")
  return lines[:-1]


def plain_tables(tables: Sequence[Table]) -> list[str]:
  """Lines of tables with their titles and notes, a blank one after each."""
  lines = []
  for table in tables:
    lines += [table.title, *plain_table(table)]
    lines += [*wrap([table.note] if table.note else []), ""]
  return lines


def markdown_tables(tables: Sequence[Table]) -> list[str]:
  """The same for a page in Markdown; what a table is about is in bold."""
  lines = []
  for table in tables:
    bold = "**" if "strong" in table.kinds else ""
    lines += [f"**{table.title}**", "", _markdown_row(table.header)]
    lines.append("|" + "---|" * len(table.header))
    for row, kind in zip(table.rows, table.kinds, strict=True):
      first = f"{bold}{row[0]}{bold}" if kind == "strong" else row[0]
      lines.append(_markdown_row([first, *row[1:]]))
    lines += ["", *([table.note, ""] if table.note else [])]
  return lines


def without_empty(table: Table) -> Table:
  """The table without rows, and without groups of columns, that say nothing."""
  rows, kinds = [], []
  for row, kind in zip(table.rows, table.kinds, strict=True):
    if _says_something(row):
      rows.append(row)
      kinds.append(kind)
  kept = [0]
  for first in range(1, len(table.header), table.group):
    columns = range(first, min(first + table.group, len(table.header)))
    if any(row[c] != NOTHING for row in rows for c in columns):
      kept += columns
  return dataclasses.replace(
    table,
    header=[table.header[c] for c in kept],
    rows=[[row[c] for c in kept] for row in rows],
    kinds=kinds,
  )


def spread(values: Sequence[float | None], form: str) -> str:
  """The mean over seeds and their range, as `0.53 [0.51 0.56]`.

  Args:
    values: one per seed; None where it has none.
    form: of a number, such as `.2f`.

  Returns:
    `NOTHING` where a seed has none, or there is no seed.
  """
  known = [value for value in values if value is not None]
  if len(known) < len(values) or not known:
    return NOTHING
  mean = f"{sum(known) / len(known):{form}}"
  if len(known) == 1:
    return mean
  return f"{mean} [{min(known):{form}} {max(known):{form}}]"


def plain_verdicts(verdicts: Sequence[Verdict]) -> list[str]:
  """Lines of verdicts for a terminal."""
  marks = {True: "[yes]", False: "[NO] ", None: "[n/a]"}
  lines = []
  for verdict in verdicts:
    first, *rest = wrap([verdict.text], indent=6)
    lines += [f"{marks[verdict.holds]} {first}", *(f"      {r}" for r in rest)]
  return lines


def _says_something(row: Sequence[str]) -> bool:
  return any(cell != NOTHING for cell in row[1:])


def _markdown_row(cells: Sequence[str]) -> str:
  return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def wrap(texts: Sequence[str], indent: int = 0) -> list[str]:
  """Notes wrapped for a terminal, with room for an indent."""
  width = _width() - indent
  return [line for text in texts for line in textwrap.wrap(text, width)]


def _width() -> int:
  """Columns to write in: the terminal's, within reason."""
  return min(max(shutil.get_terminal_size((96, 24)).columns - 1, 60), 120)


def _blocks(table: Table) -> list[list[int]]:
  """Column numbers per block, each with the first column and fitting."""
  width = _width() - 2
  cells = [table.header, *table.rows]
  widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
  blocks, current, used = [], [0], widths[0]
  for first in range(1, len(widths), table.group):
    columns = list(range(first, min(first + table.group, len(widths))))
    added = sum(widths[column] + 2 for column in columns)
    if used + added > width and len(current) > 1:
      blocks.append(current)
      current, used = [0], widths[0]
    current += columns
    used += added
  return [*blocks, current]
