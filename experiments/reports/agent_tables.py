"""What planners gained, as tables and in words."""

from collections.abc import Mapping
from typing import Any

from experiments.reports import agent_measures
from experiments.reports import text_tables

_NONE = agent_measures.NONE
_WANTED_RATIO = 0.6  # of the steps without a planner, to the second badge
_WANTED_ASKS = 1.0  # in 500 env steps, beyond events


def tables(result: Mapping[str, Any]) -> list[text_tables.Table]:
  """How far, what was gained, goals by kind, and what was asked."""
  over_none = _gained(
    result["gains"],
    "What a planner gained",
    "gained over none",
    f"  as a share of those of {_NONE}",
    "the same without a planner",
  )
  over_first = _gained(
    result.get("over_first") or {},
    "What a policy gained",
    "gained over the first",
    "  as a share of those of the first",
    "that of the first policy under the same planner",
  )
  return [
    *(_far(result), *over_none, *over_first),
    *_kinds(result, "errands", "Errands by kind", _ERRANDS),
    *_kinds(result, "kinds", "Goals by kind", _GOALS),
    _asked(result),
  ]


def details(result: Mapping[str, Any]) -> list[text_tables.Table]:
  """Every milestone of the demonstrations; none without knowledge."""
  found = result["planners"]
  first = next(iter(found.values()))
  if not first["milestones"]:
    return []
  rows = []
  for number, milestone in enumerate(first["milestones"]):
    nth = f" ({milestone['nth']})" if milestone["nth"] > 1 else ""
    rows.append(
      [
        f"{milestone['goal']}{nth}",
        f"{milestone['shown_at']:.0f}",
        *(_times(p["milestones"][number]) for p in found.values()),
      ]
    )
  note = "Share of the games, with the median step of those that got there."
  header = ["milestone", "shown at", *found]
  return [_table("Milestones of the demonstrations", header, rows, note)]


def _far(result: Mapping[str, Any]) -> text_tables.Table:
  found = result["planners"]
  most = max((len(p["badges"]) for p in found.values()), default=0)
  keys = ("badges", "maps", "cells", "trainer_wins", "species", "stuck")
  header = ["planner", *(f"badge {k}" for k in range(1, most + 1))]
  header += [key.replace("_", " ") for key in keys]
  rows = []
  for name, planner in found.items():
    badges = planner["badges"]
    row = [name, *(_times(b) for b in badges), *["-"] * (most - len(badges))]
    for key in keys:
      values = planner["by_game"][key]
      row.append(f"{sum(values) / len(values):.2f}")
    rows.append(row)
  note = (
    f"{result['games']} games of at most {result['env_steps']:,} env steps, "
    "the same seeds under each planner. Badges: share of the games, with the "
    "median step of those that got there; the rest are means of a game."
  )
  return _table("Both systems: how far they came", header, rows, note)


def _gained(
  gains: Mapping[str, Any], title: str, over: str, share: str, other: str
) -> list[text_tables.Table]:
  if not gains:
    return []
  rows = []
  most = max((len(g["to_badges"]) for g in gains.values()), default=0)
  for k in range(most):
    # Each counts up to the most badges that it or none earned.
    of_badge = [g["to_badges"][k : k + 1] for g in gains.values()]
    rows.append(
      [
        f"steps to badge {k + 1}",
        *(_interval(b[0]["steps"] if b else None, "+.0f") for b in of_badge),
      ]
    )
    rows.append(
      [
        share,
        *(_interval(b[0]["ratio"] if b else None, ".0%") for b in of_badge),
      ]
    )
  for key in agent_measures.COMPARED:
    rows.append(
      [
        key.replace("_", " "),
        *(_interval(g[key], "+.2f") for g in gains.values()),
      ]
    )
  note = (
    f"Mean differences of a game to {other}, with 95 % intervals. A badge that "
    "was not earned counts as all steps there are."
  )
  return [_table(title, [over, *gains], rows, note)]


_ERRANDS = (
  "Errands are what planners named: share of a kind that was done. "
  "The others ran out of time, led nowhere, or another took their place."
)
_GOALS = (
  "What the policy pursued on the way to errands: share of a kind that was "
  "reached. The others ran out of time, led nowhere, or another goal took "
  "their place."
)


def _kinds(
  result: Mapping[str, Any], key: str, title: str, note: str
) -> list[text_tables.Table]:
  found = {n: p[key] for n, p in result["planners"].items() if p.get(key)}
  names = sorted({kind for kinds in found.values() for kind in kinds})
  if not names:
    return []
  rows = []
  for kind in names:
    row = [kind]
    for kinds in found.values():
      outcomes = kinds.get(kind, {})
      ended, reached = sum(outcomes.values()), outcomes.get("reached", 0)
      row.append(f"{reached / ended:.0%} of {ended}" if ended else "-")
    rows.append(row)
  return [_table(title, ["kind", *found], rows, note)]


def _asked(result: Mapping[str, Any]) -> text_tables.Table:
  header = ["planner", "asked", "beyond events", "led", "calls", "with a goal"]
  header += ["tokens in", "out", "USD", "p50 ms", "p99 ms"]
  rows = []
  for name, planner in result["planners"].items():
    cost, times = planner["cost_usd"], planner["times"]
    rows.append(
      [
        name,
        f"{planner['asks_per_500']:.2f}",
        f"{planner['asks_beyond_events_per_500']:.2f}",
        f"{planner['led_per_500']:.1f}",
        f"{planner['calls_per_500']:.2f}",
        f"{planner['share_with_goal']:.1%}",
        f"{planner['tokens_in']:,}",
        f"{planner['tokens_out']:,}",
        "-" if cost is None else f"{cost:.4f}",
        f"{times['p50_ms']:.1f}",
        f"{times['p99_ms']:.1f}",
      ]
    )
  note = (
    f"Asked, led and calls: in {agent_measures.PER_ENV_STEPS} env steps; "
    f"events are {', '.join(agent_measures.EVENTS)}. Led: goals on the way, "
    "which the driver named and asked nobody. With a goal: share of the env "
    "steps with a goal that a predicate judges. A decision is that of all "
    "games side by side."
  )
  return _table("What planners were asked", header, rows, note)


def verdicts(result: Mapping[str, Any]) -> list[text_tables.Verdict]:
  """Whether each planner earns its calls."""
  found = []
  for name, gain in result["gains"].items():
    for row in gain["to_badges"][:2]:
      found.append(_badge(name, row, result["games"]))
    asks = result["planners"][name]["asks_beyond_events_per_500"]
    found.append(
      text_tables.Verdict(
        asks <= _WANTED_ASKS,
        f"{name} is asked {asks:.2f} times in 500 env steps beyond events, "
        f"wanted at most {_WANTED_ASKS:g}.",
      )
    )
  return found


def _badge(
  name: str, row: Mapping[str, Any], games: int
) -> text_tables.Verdict:
  never = not row["games_none"]
  enough = never and row["games"] >= games / 2
  return text_tables.Verdict(
    row["ratio"]["mean"] <= _WANTED_RATIO or enough,
    f"{name} earns badge {row['badge']} in {row['games']} of {games} games, "
    f"{_NONE} in {row['games_none']}, in {_interval(row['ratio'], '.0%')} of "
    f"its steps; wanted {_WANTED_RATIO:.0%}, or half of the games where none "
    "does.",
  )


def _table(title, header, rows, note) -> text_tables.Table:
  kinds = ["faint" if row[0].endswith(_NONE) else "" for row in rows]
  return text_tables.Table(title, header, rows, kinds, note)


def _times(reached: Mapping[str, Any]) -> str:
  if reached["median"] is None:
    return "0%"
  return f"{reached['share']:.0%} at {reached['median']:.0f}"


def _interval(gain: Mapping[str, float] | None, form: str) -> str:
  if gain is None:
    return "-"
  mean, low, high = (format(gain[key], form) for key in ("mean", "low", "high"))
  return f"{mean} [{low}, {high}]"
