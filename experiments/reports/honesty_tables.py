"""Tables and verdicts of `evaluate --what=dreams`."""

from collections.abc import Mapping
from typing import Any

from experiments.reports import text_tables
from pokedreamer_jax.evaluation import parting

ENOUGH_CORRELATION, ENOUGH_EVENTS = 0.8, 0.8
ENOUGH_REALISED = parting.ENOUGH_REALISED
# Kinds of event that a verdict speaks of, where they happened.
_JUDGED = ("badges", "species", "trainer_wins", "wild_wins")


def tables(result: Mapping[str, Any]) -> list[text_tables.Table]:
  """Returns and events of each player, and what gains are worth."""
  return [
    _returns(result),
    *_events(result),
    *gains(result["gains"], "Gains in return from the same starts"),
  ]


def verdicts(result: Mapping[str, Any]) -> list[text_tables.Verdict]:
  """Whether dreams may be trusted, in plain words."""
  found = []
  for name, player in result["players"].items():
    known = player["returns"]["all"]["correlation"]
    if known is not None:
      found.append(
        text_tables.Verdict(
          known["value"] >= ENOUGH_CORRELATION,
          f"Dreams of {name} rank starts as the game does: correlation of "
          f"returns {interval(known)}, {ENOUGH_CORRELATION} wanted",
        )
      )
    poor = [
      f"{kind} {number(row['precision'])} / {number(row['recall'])}"
      for kind, row in player["events"].items()
      if kind in _JUDGED
      and row["real"]
      and min(row["precision"] or 0.0, row["recall"] or 0.0) < ENOUGH_EVENTS
    ]
    found.append(
      text_tables.Verdict(
        not poor,
        f"Dreams of {name} foresee events (precision and recall "
        f"{ENOUGH_EVENTS} wanted)"
        + (": not " + ", ".join(poor) if poor else ""),
      )
    )
  for name, gain in result["gains"].items():
    ratio = gain["ratio"]
    if ratio is not None:
      found.append(
        text_tables.Verdict(
          ratio["value"] >= ENOUGH_REALISED and ratio["low"] > 0,
          f"Of what {name} gains in dreams the game pays {interval(ratio)}, "
          f"{ENOUGH_REALISED} wanted",
        )
      )
  return found


def _returns(result: Mapping[str, Any]) -> text_tables.Table:
  rows = []
  for name, player in result["players"].items():
    for where, row in player["returns"].items():
      known = row["correlation"]
      rows.append(
        [
          name,
          where,
          f"{row['dreamt']:.2f}",
          f"{row['real']:.2f}",
          interval(known),
          number(row["other_luck"]),
        ]
      )
  return text_tables.Table(
    f"Returns within {result['steps']} steps, dreamt and real",
    ["player", "starts", "dreamt", "real", "correlation [95 %]", "other luck"],
    rows,
    [""] * len(rows),
    f"{result['starts']} rows of {result['episodes']} held-out episodes, half "
    "of them shortly before events, each entered and played "
    f"{result['plays']} times, {result['dreams']} dreams from each. Other "
    "luck: correlation of half of the plays with the other half.",
  )


def _events(result: Mapping[str, Any]) -> list[text_tables.Table]:
  found = []
  for name, player in result["players"].items():
    rows = [
      [
        kind,
        f"{row['dreamt']:.1%}",
        f"{row['real']:.1%}",
        number(row["precision"]),
        number(row["recall"]),
        number(row["other_luck"]),
      ]
      for kind, row in player["events"].items()
    ]
    found.append(
      text_tables.Table(
        f"Events within {result['steps']} steps, {name}",
        ["event", "dreamt", "real", "precision", "recall", "other luck"],
        rows,
        [""] * len(rows),
        "Shares of the starts; of what was dreamt what came, of what came what "
        "was dreamt, and of what came in one play what came in another.",
      )
    )
  return found


def gains(found: Mapping[str, Any], title: str) -> list[text_tables.Table]:
  """A table of `honesty.realised` by the players' names; none of none."""
  rows = [
    [name, *(interval(gain[n]) for n in ("dreamt", "real", "ratio"))]
    for name, gain in found.items()
  ]
  if not rows:
    return []
  return [
    text_tables.Table(
      title,
      ["players", "in dreams [95 %]", "in the game [95 %]", "realised [95 %]"],
      rows,
      [""] * len(rows),
      "Realised: the gain in the game over that in dreams.",
    )
  ]


def number(value: float | None) -> str:
  """Two digits, or a dash where nothing can be said."""
  return "-" if value is None else f"{value:.2f}"


def interval(found: Mapping[str, float] | None) -> str:
  """A mean or another value with its interval."""
  if found is None:
    return "-"
  value = found["value"] if "value" in found else found["mean"]
  return f"{value:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
