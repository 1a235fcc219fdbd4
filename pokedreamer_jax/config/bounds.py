"""Bounds of configuration fields; standard library only.

Messages name fields as `--set` does, `train.steps`.
"""

from collections.abc import Sequence
import difflib
import re
from typing import Any

from pokedreamer_jax import specs


def at_least(node: Any, least: int, *names: str) -> None:
  """Raises ValueError where a field of `node` is below `least`."""
  for name in names:
    value = getattr(node, name)
    if value < least:
      raise ValueError(
        f"{part(node)}.{name}: {value}, expected at least {least}"
      )


def one_of(node: Any, name: str, allowed: Sequence[str]) -> None:
  """Raises ValueError where the field `name` has none of the values allowed."""
  value = getattr(node, name)
  if value not in allowed:
    # Misspelt, not merely alike: trpo is not grpo.
    close = difflib.get_close_matches(str(value), allowed, 1, cutoff=0.8)
    hint = specs.did_you_mean(close)
    raise ValueError(
      f"{part(node)}.{name}: {value!r}{hint}, expected one of {list(allowed)}"
    )


def part(node: Any) -> str:
  """The field of `Config` that a component is: `goals` of `GoalsConfig`."""
  words = re.findall("[A-Z][a-z]*", type(node).__name__.removesuffix("Config"))
  return "_".join(words).lower()
