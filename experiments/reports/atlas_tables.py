"""What an evaluation says of the atlas: numbers, tables and sentences."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from experiments.reports import text_tables

if TYPE_CHECKING:  # these wake jax, and `--help` reads this module
  from experiments.reports import atlas_maps
  from pokedreamer_jax.evaluation import cell_errors

_WORST = 10  # cells that are named
_LEAST_ROWS = 5  # in sight of fewer rows, a cell's share says little
_REASONS = {
  "water": "water at another moment",
  "person": "somebody who breathes, came or has gone",
  "missing": "a tile that the dictionary lacks",
  "other": "none of these",
}


def numbers(
  maps: Sequence["atlas_maps.BelievedMap"],
  errors: "cell_errors.CellErrors | None" = None,
  at_large: "cell_errors.CellErrors | None" = None,
) -> dict[str, Any]:
  """JSON-ready: `maps` and `all` as in `atlas_maps.numbers`, and errors.

  `errors` are of all rows and `errors_at_large` of those that are not wrong as
  a whole: the `rows` that were looked at, the `cells` in sight, their share of
  `wrong` pixels and the `worst` cells. They are left out without rows.
  """
  from experiments.reports import atlas_maps

  found = atlas_maps.numbers(maps)
  for key, some in (("errors", errors), ("errors_at_large", at_large)):
    if some is not None and some.rows_read:
      found[key] = _errors(maps, some)
  return found


def _errors(
  maps: Sequence["atlas_maps.BelievedMap"], errors: "cell_errors.CellErrors"
) -> dict[str, Any]:
  from pokedreamer_jax.evaluation import cell_errors

  names = {one.id: one.name for one in maps}
  looked_at = int(errors.rows.sum()) * cell_errors.BLOCK_PIXELS
  worst = []
  for i in errors.worst(_WORST, _LEAST_ROWS).tolist():
    if not errors.wrong[i]:
      break
    map_id, y, x = errors.place[i].tolist()
    worst.append(
      {
        "map": names.get(map_id, f"map {map_id}"),
        **{"y": y, "x": x, "rows": int(errors.rows[i])},
        "wrong": round(float(errors.share[i]), 6),
      }
    )
  return {
    "rows": errors.rows_read,
    "cells": len(errors.rows),
    "wrong": round(int(errors.wrong.sum()) / looked_at, 6),
    "worst": worst,
  }


def tables(atlas: Mapping[str, Any]) -> list[text_tables.Table]:
  """The maps, and the worst cells, of such numbers."""
  made = [_maps(atlas)]
  if "errors" in atlas:
    note = errors_sentence(atlas)
    made.append(_worst("Cells dreamed worst", atlas["errors"], note))
  if "errors_at_large" in atlas:
    note = "In frames that are not wrong as a whole alone."
    title = "Cells dreamed worst by themselves"
    made.append(_worst(title, atlas["errors_at_large"], note))
  return made


def sentence(atlas: Mapping[str, Any]) -> str:
  """What the picture of the maps shows."""
  every = atlas["all"]
  if every["cells"] is None:
    return f"The atlas knows {every['known']:,} cells; nobody knows the truth."
  text = (
    f"The atlas knows {every['known']:,} of the {every['cells']:,} cells of "
    f"the maps, {every['same']:,} of them as they are in truth"
  )
  reasons = [
    f"{every[key]:,} differ by {why}"
    for key, why in _REASONS.items()
    if every[key]
  ]
  return "; ".join([text, *reasons]) + "."


def errors_sentence(atlas: Mapping[str, Any]) -> str:
  """What the picture of the errors shows."""
  from pokedreamer_jax.evaluation import cell_errors

  errors = atlas["errors"]
  text = (
    f"One step ahead, {errors['wrong']:.2%} of the pixels are wrong in the "
    f"{errors['rows']:,} held-out rows in which one can walk, by the cell that "
    "they show"
  )
  if "errors_at_large" in atlas:
    large = atlas["errors_at_large"]
    text += (
      f"; {large['wrong']:.3%} in the {large['rows']:,} of them that are not "
      "wrong as a whole (at another place, or in more than "
      f"{cell_errors.MOST_WRONG:.0%} of the pixels, as a battle is)"
    )
  return f"{text}."


def _maps(atlas: Mapping[str, Any]) -> text_tables.Table:
  compared = atlas["all"]["cells"] is not None
  header = ["map", "cells known"]
  if compared:
    header = ["map", "cells", "known", "known share", "same share"]
    header += list(_REASONS)
    header += ["beyond: known", "same share"]
  rows, kinds = [], []
  every = [*sorted(atlas["maps"].items(), key=lambda item: int(item[0]))]
  for number, row in [*every, ("", {"name": "all", **atlas["all"]})]:
    name = f"{number} {row['name']}".strip()
    known = row["known"]
    if not compared:
      rows.append([name, f"{known:,}"])
    elif row["cells"] is None:
      rows.append([name, "-", f"{known:,}", *["-"] * (len(header) - 3)])
    else:
      cells = [name, f"{row['cells']:,}", f"{known:,}"]
      cells += [_share(known, row["cells"]), _share(row["same"], known)]
      cells += [str(row[key]) for key in _REASONS]
      cells += [f"{row['beyond_known']:,}"]
      cells.append(_share(row["beyond_same"], row["beyond_known"]))
      rows.append(cells)
    kinds.append("" if number else "strong")
  note = "Cells of 16x16 pixels of which the atlas holds a tile."
  if compared:
    note = (
      "Known: the atlas holds a tile. Same: of the known cells, those whose "
      "pixels all equal the cartridge's, people at their places. The others by "
      "reason: "
      + "; ".join(f"{key}: {why}" for key, why in _REASONS.items())
      + ". Beyond: cells that one sees beyond a map's edge."
    )
  return text_tables.Table("The atlas", header, rows, kinds, note)


def _worst(
  title: str, errors: Mapping[str, Any], note: str
) -> text_tables.Table:
  rows = [
    [
      row["map"],
      *(str(row[name]) for name in ("y", "x")),
      f"{row['wrong']:.4f}",
      str(row["rows"]),
    ]
    for row in errors["worst"]
  ]
  note += (
    f" Of the {errors['cells']:,} cells in sight these are the worst that "
    f"{_LEAST_ROWS} rows or more show."
  )
  header = ["map", "y", "x", "wrong", "rows"]
  return text_tables.Table(title, header, rows, [""] * len(rows), note)


def _share(part: int, whole: int) -> str:
  return f"{part / whole:.3f}" if whole else "-"
