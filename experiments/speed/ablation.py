"""What `benchmark_ablation` leaves out, in turns timed, and how it is told."""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
import statistics
from typing import Any

from experiments.machine import asked_process
from experiments.reports import text_tables
from experiments.runs import stages
from experiments.speed import training_speed
from pokedreamer_jax.config import world_model as world_model_config

PRESENT = "present"
# Recipe -> the fields that it sets, beside those of the preset.
RECIPES: dict[str, tuple[str, ...]] = {
  PRESENT: (),
  "atlas_off": ("world_model.atlas=off",),
  "around_off": ("world_model.atlas_around=false",),
  "copies_off": ("world_model.atlas_copies=false",),
  "relative_off": (
    *("world_model.relative_tokens=false", "world_model.chain_changes=false"),
    "world_model.clock_sets=false",
  ),
  "older_tokens": (f"world_model.tokens={world_model_config.PRACTICE_TOKENS}",),
  "all_blocks": ("train.decode_blocks=0",),
  "bars_off": ("world_model.hp_bars=false",),
  "own_tokens": ("train.error_share=0.1",),
  "block_mix": ("world_model.block_mix=true",),
}
# Measure -> decimals. Where tiles are off, less is better.
MEASURES = {
  "overworld pixels": 3,
  "moved exact": 2,
  "dialog exact": 2,
  "battle pixels": 3,
  "battle exact": 2,
  **{f"{name} @{k}": 2 for k in (15, 50) for name in ("exact", "tiles")},
}
# The validation at the end of training is not what is told.
_TRAIN = ("train.eval_windows=16",)
_EVALUATE = ("evaluate.detail=quick",)
_MOST_LIKELY = "dream (most likely)"

Values = Mapping[str, float | None]  # by measure; None where no row has it


def cpu_ratios(
  preset: str,
  overrides: Sequence[str],
  names: Sequence[str],
  rounds: int,
  updates: int,
) -> dict[str, dict[str, float]]:
  """How much CPU time an update of each recipe takes over a present one.

  Each recipe runs in a process of its own beside one of the present recipe,
  and they take turns, so that what else the machine does slows down both.

  Args:
    preset: whose recipe it is.
    overrides: `part.field=value` for all recipes.
    names: of recipes, the present one not counted.
    rounds: turns of each.
    updates: of a turn.

  Returns:
    For each recipe `ratio`, the median over rounds, its range, and the median
    milliseconds of an update.
  """

  def started(name: str) -> asked_process.AskedProcess:
    given = (*overrides, *RECIPES[name])
    asked = training_speed.Asked(preset, given, 0, 0)
    return asked_process.AskedProcess(training_speed.Update, asked)

  found = {}
  with started(PRESENT) as present:
    present.ask("compile")
    for name in names:
      with started(name) as other:
        parameters = other.ask("compile")["parameters"]
        pairs = []
        for number in range(rounds):
          # Who is first alternates: each has the other's caches as often.
          order = (present, other) if number % 2 else (other, present)
          taken = {each: each.ask("cpu_s", updates) for each in order}
          pairs.append((taken[present], taken[other]))
      ratios = [ours / theirs for theirs, ours in pairs]
      found[name] = {
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "cpu_ms": 1e3 * statistics.median(ours for _, ours in pairs),
        "present_cpu_ms": 1e3 * statistics.median(first for first, _ in pairs),
        "parameters": parameters,
      }
  return found


def update_counts(
  ratios: Mapping[str, Mapping[str, float]], updates: int
) -> dict[str, int]:
  """Updates of each recipe in the CPU time of `updates` present ones."""
  counts = {PRESENT: updates}
  for name, row in ratios.items():
    counts[name] = max(1, round(updates / row["ratio"]))
  return counts


def make_stages(
  folder: pathlib.Path,
  name: str,
  data_dir: str,
  arguments: Sequence[str],
  updates: int,
) -> list[stages.Stage]:
  """Training and measuring of one recipe with one seed.

  Args:
    folder: takes the run directories `world_model` and `evaluate`.
    name: of the recipe.
    data_dir: the records.
    arguments: `--preset --seed --set` for both.
    updates: to train for.
  """
  model, measured = folder / "world_model", folder / "evaluate"
  recipe = (*RECIPES[name], *_TRAIN, f"train.steps={updates}")
  return [
    stages.Stage(
      "train",
      f"train {folder.name} of {folder.parent.name}",
      "experiments.train_rssm",
      (
        *(f"--data_dir={data_dir}", f"--workdir={model}", *arguments),
        *(f"--set={item}" for item in recipe),
      ),
      model / "result.json",
    ),
    stages.Stage(
      "measure",
      f"measure {folder.name} of {folder.parent.name}",
      "experiments.evaluate",
      (
        *("--what=world_model", f"--world_model={model}"),
        *(f"--data_dir={data_dir}", f"--workdir={measured}", *arguments),
        *(f"--set={item}" for item in _EVALUATE),
      ),
      measured / "result.json",
    ),
  ]


def measures(result: Mapping[str, Any]) -> dict[str, float | None]:
  """What the tables show of an evaluation; None where no row has it."""
  modes = result["breakdown"]["mode"]

  def ahead(mode: str, metric: str) -> float | None:
    row = modes.get(mode, {}).get("one_step", {}).get(metric, {})
    return row.get("mean")

  lines = result["lines"][_MOST_LIKELY]
  return {
    "overworld pixels": ahead("overworld", "pixels"),
    "moved exact": result["one_step"]["moved_overworld_exact"],
    "dialog exact": ahead("dialog", "exact"),
    "battle pixels": ahead("battle", "pixels"),
    "battle exact": ahead("battle", "exact"),
    **{
      f"{name} @{k}": lines.get(str(k), {}).get(name)
      for k in (15, 50)
      for name in ("exact", "tiles")
    },
  }


def summed(
  found: Mapping[str, Mapping[int, Values]],
) -> dict[str, dict[str, Any]]:
  """Means over seeds, and what each recipe differs by from the present one.

  Args:
    found: recipe -> seed -> measures; seeds that are not done are not there.

  Returns:
    Recipe -> `measured` and, of every other recipe, `less_present`: measure ->
    `[mean, lowest, highest]` over its seeds, of the differences over those
    that the present recipe has as well.
  """
  present = found.get(PRESENT, {})
  rows: dict[str, dict[str, Any]] = {}
  for name, seeds in found.items():
    rows[name] = {"measured": _over_seeds(list(seeds.values()))}
    if name != PRESENT:
      pairs = [(seeds[s], present[s]) for s in seeds if s in present]
      rows[name]["less_present"] = _over_seeds(
        [_less(own, other) for own, other in pairs]
      )
  return rows


def tables(recipes: Mapping[str, Mapping[str, Any]]) -> list[text_tables.Table]:
  """The tables for a person.

  Args:
    recipes: recipe -> `updates`, `cpu_ratio`, `parameters` and `seeds` done,
      and what `summed` gives.
  """
  whole = [name for name in recipes if recipes[name].get("measured")]
  rows = [
    [
      name,
      f"{recipes[name]['updates']:,}",
      f"{recipes[name]['cpu_ratio']:.2f}",
      str(len(recipes[name]["seeds"])),
      *_cells(recipes[name]["measured"]),
    ]
    for name in whole
  ]
  less = [
    [name, *_cells(recipes[name]["less_present"], "+")]
    for name in whole
    if recipes[name].get("less_present")
  ]
  strong = ["strong" if name == PRESENT else "" for name in whole]
  return [
    text_tables.Table(
      "Recipes at equal CPU time of the updates",
      ["recipe", "updates", "CPU", "seeds", *MEASURES],
      rows,
      strong,
      "Mean over seeds [lowest highest]. CPU: of an update, over a present "
      "one. Up to battles: sampled frames one step ahead; then the most likely "
      "dream, frames exact and tiles off.",
    ),
    text_tables.Table(
      "The same less the present recipe, seed by seed",
      ["recipe", *MEASURES],
      less,
      [""] * len(less),
      "Where the range holds no 0, all seeds agree.",
    ),
  ]


def _less(own: Values, other: Values) -> dict[str, float | None]:
  """What one seed's measures differ by."""
  found: dict[str, float | None] = {}
  for measure in MEASURES:
    ours, theirs = own[measure], other[measure]
    if ours is None or theirs is None:
      found[measure] = None
    else:
      found[measure] = ours - theirs
  return found


def _over_seeds(values: Sequence[Values]) -> dict[str, list[float]]:
  rows = {}
  for measure in MEASURES:
    known = [v for row in values if (v := row[measure]) is not None]
    if known and len(known) == len(values):
      spread = [statistics.fmean(known), min(known), max(known)]
      rows[measure] = [round(value, 4) for value in spread]
  return rows


def _cells(row: Mapping[str, Sequence[float]], sign: str = "") -> list[str]:
  cells = []
  for measure, decimals in MEASURES.items():
    if measure in row:
      mean, low, high = (f"{v:{sign}.{decimals}f}" for v in row[measure])
      cells.append(f"{mean} [{low} {high}]")
    else:
      cells.append("-")
  return cells
