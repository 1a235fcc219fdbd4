"""What the comments of a configuration's classes say of each field.

The one place where a field is explained is its comment in the source: this
reads it there, so that help and code cannot differ.
"""

import ast
import functools
import inspect
import io
import textwrap
import tokenize


@functools.cache
def of_fields(cls: type) -> dict[str, tuple[str, ...]]:
  """Comment lines of every field of a dataclass, by name.

  Those above a field come first, then those behind it. Fields without any, and
  all where there is no source (a program that was packed without it), have
  none.
  """
  try:
    source = textwrap.dedent(inspect.getsource(cls))
  except (OSError, TypeError):
    return {}
  above, behind = _comments(source)
  node = ast.parse(source).body[0]
  assert isinstance(node, ast.ClassDef)
  found = {}
  for field in node.body:
    if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
      lines: list[str] = []
      row = field.lineno - 1
      while row in above:
        lines.insert(0, above[row])
        row -= 1
      last = field.end_lineno or field.lineno
      lines += [behind[r] for r in range(field.lineno, last + 1) if r in behind]
      found[field.target.id] = tuple(lines)
  return found


def of_class(cls: type) -> str:
  """The first paragraph of a class's docstring, as one line."""
  return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())


def _comments(source: str) -> tuple[dict[int, str], dict[int, str]]:
  """Comments that stand alone, and those behind code, by line."""
  above: dict[int, str] = {}
  behind: dict[int, str] = {}
  lines = source.splitlines()
  for token in tokenize.generate_tokens(io.StringIO(source).readline):
    if token.type == tokenize.COMMENT:
      row, column = token.start
      alone = not lines[row - 1][:column].strip()
      (above if alone else behind)[row] = token.string.lstrip("# ").rstrip()
  return above, behind
