"""Tables of maps left out, of cells that change, and of what serves play."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from experiments.reports import text_tables

# How to show a mean with its interval: (interval or mean, decimals) -> text.
Shown = Callable[[Mapping[str, Any], int], str]

_KINDS = {
  "changed": "not what the atlas holds",
  "changed_now": "of those, changed since",
  "agrees": "what the atlas holds",
  "unknown": "cell unknown",
  "player": "the player",
  "off_grid": "rows off the grid",
}


def left_out(part: Mapping[str, Any], shown: Shown) -> text_tables.Table:
  """One step ahead on maps that training left out."""
  title = "Maps left out of training"
  header = ["maps", "line", "pixels", "exact", "place"]
  header += ["overworld pixels", "exact "]
  if "pooled" not in part:
    note = f"Maps {_listed(part['maps'])}: no held-out row is on one of them."
    return text_tables.Table(title, header, [["-"] * len(header)], [""], note)
  rows, kinds = [], []
  pieces = {"all": part["pooled"]}
  if len(part["map"]) > 1:
    pieces |= part["map"]
  for name, piece in pieces.items():
    for at, (line, found) in enumerate(piece["lines"].items()):
      cells = [
        shown(found[where].get(metric, {}), decimals)
        for where, metric, decimals in (
          *(("all", "pixels", 3), ("all", "exact", 2), ("all", "place", 2)),
          *(("overworld", "pixels", 3), ("overworld", "exact", 2)),
        )
      ]
      counted = f"{name} ({piece['rows']})"
      rows.append(["" if at else counted, line, *cells])
      kinds.append("strong" if name == "all" else "")
  notes = [
    f"Maps {_listed(part['maps'])}: no window of training held a row there. "
    "Rows in brackets, one step ahead each; of all, "
    f"{part['pooled']['overworld_rows']} in the overworld and "
    f"{part['rows_walked_in']} of windows that begin on another map. Place: "
    "whether the tokens name it; tokens told: they are the recorded ones, and "
    "the frame alone is imagined.",
  ]
  if part.get("lacking_tiles") is not None:
    notes.append(
      f"The dictionary lacks {part['lacking_tiles']:.2%} of their tiles."
    )
  notes += [
    f"Filled, {name}: {filled['views']} views of {filled['rows']} rows, "
    f"{filled['cells']} cells, {filled['cells_lacking_tiles']} of them with a "
    f"tile that the dictionary lacks"
    + (
      f"; {filled['pages_without_room']} pages found NO ROOM, so these lines "
      "say little: train with "
      f"world_model.atlas_cells={filled['cells_needed']} or more."
      if filled["pages_without_room"]
      else "."
    )
    for name, filled in part["filled"].items()
  ]
  return text_tables.Table(title, header, rows, kinds, " ".join(notes))


def changed_cells(part: Mapping[str, Any], shown: Shown) -> text_tables.Table:
  """Blocks that are not what the atlas holds, one step ahead."""
  header = ["blocks", "number", "one step ahead", "frame before", "its cell"]
  rows = []
  for kind, name in _KINDS.items():
    found = part.get(kind, {"blocks": 0})
    if found["blocks"]:
      cells = [
        shown(found[line], 3) for line in ("ahead", "previous", "previous_cell")
      ]
      rows.append([name, str(found["blocks"]), *cells])
  note = (
    f"Share right in every pixel, of blocks in {part['rows']} overworld rows; "
    f"{part['off_grid_rows']} of them are off the grid, amid a step or a fade. "
    "The frame before: at the same place of the screen, and at the same cell."
  )
  if "share" in part:
    note += (
      f" Of the blocks whose cell is known {shown(part['share'], 4)} are not "
      "what the atlas holds."
    )
  return text_tables.Table(
    "Cells that change", header, rows, [""] * len(rows), note
  )


def heads(part: Mapping[str, Any], shown: Shown) -> text_tables.Table:
  """Precision and recall of what judges a dream."""
  header = ["term", "events", "states", "said", "precision", "recall"]
  rows = []
  for term, found in part["terms"].items():
    lines = [line for line in found if line != "events"]
    for at, line in enumerate(lines):
      rates = found[line]
      rows.append(
        [
          *(("", "") if at else (term, str(found["events"]))),
          *(line, str(rates["said"])),
          *(shown(rates[name], 2) for name in ("precision", "recall")),
        ]
      )
  note = (
    f"Over {part['rows']} held-out rows. An event: the term is above 0, and "
    "said where that has a probability of .5 or more. As dreams pay: read from "
    "the tokens of the imagined row."
  )
  title = "Events as the heads see them"
  return text_tables.Table(title, header, rows, [""] * len(rows), note)


def probes(part: Mapping[str, Any], shown: Shown) -> text_tables.Table:
  """What linear probes and ones with a hidden layer find in the features."""
  first = next(iter(part["targets"].values()))
  parts = list(next(iter(first["probes"].values())))
  header = ["variable", "classes", "majority", "probe", *parts]
  rows = []
  for name, found in part["targets"].items():
    for at, (kind, shares) in enumerate(found["probes"].items()):
      start = (
        ("", "", "")
        if at
        else (name, str(found["classes"]), shown(found["majority"], 2))
      )
      means = [{"mean": shares[part]["mean"]} for part in parts]
      rows.append([*start, kind, *(shown(mean, 2) for mean in means)])
  note = (
    f"Share of {part['rows']} held-out rows right; trained on the states of "
    f"{part['training_rows']} training rows. Majority: the most frequent class "
    "of those."
  )
  title = "Story and inventory in the features"
  return text_tables.Table(title, header, rows, [""] * len(rows), note)


def _listed(maps: list[int]) -> str:
  return ", ".join(map(str, maps))
