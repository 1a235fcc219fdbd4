"""Tables and verdicts of `evaluate --what=blind`."""

from collections.abc import Mapping
from typing import Any

from experiments.reports import text_tables

# Kinds of pairs.
DREAM, REAL, BROKEN = "dream", "real, twice", "broken dream"
RECORDED, RECORDED_REAL = "dream, recorded", "real, recorded"
_SAID = {
  DREAM: "dream / game, other luck",
  REAL: "game / game, other lucks",
  BROKEN: "broken dream / game, other luck",
  RECORDED: "dream / recording",
  RECORDED_REAL: "game, other luck / recording",
}


def tables(result: Mapping[str, Any]) -> list[text_tables.Table]:
  """One row a kind of pair, a column a length."""
  lengths = result["lengths"]
  rows = []
  for kind, found in result["kinds"].items():
    cells = []
    for steps in lengths.values():
      one = found[str(steps)]
      cells += [_interval(one["share"]), str(one["identical"])]
    rows.append([_SAID[kind], *cells])
  header = ["which is which"]
  for name in lengths:
    header += [name, "same"]
  return [
    text_tables.Table(
      "Real or dreamt",
      header,
      rows,
      ["", *["faint"] * (len(rows) - 1)],
      f"{result['pairs']} pairs from rows of {result['episodes']} held-out "
      "episodes under the recorded buttons; how often a small classifier that "
      "learned from other episodes calls the first of both the dreamt one, "
      "with 95 % intervals over episodes; 0.5 is a coin. Same: pairs without "
      "a differing pixel, which count as half. A broken dream has "
      f"{result['exchanged_tiles']} of 360 tiles of every frame exchanged.",
    )
  ]


def verdicts(result: Mapping[str, Any]) -> list[text_tables.Verdict]:
  """Whether dreams pass, and whether the classifier is worth its name."""
  found = []
  for name, steps in result["lengths"].items():
    of = {kind: one[str(steps)] for kind, one in result["kinds"].items()}
    dream = of[DREAM]["share"]
    control = of[REAL]["share"]
    broken = of[BROKEN]["share"]
    found += [
      text_tables.Verdict(
        dream["low"] <= 0.5,
        f"Over {name} dreams are not told from the game: {_interval(dream)}",
      ),
      text_tables.Verdict(
        control["low"] <= 0.5 <= control["high"],
        f"Over {name} the game is not told from the game: {_interval(control)}",
      ),
      text_tables.Verdict(
        broken["low"] > 0.5,
        f"Over {name} broken dreams are found out: {_interval(broken)}",
      ),
    ]
  return found


def _interval(found: Mapping[str, float]) -> str:
  return f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
