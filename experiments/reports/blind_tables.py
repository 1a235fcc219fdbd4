"""Tables and verdicts of `evaluate --what=blind`."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from experiments.reports import text_tables

# Kinds of pairs; results from before the judge knew the game have five.
DREAM, REAL = "dream", "real, twice"
BROKEN, JUMPING, HALTING = "broken dream", "jumping dream", "halting dream"
DEAF, NOISY = "deaf dream", "shaken dream"
RECORDED, RECORDED_REAL = "dream, recorded", "real, recorded"
CONTROLS = (BROKEN, JUMPING, HALTING, DEAF, NOISY)  # to be found out
_TOLD = 8  # marks that are told of
SAID = {
  DREAM: "dream / game, other luck",
  REAL: "game / game, other lucks",
  BROKEN: "dream with wrong tiles / game",
  JUMPING: "dream that jumps / game",
  HALTING: "dream that halts / game",
  DEAF: "dream under other buttons / game",
  NOISY: "dream of a shaken model / game",
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
    rows.append([SAID.get(kind, kind), *cells])
  header = ["which is which"]
  for name in lengths:
    header += [name, "same"]
  found_tables = [
    text_tables.Table(
      "Real or dreamt",
      header,
      rows,
      ["", *["faint"] * (len(rows) - 1)],
      f"{result['pairs']} pairs from rows of {result['episodes']} held-out "
      "episodes under the recorded buttons; how often a judge that "
      "learned from other episodes calls the first of both the dreamt one, "
      "with 95 % intervals over episodes; 0.5 is a coin. Same: pairs without "
      "a differing pixel, which count as half. " + _about(result),
    )
  ]
  if marks := result.get("marks"):
    found_tables.append(_marks_table(marks))
  return found_tables


def _about(result: Mapping[str, Any]) -> str:
  """What was broken, and what the judge has seen."""
  tiles = (
    f"Wrong tiles: {result['exchanged_tiles']} of 360 of every frame are "
    "others of the same frame."
  )
  if "seen_rows" not in result:
    return tiles
  return (
    f"{tiles} Jumps: from step {result['jump_step']} on the dream of another "
    f"start. Halts: every {result['halt_steps']}th frame is the one before. "
    f"The judge has seen {result['seen_rows']:,} recorded rows of episodes "
    "that the model was trained on."
  )


def _marks_table(marks: Sequence[Mapping[str, Any]]) -> text_tables.Table:
  """What the judge counts, where dreams and game differ most."""
  rows = [
    [
      one["mark"],
      *(f"{one[side]:.3f}" for side in ("other", "real")),
      *(f"{one[side]:.0%}" for side in ("other_more", "real_more")),
    ]
    for one in marks[:_TOLD]
  ]
  return text_tables.Table(
    "What gives dreams away",
    ["what is counted", "dream", "game", "dream has more", "game has more"],
    rows,
    [""] * len(rows),
    "Of each step on average, and the share of the pairs in which one side "
    "has more over all steps. Never seen: in the rows that the judge has seen.",
  )


def verdicts(result: Mapping[str, Any]) -> list[text_tables.Verdict]:
  """Whether dreams pass, and whether the judge is worth its name."""
  found = []
  for name, steps in result["lengths"].items():
    of = {kind: one[str(steps)] for kind, one in result["kinds"].items()}
    dream = of[DREAM]["share"]
    control = of[REAL]["share"]
    found += [
      text_tables.Verdict(
        dream["low"] <= 0.5,
        f"Over {name} dreams are not told from the game: {_interval(dream)}",
      ),
      text_tables.Verdict(
        control["low"] <= 0.5 <= control["high"],
        f"Over {name} the game is not told from the game: {_interval(control)}",
      ),
    ]
    for kind in CONTROLS:
      if kind in of:
        broken = of[kind]["share"]
        told = f"Over {name} found out is a {kind}: {_interval(broken)}"
        found.append(text_tables.Verdict(broken["low"] > 0.5, told))
  return found


def _interval(found: Mapping[str, float]) -> str:
  return f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
