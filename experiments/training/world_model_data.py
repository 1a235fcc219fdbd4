"""What the world model trains on: batches of data that may grow meanwhile.

Every `train.refresh_every` updates the learner freezes what the data directory
then holds and, where that differs, adopts it (`adoptions.py`). Batch `j` is a
pure function of (seed, list of generations, `j`); batches that were read ahead
never cross an adoption. Episodes stay on their side of the split.
"""

from collections.abc import Callable
from collections.abc import Iterator
import pathlib
from typing import Any

import jax
import numpy as np

from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import splits
from experiments.reports import world_model_report
from experiments.runs import adoptions
from experiments.runs import inputs
from experiments.runs import run_directory
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.frames import tiles

Batch = dict[str, np.ndarray]

_MOST_NAMED = 10  # episodes that are too short, files left out
_ESCAPE_PIECES = 32  # stretches of new frames whose tiles are looked up ...
_ESCAPE_ROWS = 64  # ... and the frames of each, at most


class Experience:
  """The batches of one run, from the first generation on."""

  def __init__(
    self,
    config: config_lib.Config,
    generation: generations.Generation,
    run: run_directory.Run,
  ):
    """Begins with the first generation.

    Args:
      config: of the run.
      generation: the one that the run directory records.
      run: for the record of adoptions, and lines of text.

    Raises:
      ValueError: the generation holds no window, or the record is damaged.
    """
    every = config.train.refresh_every
    if every and jax.process_count() > 1:
      raise ValueError(
        f"train.refresh_every: {every}, expected 0 with several processes, "
        "which might find different data"
      )
    self._config = config
    self._run = run
    self._roms = set(inputs.describe(generation)["roms"])
    self._record = adoptions.read(run.path)
    self._prints: list[tuple[int, str]] = []  # first batch, fingerprint
    self._history: list[pathlib.Path] = []
    self._begin(0, generation, None)

  @property
  def source(self) -> loader.BatchSource:
    """The batches of the generation in force."""
    return self._source

  @property
  def history(self) -> list[pathlib.Path]:
    """The files of all generations up to the one in force, in order."""
    return list(self._history)

  def fingerprint(self, update: int) -> str:
    """Names the batches that the update numbered `update`, from 1, is from."""
    return [name for first, name in self._prints if first < max(update, 1)][-1]

  def resume(self, update: int) -> None:
    """Goes to the generation that update number `update` was made from.

    Raises:
      ValueError: a recorded generation is gone, damaged or another one.
    """
    for adoption in self._record.before(update):
      self._adopt(adoption)

  def batches(
    self,
    start: int,
    table: tiles.TileTable | None = None,
    adopted: Callable[[], None] = lambda: None,
  ) -> Iterator[Batch]:
    """Batches `start, start + 1, ...` without end.

    A generation that is due is adopted when its first batch is asked for.

    Args:
      start: number of the first batch, where `resume` went to.
      table: the tile dictionary; an adoption tells how much it lacks.
      adopted: called at every adoption, once it is recorded and before its
        first batch is there: between two updates.

    Raises:
      ValueError: as `resume`; or new data is of another ROM.
    """
    while True:
      if start > 0:
        self._refresh(start, table, adopted)
      stop = self._next_look(start)
      yield from loader.batches(self._source, start, stop=stop)
      if stop is None:
        return
      start = stop

  def _next_look(self, start: int) -> int | None:
    """The next update at which another generation may begin."""
    every = self._config.train.refresh_every
    looks = [a.update for a in self._record.adopted if a.update > start]
    if every:
      looks.append((start // every + 1) * every)
    return min(looks, default=None)

  def _refresh(
    self,
    update: int,
    table: tiles.TileTable | None,
    adopted: Callable[[], None],
  ) -> None:
    """Adopts what is recorded for an update, or what is there by now."""
    before, sides = self._source, self._index.sides
    known = self._generation
    every = self._config.train.refresh_every
    recorded = self._record.at(update)
    if recorded is not None:
      self._adopt(recorded)
    elif update > self._record.looked_until and every and update % every == 0:
      self._look(update)
    if self._source is not before:
      self._run.log(_told(update, known, self._index, sides, table))
      lost = [
        item
        for item in self._generation.skipped
        if not item.reason.startswith("unfinished")  # those are on their way
      ]
      for item in lost[:_MOST_NAMED]:
        self._run.log(f"  left out: {item}")
      adopted()

  def _look(self, update: int) -> None:
    known = self._generation
    generation = generations.freeze(known.data_dir, known)
    adopted = None
    if generation.digest != known.digest:
      self._begin(update, generation, self._index.sides)
      adopted = adoptions.Adoption(
        update, generation.digest, self._source.fingerprint
      )
    self._record = self._record.after_look(update, adopted)
    adoptions.write(self._run.path, self._record)

  def _adopt(self, adoption: adoptions.Adoption) -> None:
    folder = self._generation.path.parent
    generation = generations.load(folder / f"{adoption.generation}.json")
    self._begin(adoption.update, generation, self._index.sides)
    if self._source.fingerprint != adoption.source:
      raise ValueError(
        f"{self._run.path / adoptions.FILE}: generation {adoption.generation} "
        f"of update {adoption.update} gives other batches than recorded"
      )

  def _begin(
    self,
    update: int,
    generation: generations.Generation,
    earlier: splits.Sides | None,
  ) -> None:
    inputs.check_fields(self._config.world_model, generation)
    foreign = set(inputs.describe(generation)["roms"]) - self._roms
    if foreign:
      raise ValueError(
        f"{generation.path}: episodes of the ROM with SHA-1 "
        f"{', '.join(sorted(foreign))}, the run began with "
        f"{', '.join(sorted(self._roms))}"
      )
    train = self._config.train
    self._generation = generation
    self._index = loader.EpisodeIndex(
      generation,
      "train",
      cache_bytes=train.cache_mib << 20,
      earlier=earlier,
    )
    self._source = loader.BatchSource(
      self._index,
      train.batch_size,
      train.seq_len,
      self._config.seed,
      jax.process_index(),
      jax.process_count(),
      fields=world_model_report.FIELDS,
    )
    self._prints.append((update, self._source.fingerprint))
    self._history.append(generation.path)
    short = self._source.too_short_episodes
    if short:
      self._run.log(f"{len(short)} episodes are shorter than a window: unused")
      for line in short[:_MOST_NAMED]:
        self._run.log(f"  {line}")


def _told(
  update: int,
  known: generations.Generation,
  index: loader.EpisodeIndex,
  earlier: splits.Sides,
  table: tiles.TileTable | None,
) -> str:
  """The line of text about an adoption."""
  generation = index.generation
  ids = [e.header.episode_id for _, e in generation.episodes()]
  new = [name for name in ids if name not in earlier.held_out]
  gone = known.num_episodes + len(new) - len(ids)
  steps = generation.num_steps - known.num_steps
  parts: list[Any] = [
    f"update {update}: adopted generation {generation.digest}, "
    f"{len(new)} more episodes and {steps:+d} steps",
    f"{gone} episodes are gone" if gone else "",
    f"now {len(index)} to train on, {len(ids) - len(index)} held out",
    f"{len(generation.skipped)} files left out" if generation.skipped else "",
  ]
  frames = _new_frames(index, earlier)
  if table is not None and len(frames):
    share = tiles.escape_share(table, frames)
    parts.append(
      f"{share:.2%} of the tiles in {len(frames)} new frames are not in the "
      "dictionary, which stays that of the first generation"
    )
  return "; ".join(part for part in parts if part)


def _new_frames(
  index: loader.EpisodeIndex, earlier: splits.Sides
) -> np.ndarray:
  """Some frames `[N, 144, 40]` of the training episodes that were added."""
  pieces = [
    (episode, start, min(start + _ESCAPE_ROWS, int(length)))
    for episode, (header, length) in enumerate(
      zip(index.headers, index.lengths, strict=True)
    )
    if header.episode_id not in earlier.held_out
    for start in range(0, int(length), _ESCAPE_ROWS)
  ]
  chosen = np.linspace(0, len(pieces) - 1, min(_ESCAPE_PIECES, len(pieces)))
  frames = []
  for number in chosen.astype(int):
    episode, start, stop = pieces[number]
    frames.append(index.read(episode, start, stop, ("frame",))["frame"])
  return np.concatenate(frames) if frames else np.zeros((0, 144, 40), np.uint8)
