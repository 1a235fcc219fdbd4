"""Where players stood: the cells of a cartridge's maps, coloured by rows.

Every player has a panel, all of them with the same maps: those on which anybody
stood, in the game's own tiles, maps that touch drawn touching. What nobody
visited is dim; colours go by the logarithm of the rows of play.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

import numpy as np

from data_tools.cartridge import atlas as cartridge_atlas
from data_tools.cartridge import tables as cartridge_tables
from data_tools.game import frame_codec
from data_tools.game import roms
from experiments.playing import play_episodes
from experiments.playing import play_traces
from experiments.reports import pictures
from experiments.reports import shelves

CELL = cartridge_atlas.CELL
_GREYS = frame_codec.GREY_LEVELS[:, None].repeat(3, axis=1)  # [4, 3]
_TINT = 0.8  # share of a colour in a visited cell; the rest is its tile
_DIM = 0.78  # share of the background in one that was not
# Most rows of a colour, its label and the colour: light is much.
SCALE = (
  (1, "1", (92, 62, 196)),
  (3, "2-3", (150, 58, 180)),
  (10, "4-10", (206, 70, 128)),
  (30, "11-30", (238, 110, 74)),
  (100, "31-100", (250, 164, 48)),
  (300, "101-300", (250, 214, 76)),
  (None, "more", (252, 250, 190)),
)
_EDGE = (110, 116, 126)  # between maps that touch
_MOST_PIXELS = 1_100_000  # of all maps, as far as the smallest cells allow


@dataclasses.dataclass(frozen=True)
class Group:
  """Maps that touch: shades, and where each map lies in cells."""

  shades: np.ndarray  # [16 * R, 16 * C] uint8
  own: np.ndarray  # [R, C] bool, False where no map is
  places: dict[int, tuple[int, int, int, int]]  # id -> top, left, rows, columns
  names: list[str]
  # id -> (y, x) of a map's first cell here, of maps that do not begin at (0, 0)
  first: Mapping[int, tuple[int, int]] = dataclasses.field(default_factory=dict)
  unknown: np.ndarray | None = None  # [R, C] bool, of an atlas


def visits(
  played: Mapping[str, play_episodes.Played],
) -> dict[str, play_traces.Visits]:
  """Where each player stood, of those with traces."""
  return {
    name: play_traces.visits(one.traces, one.steps)
    for name, one in played.items()
    if one.traces is not None
  }


def tables_of(rom: roms.Rom) -> cartridge_tables.Tables:
  """The tables of the maps of a ROM.

  Raises:
    ValueError: there are none.
  """
  tables = cartridge_tables.of_rom(rom.sha1)
  if tables is None:
    raise ValueError(
      f"{rom.name} has no table of maps here, the practice cartridges do"
    )
  return tables


def save(
  rom: roms.Rom,
  visits: Mapping[str, play_traces.Visits],
  title: str,
  path: pathlib.Path,
) -> None:
  """Draws where players stood on the maps of a game.

  Raises:
    ValueError: there are no tables of the maps of this ROM.
    OSError: the picture cannot be written.
  """
  pictures.save_png(draw(tables_of(rom), visits, title), path)


def draw(
  tables: cartridge_tables.Tables,
  visits: Mapping[str, play_traces.Visits],
  title: str,
) -> Any:
  """All players side by side; a `PIL.Image`.

  Args:
    tables: of the cartridge.
    visits: by player.
    title: a line above everything.
  """
  seen = {int(i) for one in visits.values() for i in one.cell[:, 0]}
  shown = groups(tables, seen)
  area = len(visits) * sum(group.own.size for group in shown)
  fits = (size for size in (CELL, CELL // 2) if area * size**2 <= _MOST_PIXELS)
  size = next(fits, CELL // 4)
  columns = min(len(visits), 3 if size < CELL // 2 else 2)
  widest = size * max((group.own.shape[1] for group in shown), default=0)
  while columns > 1 and widest > _width(columns):
    columns -= 1
  blocks = []
  for name, one in visits.items():
    drawn = [_block(group, one, size) for group in shown]
    maps = len(np.unique(one.cell[:, 0]))
    told = f"{len(one.cell):,} cells on {maps} of {len(tables.places)} maps"
    panel = shelves.panel(drawn, _width(columns))
    blocks.append(shelves.Block([name, told], panel))
  legend = [("nobody stood there", tuple(_dimmed()[0].tolist()))]
  legend += [(label, colour) for _, label, colour in SCALE]
  return shelves.sheet(blocks, title, legend)


def _width(columns: int) -> int:
  """Pixels of a panel, so that some fit beside each other on the page."""
  return (shelves.WIDTH - shelves.GAP) // columns - shelves.GAP


def _block(group: Group, one: play_traces.Visits, size: int) -> shelves.Block:
  image = _image(group, one)
  shrink = CELL // size
  if shrink > 1:
    image = _smaller(image, shrink)
  for top, left, rows, columns in group.places.values():
    if len(group.places) > 1:
      part = image[size * top :, size * left :][: size * rows, : size * columns]
      part[0], part[:, 0] = _EDGE, _EDGE
  return shelves.Block([label(group, image.shape[1])], image)


def label(group: Group, width: int) -> str:
  """Names of the maps, of which as many are left out as there is no room."""
  names = [name.replace("_", " ") for name in group.names]
  texts = [", ".join(names)]
  texts += [
    ", ".join(names[:k]) + ", ..." for k in range(len(names) - 1, 0, -1)
  ]
  fits = (text for text in texts if pictures.text_width(text) <= width)
  return next(fits, texts[-1])


def _image(group: Group, one: play_traces.Visits) -> np.ndarray:
  """`[16 * R, 16 * C, 3]`: tiles dimmed, or tinted by the rows spent there."""
  level = np.zeros(group.own.shape, np.int64)
  bounds = [most for most, *_ in SCALE if most is not None]
  for number, (top, left, rows, columns) in group.places.items():
    at = one.cell[:, 0] == number
    y, x = one.cell[at, 1:].astype(np.int64).T
    inside = (y < rows) & (x < columns)
    level[top + y[inside], left + x[inside]] = 1 + np.searchsorted(
      bounds, one.rows[at][inside]
    )
  tints = [mixed(colour, _TINT) for *_, colour in SCALE]
  looks = np.stack([_dimmed(), *tints])  # [levels, 4, 3]
  image = looks[level.repeat(CELL, 0).repeat(CELL, 1), group.shades]
  image[~group.own.repeat(CELL, 0).repeat(CELL, 1)] = pictures.BACKGROUND
  return image


def _dimmed() -> np.ndarray:
  return mixed(pictures.BACKGROUND, _DIM)


def mixed(colour: Sequence[int], share: float) -> np.ndarray:
  """The four greys with a share of a colour, `[4, 3]` uint8."""
  mixed = share * np.array(colour) + (1.0 - share) * _GREYS
  return np.rint(mixed).astype(np.uint8)


def _smaller(image: np.ndarray, shrink: int) -> np.ndarray:
  height, width = image.shape[0] // shrink, image.shape[1] // shrink
  parts = image.reshape(height, shrink, width, shrink, 3)
  return parts.mean(axis=(1, 3)).round().astype(np.uint8)


def groups(tables: cartridge_tables.Tables, seen: set[int]) -> list[Group]:
  """Maps of `seen` ids, those that touch together."""
  figures = cartridge_atlas.figures(tables)
  found = []
  for group in cartridge_atlas.positions(tables):
    placed = [
      (tables.places[name], at)
      for name, at in group.items()
      if tables.places[name].id in seen
    ]
    if placed:
      found.append(_group(placed, tables, figures))
  return found


def _group(placed, tables, figures) -> Group:
  left = min(x for _, (x, _) in placed)
  top = min(y for _, (_, y) in placed)
  columns = max(x + place.width for place, (x, _) in placed) - left
  rows = max(y + place.height for place, (_, y) in placed) - top
  shades = np.zeros((rows * CELL, columns * CELL), np.uint8)
  own = np.zeros((rows, columns), bool)
  places = {}
  for place, (x, y) in placed:
    ground = cartridge_atlas.ground(
      tables, place, range(place.height), range(place.width)
    )
    for at_x, at_y, figure in cartridge_atlas.people(place, figures):
      part = ground[at_y * CELL :, at_x * CELL :][:CELL, :CELL]
      cartridge_atlas.put_figure(part, figure)
    at = (y - top, x - left, place.height, place.width)
    pixels = ground.shape
    shades[at[0] * CELL :, at[1] * CELL :][: pixels[0], : pixels[1]] = ground
    own[at[0] :, at[1] :][: at[2], : at[3]] = True
    places[place.id] = at
  return Group(shades, own, places, [place.name for place, _ in placed])
