"""Values of goals against what held-out episodes reached, as tables."""

from collections.abc import Mapping
from typing import Any

from experiments.reports import text_tables


def tables(result: Mapping[str, Any]) -> list[text_tables.Table]:
  """Tables of a result of `train_goal_values`; none without held-out rows."""
  if "kinds" not in result:
    return []
  return [_kinds(result), _bins(result)]


def out_of_reach(result: Mapping[str, Any]) -> list[str]:
  """Lines: goals that are said to be out of reach, and where that is wrong."""
  goals = result.get("goals", {})
  far = [name for name, row in goals.items() if row["out_of_reach"]]
  seen = lambda row: row["reached_in_training"] + row["reached_held_out"]
  wrong = [name for name in far if seen(goals[name])]
  never = [n for n, row in goals.items() if not seen(row) and n not in far]
  lines = [f"out of reach: {', '.join(far) or 'no goal'}"] if goals else []
  if wrong:
    lines.append(f"of these the records reach: {', '.join(wrong)}")
  if never:
    lines.append(f"in reach, though no record reaches it: {', '.join(never)}")
  return lines


def _kinds(result: Mapping[str, Any]) -> text_tables.Table:
  names = [*result["kinds"], "all"]
  found = {**result["kinds"], "all": result["all"]}
  rows = [
    [
      name,
      str(row["goals"]),
      str(row["reached"]),
      _share(row["share"]),
      _number(row["auc"]),
      _number(row["auc_base"]),
      _number(row["auc_each"]),
    ]
    for name, row in ((name, found[name]) for name in names)
  ]
  return text_tables.Table(
    title=f"Reached within {result['horizon']} steps?",
    header=["kind", "goals", "reached", "share", "AUC", "base", "AUC by goal"],
    rows=rows,
    kinds=["" for _ in result["kinds"]] + ["strong"],
    note=(
      f"{result['rows']} rows of {result['episodes']} held-out episodes. AUC: "
      "how often rows and goals of a kind that are reached are valued above "
      "others; base: the same by how often a goal was reached in training. By "
      "goal: the mean over goals of the AUC over their rows, 0.5 without a "
      "view of the row."
    ),
  )


def _bins(result: Mapping[str, Any]) -> text_tables.Table:
  rows = []
  for row in result["bins"]:
    steps = f"{row['from']} to {row['to']}" if row["to"] else "more"
    rows.append(
      [
        steps,
        str(row["rows"]),
        _share(row.get("share")),
        _number(row.get("value")),
        _number(row.get("came")),
        _number(row.get("value_reached")),
        _number(row.get("came_reached")),
        _steps(row.get("said_steps")),
        _steps(row.get("came_steps")),
      ]
    )
  return text_tables.Table(
    title="What values say, and what came",
    header=[
      *("steps said", "rows x goals", "reached", "value", "came"),
      *("value (reached)", "came", "steps said", "came"),
    ],
    rows=rows,
    kinds=["" for _ in rows],
    note=(
      "value: mean of V; came: mean of gamma^(n - 1) for n steps to the goal, "
      "0 where it was not reached before the episode ended. The last four: of "
      f"what was reached within {result['horizon']} steps, steps as medians. "
      "Players of records wanted other goals: what is near need not come."
    ),
  )


def _share(value: float | None) -> str:
  return "" if value is None else f"{100.0 * value:.1f} %"


def _number(value: float | None) -> str:
  return "" if value is None else f"{value:.3f}"


def _steps(value: float | None) -> str:
  return "" if value is None else f"{value:.0f}"
