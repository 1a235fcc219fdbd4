"""What a quickstart has shown: tables with reference lines, plain verdicts.

Read from the results of its stages; the closing panel and the report show the
same. A verdict is a statement and whether the measured intervals bear it out:
True, False, or None where it was not measured.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

from experiments.reports import honesty_curves
from experiments.reports import play_progress
from experiments.reports import text_tables
from experiments.runs import json_store
from experiments.runs import plans
from experiments.runs import run_directory
from experiments.runs import untrained

STEPS = (5, 15, 50)  # open-loop steps that verdicts speak of
MIN_EPISODES = 10  # held-out ones, below which intervals say too little

_LINES = (
  "dream (sampled)",
  "dream (most likely)",
  "shuffled actions",
  "emulator, other luck",
  "emulator, other chance",
  "frozen frame",
  "random walk",
  "floor (posterior)",
)
_METRICS = {
  "pixels": ("pixels", "{:.3f}"),
  "exact": ("exact frames", "{:.2f}"),
  "tiles": ("tiles", "{:.2f}"),
  "read_tiles": ("tiles read", "{:.2f}"),
}


@dataclasses.dataclass(frozen=True)
class Summary:
  """Everything that the panel and the report show in words and numbers."""

  verdicts: list[text_tables.Verdict]
  tables: list[text_tables.Table]
  costs: text_tables.Table
  notes: list[str]
  caution: str = ""  # why no number is worth a verdict, where that is so


def collect(workdir: pathlib.Path) -> Summary:
  """Reads the results below a quickstart's work directory.

  Raises:
    ValueError: a result file is damaged.
  """
  dreams = run_directory.read_result(workdir / "evaluation" / "world_model")
  play = run_directory.read_result(workdir / "evaluation" / "play")
  costs = plans.read_costs(workdir)
  verdicts = [
    *dream_verdicts(dreams),
    *latent_verdicts(dreams),
    *play_verdicts(play),
    *play_progress.verdicts(play),
  ]
  tables = []
  if dreams:
    tables.append(dream_table(dreams))
  if play:
    tables += [play_table(play), *play_progress.tables(play)]
  notes = [*costs.get("notes", []), *_taught_by(workdir)]
  notes += honesty_curves.notes(workdir)
  caution = ""
  config = json_store.read_json(workdir / "config.json")
  if config.get("preset") == "debug":
    caution, verdicts = untrained.WIRING, []
  return Summary(verdicts, tables, costs_table(costs), notes, caution)


def _taught_by(workdir: pathlib.Path) -> list[str]:
  """How much the clones were shown."""
  shown = {
    name: run_directory.read_result(workdir / name).get("demonstrated_steps")
    for name in ("clone", "clone_all")
  }
  if None in shown.values():
    return []
  return [
    f"the policy began as a clone of {shown['clone']:,} demonstrated steps; "
    f"beside it there is a clone of all {shown['clone_all']:,} (clone_all)"
  ]


def dream_table(report: Mapping[str, Any]) -> text_tables.Table:
  """Open-loop error against its reference lines."""
  lines = report["lines"]
  steps = [s for s in STEPS if str(s) in lines["dream (sampled)"]]
  metrics = [
    m for m in _METRICS if m in lines["dream (sampled)"][str(steps[0])]
  ]
  if "tiles" in metrics:  # what is read stands in where tokens are silent
    metrics = [m for m in metrics if m != "read_tiles"]
  names = [_METRICS[metric][0].removesuffix(" frames") for metric in metrics]
  header = ["open loop"] + [f"{name} @{s}" for name in names for s in steps]
  rows, kinds = [], []
  known = [name for name in _LINES if name in lines]
  for name in [*known, *(name for name in lines if name not in known)]:
    row = [name]
    for metric in metrics:
      for step in steps:
        value = lines[name].get(str(step), {}).get(metric)
        row.append("-" if value is None else _METRICS[metric][1].format(value))
    if set(row[1:]) == {"-"}:
      continue  # a line of other metrics
    rows.append(row)
    kinds.append("strong" if name.startswith("dream") else "faint")
  source = (
    f"of {report.get('episodes', '?')} held-out episodes"
    if report.get("held_out", True)
    else "of the TRAINING episode (with one episode nothing is held out)"
  )
  note = (
    f"{report['windows']} windows {source}: {report['context']} "
    "frames seen, then the recorded actions alone. Pixels and exact: share of "
    "right pixels and of frames right in every pixel. Tiles: distance of the "
    "imagined position, as tokens name it; a wrong map counts 20."
  )
  ahead = report.get("one_step")
  if ahead:
    note += (
      f" One step ahead {ahead['exact']:.2f} of the frames are exact, "
      f"{ahead['moved_exact']:.2f} of those that moved; a frozen frame: "
      f"{ahead['frozen_exact']:.2f} and 0."
    )
  if "read_tiles" in metrics:
    note += (
      " Tiles read: the same distance, as training frames that look like the "
      "dreamed ones show it, where they agree on a place."
    )
  if report.get("chosen_on_held_out"):
    note += " The checkpoint was chosen by its loss on these episodes."
  if "ram" in report:
    note += f" Memory variables of seen frames: {report['ram']}."
  if "map_majority" in report:
    note += f" Most frequent map: {report['map_majority']:.2f} of the rows."
  title = "Dreams against the game"
  note = _warned(report) + note
  return text_tables.Table(title, header, rows, kinds, note, group=len(steps))


def dream_verdicts(report: Mapping[str, Any]) -> list[text_tables.Verdict]:
  """Whether dreams beat a frozen frame, and fail with wrong actions."""
  statements = (
    ("frozen frame", "Dreams beat a frozen frame"),
    ("shuffled actions", "Dreams fall apart under another window's actions"),
  )
  if not report:
    return [
      text_tables.Verdict(None, f"{text}: not measured.")
      for _, text in statements
    ]
  episodes = report.get("episodes", 0) if report.get("held_out") else 0
  if episodes < MIN_EPISODES:
    few = f"{episodes} held-out episodes, {MIN_EPISODES} needed for a verdict"
    return [
      text_tables.Verdict(None, f"{text}: {few}.") for _, text in statements
    ]
  verdicts = []
  for than, text in statements:
    rows = [
      row
      for row in report["comparisons"]
      if row["than"] == than and row["step"] in STEPS
    ]
    if any(row["metric"] == "tiles" for row in rows):  # as in the table
      rows = [row for row in rows if row["metric"] != "read_tiles"]
    steps = sorted({row["step"] for row in rows})
    metrics = [m for m in _METRICS if any(r["metric"] == m for r in rows)]
    what = _listed([_METRICS[metric][0] for metric in metrics])
    where = _listed([str(step) for step in steps])
    failing = [row for row in rows if row["low"] <= 0]
    # What failed, or else how much was gained where it is hardest.
    shown = failing or [row for row in rows if row["step"] == steps[-1]]
    detail = "; ".join(
      f"{_METRICS[row['metric']][0]} @{row['step']} {_gain(row)}"
      for row in shown
    )
    detail = f"NOT in {detail}" if failing else f"gain [95 %] {detail}"
    verdicts.append(
      text_tables.Verdict(
        bool(rows) and not failing,
        f"{text} in {what} at {where} steps: {detail}.",
      )
    )
  return verdicts


def latent_verdicts(report: Mapping[str, Any]) -> list[text_tables.Verdict]:
  """Whether the stochastic state is used; nothing where it is not measured."""
  use = report.get("latent_use")
  if not use or not report["held_out"] or report["episodes"] < MIN_EPISODES:
    return []
  losses = {
    "of reconstructions": use["posterior"]["exact"]["loss"],
    "one step on": use["dream"]["1"]["exact"]["loss"],
  }
  details = "; ".join(f"{_gain(row)} {what}" for what, row in losses.items())
  return [
    text_tables.Verdict(
      all(row["low"] > 0 for row in losses.values()),
      "The model needs its latents: those of another episode cost, in exact "
      f"frames [95 %], {details}.",
    )
  ]


def play_table(play: Mapping[str, Any]) -> text_tables.Table:
  """Play in the emulator, one row per policy: progress, then returns."""
  header = ["policy", "badge", "at step", "badges", "species", "new maps"]
  header += ["trainer wins", "wild wins", "stuck %"]
  header += ["return [95 %]", "without wild"]
  own = play.get("own", {})
  header += [f"by {_own_name(name, found)}" for name, found in own.items()]
  rows, kinds = [], []
  for name, measured in play["policies"].items():
    badge = measured["milestones"]["badges"]
    row = [name, f"{badge['share']:.0%}"]
    row.append(f"{badge['median']:.0f}" if badge["share"] else "-")
    row += [
      _mean(measured, "badges", "{:.2f}"),
      _mean(measured, "species", "{:.2f}"),
      *(_mean(measured, key) for key in ("maps", "trainer_wins", "wild_wins")),
      _stuck(measured),
      _interval(measured["return"]),
      _interval(measured["return_without_wild"]),
    ]
    paid = [found["returns"].get(name) for found in own.values()]
    row += [text_tables.NOTHING if r is None else _interval(r) for r in paid]
    rows.append(row)
    kinds.append("strong" if name == "policy" else "faint")
  note = (
    f"{play['episodes']} paired episodes of at most {play['episode_length']} "
    "steps. Badge: share of the episodes with one, and the median step of the "
    "first; then means of an episode. Stuck: share of its steps in a cell of "
    "more than 20 of the last 100 (in brackets outside battles). Without wild: "
    "battles won and XP gained in the grass do not count. "
    f"{_own_told(own)}Assists in force: {'; '.join(play['assists']) or 'none'}."
  )
  note = _warned(play) + note
  return text_tables.Table("Play in the emulator", header, rows, kinds, note)


def _own_name(name: str, found: Mapping[str, Any]) -> str:
  """Of an objective: its name, or whose weights they are."""
  return f"{found['of'][0]}'s weights" if "=" in name else name


def _own_told(own: Mapping[str, Mapping[str, Any]]) -> str:
  """What players were paid for in training, where it is not the published."""
  told = []
  for name, found in own.items():
    paid = [f"{term} {weight:g}" for term, weight in found["weights"].items()]
    paid += [f"{k} up to {most:g} a game" for k, most in found["caps"].items()]
    told.append(
      f"by {_own_name(name, found)}: what {_listed(found['of'])} learned to "
      f"earn ({', '.join(paid)})"
    )
  return f"Return: by the published weights; {'; '.join(told)}. " if own else ""


def play_verdicts(play: Mapping[str, Any]) -> list[text_tables.Verdict]:
  """Policies against random play, by their returns."""
  if not play:
    return [text_tables.Verdict(None, "Play in the emulator: not measured.")]
  pairs = {(row["policy"], row["than"]): row for row in play["comparisons"]}
  names = play["policies"]
  verdicts = []
  for name, subject in (
    ("policy", "The policy trained in dreams"),
    ("policy_scratch", "Trained in dreams from scratch, without cloning, it"),
  ):
    if name in names and "random" in names:
      difference = pairs[name, "random"]
      verdicts.append(
        text_tables.Verdict(
          difference["low"] > 0,
          f"{subject} is better than random play: difference "
          f"{_interval(difference)}.",
        )
      )
  return verdicts


def costs_table(costs: Mapping[str, Any]) -> text_tables.Table:
  """Wall time and memory of each stage."""
  stages = costs.get("stages", {})
  rows = [
    [name, _duration(cost["wall_s"]), f"{cost['peak_bytes'] / 2**30:.2f} GiB"]
    for name, cost in stages.items()
  ]
  kinds = [""] * len(rows)
  if rows:
    total_s = sum(cost["wall_s"] for cost in stages.values())
    peak = max(cost["peak_bytes"] for cost in stages.values())
    rows.append(["in all", _duration(total_s), f"{peak / 2**30:.2f} GiB"])
    kinds.append("strong")
  disk = costs.get("disk_bytes")
  note = "" if disk is None else f"Disk used: {disk / 2**20:.0f} MiB."
  return text_tables.Table(
    "Cost", ["stage", "wall time", "peak memory"], rows, kinds, note
  )


def _warned(result: Mapping[str, Any]) -> str:
  """Warnings of a measurement, in front of what is said of its table."""
  return "".join(f"Warning: {text}. " for text in result.get("warnings", []))


def _listed(words: Sequence[str]) -> str:
  """As `a, b and c`."""
  *first, last = words or [""]
  return f"{', '.join(first)} and {last}" if first else last


def _gain(row: Mapping[str, float]) -> str:
  return f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _mean(measured: Mapping[str, Any], key: str, form: str = "{:.1f}") -> str:
  """The mean of a measure, which older measurements may lack."""
  return form.format(measured[key]["mean"]) if key in measured else "-"


def _stuck(measured: Mapping[str, Any]) -> str:
  """As `12 (3)`: in per cent, and of that outside battles."""
  keys = ("stuck", "stuck_outside_battles")
  if not set(keys) <= set(measured):
    return "-"
  every, outside = (100 * measured[key]["mean"] for key in keys)
  return f"{every:.0f} ({outside:.0f})"


def _interval(value: Mapping[str, float]) -> str:
  return f"{value['mean']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def _duration(seconds: float) -> str:
  minutes, rest = divmod(round(seconds), 60)
  return f"{minutes}:{rest:02d}"
