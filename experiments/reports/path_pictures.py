"""One game, played by several: their paths as lines on the maps.

All of them begin the same episode, so that what differs is who played. Only
walking is drawn: battles and the title screen are no places. The maps are those
that a world model remembers (`believed_ground.py`), or a cartridge's own.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from data_tools.cartridge import atlas as cartridge_atlas
from data_tools.game import roms
from experiments.playing import play_episodes
from experiments.playing import play_traces
from experiments.reports import atlas_pictures
from experiments.reports import pictures
from experiments.reports import play_progress
from experiments.reports import shelves
from experiments.reports import visit_pictures
from pokedreamer_jax import specs

CELL = cartridge_atlas.CELL
# Who is drawn, in this order, and in which colour: told apart in grey as well.
COLOURS = {
  "random": (236, 150, 60),
  "clone": (96, 168, 255),
  "policy": (92, 220, 130),
}
_BADGES = specs.REWARD_TERMS.index("badges")
_DIM = 0.55  # share of the background in the maps
_WIDTH = 3  # pixels of a line, on maps as they are
_MOST_PIXELS = 600_000  # of all maps, where they are drawn twice as large


@dataclasses.dataclass(frozen=True)
class Path:
  """Where a player went in one episode."""

  cell: np.ndarray  # [T, 3] uint8 of its rows outside battles: map, y, x
  badge: int | None  # index into `cell` of the first badge


def names(played: Mapping[str, Any]) -> list[str]:
  """Players whose paths are drawn, of those that played with traces."""
  subject = play_progress.subject(played)
  wanted = ["random", "clone", subject or ""]
  known = {name for name, one in played.items() if one.traces is not None}
  return [name for name in wanted if name in known]


def typical(one: play_episodes.Played) -> int:
  """An episode with a badge at its median step; 0 where there is none."""
  won = one.reward_terms[:, :, _BADGES] > 0  # [N, T]
  first = np.where(won.any(axis=1), won.argmax(axis=1), -1)
  with_badge = np.flatnonzero(first >= 0)
  if not len(with_badge):
    return 0
  order = with_badge[np.argsort(first[with_badge], kind="stable")]
  return int(order[(len(order) - 1) // 2])


def path(one: play_episodes.Played, episode: int) -> Path:
  """The path of a player in one episode."""
  traces: play_traces.Traces | None = one.traces
  assert traces is not None
  rows = np.arange(int(one.steps[episode]))
  walked = traces.running[episode, rows] & ~traces.battle[episode, rows]
  won = np.flatnonzero(one.reward_terms[episode, rows, _BADGES] > 0)
  badge = None
  if len(won):  # given in a battle: where the player stands after it
    badge = min(int(walked[: won[0]].sum()), max(int(walked.sum()) - 1, 0))
  return Path(traces.cell[episode, rows][walked], badge)


def true_groups(
  rom: roms.Rom, paths: Mapping[str, Path]
) -> list[visit_pictures.Group]:
  """The maps of a cartridge that any of them was on.

  Raises:
    ValueError: there are no tables of the maps of this ROM.
  """
  seen = {int(number) for one in paths.values() for number in one.cell[:, 0]}
  return visit_pictures.groups(visit_pictures.tables_of(rom), seen)


def draw(
  groups: Sequence[visit_pictures.Group],
  paths: Mapping[str, Path],
  title: str,
) -> Any:
  """Maps with all paths; a `PIL.Image`.

  Args:
    groups: the maps, of a cartridge or of an atlas.
    paths: by player.
    title: a line above everything.
  """
  zoom = 2 if sum(4 * g.shades.size for g in groups) <= _MOST_PIXELS else 1
  blocks = []
  for group in groups:
    image = _ground(group, zoom)
    for number, (name, one) in enumerate(paths.items()):
      shift = CELL // 4 * (number - (len(paths) - 1) // 2)
      _draw_path(image, group, one, colour_of(name), shift, zoom)
    label = visit_pictures.label(group, image.width)
    blocks.append(shelves.Block([label], np.asarray(image)))
  legend = [(name, colour_of(name)) for name in paths]
  if any(group.unknown is not None and group.unknown.any() for group in groups):
    legend.append(("unknown to the world model", atlas_pictures.HATCHED))
  return shelves.sheet(blocks, title, legend)


def colour_of(name: str) -> tuple[int, int, int]:
  """Of a player; a policy from scratch has the policy's."""
  return COLOURS.get(name, COLOURS["policy"])


def _ground(group: visit_pictures.Group, zoom: int) -> Any:
  from PIL import Image

  looks = visit_pictures.mixed(pictures.BACKGROUND, _DIM)
  image = looks[group.shades]
  if group.unknown is not None:
    image = atlas_pictures.hatched(image, group.unknown)
  image[~group.own.repeat(CELL, 0).repeat(CELL, 1)] = pictures.BACKGROUND
  return Image.fromarray(image.repeat(zoom, 0).repeat(zoom, 1))


def _draw_path(
  image: Any,
  group: visit_pictures.Group,
  one: Path,
  colour: tuple[int, int, int],
  shift: int,
  zoom: int,
) -> None:
  """A line for each stretch on the maps of a group, and where it began.

  A dot marks the episode's first place, a ring the one of the badge.
  """
  from PIL import ImageDraw

  draw_on = ImageDraw.Draw(image)
  points = [_pixel(group, cell, shift, zoom) for cell in one.cell]
  for line in _stretches(points, 2 * CELL * zoom):
    if len(line) > 1:
      draw_on.line(line, colour, _WIDTH * zoom, joint="curve")
    else:
      _disc(draw_on, line[0], 2 * zoom, fill=colour)
  if points and points[0] is not None:
    _disc(draw_on, points[0], 5 * zoom, fill=colour)
  if one.badge is not None and (at := points[one.badge]) is not None:
    _disc(draw_on, at, 9 * zoom, outline=colour, width=_WIDTH * zoom)


def _pixel(
  group: visit_pictures.Group, cell: Sequence[int], shift: int, zoom: int
) -> tuple[int, int] | None:
  """The middle of a cell, moved so that paths lie beside each other."""
  number, y, x = (int(value) for value in cell)
  place = group.places.get(number)
  if place is None:
    return None
  top, left, rows, columns = place
  first_y, first_x = group.first.get(number, (0, 0))
  y, x = y - first_y, x - first_x
  if not (0 <= y < rows and 0 <= x < columns):
    return None
  middle = CELL // 2 + shift
  at = (left + x) * CELL + middle, (top + y) * CELL + middle
  return at[0] * zoom, at[1] * zoom


def _stretches(
  points: Sequence[tuple[int, int] | None], most: int
) -> list[list[tuple[int, int]]]:
  """Points that follow each other; a jump of more pixels begins anew."""
  found: list[list[tuple[int, int]]] = []
  before = None
  for point in points:
    if point is not None:
      near = before is not None and (
        abs(point[0] - before[0]) + abs(point[1] - before[1]) <= most
      )
      if not near:
        found.append([])
      found[-1].append(point)
    before = point
  return found


def _disc(draw_on: Any, at: tuple[int, int], radius: int, **how: Any) -> None:
  x, y = at
  draw_on.ellipse((x - radius, y - radius, x + radius, y + radius), **how)
