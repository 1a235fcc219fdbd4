"""Bounds of configuration fields; standard library only."""

from collections.abc import Sequence
from typing import Any


def at_least(node: Any, least: int, *names: str) -> None:
  """Raises ValueError where a field of `node` is below `least`."""
  for name in names:
    value = getattr(node, name)
    if value < least:
      raise ValueError(f"{name}: {value}, expected at least {least}")


def one_of(node: Any, name: str, allowed: Sequence[str]) -> None:
  """Raises ValueError where the field `name` has none of the values allowed."""
  if getattr(node, name) not in allowed:
    raise ValueError(
      f"{name}: {getattr(node, name)!r}, expected one of {list(allowed)}"
    )
