"""Success under goals, kind by kind: with the right goal, another, and none."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.reports import honesty_tables
from experiments.reports import text_tables
from pokedreamer_jax.world_model import statistics

ALL, OFF_WAY = "all kinds", "off the way"


def measure(
  kinds: Sequence[str],
  groups: Sequence[int] | np.ndarray,
  reached: np.ndarray,
  draws: int,
  dreamt: np.ndarray | None = None,
) -> dict[str, dict[str, Any]]:
  """Shares of the cases that reached their goal, per kind and over all kinds.

  Args:
    kinds: of each of `C` cases.
    groups: the episode of each; intervals are over episodes.
    reached: env steps `[C, 3]` of `goal_episodes.play`.
    draws: bootstrap resamples.
    dreamt: shares `[C]` of the dreams under the right goal that reach it.

  Returns:
    JSON-ready, by kind: `cases`, `right`, `other` and `none`, `median_steps`
    with the right goal, `dreamt` where dreams are given, and the paired gains
    `over_other`, `over_none` with intervals where there are two episodes.
  """
  names, episodes = np.asarray(kinds), np.asarray(groups)
  found = {}
  off = np.array([name.endswith(OFF_WAY) for name in kinds])
  whole = {ALL: np.full(len(names), True)}
  if off.any() and not off.all():
    whole = {f"all {OFF_WAY}": off, **whole}
  for kind in [*dict.fromkeys(kinds), *whole]:
    mine = whole[kind] if kind in whole else names == kind
    there = reached[mine] >= 0
    steps = reached[mine][there[:, 0], 0]
    right, other, none = there.mean(axis=0).tolist()
    found[kind] = {
      "cases": int(mine.sum()),
      "right": right,
      "other": other,
      "none": none,
      "median_steps": float(np.median(steps)) if len(steps) else None,
      "over_other": _gain(there, 1, episodes[mine], draws),
      "over_none": _gain(there, 2, episodes[mine], draws),
    }
    if dreamt is not None:
      found[kind]["dreamt"] = float(dreamt[mine].mean())
  return found


def _gain(
  there: np.ndarray, than: int, groups: np.ndarray, draws: int
) -> dict[str, float] | None:
  """What the right goal gains over another condition, paired."""
  if len(set(groups.tolist())) < 2:
    return None
  gained = there[:, 0].astype(float) - there[:, than]
  return statistics.bootstrap_mean(gained, draws, groups=groups)


def tables(result: Mapping[str, Any]) -> list[text_tables.Table]:
  """One table a player."""
  header = ["goal", "cases", "right goal", "another", "none", "median steps"]
  header += ["over another [95 %]", "over none [95 %]"]
  dreams = result.get("dreams")
  if dreams:
    header.insert(3, "right, dreamt")
  note = (
    "Share of the cases in which the goal was reached within "
    f"{result['limit']} steps of the moment that the game was entered at, when "
    "the policy was given that goal, another one, or none. The recording "
    f"reached each within {result['horizon']}; of those off the way another "
    "one did, from the same cell."
  )
  found = []
  for name, kinds in result["players"].items():
    rows = [
      [
        kind,
        str(row["cases"]),
        *(f"{row[c]:.0%}" for c in ("right", "other", "none")),
        "-" if row["median_steps"] is None else f"{row['median_steps']:.0f}",
        *(_interval(row[c]) for c in ("over_other", "over_none")),
      ]
      for kind, row in kinds.items()
    ]
    if dreams:
      for line, row in zip(rows, kinds.values(), strict=True):
        line.insert(3, f"{row['dreamt']:.0%}")
    marks = ["strong" if kind.startswith("all ") else "" for kind in kinds]
    title = f"Goals: {name}"
    found.append(text_tables.Table(title, header, rows, marks, note))
    note = ""
  return found + _dream_tables(dreams) if dreams else found


def _dream_tables(dreams: Mapping[str, Any]) -> list[text_tables.Table]:
  """What dreams under goals promise, and what the game pays."""
  rows = [
    [
      *(name, f"{row['dreamt']:.2f}", f"{row['real']:.2f}"),
      honesty_tables.interval(row["correlation"]),
      honesty_tables.number(row["other_luck"]),
    ]
    for name, row in dreams["players"].items()
  ]
  header = ["player", "dreamt", "in the game", "correlation [95 %]"]
  header += ["other luck"]
  note = (
    "Goals reached with the right goal, from the same moments; the correlation "
    "is over cases, of the share of the dreams with that of the games; with "
    "other luck: of half of the games with the other half."
  )
  table = text_tables.Table(
    "Dreams under goals", header, rows, [""] * len(rows), note
  )
  title = "Goals gained from the same moments"
  return [table, *honesty_tables.gains(dreams["gains"], title)]


def verdicts(result: Mapping[str, Any]) -> list[text_tables.Verdict]:
  """Whether the goal that is given decides what is done."""
  found = []
  for name, kinds in result["players"].items():
    # Where it goes on as always it reaches what lies on the way.
    row = kinds.get(f"all {OFF_WAY}", kinds[ALL])
    gain = row["over_other"]
    weak = [
      kind
      for kind, found_row in kinds.items()
      if not kind.startswith("all ") and found_row["right"] < 0.9
    ]
    found.append(
      text_tables.Verdict(
        None if gain is None else gain["low"] > 0,
        f"{name} does what it is told: of the goals off the way it reaches "
        f"{row['right']:.0%} with the right one, {row['other']:.0%} with "
        f"another, {row['none']:.0%} with none; of all goals "
        f"{kinds[ALL]['right']:.0%}; below 90 %: {', '.join(weak) or 'none'}.",
      )
    )
  return found


def _interval(gain: Mapping[str, float] | None) -> str:
  if gain is None:
    return "-"
  return f"{gain['mean']:+.0%} [{gain['low']:+.0%}, {gain['high']:+.0%}]"
