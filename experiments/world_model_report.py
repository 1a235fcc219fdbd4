"""Evaluates a world model on held-out windows, for trainer and evaluation."""

import pathlib
from typing import Any

import jax
import numpy as np

from data_tools import generations
from data_tools import loader
from data_tools import records
from data_tools import replay
from data_tools import roms
from experiments import pictures
from pokedreamer_jax import config as config_lib
from pokedreamer_jax import evaluation
from pokedreamer_jax import losses_v2
from pokedreamer_jax import specs
from pokedreamer_jax import world_model

# What the model reads of a record.
FIELDS = (
  *("frame", "action", "reward_terms", "is_first", "is_terminal"),
  *(field.name for field in specs.RAM_FIELDS),
)
_SHEET_STEPS = 15  # open-loop steps that a contact sheet shows


class Evaluator:
  """Held-out windows of one generation, read once."""

  def __init__(
    self, config: config_lib.Config, generation: generations.Generation
  ):
    self._config = config
    self._data_dir = generation.data_dir
    self._index = loader.EpisodeIndex(generation, "val")
    self.held_out = bool(len(self._index))
    if not self.held_out:  # a single recorded episode
      self._index = loader.EpisodeIndex(generation, "train")
    self._windows: dict[int, dict[str, np.ndarray]] = {}
    self._infer = config.world_model.ram == "inferred"

  @property
  def headers(self) -> list[records.EpisodeHeader]:
    """How the held-out episodes came about."""
    return self._index.headers

  def windows(self, count: int) -> dict[str, np.ndarray]:
    """`count` fixed windows of context and horizon, fewer if none is left."""
    if count not in self._windows:
      evaluate = self._config.evaluate
      length = evaluate.context + evaluate.horizon
      self._windows[count] = loader.fixed_windows(
        self._index, length, count, fields=FIELDS
      )
    return self._windows[count]

  def quick(self, params: world_model.Params) -> dict[str, float]:
    """A few numbers to watch while training."""
    config = self._config
    windows = self.windows(config.train.eval_windows)
    context = config.evaluate.context
    cfg, key = config.world_model, jax.random.key(0)
    steps = evaluation.reported_steps(config.evaluate.horizon)
    dream = evaluation.open_loop(
      cfg, params, key, windows, context, infer=self._infer, steps=steps
    )
    rows = [context + step - 1 for step in steps]
    truth = windows["frame"][:, rows]
    places = evaluation.recorded_places(windows)[:, rows]
    values: dict[str, Any] = {}
    for i, step in enumerate(steps):
      at = slice(i, i + 1)
      values |= {
        f"val/exact_{step}": evaluation.exact(dream.frame[:, at], truth[:, at]),
        f"val/pixels_{step}": evaluation.pixel_accuracy(
          dream.frame[:, at], truth[:, at]
        ),
      }
      if dream.place is not None:
        values[f"val/tiles_{step}"] = evaluation.tile_error(
          dream.place[:, at], places[:, at]
        )
    if cfg.family == "v2":
      values |= self._published_loss(params, windows)
    return {name: float(value.mean()) for name, value in values.items()}

  def _published_loss(
    self, params: world_model.Params, windows: dict[str, np.ndarray]
  ) -> dict[str, jax.Array]:
    """The training loss of family v2 on as many rows as an update has."""
    cfg, train = self._config.world_model, self._config.train
    rows = {
      name: value[: train.batch_size, : train.seq_len]
      if value.ndim > 1
      else value[: train.batch_size]
      for name, value in windows.items()
    }
    loss = jax.jit(losses_v2.validation_loss, static_argnums=0)
    return {f"val/{n}": v for n, v in loss(cfg, params, rows).items()}

  def report(
    self, params: world_model.Params, rom: roms.Rom | None = None
  ) -> dict[str, Any]:
    """The full tables of `evaluation.report`.

    Args:
      params: of the world model.
      rom: of the recording, for the line of the emulator with other luck.
    """
    evaluate = self._config.evaluate
    episodes = np.array([episode for episode, _ in self._places()])
    result = evaluation.report(
      self._config.world_model,
      params,
      jax.random.key(0),
      self.windows(evaluate.windows),
      evaluate,
      infer=self._infer,
      ceiling=None if rom is None else self._ceiling(rom),
      # One episode alone has no spread between episodes.
      groups=episodes if len(set(episodes)) > 1 else None,
    )
    return result | {
      "held_out": self.held_out,
      "episodes": len(set(episodes.tolist())),
    }

  def _places(self) -> list[tuple[int, int]]:
    """Episode and first row of each window of `report`."""
    evaluate = self._config.evaluate
    length = evaluate.context + evaluate.horizon
    return loader.fixed_places(self._index, length, evaluate.windows)

  def _ceiling(self, rom: roms.Rom) -> evaluation.Dreams:
    """The windows of `report`, played by the emulator with other luck."""
    evaluate = self._config.evaluate
    steps = evaluation.reported_steps(evaluate.horizon)
    rows: dict[int, list[int]] = {}
    for episode, start in self._places():
      rows.setdefault(episode, []).append(start + evaluate.context - 1)
    frames, places = [], []
    for episode, at in rows.items():
      header = self._index.headers[episode]
      total = int(self._index.lengths[episode])
      actions = self._index.read(episode, 0, total, ["action"])["action"]
      played = replay.branches(
        rom,
        header,
        actions,
        at,
        steps,
        save_state=replay.find_start(header, self._data_dir),
      )
      for frame, place in played:
        frames.append(frame)
        places.append(place)
    return evaluation.Dreams(np.stack(frames), np.stack(places))

  def contact_sheet(
    self, params: world_model.Params, path: str | pathlib.Path, count: int = 6
  ) -> None:
    """Draws real, reconstructed and dreamed frames of some windows."""
    config = self._config
    windows = self.windows(config.train.eval_windows)
    total = len(windows["action"])
    chosen = np.linspace(0, total - 1, min(count, total)).astype(int)
    windows = {name: value[chosen] for name, value in windows.items()}
    context = config.evaluate.context
    cfg, key = config.world_model, jax.random.key(1)
    steps = min(_SHEET_STEPS, config.evaluate.horizon)
    shown = range(1, steps + 1)
    seen = evaluation.posterior(
      cfg, params, key, windows, context, self._infer, shown
    )
    dream = evaluation.open_loop(
      cfg, params, key, windows, context, infer=self._infer, steps=shown
    )
    real = windows["frame"][:, context : context + steps]
    blocks = [
      [
        pictures.Row("real", real[i]),
        pictures.Row("reconstruction", seen.frame[i], real[i]),
        pictures.Row("dream", dream.frame[i], real[i]),
      ]
      for i in range(len(chosen))
    ]
    sheet = pictures.contact_sheet(
      blocks,
      [f"+{k + 1}" for k in range(steps)],
      title="Held-out windows; green border: every pixel right",
    )
    pictures.save_png(sheet, path)
