"""Evaluates a world model on held-out windows, for trainer and evaluation."""

from collections.abc import Callable
from collections.abc import Mapping
import pathlib
from typing import Any

import jax
import numpy as np

from data_tools.game import chance
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import shards
from experiments.playing import emulator_lines
from experiments.reports import atlas_maps
from experiments.reports import atlas_pictures
from experiments.reports import atlas_tables
from experiments.reports import dream_pictures
from experiments.reports import left_out_rows
from experiments.reports import play_readings
from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.evaluation import carried
from pokedreamer_jax.evaluation import cell_errors
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import latent_use
from pokedreamer_jax.evaluation import place_reader
from pokedreamer_jax.evaluation import report as report_lib
from pokedreamer_jax.evaluation import scores
from pokedreamer_jax.evaluation import wrong_tokens
from pokedreamer_jax.world_model import model as world_model

# What the model reads of a record.
FIELDS = (
  *("frame", "action", "reward_terms", "is_first", "is_terminal"),
  *(field.name for field in specs.RAM_FIELDS),
)


def parts(detail: str) -> int:
  """How often at most `Evaluator.report` tells what is next."""
  return 8 if detail == "full" else 5


class Evaluator:
  """Held-out windows of one generation, read once."""

  def __init__(
    self,
    config: config_lib.Config,
    generation: generations.Generation,
    training: loader.EpisodeIndex | None = None,
  ):
    """Reads nothing yet.

    Args:
      config: of the model.
      generation: the one whose held-out episodes are looked at.
      training: what the model was trained on, where it adopted more data.
    """
    self._config = config
    self._data_dir = generation.data_dir
    if training is None:
      training = loader.EpisodeIndex(
        generation,
        "train",
        cache_bytes=0,
        leave_out_maps=config.train.left_out_maps,
      )
    self._training = training
    self._index = loader.EpisodeIndex(generation, "val")
    self.held_out = bool(len(self._index))
    if not self.held_out:  # one recorded episode, or copies of it
      self._index = loader.EpisodeIndex(generation, "train")
    self._windows: dict[int, dict[str, np.ndarray]] = {}
    self._infer = config.world_model.infers_tokens
    # Of `report`: in all rows, and in those that are not wrong as a whole.
    self._cell_errors: tuple[cell_errors.CellErrors, ...] = ()

  @property
  def headers(self) -> list[shards.EpisodeHeader]:
    """How the held-out episodes came about."""
    return self._index.headers

  @property
  def index(self) -> loader.EpisodeIndex:
    """The held-out episodes."""
    return self._index

  def windows(self, count: int) -> dict[str, np.ndarray]:
    """`count` fixed windows of context and horizon, fewer if none is left."""
    if count not in self._windows:
      self._windows[count] = loader.fixed_windows(
        self._index, self._window_rows, count, fields=FIELDS
      )
    return self._windows[count]

  def quick(self, params: world_model.Params) -> dict[str, float]:
    """A few numbers to watch while training."""
    config = self._config
    windows = self.windows(config.train.eval_windows)
    context = config.evaluate.context
    cfg, key = config.world_model, jax.random.key(0)
    steps = dreams.reported_steps(config.evaluate.horizon)
    dream = dreams.open_loop(
      cfg, params, key, windows, context, infer=self._infer, steps=steps
    )
    rows = [context + step - 1 for step in steps]
    truth = windows["frame"][:, rows]
    places = scores.recorded_places(windows)[:, rows]
    values: dict[str, Any] = {}
    for i, step in enumerate(steps):
      at = slice(i, i + 1)
      values |= {
        f"val/exact_{step}": scores.exact(dream.frame[:, at], truth[:, at]),
        f"val/pixels_{step}": scores.pixel_accuracy(
          dream.frame[:, at], truth[:, at]
        ),
      }
      if dream.place is not None:
        values[f"val/tiles_{step}"] = scores.tile_error(
          dream.place[:, at], places[:, at]
        )
    return {name: float(value.mean()) for name, value in values.items()}

  def report(
    self,
    params: world_model.Params,
    rom: roms.Rom | None = None,
    told: Callable[[str], None] = lambda part: None,
  ) -> dict[str, Any]:
    """The full tables of `evaluation.report`, and what `detail` asks for.

    Args:
      params: of the world model.
      rom: of the recording, for the lines of the emulator.
      told: called with what is done next.
    """
    config = self._config
    evaluate, cfg = config.evaluate, config.world_model
    windows = self.windows(evaluate.windows)
    episodes = np.array([episode for episode, _ in self._places()])
    # One episode alone has no spread between episodes.
    several = len(set(episodes.tolist())) > 1
    groups = episodes if several else np.arange(len(episodes))
    told("reading the training frames")
    training = self._training_frames()
    ceiling = calm = None
    others: list[dreams.Dreams] = []
    if rom is not None:
      told("playing the windows with other luck")
      ceiling, calm, others = self._other_luck(rom)
    told("dreaming through held-out windows")
    result = report_lib.report(
      cfg,
      params,
      jax.random.key(0),
      windows,
      evaluate,
      infer=self._infer,
      ceiling=ceiling,
      chances=others,
      groups=groups,
      training=training,
      calm=calm,
      watch=self._watch if cfg.has_atlas else None,
    )
    told("exchanging latents")
    result["latent_use"] = latent_use.latent_use(
      *(cfg, params, jax.random.key(2), windows),
      *(evaluate.context, groups, evaluate.bootstrap, self._infer),
    )
    if config.train.left_out_maps:
      told("looking at maps left out of training")
      result["left_out"] = left_out_rows.measure(
        *(config, params, self._index, self._training, FIELDS, self._infer)
      )
    if evaluate.detail == "full":
      if cfg.token_sizes:
        told("looking for the tokens drawn wrongly")
        result["wrong_tokens"] = self._wrong_tokens(params, groups, calm)
      told("reading events and inventory off states")
      result["serves_play"] = play_readings.measure(
        *(config, params, self._index, self._training, windows),
        *(self._places(), groups, FIELDS, self._infer),
      )
      told("carrying states over long episodes")
      result["carried"] = self._carried(params, rom)
    return result | {
      "held_out": self.held_out,
      "episodes": len(set(episodes.tolist())),
      "horizon": evaluate.horizon,
      "ram": cfg.ram,
      "detail": evaluate.detail,
    }

  def _wrong_tokens(self, params, groups, calm) -> dict[str, Any]:
    evaluate = self._config.evaluate
    if calm is not None:
      steps = dreams.reported_steps(evaluate.horizon)
      calm = wrong_tokens.up_to(calm, steps, evaluate.horizon)
    return wrong_tokens.measure(
      *(self._config.world_model, params, jax.random.key(4)),
      *(self.windows(evaluate.windows), evaluate.context, groups),
      *(evaluate.bootstrap, self._infer, calm),
    )

  @property
  def _window_rows(self) -> int:
    return self._config.evaluate.context + self._config.evaluate.horizon

  def _places(self) -> list[tuple[int, int]]:
    """Episode and first row of each window of `report`."""
    count = self._config.evaluate.windows
    return loader.fixed_places(self._index, self._window_rows, count)

  def _training_frames(self) -> place_reader.TrainingFrames:
    frames = place_reader.TrainingFrames()
    fields = ("frame", *(field.name for field in specs.RAM_FIELDS))
    for rows in self._training.kept(fields):
      frames.add(rows)
    return frames

  def _other_luck(
    self, rom: roms.Rom
  ) -> tuple[dreams.Dreams, np.ndarray | None, list[dreams.Dreams]]:
    """The ceiling at the reported steps, and in full detail more.

    That is the calm mask and, where it is known where the game keeps its random
    numbers, the windows with others.
    """
    evaluate = self._config.evaluate
    steps = dreams.reported_steps(evaluate.horizon)
    waits = emulator_lines.WAITS_FRAMES
    play = lambda at, waits, chances=(): emulator_lines.other_luck(
      *(rom, self._index, self._data_dir, self._places()),
      *(evaluate.context, at, waits, self._config.collect.workers),
      *(chances, steps),
    )
    if evaluate.detail != "full":
      return play(steps, waits[:1])[0], None, []
    known = chance.is_known(rom.sha1)
    lucks = play(
      *(range(1, evaluate.horizon + 1), waits),
      emulator_lines.CHANCES if known else (),
    )
    lucks, others = lucks[: len(waits)], lucks[len(waits) :]
    truth = self.windows(evaluate.windows)["frame"][:, evaluate.context :]
    ceiling = dreams.at_steps(lucks[0], steps)
    return ceiling, emulator_lines.calm(lucks, truth, steps), others

  def _carried(
    self, params: world_model.Params, rom: roms.Rom | None
  ) -> dict[str, Any]:
    """States carried over recorded episodes, or over new ones if too short."""
    config = self._config
    evaluate = config.evaluate
    count, rows = evaluate.long_episodes, evaluate.carried_rows
    length = carried.rows_needed(rows)
    recorded = lambda length: emulator_lines.recorded_long(
      self._index, count, FIELDS, length
    )
    episodes, source = recorded(length), "held-out episodes"
    if not episodes and rom is not None:
      episodes, names = emulator_lines.long_episodes(
        *(rom, count, length, config.seed, config.collect.jitter_frames),
        config.collect.workers,
      )
      source = f"new episodes from power-on, played by {names}"
    if not episodes and len(self._index) > 1:
      rows = carried.most_carried(int(np.sort(self._index.lengths)[-2]))
      if rows >= evaluate.context:
        episodes = recorded(carried.rows_needed(rows))
        source += ", none of which lasts longer"
    if len(episodes.get("action", ())) < 2:
      return {"source": "no episodes that last long enough"}
    found = carried.compare(
      *(config.world_model, params, jax.random.key(3), episodes, rows),
      *(evaluate.context, evaluate.bootstrap, self._infer),
    )
    return {"source": source, **found}

  def _watch(
    self, windows: Mapping[str, np.ndarray], ahead: dreams.Dreams
  ) -> None:
    """Keeps where in the maps the frames one step ahead are wrong."""
    rows = {k: v for k, v in windows.items() if v.ndim > 1}
    rows = {k: v[:, self._config.evaluate.context :] for k, v in rows.items()}
    frame, truth = ahead.frame, rows["frame"]
    walking = cell_errors.walking(rows)
    place = scores.recorded_places(rows)
    assert ahead.place is not None  # an atlas needs the tokens of a place
    large = cell_errors.right_at_large(frame, truth, ahead.place, place)
    self._cell_errors = tuple(
      cell_errors.per_cell(frame, truth, place, at)
      for at in (walking, walking & large)
    )

  def atlas(
    self, params: world_model.Params, folder: pathlib.Path
  ) -> dict[str, Any]:
    """Draws the atlas and, after `report`, the errors on it.

    Args:
      params: of a model with an atlas.
      folder: takes `atlas.png` and `atlas_errors.png`.

    Returns:
      The numbers of `atlas_tables`.
    """
    atlas, table = (
      world_model.map_memory(params),
      world_model.tile_table(params),
    )
    assert atlas is not None and table is not None
    maps = atlas_maps.read(atlas, table, self.headers[0].rom_sha1)
    errors = self._cell_errors
    if maps:
      atlas_pictures.save(atlas_pictures.draw(maps), folder / "atlas.png")
    if maps and errors and errors[0].rows_read:
      picture = atlas_pictures.draw_errors(maps, *errors)
      atlas_pictures.save(picture, folder / "atlas_errors.png")
    return atlas_tables.numbers(maps, *errors)

  def contact_sheet(
    self,
    params: world_model.Params,
    path: str | pathlib.Path,
    count: int | None = None,
  ) -> None:
    """Draws real and dreamed frames of four windows, and what differs.

    Args:
      params: of the model.
      path: of the PNG.
      count: windows to choose from; None for `train.eval_windows`.
    """
    windows = self.windows(count or self._config.train.eval_windows)
    title = "Held-out windows; green border: every pixel right"
    dream_pictures.telling_sheet(self._config, params, windows, path, title)

  def strips_by_mode(
    self, params: world_model.Params, path: str | pathlib.Path, count: int = 2
  ) -> None:
    """Draws `count` windows of each mode: walking, talking, fighting, ..."""
    windows = self.windows(self._config.evaluate.windows)
    chosen, labels = dream_pictures.windows_by_mode(
      windows, self._config.evaluate.context, count
    )
    dream_pictures.sheet(
      *(self._config, params, windows, chosen),
      path,
      "Held-out windows by what the game is doing",
      labels,
    )
