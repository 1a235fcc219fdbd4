"""The atlas of a run: counted over its training episodes, and grown with them.

Where data is adopted, the votes of the episodes that are new join those of all
before, so that afterwards every cell holds what it would if all adopted
episodes had been counted at once, in the order of their adoption, and so does
every message box that found room; what a text was taken for stays. What is
counted depends on the list of generations alone: a run that resumes, and has
the votes no more, counts that list anew when it next grows, and not before.

What tiles look like at the phases of clocks is counted over the first
generation and stays, as the dictionary does.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import functools
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np

from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import splits
from experiments.runs import run_directory
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_clocks
from pokedreamer_jax.world_model import atlas_counts
from pokedreamer_jax.world_model import atlas_texts

Rows = dict[str, np.ndarray]

_SPEAK_S = 5.0
_READ_ROWS = 4096  # rows of an episode in memory at a time


class Survey:
  """The votes of a run's generations, one after the other."""

  def __init__(
    self,
    cfg: world_model_config.WorldModelConfig,
    table: tiles.TileTable,
    run: run_directory.Run,
    leave_out_maps: Sequence[int] = (),
  ):
    """Begins with nothing.

    Args:
      cfg: sizes.
      table: the dictionary.
      run: for lines of text, every few seconds and at the end.
      leave_out_maps: rows on these are not counted.
    """
    self._cfg = cfg
    self._leave_out_maps = leave_out_maps
    self._table = table
    self._run = run
    self._counter = atlas_counts.Counter(cfg, table)
    self._sides: splits.Sides | None = None
    self._done = 0  # generations
    # Pieces of the last generation's new episodes, read again.
    self._newest: Callable[[], Iterator[Rows]] = lambda: iter(())
    self._left_out = self._newest  # and of those, rows on maps left out

  def grown(
    self, atlas: atlas_lib.Atlas, paths: Sequence[pathlib.Path]
  ) -> atlas_lib.Atlas:
    """The atlas with what all generations show; known cells keep their number.

    Args:
      atlas: `atlas_lib.empty`, or what the generations before the last gave.
      paths: of all generations so far, in order; those that were counted
        before are not read again.

    Raises:
      ValueError: a generation is gone or damaged.
    """
    began_s = time.monotonic()
    before = self._counter.rows
    for path in paths[self._done :]:
      self._add(generations.load(path))
    counts = self._counter.counts()
    atlas = jax.tree.map(np.asarray, atlas)
    grown, left_out = atlas_counts.extend(atlas, counts)
    boxes = 0
    if counts.texts is not None:
      boxes = atlas_texts.no_room(grown, counts.texts)
    if len(paths) == 1:
      looks = atlas_clocks.count(self._cfg, self._table, grown, self._newest())
      grown = dataclasses.replace(grown, looks=jnp.asarray(looks))
    self._run.log(
      f"atlas: {_told(self._cfg, atlas, grown)}; {counts.views:,} different "
      f"views in {counts.rows:,} rows, {counts.rows - before:,} of them "
      f"counted in {time.monotonic() - began_s:.1f} s"
      + (f"; {_no_room(self._cfg, left_out)}" if left_out else "")
      + (f"; {boxes} message boxes found no room" if boxes else "")
    )
    if self._leave_out_maps:
      filled = atlas_counts.fill(
        self._cfg, self._table, grown, self._left_out()
      )
      if filled.no_room:  # what is measured there later would say nothing
        text = _no_room(self._cfg, left_out + filled.no_room)
        self._run.log(f"atlas: with the maps left out, {text}")
    return grown

  def _add(self, generation: generations.Generation) -> None:
    """Counts the training episodes that no generation before this one holds."""
    index = loader.EpisodeIndex(
      generation,
      "train",
      cache_bytes=0,
      earlier=self._sides,
      leave_out_maps=self._leave_out_maps,
    )
    known = self._sides.held_out if self._sides else {}
    new = {
      number
      for number, header in enumerate(index.headers)
      if header.episode_id not in known
    }
    mine = [s for s in index.stretches if s.episode in new]
    total, done = sum(s.stop - s.start for s in mine), 0
    spoke_s = time.monotonic()
    pieces = functools.partial(
      index.kept, atlas_counts.FIELDS, _READ_ROWS, episodes=new
    )
    for rows in pieces():
      self._counter.add(rows)
      done += len(rows["frame"])
      if time.monotonic() - spoke_s > _SPEAK_S:
        spoke_s = time.monotonic()
        self._run.log(f"atlas: counted {done:,} of {total:,} rows")
    self._newest = pieces
    self._left_out = functools.partial(pieces, instead=True)
    # Pieces end with a generation, also where the next one follows at once.
    self._counter.counts()
    self._sides = index.sides
    self._done += 1


def _told(cfg, before, after) -> str:
  """What is known now, and what of it was not before."""
  known = atlas_lib.known_cells(after, cfg.tile_vocab)
  maps = int((np.asarray(after.pages) > 0).any(axis=(1, 2)).sum())
  text = f"{int(known.sum()):,} cells of {maps} maps known"
  earlier = atlas_lib.known_cells(before, cfg.tile_vocab)
  if earlier.any():
    changed = (np.asarray(after.tiles) != before.tiles).any(axis=-1) & earlier
    new = int((known & ~earlier).sum())
    text += f", {new:,} of them new and {int(changed.sum()):,} changed"
  used = (int(np.asarray(after.pages).max()) + 1) * atlas_lib.PAGE_CELLS
  text += f"; their pages take {used:,} of {cfg.atlas_cells:,} cells"
  if not cfg.num_boxes:
    return text
  boxes = atlas_texts.known(after)
  return f"{text}; {boxes:,} message boxes known, of {cfg.num_boxes:,} at most"


def _no_room(cfg, left_out: int) -> str:
  more = cfg.atlas_cells + left_out * atlas_lib.PAGE_CELLS
  return (
    f"{left_out} pages of cells found no room, and stay unknown: "
    f"world_model.atlas_cells={more} would hold them (from the first update on)"
  )
