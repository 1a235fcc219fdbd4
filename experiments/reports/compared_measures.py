"""What `evaluate` measured of players side by side, averaged over seeds.

Play, goals, dreams, agents and long dreams. A measurement is read as parts:
what each is about, and its cells by row and column; `tables` then puts the
parts of many measurements together. Cells are means over the seeds of a row
and, in brackets, the lowest and the highest of them.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from experiments.reports import goal_tables
from experiments.reports import text_tables

Results = dict[str, list[dict[str, Any]]]  # name of a row -> one per seed
Cells = dict[str, tuple[float | None, str]]  # column -> number and its format
_Values = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Part:
  """Some numbers of one measurement.

  Attributes:
    title: what they are about.
    corner: what its rows are.
    rows: cells by player, or by player and what is measured of it.
    note: how to read them.
  """

  title: str
  corner: str
  rows: dict[str, Cells]
  note: str = ""


@dataclasses.dataclass(frozen=True)
class Kind:
  """A stage of `evaluate`.

  Attributes:
    same: fields of a result, `part.field`, that the runs of a row share.
    same_config: fields of its configuration likewise.
    counted: what was measured, from a result.
    parts: the numbers of a result.
  """

  same: tuple[str, ...]
  same_config: tuple[str, ...]
  counted: Callable[[_Values], str]
  parts: Callable[[_Values], list[Part]]


def tables(kind: Kind, results: Results) -> list[text_tables.Table]:
  """A table for each part, a line for each row's player."""
  shown = []
  found = {
    name: [kind.parts(seed) for seed in seeds]
    for name, seeds in results.items()
  }
  # Evaluations of one kind may differ in what they could tell.
  about = {p.title: p for seeds in found.values() for s in seeds for p in s}
  for title, part in about.items():
    by_run = {
      name: [_rows_of(parts, title) for parts in seeds]
      for name, seeds in found.items()
    }
    shown.append(_table(part, by_run, _counted(kind, results)))
  return [table for table in shown if table.rows]


def badge_table(results: Results) -> text_tables.Table:
  """Of play, seed by seed: share of the games with a badge, and the steps."""
  count = max(len(seeds) for seeds in results.values())
  rows = []
  for name, seeds in results.items():
    for label, players in _aligned(name, [s["policies"] for s in seeds]):
      cells = [_badge(player) for player in players]
      cells += [text_tables.NOTHING] * (count - len(cells))
      known = [p for p in players if p is not None]
      if len(known) == count > 1:
        cells.append(_badge(_mean_of(known)))
      elif count > 1:
        cells.append(text_tables.NOTHING)
      rows.append([label, *cells])
  header = ["games with the badge", *_seed_names(results, count)]
  header += ["all"] if count > 1 else []
  note = (
    "Share of the games (mean steps to the badge; a game without one counts "
    f"as long as it may last). {_counted(PLAY, results)}"
  )
  return text_tables.without_empty(
    text_tables.Table("Badges", header, rows, [""] * len(rows), note)
  )


def gain_table(results: Results, than: str) -> text_tables.Table:
  """Of play, seed by seed: what the players of a run gain over another.

  Raises:
    ValueError: no run measured anybody beside that player.
  """
  count = max(len(seeds) for seeds in results.values())
  rows = []
  for name, seeds in results.items():
    gains = [
      {
        row["policy"]: row
        for row in seed.get("comparisons", ())
        if row["than"] == than and "with_badge" in row
      }
      for seed in seeds
    ]
    for label, found in _aligned(name, gains):
      for title, key, form, times in (
        ("points with the badge", "with_badge", "+.0f", 100),
        ("steps to it", "badge_steps", "+.0f", 1),
        ("wild battles won", "wild_wins", "+.1f", 1),
      ):
        cells = [_interval(row and row[key], form, times) for row in found]
        cells += [text_tables.NOTHING] * (count - len(cells))
        rows.append([f"{label}, {title}", *cells])
  if not rows:
    measured = sorted(
      {p for seeds in results.values() for s in seeds for p in s["policies"]}
    )
    raise ValueError(
      f"--than={than}: no run measured a player beside it, expected one of "
      f"{measured} that stands in one evaluation with another"
    )
  note = (
    "Paired over the games of one evaluation, 95 % intervals. Steps: a game "
    "without a badge counts as long as it may last."
  )
  header = [f"gained over {than}", *_seed_names(results, count)]
  return text_tables.without_empty(
    text_tables.Table("Gains", header, rows, [""] * len(rows), note)
  )


def numbers(kind: Kind, results: Results) -> dict[str, Any]:
  """What the tables show, per seed, for JSON."""

  def told(parts: Iterable[Part]) -> dict[str, Any]:
    return {
      part.title: {
        row: {
          column: None if value is None else round(value, 4)
          for column, (value, _) in cells.items()
        }
        for row, cells in part.rows.items()
      }
      for part in parts
    }

  return {
    name: [
      {
        "directory": seed["directory"],
        "seed": seed["config"].get("seed"),
        "measured": kind.counted(seed),
        **told(kind.parts(seed)),
      }
      for seed in seeds
    ]
    for name, seeds in results.items()
  }


def _play_parts(result: _Values) -> list[Part]:
  columns = {
    "badges": ("badges", ".2f"),
    "species": ("species", ".2f"),
    "new maps": ("maps", ".1f"),
    "trainer wins": ("trainer_wins", ".2f"),
    "wild wins": ("wild_wins", ".1f"),
    "loops": ("stuck", ".2f"),
    "loops outside battles": ("stuck_outside_battles", ".2f"),
    "return": ("return", ".2f"),
    "without wild": ("return_without_wild", ".2f"),
  }
  rows = {
    name: {
      column: (part_of(measured, f"{key}.mean"), form)
      for column, (key, form) in columns.items()
    }
    for name, measured in result["policies"].items()
  }
  for objective, found in result.get("own", {}).items():
    for name, cells in rows.items():
      paid = found["returns"].get(name)
      cells[f"by {objective}"] = (paid and paid["mean"], ".2f")
  note = (
    "Means of a game. Loops: share of its steps in a cell of more than 20 of "
    "the last 100. Return: by the published weights; without wild: battles won "
    "and XP gained in the grass do not count."
  )
  if result.get("own"):
    note += " By ...: what a policy was paid in training, where that differs."
  return [Part("Play in the emulator", "player", rows, note)]


def _goal_parts(result: _Values) -> list[Part]:
  wanted = (goal_tables.ALL, f"all {goal_tables.OFF_WAY}")
  shares = {"right goal": "right", "another": "other", "none": "none"}
  found = []
  for whole in (True, False):
    rows: dict[str, Cells] = {}
    for player, kinds in result["players"].items():
      for kind, row in kinds.items():
        if (kind in wanted) == whole:
          cells: Cells = {c: (row[k], ".0%") for c, k in shares.items()}
          cells["over another"] = (part_of(row, "over_other.mean"), "+.0%")
          cells["over none"] = (part_of(row, "over_none.mean"), "+.0%")
          rows[f"{player}, {kind}"] = cells
    title = "Goals reached" if whole else "Goals reached, kind by kind"
    found.append(Part(title, "player", rows))
  return found


def _dream_parts(result: _Values) -> list[Part]:
  returns: dict[str, Cells] = {}
  events: dict[str, Cells] = {}
  for player, found in result["players"].items():
    for where, row in found["returns"].items():
      returns[f"{player}, {where}"] = {
        "dreamt": (row["dreamt"], ".2f"),
        "real": (row["real"], ".2f"),
        "correlation": (part_of(row, "correlation.value"), ".2f"),
        "other luck": (row["other_luck"], ".2f"),
      }
    for kind, row in found["events"].items():
      events[f"{player}, {kind}"] = {
        "dreamt": (row["dreamt"], ".1%"),
        "real": (row["real"], ".1%"),
        **{
          column.replace("_", " "): (row[column], ".2f")
          for column in ("precision", "recall", "other_luck")
        },
      }
  gains: dict[str, Cells] = {
    pair: {
      "in dreams": (part_of(gain, "dreamt.mean"), ".2f"),
      "in the game": (part_of(gain, "real.mean"), ".2f"),
      "realised": (part_of(gain, "ratio.value"), ".2f"),
    }
    for pair, gain in result["gains"].items()
  }
  luck = "Other luck: one half of the plays told by the other."
  return [
    Part("Returns, dreamt and real", "player, starts", returns, luck),
    Part("Events, dreamt and real", "player, event", events, luck),
    Part(
      *("Gains in return from the same starts", "players", gains),
      "Realised: the gain in the game over that in dreams.",
    ),
  ]


def _agent_parts(result: _Values) -> list[Part]:
  keys = ("badges", "maps", "cells", "trainer_wins", "species", "stuck")
  far: dict[str, Cells] = {}
  for name, planner in result["planners"].items():
    cells: Cells = {
      f"badge {k}": (badge["share"], ".0%")
      for k, badge in enumerate(planner["badges"], start=1)
    }
    for key in keys:
      value = part_of(planner, f"measures.{key}.mean")
      cells[key.replace("_", " ")] = (value, ".2f")
    cells["calls"] = (planner["calls"], ".0f")
    cells["US$"] = (planner["cost_usd"], ".2f")
    far[name] = cells
  gains: dict[str, Cells] = {
    name: {
      key.replace("_", " "): (part_of(gain, f"{key}.mean"), "+.2f")
      for key in keys
    }
    for name, gain in result["gains"].items()
  }
  return [
    Part("Both systems: how far they came", "planner", far, "Means of a game."),
    Part("Gained over none", "planner", gains, "Means of a game."),
  ]


def _long_dream_parts(result: _Values) -> list[Part]:
  shares = {
    "known tiles": "known_share",
    "through walls": "wall_share",
    "as last time": "alike_share",
    "whole words": "whole_share",
  }
  rows: dict[str, Cells] = {}
  for name, found in result["players"].items():
    cells: Cells = {
      column: (part_of(found, f"{key}.value"), ".3f")
      for column, key in shares.items()
    }
    cells["collapsed"] = (found["collapsed"] / found["sequences"], ".0%")
    rows[name] = cells
  return [Part("Long dreams", "player", rows)]


PLAY = Kind(
  ("rom.sha1", "episodes", "episode_length", "greedy"),
  ("jitter_frames", "save_state"),
  lambda r: f"{r['episodes']} games of at most {r['episode_length']} steps",
  _play_parts,
)
KINDS = {
  "evaluate_play": PLAY,
  "evaluate_goals": Kind(
    ("rom.sha1", "limit", "horizon"),
    ("jitter_frames",),
    lambda r: f"within {r['limit']} steps, {r['episodes']} held-out episodes",
    _goal_parts,
  ),
  "evaluate_dreams": Kind(
    ("rom.sha1", "steps", "plays", "dreams"),
    ("jitter_frames",),
    lambda r: f"{r['starts']} rows, {r['steps']} steps from each",
    _dream_parts,
  ),
  "evaluate_agent": Kind(
    ("rom.sha1", "games", "env_steps"),
    (),
    lambda r: f"{r['games']} games of at most {r['env_steps']} steps",
    _agent_parts,
  ),
  "evaluate_long_dream": Kind(
    ("rom.sha1", "steps", "dreams"),
    ("jitter_frames",),
    lambda r: f"{r['dreams']} dreams of {r['steps']} steps",
    _long_dream_parts,
  ),
}


def _table(
  part: Part, by_run: Mapping[str, Sequence[Mapping[str, Cells]]], counted: str
) -> text_tables.Table:
  columns = list(
    dict.fromkeys(
      column
      for seeds in by_run.values()
      for rows in seeds
      for cells in rows.values()
      for column in cells
    )
  )
  shown = []
  for name, seeds in by_run.items():
    for label, found in _aligned(name, seeds):
      row = [label]
      for column in columns:
        cells = [(each or {}).get(column, (None, "")) for each in found]
        form = next((form for _, form in cells if form), "")
        row.append(text_tables.spread([value for value, _ in cells], form))
      shown.append(row)
  note = " ".join(
    filter(None, [part.note, "Mean over seeds [lowest highest].", counted])
  )
  return text_tables.without_empty(
    text_tables.Table(
      part.title, [part.corner, *columns], shown, [""] * len(shown), note
    )
  )


def _rows_of(parts: Iterable[Part], title: str) -> dict[str, Cells]:
  return next((part.rows for part in parts if part.title == title), {})


def _aligned(
  run: str, seeds: Sequence[Mapping[str, Any]]
) -> list[tuple[str, list[Any]]]:
  """A row's text -> what each seed has of it, None where it has nothing.

  Where every seed has one player, and not all by the same name, they are what
  the run is about.
  """
  labels = list(dict.fromkeys(label for found in seeds for label in found))
  if labels == [run] or (
    len(labels) > 1 and all(len(found) == 1 for found in seeds)
  ):
    return [(run, [next(iter(found.values())) for found in seeds])]
  return [
    (f"{run}: {label}", [each.get(label) for each in seeds]) for label in labels
  ]


def _seed_names(results: Results, count: int) -> list[str]:
  """Heads of the columns: seeds by their number, where all rows have them."""
  named = {
    tuple(seed["config"].get("seed") for seed in seeds)
    for seeds in results.values()
    if len(seeds) == count
  }
  known = named.pop() if len(named) == 1 else (None,)
  if len(set(known)) < count or None in known:
    known = tuple(f"no. {number + 1}" for number in range(count))
    return list(known) if count > 1 else ["share"]
  return [f"seed {seed}" for seed in known]


def _counted(kind: Kind, results: Results) -> str:
  """What was measured: once, where it is the same of every row."""
  said = {
    name: " / ".join(dict.fromkeys(map(kind.counted, seeds)))
    for name, seeds in results.items()
  }
  if len(set(said.values())) == 1:
    return f"Measured: {next(iter(said.values()))}."
  told = "; ".join(f"{name}: {text}" for name, text in said.items())
  return f"Measured: {told}."


def _badge(player: _Values | None) -> str:
  share = None if player is None else part_of(player, "milestones.badges.share")
  if share is None:
    return text_tables.NOTHING
  steps = part_of(player, "badge_steps.mean")
  return f"{share:.0%}" + ("" if steps is None else f" ({steps:.0f})")


def _mean_of(players: Sequence[_Values]) -> _Values:
  """Of several seeds what `_badge` tells of one."""

  def mean(name: str) -> float | None:
    values = [part_of(player, name) for player in players]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None

  return {
    "milestones": {"badges": {"share": mean("milestones.badges.share")}},
    "badge_steps": {"mean": mean("badge_steps.mean")},
  }


def _interval(found: _Values | None, form: str, times: int) -> str:
  if found is None:
    return text_tables.NOTHING
  mean, low, high = (times * found[key] for key in ("mean", "low", "high"))
  return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def part_of(values: Any, name: str) -> Any:
  """`values["a"]["b"]` for `a.b`; None where an older measurement lacks it."""
  for key in name.split("."):
    values = values.get(key) if isinstance(values, Mapping) else None
  return values
