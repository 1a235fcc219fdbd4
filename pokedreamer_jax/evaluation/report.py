"""Fidelity and drift of dreams, with all the lines they stand beside.

Every number has reference lines: the posterior's own reconstruction (floor) and
the places that its head reads off real frames, the last observed frame repeated
(frozen), the same dream under the actions of another episode (shuffled), a
random walker for places, the most frequent map, and the emulator with other
luck (ceiling).
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
from typing import Any

import jax
import numpy as np

from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import changed_cells
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import modes
from pokedreamer_jax.evaluation import place_reader
from pokedreamer_jax.evaluation import references
from pokedreamer_jax.evaluation import rows as rows_lib
from pokedreamer_jax.evaluation import scores as scores_lib
from pokedreamer_jax.evaluation import tables
from pokedreamer_jax.world_model import model as world_model

_QUICK_WINDOWS = 50  # in quick detail, whose rows are imagined one step ahead
# Lines that are told apart by mode, by map and by what training showed.
_IN_PARTS = (
  *(tables.SAMPLED, tables.MOST_LIKELY, tables.FLOOR, tables.CEILING),
  tables.CHANCE,
)


def report(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  evaluate: config_lib.EvaluateConfig,
  infer: bool = False,
  ceiling: dreams.Dreams | None = None,
  groups: np.ndarray | None = None,
  training: place_reader.TrainingFrames | None = None,
  calm: np.ndarray | None = None,
  watch: Callable[[Mapping[str, np.ndarray], dreams.Dreams], None]
  | None = None,
  chances: Sequence[dreams.Dreams] = (),
) -> dict[str, Any]:
  """Fidelity and drift tables with their reference lines.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    windows: held-out windows `[W, context + horizon, ...]`.
    evaluate: context, horizon and resamples.
    infer: guess the tokens of observed rows from frames, in every line.
    ceiling: the same windows played by the emulator with other luck, at
      `dreams.reported_steps`: how close chance lets anything come.
    groups: `[W]` integer, the episode of each window: windows of one episode
      are alike, so intervals are over episodes and shuffled actions come from
      another one. None: every window by itself.
    training: the frames of training, for the reader of places and for what
      was never seen.
    calm: `[W, S]` bool, where up to a reported step chance changed nothing.
    watch: is shown the windows whose rows are imagined one step ahead, and what
      was imagined, for what else is made of them.
    chances: the same windows played with other random numbers, at
      `dreams.reported_steps`; one line, of their mean scores.

  Returns:
    JSON-ready: `lines[name][step][metric]` means and their `intervals`,
    `comparisons` and `place_comparisons`, `moved`, `one_step`, `breakdown`,
    `curves`, `windows`; `map_majority` where places are known; `reader` and
    `unseen` with `training`, `calm` with that mask, all and by mode;
    `changed_cells` where the parameters carry an atlas.
  """
  context, draws = evaluate.context, evaluate.bootstrap
  count = len(windows["action"])
  if groups is None:
    groups = np.arange(count)
  # Every row of these is imagined one step ahead: in full detail of all, as
  # dialogs are rare.
  chosen = np.arange(count)
  if evaluate.detail == "quick":
    chosen = _spread(count, _QUICK_WINDOWS)
  few = {name: value[chosen] for name, value in windows.items()}
  few_groups = groups[chosen]
  keys = jax.random.split(key, 5)
  made = _lines(cfg, params, keys, windows, context, infer, groups)
  if ceiling is not None:
    made[tables.CEILING] = ceiling
  ahead = dreams.one_step(cfg, params, keys[4], few, context, infer)
  if watch is not None:
    watch(few, ahead)
  rows = rows_lib.Rows(cfg, windows, context)
  few_rows = rows_lib.Rows(cfg, few, context)
  reader = None
  if training is not None and rows.has_places:
    reader = training.reader()
  at_place = rows.at_place() if rows.has_places else None
  asked = None if reader is None else reader.read(rows.at("frame")).sure
  score = {
    name: _scores(dream, rows.at("frame"), at_place, reader, asked)
    for name, dream in made.items()
  }
  if chances:
    score[tables.CHANCE] = _averaged(
      [
        _scores(other, rows.at("frame"), at_place, reader, asked)
        for other in chances
      ]
    )
  more = [
    _scores(
      dreams.open_loop(
        *(cfg, params, jax.random.fold_in(keys[0], draw), windows, context),
        infer=infer,
        steps=rows.steps,
      ),
      *(rows.at("frame"), at_place, reader, asked),
    )
    for draw in range(1, evaluate.draws)
  ]
  score[tables.SAMPLED] = _averaged([score[tables.SAMPLED], *more])
  if device.has_places(cfg):
    # What the posterior's head reads off real frames: given tokens know more.
    seen = dreams.observed(
      *(cfg, params, jax.random.fold_in(keys[3], 1), windows),
      *([context + k - 1 for k in rows.steps], infer),
    )
    guess = dreams.guessed_places(cfg, seen)
    score[tables.GUESSED] = scores_lib.place_scores(guess, rows.at_place())
  few_place = few_rows.place if rows.has_places else None
  step = _scores(ahead, few_rows.all("frame"), few_place)

  result: dict[str, Any] = {"windows": count, "context": context}
  if rows.has_places:
    result |= _add_places(score, made, rows, reader)
  result |= tables.table(score, rows.steps, groups, draws)
  result["comparisons"] = tables.compare(score, rows.steps, draws, groups)
  result["place_comparisons"] = tables.compare_places(
    score, rows.steps, draws, groups
  )
  result["moved"] = tables.table(score, rows.steps, groups, draws, rows.moved())
  result["one_step"] = one_step_scores(ahead, few, context, few_groups, draws)
  atlas, table = world_model.map_memory(params), world_model.tile_table(params)
  if atlas is not None and table is not None:
    result["changed_cells"] = changed_cells.measure(
      table, atlas, few, context, ahead.frame, few_groups, draws
    )
  some = {name: score[name] for name in _IN_PARTS if name in score}
  if calm is not None:
    by_row = rows.of(rows.mode)
    result["calm"] = {
      **tables.table(score, rows.steps, groups, draws, calm),
      "comparisons": tables.compare(score, rows.steps, draws, groups, calm),
      "mode": {
        modes.MODES[m]: tables.table(
          some, rows.steps, groups, draws, calm & (by_row == m)
        )
        for m in np.unique(by_row)
      },
    }

  def part(at: np.ndarray, few_at: np.ndarray) -> dict[str, Any]:
    """Some of the reported rows, and of those imagined one step ahead."""
    return {
      **tables.table(some, rows.steps, groups, draws, at),
      "one_step": tables.pool(step, few_groups, draws, few_at),
      "one_step_rows": int(few_at.sum()),
    }

  def parts(kind: np.ndarray, few_kind: np.ndarray) -> dict[int, Any]:
    """The same for each kind of row that there is."""
    at = rows.of(kind)
    return {
      int(k): part(at == k, few_kind == k) for k in np.union1d(at, few_kind)
    }

  by_mode = parts(rows.mode, few_rows.mode)
  result["breakdown"] = {
    "mode": {modes.MODES[m]: found for m, found in by_mode.items()}
  }
  if rows.has_places:
    by_map = parts(rows.place[..., 0], few_rows.place[..., 0])
    result["breakdown"]["map"] = {str(m): f for m, f in by_map.items()}
  if reader is not None:
    result["reader"] = _own_accuracy(reader, few_rows, few_groups, draws)
  if training is not None:
    known = training.contains(rows.at("frame"))
    few_known = training.contains(few_rows.all("frame"))
    result["unseen"] = {
      "training_frames": len(training),
      "never": part(~known, ~few_known),
      "seen": part(known, few_known),
    }
  return result


def _add_places(score, made, rows: rows_lib.Rows, reader) -> dict[str, Any]:
  """Adds the lines that know places alone; the majority and the curves."""
  horizon = rows.place.shape[1]
  walk = references.random_walk(
    rows.start_place(), 1, range(1, horizon + 1), np.random.default_rng(0)
  )
  off = scores_lib.tile_error(walk, rows.place)
  score[tables.WALK] = {"tiles": rows.of(off)}
  most, share = references.majority(rows.place[..., 0])
  right = rows.at_place()[..., 0] == most
  score[tables.MAJORITY] = {"map": right.astype(float)}
  if reader is not None:
    score[tables.REAL] = place_reader.read_scores(
      reader, rows.at("frame"), rows.at_place()
    )
  curves = {}
  for name, line in made.items():
    if name == tables.FROZEN:
      path = np.repeat(rows.start_place(), horizon, axis=1)
    else:
      path = line.path
    if path is not None:
      curves[name] = _curve(scores_lib.tile_error(path, rows.place))
    elif line.place is not None:
      error = scores_lib.tile_error(line.place, rows.at_place())
      curves[name] = _curve(error, rows.steps)
    elif reader is not None:
      curves[f"{name}, read"] = _curve(score[name]["read_tiles"], rows.steps)
  curves[tables.WALK] = _curve(off)
  return {"map_majority": share, "curves": {"tiles": curves}}


def _curve(
  error: np.ndarray, steps: Sequence[int] | None = None
) -> dict[str, Any]:
  """Mean of errors `[W, S]` that apply, at some steps or at every one."""
  if steps is None:
    steps = range(1, error.shape[1] + 1)
  kept = [column[~np.isnan(column)] for column in error.T]
  points = [
    (step, round(float(column.mean()), 4))
    for step, column in zip(steps, kept, strict=True)
    if len(column)
  ]
  return {"steps": [s for s, _ in points], "values": [v for _, v in points]}


def one_step_scores(
  ahead: dreams.Dreams,
  windows: Mapping[str, np.ndarray],
  context: int,
  groups: np.ndarray | None = None,
  resamples: int = 2000,
) -> dict[str, Any]:
  """One step ahead over all rows and over overworld rows that moved.

  Returns:
    Means, and `intervals[name]` as `[low, high]` where there are episodes.
  """
  truth = np.asarray(windows["frame"][:, context:])
  before = np.asarray(windows["frame"][:, context - 1 : -1])
  right = scores_lib.exact(ahead.frame, truth)
  moved = scores_lib.exact(before, truth) == 0
  mode = modes.modes_of(windows)[:, context:]
  field = moved & (mode == modes.MODES.index("overworld"))
  nan = np.nan
  found = {
    "exact": right,
    "pixels": scores_lib.pixel_accuracy(ahead.frame, truth),
    "frozen_exact": 1.0 - moved,
    "moved_exact": np.where(moved, right, nan),
    "moved_overworld_exact": np.where(field, right, nan),
    "moved_share": moved.astype(float),
  }
  pooled = tables.pool(found, groups, resamples)
  return {
    **{name: pooled[name]["mean"] if name in pooled else 0.0 for name in found},
    "intervals": {
      name: [row["low"], row["high"]]
      for name, row in pooled.items()
      if "low" in row
    },
    "rows": int(right.size),
  }


def _lines(cfg, params, keys, windows, context, infer, groups):
  """The dreams of every line, at the reported steps."""
  steps = dreams.reported_steps(windows["action"].shape[1] - context)
  shuffled = windows["action"][references.others(groups)]
  dream = functools.partial(
    dreams.open_loop,
    *(cfg, params),
    **{"windows": windows, "context": context, "infer": infer, "steps": steps},
  )
  return {
    tables.SAMPLED: dream(key=keys[0]),
    tables.MOST_LIKELY: dream(key=keys[1], most_likely=True),
    tables.SHUFFLED: dream(key=keys[2], action=shuffled),
    tables.FLOOR: dreams.posterior(
      cfg, params, keys[3], windows, context, infer, steps
    ),
    tables.FROZEN: references.frozen(windows, context, steps),
  }


def _scores(
  made, truth, places, reader=None, asked=None
) -> dict[str, np.ndarray]:
  found = scores_lib.frame_scores(made.frame, truth)
  if places is not None and made.place is not None:
    found |= scores_lib.place_scores(made.place, places)
  if reader is not None:
    found |= place_reader.read_scores(
      reader, made.frame, places, made.place, asked
    )
  return found


def _averaged(draws: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
  """Scores `[W, S]` of several draws as their means; the same apply to all."""
  return {
    name: np.mean([draw[name] for draw in draws], axis=0) for name in draws[0]
  }


def _own_accuracy(reader, rows: rows_lib.Rows, groups, draws) -> dict[str, Any]:
  """How well the reader reads real frames that were held out."""
  found = place_reader.read_scores(reader, rows.all("frame"), rows.place)
  off = found["read_tiles"]
  found["right"] = np.where(np.isnan(off), np.nan, off == 0)
  return {
    "frames": len(reader),
    "held_out_rows": int(rows.mode.size),
    **tables.pool(found, groups, draws),
    "mode": {
      modes.MODES[m]: tables.pool(found, groups, draws, rows.mode == m)
      for m in np.unique(rows.mode)
    },
  }


def _spread(total: int, count: int) -> np.ndarray:
  """At most `count` numbers below `total`, spread evenly."""
  return np.linspace(0, total - 1, min(count, total)).astype(int)
