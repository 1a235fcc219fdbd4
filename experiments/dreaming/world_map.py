"""Maps as an atlas holds them, drawn for a page."""

import dataclasses
import io
from typing import Any

import numpy as np

from data_tools.game import frame_codec
from data_tools.game import roms
from experiments.dreaming import models
from experiments.reports import atlas_maps
from pokedreamer_jax.world_model import model as world_model


@dataclasses.dataclass(frozen=True)
class Drawing:
  """A map; its first pixel is that of cell (`top`, `left`)."""

  id: int
  name: str
  top: int
  left: int
  rows: int
  columns: int
  png: bytes

  def told(self) -> dict[str, Any]:
    """Everything but the picture."""
    values = dataclasses.asdict(self)
    del values["png"]
    return values


def draw(model: models.Model, rom: roms.Rom) -> dict[int, Drawing]:
  """All maps of which a cell is known, by id; none without an atlas."""
  import jax

  params = model.params.world
  atlas, table = world_model.map_memory(params), world_model.tile_table(params)
  if atlas is None or table is None:
    return {}
  # Without the SHA-1: what is true is no part of what is believed.
  believed = atlas_maps.read(
    jax.tree.map(np.asarray, atlas), jax.tree.map(np.asarray, table), ""
  )
  names = rom.map_names
  return {
    one.id: Drawing(
      id=one.id,
      name=names.get(one.id, f"map {one.id}"),
      top=one.top,
      left=one.left,
      rows=one.kind.shape[0],
      columns=one.kind.shape[1],
      png=_png(one),
    )
    for one in believed
  }


def _png(one: atlas_maps.BelievedMap) -> bytes:
  """Grey cells, and nothing where none is known."""
  from PIL import Image

  rows, cell = len(one.kind), atlas_maps.CELL
  shades = one.believed.transpose(0, 2, 1, 3).reshape(rows * cell, -1)
  known = (one.kind != atlas_maps.UNKNOWN).repeat(cell, 0).repeat(cell, 1)
  image = Image.fromarray(np.where(known, shades, 4).astype(np.uint8), "P")
  greys = [*frame_codec.GREY_LEVELS.tolist(), 0]
  image.putpalette([v for grey in greys for v in (grey, grey, grey)])
  buffer = io.BytesIO()
  image.save(buffer, "PNG", transparency=4)
  return buffer.getvalue()
