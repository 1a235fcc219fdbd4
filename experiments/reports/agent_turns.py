"""What each turn of `train_agent` brought, and what it took of the emulator."""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
from typing import Any

from experiments.reports import text_tables
from experiments.runs import json_store

_PLANNER = "offline"


def turn_directory(workdir: pathlib.Path, turn: int) -> pathlib.Path:
  """Where the clone, the policy and the play of a turn lie."""
  return workdir / "turns" / f"{turn:02d}"


def collect(workdir: pathlib.Path, turns: int) -> list[dict[str, Any]]:
  """Turn by turn: emulator steps so far, and how clone and policy played.

  Args:
    workdir: of `train_agent`, with all of its stages done.
    turns: further turns after the first.
  """
  # Each tells of the whole folder as it stood.
  directories = [workdir / "data"]
  directories += [
    turn_directory(workdir, turn) / "play" for turn in range(1, turns + 1)
  ]
  play = json_store.read_whole(workdir / f"measured_{turns}" / "result.json")
  found = []
  for turn, directory in enumerate(directories):
    recorded = json_store.read_whole(directory / "result.json")
    found.append(
      {
        "turn": turn,
        "emulator_steps": recorded["steps"],
        "episodes": recorded["episodes"],
        "played": {
          name: played
          for name in ("clone", "policy")
          # From scratch there is no clone.
          if (played := _found(play, f"{name}_{turn}")) is not None
        },
      }
    )
  return found


def table(turns: Sequence[Mapping[str, Any]]) -> text_tables.Table:
  """The turns of `collect`, a row each."""
  header = ["turn", "emulator steps"]
  names = [n for n in ("clone", "policy") if n in turns[0]["played"]]
  for name in names:
    header += [f"{name}: badge", "at step", "return"]
  rows = []
  for turn in turns:
    row = [str(turn["turn"]), f"{turn['emulator_steps']:,}"]
    for name in names:
      played = turn["played"][name]
      share, step = played["badge_share"], played["badge_step"]
      row.append(f"{share:.0%}")
      row.append("-" if step is None else f"{step:.0f}")
      row.append(f"{played['return']:.1f}")
    rows.append(row)
  kinds = ["faint"] * (len(rows) - 1) + ["strong"]
  note = (
    "Emulator steps: all that was recorded up to the turn, by demonstrators, "
    "others and earlier policies; nobody met the emulator while learning. "
    "Badge: share of the games, with the median step."
  )
  return text_tables.Table("Turns", header, rows, kinds, note)


def _found(play: Mapping[str, Any], name: str) -> dict[str, Any] | None:
  """What a player did in `evaluate --what=play`, or led, in `--what=agent`."""
  if "policies" in play:
    return _played(play["policies"][name]) if name in play["policies"] else None
  lines = play["planners"]
  line = f"{name}, {_PLANNER}"
  if list(lines) == [_PLANNER]:  # of a single policy
    line = _PLANNER if name == "policy_0" else line
  return _led(lines[line]) if line in lines else None


def _led(measured: Mapping[str, Any]) -> dict[str, Any]:
  first = next(iter(measured["badges"]), {"share": 0.0, "median": None})
  returned = measured["measures"]["return"]
  return {
    "badge_share": first["share"],
    "badge_step": first["median"],
    "badges": measured["measures"]["badges"]["mean"],
    "return": returned["mean"],
    "return_interval": [returned["low"], returned["high"]],
  }


def _played(measured: Mapping[str, Any]) -> dict[str, Any]:
  badges = measured["milestones"]["badges"]
  return {
    "badge_share": badges["share"],
    "badge_step": badges["median"],
    "return": measured["return"]["mean"],
    "return_interval": [measured["return"]["low"], measured["return"]["high"]],
    "wild_wins": measured["wins"]["mean"] - measured["trainer_wins"]["mean"],
  }
