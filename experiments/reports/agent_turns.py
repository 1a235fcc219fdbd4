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
    policy = turn_directory(workdir, turn) / "policy"
    honesty = json_store.read_whole(policy / "result.json").get("honesty")
    found.append(
      {
        "turn": turn,
        "emulator_steps": recorded["steps"],
        "episodes": recorded["episodes"],
        # Of fresh play; nobody counted them before there was such a number.
        "new_frames": _new_share(recorded),
        "honesty": honesty or None,  # what looks at the policy found
        "played": {
          name: played
          for name in ("clone", "policy")
          # From scratch there is no clone.
          if (played := _found(play, f"{name}_{turn}")) is not None
        },
      }
    )
  return found


def shows_nothing_new(
  workdir: pathlib.Path, turn: int, least: float
) -> float | None:
  """Share of new frames in a turn's play, where it is below `least`."""
  path = turn_directory(workdir, turn) / "play" / "result.json"
  share = _new_share(json_store.read_whole(path))
  return share if share is not None and share < least else None


def _new_share(recorded: Mapping[str, Any]) -> float | None:
  counted = recorded.get("new_frames")
  return counted["new"] / max(counted["frames"], 1) if counted else None


def table(turns: Sequence[Mapping[str, Any]]) -> text_tables.Table:
  """The turns of `collect`, a row each."""
  header = ["turn", "emulator steps"]
  fresh = any(turn.get("new_frames") is not None for turn in turns)
  looked = any(turn.get("honesty") for turn in turns)
  if fresh:
    header.append("new frames")
  if looked:
    header += ["looks", "realised"]
  names = [n for n in ("clone", "policy") if n in turns[0]["played"]]
  for name in names:
    header += [f"{name}: badge", "at step", "return"]
  rows = []
  for turn in turns:
    row = [str(turn["turn"]), f"{turn['emulator_steps']:,}"]
    if fresh:
      share = turn.get("new_frames")
      row.append("-" if share is None else f"{share:.1%}")
    if looked:
      row += _looked(turn.get("honesty"))
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
  if fresh:
    note += " New frames: of what a turn played, what no record showed before."
  if looked:
    note += (
      " Looks: emulator steps that measured honesty and taught nothing; "
      "realised: at the last one, the gain in the game over that in dreams, "
      "and the updates at which both parted."
    )
  return text_tables.Table("Turns", header, rows, kinds, note)


def _looked(honesty: Mapping[str, Any] | None) -> list[str]:
  """Cells of what looks at a policy took and found."""
  if not honesty:
    return ["-", "-"]
  share = honesty["last"].get("honesty/realised")
  text = "-" if share is None else f"{share:.2f}"
  if honesty["alarms"]:
    text += f" (parted at {', '.join(map(str, honesty['alarms']))})"
  return [f"{honesty['emulator_steps']:,}", text]


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
