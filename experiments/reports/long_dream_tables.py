"""Tables and verdicts of `evaluate --what=long_dream`."""

from collections.abc import Mapping
from typing import Any

from experiments.reports import text_tables

ENOUGH = 0.99  # of the frames with known tiles alone, and of the walls kept
_GAME = "the game"
_HEADER = [
  *("player", "known tiles", "through walls", "as last time", "whole words"),
  *("collapsed", "ended"),
]


def tables(result: Mapping[str, Any]) -> list[text_tables.Table]:
  """One row a player, recorded play of the game last."""
  rows = []
  for name, found in result["players"].items():
    rows.append(
      [
        name,
        _interval(found["known_share"]),
        _interval(found["wall_share"]),
        _interval(found["alike_share"]),
        _interval(found["whole_share"]),
        f"{found['collapsed']} of {found['sequences']}",
        f"{found['over']}",
      ]
    )
  kinds = ["faint" if row[0] == _GAME else "" for row in rows]
  return [
    text_tables.Table(
      f"Dreams of {result['steps']} steps",
      _HEADER,
      rows,
      kinds,
      f"{result['dreams']} dreams each, from rows of held-out episodes, "
      "sampled; shares with 95 % intervals over dreams. Known tiles: frames "
      "without a tile that training never showed. Through walls: of the steps "
      f"against {result['walls']} cells that recorded players pushed against "
      "and nobody stood on. As last time: calm screens whose tiles are those "
      "of the last visit to the place but for a twentieth. Whole words: text "
      "boxes of words that training showed, half-written ones too. Collapsed: "
      "fewer than five different frames in the last minute, or under half of "
      "them of known tiles. The game: the held-out episodes themselves.",
    )
  ]


def verdicts(result: Mapping[str, Any]) -> list[text_tables.Verdict]:
  """Whether dreams of minutes may be played, in plain words."""
  found = []
  for name, player in result["players"].items():
    if name == _GAME:
      continue
    known, walls = player["known_share"], player["wall_share"]
    found.append(
      text_tables.Verdict(
        not player["collapsed"],
        f"No dream of {name} collapses: {player['collapsed']} of "
        f"{player['sequences']} did",
      )
    )
    found.append(
      text_tables.Verdict(
        known["value"] >= ENOUGH,
        f"Frames of {name} are made of the game's tiles: {_interval(known)}, "
        f"{ENOUGH} wanted",
      )
    )
    if walls is not None:
      found.append(
        text_tables.Verdict(
          walls["value"] <= 1 - ENOUGH,
          f"Walls stop {name}: {_interval(walls)} went through, "
          f"{1 - ENOUGH:.2f} allowed",
        )
      )
  return found


def _interval(found: Mapping[str, float] | None) -> str:
  if found is None:
    return "-"
  return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
