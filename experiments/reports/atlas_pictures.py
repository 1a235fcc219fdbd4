"""Pictures of an atlas: what it believes, what is true, where dreams are wrong.

A map is drawn from its cells, a pixel of the game a pixel of the picture; maps
so many that the picture would be large are drawn smaller. Beyond a map's edge,
where its own coordinates go on, cells are dimmed.
"""

from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

import numpy as np

from data_tools.game import frame_codec
from experiments.reports import atlas_maps
from experiments.reports import pictures
from experiments.reports import shelves
from pokedreamer_jax.evaluation import cell_errors

_BETWEEN = 6  # pixels between two images of one map
_RIM = 1  # cells drawn beyond a map's edge
_MOST_PIXELS = 8_000_000
_HATCH = np.array([(34, 44, 74), (78, 96, 150)], np.uint8)
HATCHED = (78, 96, 150)
_GREYS = frame_codec.GREY_LEVELS[:, None].repeat(3, axis=1)  # [4, 3]
# Frames of known cells that differ, by kind.
_FRAMES = {
  atlas_maps.WATER: ("water at another moment", (64, 140, 255)),
  atlas_maps.PERSON: ("somebody breathes or has gone", (255, 170, 60)),
  atlas_maps.MISSING: ("a tile that the dictionary lacks", (190, 110, 255)),
  atlas_maps.OTHER: ("different", (240, 60, 60)),
}
_NEUTRAL = (96, 98, 102)  # a cell that no row shows
# Shares of wrong pixels up to which a colour goes.
_SCALE = (
  (0.0, "none", (90, 190, 120)),
  (0.01, "to 1 %", (170, 205, 90)),
  (0.03, "to 3 %", (240, 215, 70)),
  (0.1, "to 10 %", (250, 165, 50)),
  (0.3, "to 30 %", (235, 95, 45)),
  (1.0, "more", (200, 30, 60)),
)


def draw(maps: Sequence[atlas_maps.BelievedMap]) -> Any:
  """What is believed beside what is true, map by map; a `PIL.Image`."""
  maps = [_cropped(one) for one in maps]
  true = [one for one in maps if one.truth is not None]
  shrink = _shrink(sum(one.kind.size for one in [*maps, *true]))
  blocks = []
  for one in maps:
    image = _framed(one)
    if one.truth is not None:
      image = _beside(image, _lit(one.truth, one.own))
    blocks.append(shelves.Block(_told(one), _smaller(image, shrink)))
  legend = [("unknown", HATCHED)]
  shown = np.unique(np.concatenate([one.kind.ravel() for one in maps]))
  legend += [_FRAMES[k] for k in shown.tolist() if k in _FRAMES]
  title = "What the atlas holds, map by map"
  if true:
    title += "; right of it the true map with its people"
  return shelves.sheet(blocks, title, legend)


def draw_errors(
  maps: Sequence[atlas_maps.BelievedMap],
  errors: cell_errors.CellErrors,
  at_large: cell_errors.CellErrors,
) -> Any:
  """Where frames imagined one step ahead are wrong; a `PIL.Image`.

  Args:
    maps: those without a cell that was looked at are left out.
    errors: of the cells, in all rows.
    at_large: in those that are not wrong as a whole, drawn right of it.
  """
  looked = set(errors.place[:, 0].tolist())
  lacking = looked - {one.id for one in maps}
  maps = [_cropped(one) for one in maps if one.id in looked]
  shrink = _shrink(2 * sum(one.kind.size for one in maps))
  blocks = []
  for one in maps:
    image = _beside(_heat(one, errors), _heat(one, at_large))
    lines = [f"{one.id} {one.name}", _share(one, errors)]
    lines[1] += f" wrong; right: {_share(one, at_large)}"
    blocks.append(shelves.Block(lines, _smaller(image, shrink)))
  legend = [("not known", HATCHED), ("in no row", _NEUTRAL)]
  legend += [(label, colour) for _, label, colour in _SCALE]
  title = (
    f"Wrong pixels of each cell, one step ahead, in {errors.rows_read:,} rows "
    f"in which one can walk; right: in the {at_large.rows_read:,} that are not "
    "wrong as a whole"
  )
  if lacking:
    title += f"; {len(lacking)} maps that the atlas lacks are left out"
  return shelves.sheet(blocks, title, legend)


def save(image: Any, path: pathlib.Path) -> None:
  """Writes a picture as an indexed PNG."""
  pictures.save_png(image, path)


def _told(one: atlas_maps.BelievedMap) -> list[str]:
  inside = one.kind[one.own]
  known = int((inside != atlas_maps.UNKNOWN).sum())
  if one.truth is None:
    return [f"{one.id} {one.name}", f"{known:,} cells known"]
  same = int((inside == atlas_maps.SAME).sum())
  compared = f"{same:,} of them the same, {known - same:,} different"
  if known == same:
    compared = "all of them the same" if known else ""
  return [f"{one.id} {one.name}: {known:,} of {inside.size:,} known", compared]


def _share(one, errors: cell_errors.CellErrors) -> str:
  at = errors.place[:, 0] == one.id
  if not at.any():
    return "-"
  looked_at = errors.rows[at].sum() * cell_errors.BLOCK_PIXELS
  return f"{errors.wrong[at].sum() / looked_at:.2%}"


def _cropped(one: atlas_maps.BelievedMap) -> atlas_maps.BelievedMap:
  """A map and `_RIM` cells around it."""
  row = np.flatnonzero(one.own.any(axis=1))
  column = np.flatnonzero(one.own.any(axis=0))
  top, left = max(row[0] - _RIM, 0), max(column[0] - _RIM, 0)
  at = (
    slice(top, row[-1] + _RIM + 1),
    slice(left, column[-1] + _RIM + 1),
  )
  return dataclasses.replace(
    one,
    top=one.top + int(top),
    left=one.left + int(left),
    own=one.own[at],
    believed=one.believed[at],
    truth=None if one.truth is None else one.truth[at],
    kind=one.kind[at],
  )


def _on_map(one, errors: cell_errors.CellErrors):
  """Share of wrong pixels and rows `[R, C]` of a map's cells."""
  share, rows = np.zeros(one.kind.shape), np.zeros(one.kind.shape, np.int64)
  map_id, y, x = errors.place.T
  y, x = y - one.top, x - one.left
  inside = (y >= 0) & (y < len(share)) & (x >= 0) & (x < share.shape[1])
  at = (map_id == one.id) & inside
  share[y[at], x[at]] = errors.share[at]
  rows[y[at], x[at]] = errors.rows[at]
  return share, rows


def _heat(one, errors: cell_errors.CellErrors) -> np.ndarray:
  """What is believed, tinted by the share of wrong pixels."""
  share, rows = _on_map(one, errors)
  colours = [*(colour for *_, colour in _SCALE), _NEUTRAL]
  heat = np.stack([_mixed(colour, 0.7) for colour in colours])
  level = np.searchsorted([most for most, *_ in _SCALE], share)
  level[rows == 0] = len(_SCALE)
  image = _joined(heat[level[:, :, None, None], one.believed])
  return hatched(image, (one.kind == atlas_maps.UNKNOWN) & (rows == 0))


def _beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
  between = np.full((len(left), _BETWEEN, 3), pictures.BACKGROUND, np.uint8)
  return np.concatenate([left, between, right], axis=1)


def _framed(one: atlas_maps.BelievedMap) -> np.ndarray:
  """What is believed; unknown cells are hatched, different ones framed."""
  image = _lit(one.believed, one.own)
  image = hatched(image, one.kind == atlas_maps.UNKNOWN)
  size = atlas_maps.CELL
  for kind, (_, colour) in _FRAMES.items():
    for row, column in np.argwhere(one.kind == kind):
      cell = image[row * size :, column * size :][:size, :size]
      wide = 1 if kind == atlas_maps.WATER else 2  # lakes are to be seen
      cell[:wide] = cell[-wide:] = colour
      cell[:, :wide] = cell[:, -wide:] = colour
  return image


def _lit(shades: np.ndarray, own: np.ndarray) -> np.ndarray:
  """Colours `[16 * R, 16 * C, 3]`; cells that are not `own` are dimmed."""
  dim = _mixed(pictures.BACKGROUND, 0.6)
  return _joined(np.stack([dim, _GREYS])[own[:, :, None, None] * 1, shades])


def hatched(image: np.ndarray, where: np.ndarray) -> np.ndarray:
  """`image` with the cells of `where` `[R, C]` hatched."""
  y, x = np.indices(image.shape[:2])
  line = (y + x) % 8 < 2
  cells = where.repeat(atlas_maps.CELL, 0).repeat(atlas_maps.CELL, 1)
  return np.where(cells[..., None], _HATCH[line * 1], image)


def _mixed(colour: Sequence[int], share: float) -> np.ndarray:
  """The four greys with a share of a colour, `[4, 3]` uint8."""
  mixed = share * np.array(colour) + (1.0 - share) * _GREYS
  return np.rint(mixed).astype(np.uint8)


def _joined(cells: np.ndarray) -> np.ndarray:
  """Cells `[R, C, 16, 16, ...]` as one image `[16 * R, 16 * C, ...]`."""
  rows, columns, height, width = cells.shape[:4]
  size = (rows * height, columns * width, *cells.shape[4:])
  return cells.swapaxes(1, 2).reshape(size)


def _shrink(cells: int) -> int:
  """Pixels of the game, along each side, that become one of the picture."""
  fits = (k for k in (1, 2, 4) if cells * 256 / k**2 <= _MOST_PIXELS)
  return next(fits, 8)


def _smaller(image: np.ndarray, shrink: int) -> np.ndarray:
  if shrink == 1:
    return image
  height, width = image.shape[0] // shrink, image.shape[1] // shrink
  image = image[: height * shrink, : width * shrink]
  parts = image.reshape(height, shrink, width, shrink, 3)
  return (parts.sum(axis=(1, 3), dtype=np.uint32) // shrink**2).astype(np.uint8)
