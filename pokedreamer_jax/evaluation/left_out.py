"""Maps that training left out: one step ahead there, before and after a visit.

Weights never change. With an atlas in which each screen of those maps was seen
once, the model may show what it has not been trained on; the frozen last frame
stands beside it. A map that was never trained on is also one that the tokens of
an imagined row hardly ever name, so the frames are looked at with the recorded
tokens told as well. `W` windows, `H` rows after the context, and of those the
ones on the maps count, wherever their window began.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import modes
from pokedreamer_jax.evaluation import scores
from pokedreamer_jax.evaluation import tables
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import model as world_model

AS_TRAINED = "atlas as trained"
_FROZEN = "frozen frame"
_HOW = ("sampled", "most likely", "tokens told")


def measure(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  context: int,
  maps: Sequence[int],
  filled: Mapping[str, atlas_lib.Atlas],
  groups: np.ndarray,
  resamples: int,
  infer: bool = False,
) -> dict[str, Any]:
  """One step ahead on some maps.

  Args:
    cfg: sizes.
    params: parameters, with the atlas as trained if there is one.
    key: typed PRNG key; consumed by every line alike.
    windows: `[W, context + H, ...]`, some rows after the context on the maps.
    context: rows observed before the first that counts.
    maps: map numbers.
    filled: name -> an atlas to take in place of the trained one.
    groups: `[W]`, the episode of each window.
    resamples: bootstrap draws.
    infer: guess the tokens of observed rows from frames.

  Returns:
    JSON-ready: `pooled` and `map[number]` with `rows`, `overworld_rows` and
    `lines[name]` of `pixels`, `exact` and `place` (whether the tokens name it),
    over all rows and over those in the overworld; `gains[name]`, what an atlas
    that was filled gains over the one as trained, paired; `rows_walked_in`, of
    windows that begin elsewhere.
  """
  truth, before = windows["frame"][:, context:], windows["frame"][:, :-1]
  place = scores.recorded_places(windows)[:, context:]
  score = {_FROZEN: _scores(before[:, context - 1 :], truth)}
  for name, atlas in ({AS_TRAINED: None} | dict(filled)).items():
    used = (
      params if atlas is None else params | {"atlas": atlas_lib.leaves(atlas)}
    )
    given = (cfg, used, key, windows, context, infer)
    for how in _HOW if device.has_places(cfg) else _HOW[:2]:
      if how == "tokens told":
        ahead = dreams.one_step_told(*given)
      else:
        ahead = dreams.one_step(*given, how == "most likely")
      found = _scores(ahead.frame, truth)
      if ahead.place is not None:
        found["place"] = (ahead.place == place).all(axis=-1).astype(float)
      score[f"{name}, {how}"] = found
  running = windows["game_running"].astype(bool)
  number = np.where(running, windows["map_id"].astype(int), -1)
  there = np.isin(number, list(maps))
  counts = there[:, context:]
  field = modes.modes_of(windows)[:, context:] == modes.MODES.index("overworld")

  def part(mask: np.ndarray) -> dict[str, Any]:
    return {
      "rows": int(mask.sum()),
      "overworld_rows": int((mask & field).sum()),
      "lines": {
        name: {
          "all": tables.pool(found, groups, resamples, mask),
          "overworld": tables.pool(found, groups, resamples, mask & field),
        }
        for name, found in score.items()
      },
    }

  gains = {
    f"{name}, {how}": tables.pool(
      {
        metric: value - score[f"{AS_TRAINED}, {how}"][metric]
        for metric, value in score[f"{name}, {how}"].items()
      },
      *(groups, resamples, counts),
    )
    for name in filled
    for how in _HOW
    if f"{name}, {how}" in score
  }
  return {
    "rows_walked_in": int((counts & ~there[:, :1]).sum()),
    "pooled": part(counts),
    "map": {str(m): part(number[:, context:] == m) for m in maps},
    "gains": gains,
  }


def _scores(frame: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
  return {
    "pixels": scores.pixel_accuracy(frame, truth),
    "exact": scores.exact(frame, truth),
  }
