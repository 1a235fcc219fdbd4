"""What a quickstart comes to, for the first screen of its report.

At most four numbers and one sentence; their intervals stand elsewhere.
"""

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any

from experiments.reports import play_progress
from experiments.runs import plans
from experiments.runs import run_directory

_STEP = "15"  # open-loop steps that the number of dreams is of
_DREAMS = ("dream (most likely)", "dream (sampled)")  # the first that is there


@dataclasses.dataclass(frozen=True)
class Number:
  """One large number, what it counts, and what to hold it against."""

  value: str
  what: str
  beside: str = ""


def collect(workdir: pathlib.Path) -> tuple[list[Number], str]:
  """Numbers and the sentence of a quickstart, as far as it was measured.

  Raises:
    ValueError: a result file is damaged.
  """
  play = run_directory.read_result(workdir / "evaluation" / "play")
  dreams = run_directory.read_result(workdir / "evaluation" / "world_model")
  costs = plans.read_costs(workdir).get("stages", {})
  numbers = [*_of_play(play), *_of_dreams(dreams), *_of_costs(costs)]
  return numbers, _sentence(play, dreams)


def _of_play(play: Mapping[str, Any]) -> list[Number]:
  name = play_progress.subject(play.get("policies", {}))
  if name is None:
    return []
  badge = {n: p["milestones"]["badges"] for n, p in play["policies"].items()}
  others = [
    f"{n} {badge[n]['share']:.0%}" for n in ("clone", "random") if n in badge
  ]
  found = [
    Number(
      f"{badge[name]['share']:.0%}",
      "of games with the badge",
      ", ".join(others),
    )
  ]
  if badge[name]["share"]:
    than = badge.get("demonstrator", {})
    beside = (
      f"the demonstrator {than['median']:.0f}" if than.get("share") else ""
    )
    median = f"{badge[name]['median']:.0f}"
    found.append(Number(median, "steps to the badge, median", beside))
  return found


def _of_dreams(report: Mapping[str, Any]) -> list[Number]:
  lines = report.get("lines", {})
  exact = {
    name: lines[name][_STEP]["exact"]
    for name in lines
    if "exact" in lines[name].get(_STEP, {})
  }
  name = next((n for n in _DREAMS if n in exact), None)
  if name is None:
    return []
  beside = [
    f"{said} {exact[line]:.0%}"
    for line, said in (
      ("emulator, other luck", "the game with other luck"),
      ("frozen frame", "a frozen frame"),
    )
    if line in exact
  ]
  what = f"of dreamed frames right in every pixel after {_STEP} steps"
  return [Number(f"{exact[name]:.0%}", what, ", ".join(beside))]


def _of_costs(stages: Mapping[str, Mapping[str, float]]) -> list[Number]:
  if not stages:
    return []
  minutes = sum(cost["wall_s"] for cost in stages.values()) / 60
  peak = max(cost["peak_bytes"] for cost in stages.values())
  value = f"{minutes:.0f} min" if minutes >= 1 else f"{60 * minutes:.0f} s"
  return [Number(value, "for everything", f"{peak / 2**30:.1f} GiB of memory")]


def _sentence(play: Mapping[str, Any], dreams: Mapping[str, Any]) -> str:
  """In plain words: what was learned, from what, and how far it leads."""
  name = play_progress.subject(play.get("policies", {}))
  if name is None:
    return (
      "A model learned the game from its pixels; no policy was measured."
      if dreams
      else ""
    )
  badge = {
    n: p["milestones"]["badges"]["share"] for n, p in play["policies"].items()
  }
  count = play["episodes"]
  text = (
    "A model learned the game from its pixels, and a policy that was trained "
    "in dreams of that model alone earns a badge in "
    f"{round(badge[name] * count)} of {count} games"
  )
  if name == "policy" and "clone" in badge:
    text += (
      f"; the clone that it began as does in {round(badge['clone'] * count)}"
    )
  if "random" in badge:
    text += f", random play in {round(badge['random'] * count)}"
  return f"{text}."
